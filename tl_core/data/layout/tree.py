"""The folders and files below a root, listed once; nothing in them is opened but odd names.

What a reading makes of them is decided in ``layout_plan.py``. System files, hidden files and links
are left out here and kept by name under the reason.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tl_core.data.file_names import debris_kind
from tl_core.data.images.images import SUFFIXES
from tl_core.data.images.signatures import holds_image
from tl_core.errors import DatasetError
from tl_core.files import is_plain_text, shown_name
from tl_core.progress import SILENT, Monitor

# Endings that are never looked into for an image, however many files carry them.
_OTHER_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("csv", "tsv", "txt", "json", "jsonl", "ndjson", "xml", "yaml", "yml", "md", "rst"),
        *("pdf", "doc", "docx", "xls", "xlsx", "py", "ipynb", "sh", "bat", "log", "html", "htm"),
        *("mat", "npy", "npz", "pkl", "pickle", "h5", "hdf5", "tfrecord", "parquet", "arrow"),
        *("zip", "tar", "gz", "tgz", "bz2", "xz", "7z", "rar", "mp4", "avi", "mov", "mkv", "webm"),
        *("mp3", "wav", "db", "ini", "cfg", "toml", "lock", "names", "data", "weights", "keras"),
        *("tflite", "onnx", "pt", "pth", "safetensors", "bin", "css", "js", "url", "bak", "tmp"),
        *("crdownload", "part"),
    )
)
_MAX_DEPTH = 64


@dataclass(frozen=True)
class ImageFile:
    """A file with an image's name, or with an image's first bytes under an odd name."""

    path: str
    num_bytes: int
    mtime_ns: int

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]


@dataclass
class Folder:
    """One folder: its visible folders, images and other files. ``path`` is "" or ends in "/".

    ``joined`` are the paths of further folders whose images are counted to it.
    """

    path: str
    folders: dict[str, Folder] = field(default_factory=dict)
    images: list[ImageFile] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The folder's own name; "" for the root."""
        return self.path.rstrip("/").rpartition("/")[2]

    @cached_property
    def num_images(self) -> int:
        """Number of images in it, at any depth."""
        return len(self.images) + sum(inner.num_images for inner in self.folders.values())

    @property
    def filled(self) -> dict[str, Folder]:
        """The folders in it that hold images at any depth."""
        return {name: inner for name, inner in self.folders.items() if inner.num_images}

    def walk(self) -> Iterator[Folder]:
        """Yield the folder and all below it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            waiting.extend(folder.folders.values())

    def all_images(self) -> Iterator[ImageFile]:
        """Yield the images in it, at any depth."""
        for folder in self.walk():
            yield from folder.images


@dataclass
class Tree:
    """Everything below a root.

    ``ignored`` has the reasons ``system``, ``hidden``, ``other`` (no image), ``link``,
    ``bad_name`` and ``no_access``; ``odd_names`` are images whose ending is missing or none of an
    image's; ``links`` gives where each link that was left out leads to; ``masks`` gives for each
    folder of masks the folder of its images; ``joined`` are folders that hold the
    classes around them once more, with other images.
    """

    root: Path
    top: Folder
    ignored: dict[str, list[str]]
    odd_names: list[str]
    links: dict[str, str]
    followed: list[str]
    masks: dict[str, str] = field(default_factory=dict)
    joined: list[str] = field(default_factory=list)


def path_exists(path: Path, expected: str) -> bool:
    """Return whether there is anything at a path.

    Raises:
        DatasetError: it cannot be looked at, as when a name in it is too long; the message says
            that ``expected`` was.
    """
    try:
        return path.exists()
    except OSError as error:
        raise DatasetError(
            f"Expected {expected} at '{path}', but it cannot be looked at: {error.strerror}. "
            "Check the path."
        ) from error


def read_tree(
    root: Path,
    monitor: Monitor = SILENT,
    *,
    follow_links: bool = False,
    link_roots: Sequence[Path] = (),
) -> Tree:
    """List everything below ``root``.

    Links to files inside ``root`` are followed always. Others are left out and named, unless
    ``follow_links``: then those that lead into ``root`` or one of ``link_roots`` are followed.
    A link to a folder that it lies in itself, which would have no end, never is.

    Raises:
        DatasetError: ``root`` is missing or no folder.
        Stopped: ``monitor`` was asked to stop.
    """
    if not path_exists(root, "a folder with one folder per class"):
        raise DatasetError(
            f"Expected a folder with one folder per class at '{root}', found nothing there. "
            "Check the path."
        )
    if not root.is_dir():
        raise DatasetError(
            f"Expected a folder with one folder per class, found a file: '{root}'. "
            "Unpack it first if it is an archive.",
            remedy="archive",
        )
    return _Walk(root, monitor, follow_links, link_roots).run()


class _Walk:
    """One walk over one root, gathering its :class:`Tree`."""

    def __init__(
        self, root: Path, monitor: Monitor, follow_links: bool, link_roots: Sequence[Path]
    ) -> None:
        self._real_root = Path(os.path.realpath(root))
        self._monitor = monitor
        self._roots = [self._real_root]
        if follow_links:
            self._roots += [Path(os.path.realpath(one)) for one in link_roots]
        self._follow_links = follow_links
        self._linked: set[Path] = set()
        self._tree = Tree(root, Folder(""), defaultdict(list), [], {}, [])

    def run(self) -> Tree:
        waiting: list[tuple[Folder, tuple[Path, ...]]] = [(self._tree.top, (self._real_root,))]
        while waiting:
            folder, trail = waiting.pop()
            self._monitor.check()
            for entry in self._entries(folder.path):
                reason = self._sort_in(entry, folder, trail, waiting)
                if reason is not None:
                    slash = "/" if entry.is_dir(follow_symlinks=False) else ""
                    path = shown_name(f"{folder.path}{entry.name}{slash}")
                    self._tree.ignored[reason].append(path)
                    if reason == "other":
                        folder.others.append(entry.name)
                    if reason == "link":
                        self._tree.links[path] = shown_name(os.path.realpath(entry.path))
        return self._tree

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self._tree.root / folder) as entries:
                yield from entries
        except OSError:
            self._tree.ignored["no_access"].append(folder)

    def _sort_in(
        self,
        entry: os.DirEntry[str],
        folder: Folder,
        trail: tuple[Path, ...],
        waiting: list[tuple[Folder, tuple[Path, ...]]],
    ) -> str | None:
        """Add an entry to its folder, or return the reason why it is left out."""
        name = entry.name
        debris = debris_kind([name])
        if debris is not None:
            return "hidden" if debris == "hidden" else "system"
        if not is_plain_text(name):
            return "bad_name"
        path = f"{folder.path}{name}"
        if entry.is_symlink():
            if not self._may_follow(entry, trail):
                return "link"
            if self._follow_links:
                self._tree.followed.append(path)
        if entry.is_dir():
            if len(trail) > _MAX_DEPTH:
                return "no_access"
            inner = folder.folders[name] = Folder(f"{path}/")
            real = Path(os.path.realpath(entry.path)) if entry.is_symlink() else trail[-1] / name
            waiting.append((inner, (*trail, real)))
            return None
        return self._sort_in_file(entry, folder, path)

    def _sort_in_file(self, entry: os.DirEntry[str], folder: Folder, path: str) -> str | None:
        suffix = Path(entry.name).suffix.lower()
        if not entry.is_file():  # a pipe or device would never end
            return "other"
        if suffix not in SUFFIXES:
            if suffix in _OTHER_SUFFIXES or not _starts_as_image(entry.path):
                return "other"
            self._tree.odd_names.append(path)
        try:
            facts = entry.stat()
        except OSError:
            return "no_access"
        folder.images.append(ImageFile(path, facts.st_size, facts.st_mtime_ns))
        return None

    def _may_follow(self, entry: os.DirEntry[str], trail: tuple[Path, ...]) -> bool:
        real = Path(os.path.realpath(entry.path))  # unlike resolve(), not upset by a loop
        if real.is_file():
            return any(real.is_relative_to(root) for root in self._roots)
        if not self._follow_links or not real.is_dir():
            return False
        # A folder on the way down to the link, or above one of them, would be walked for ever.
        # One that was followed before is not again: links to links could multiply without end.
        if real in self._linked or any(folder.is_relative_to(real) for folder in trail):
            return False
        if not any(real.is_relative_to(root) for root in self._roots):
            return False
        self._linked.add(real)
        return True


def _starts_as_image(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return holds_image(file.read(32))
    except OSError:
        return False

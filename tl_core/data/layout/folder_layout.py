"""Which image belongs to which class and part, by the folders that it lies in.

Classes may lie one or more wrapper folders deep, or below ``train/ val/ test/``. Whatever is not
an image of a class is kept by name under the reason why it is left out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tl_core.data.layout.folder_structure import find_inner_parts, find_parts, unwrap
from tl_core.data.layout.split_names import UNLABELLED
from tl_core.data.layout.tree import Folder, ImageFile, Tree
from tl_core.errors import DatasetError, did_you_mean

LABELLABLE = ("stray", "no_row", "no_class", "two_labels")
"""The reasons for which images are left out that a person can give a class."""

_DIGITS = re.compile(r"(\d{1,1000})")  # Python makes no number of several thousand

NaturalKey = tuple[tuple[str | int, ...], str]


@dataclass(frozen=True)
class FoundFile:
    """One image file of a class. Images of one ``group`` stay in one part of a split."""

    path: str
    class_name: str
    part: str | None
    num_bytes: int
    mtime_ns: int
    group: str | None = None


@dataclass
class Layout:
    """How what lies below a root is read. Paths are relative to it; folders end in a slash.

    ``name`` is that of the reading, as :func:`~tl_core.data.layout.plan.plan_layout` lists
    them. ``classes`` gives each class's folders, more than one with ``train/ val/ test/``, none
    where classes come from a file or from names. ``unlabelled`` are images without a class.
    ``ignored`` has the reasons ``system``, ``hidden``, ``stray`` (an image outside any class
    folder), ``other`` (no image), ``link``, ``bad_name``, ``no_access``, ``no_row`` (an image
    that the label file does not name), ``no_class`` (an image whose name gives no class),
    ``variant`` (other renderings of the same images), ``copy`` (a folder with the same files once
    more) and ``mask`` (a mask of an image). ``joined`` are folders that hold the classes around
    them once more, whose images are counted to them.
    ``missing`` are values of a label file for which there is no image. ``sources`` are the files
    that classes or groups were read from, ``alternatives`` the names of readings that are as
    plausible.
    """

    name: str = "class-folders"
    wrapper: str = ""
    classes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    files: list[FoundFile] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unlabelled: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    odd_names: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    sources: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()

    @property
    def class_names(self) -> list[str]:
        """The classes in natural order, those without an image among them."""
        return sorted(self.classes, key=natural_key)

    @property
    def without_class(self) -> list[str]:
        """The images that a person could give a class, unlabelled ones and those left out."""
        left_out = (path for reason in LABELLABLE for path in self.ignored.get(reason, ()))
        return [*self.unlabelled, *(path for path in left_out if not path.endswith("/"))]

    def set_parts(self, part_of: Mapping[str, str]) -> None:
        """Set the part of each file, by path; one that is not listed is left without."""
        self.files = [replace(file, part=part_of.get(file.path)) for file in self.files]

    def add(
        self, image: ImageFile, class_name: str, part: str | None, group: str | None = None
    ) -> None:
        """Count an image to a class."""
        self.files.append(
            FoundFile(image.path, class_name, part, image.num_bytes, image.mtime_ns, group)
        )

    def label(self, root: Path, class_of: Mapping[str, str]) -> None:
        """Give images below ``root`` that have no class one, by path."""
        found = set()
        for path in self.without_class:
            try:
                facts = (root / path).stat() if path in class_of else None
            except OSError:  # gone meanwhile
                facts = None
            if facts is None:
                continue
            found.add(path)
            name = class_of[path]
            self.classes.setdefault(name, [])
            self.files.append(FoundFile(path, name, None, facts.st_size, facts.st_mtime_ns))
        if found:
            for paths in (self.unlabelled, *(self.ignored[reason] for reason in LABELLABLE)):
                paths[:] = [path for path in paths if path not in found]
            self._sort_files()

    def finish(self, tree: Tree) -> Layout:
        """Sort files by class and path, and take over what the tree left out; return itself."""
        self._sort_files()
        for reason, paths in tree.ignored.items():
            used = set(self.sources)
            self.ignored[reason].extend(path for path in paths if path not in used)
        for paths in (*self.ignored.values(), self.unlabelled):
            paths.sort(key=natural_path_key)
        self.odd_names, self.joined = tree.odd_names, tree.joined
        return self

    def _sort_files(self) -> None:
        self.files.sort(key=lambda file: natural_path_key(f"{file.class_name}/{file.path}"))


def natural_key(text: str) -> NaturalKey:
    """Sort key that puts 2 before 10 and ignores case; equal only for equal texts."""
    pieces = _DIGITS.split(text.casefold())  # text and digits in turn, so that like meets like
    return tuple(int(piece) if i % 2 else piece for i, piece in enumerate(pieces)), text


def natural_path_key(path: str) -> tuple[NaturalKey, ...]:
    """Sort key of a path with slashes: :func:`natural_key` of each of its names."""
    return tuple(natural_key(name) for name in path.split("/"))


def read_folders(
    tree: Tree, *, split: bool = True, level: int = 1, variant: str | None = None
) -> Layout:
    """Read folders as classes.

    Args:
        tree: what lies below the root.
        split: whether folders named like train, val and test are parts.
        level: which level of folders, below a wrapper and a part, names the class.
        variant: the one folder to read, of several that hold the same classes.

    Raises:
        DatasetError: there is no such variant.
    """
    layout = Layout()
    trail = unwrap(tree.top)
    base = trail[-1]
    _stray(layout, (one for folder in trail[:-1] for one in folder.images))
    if variant is not None:
        base = _choose_variant(layout, base, variant)
    layout.wrapper = base.path
    parts = find_parts(base) if split else None
    inner_parts = find_inner_parts(base) if split and parts is None else None
    _stray(layout, base.images)
    if parts is None:
        _take_classes(layout, base, None, level, inner_parts or {})
        return layout.finish(tree)
    for name, folder in base.folders.items():
        part = parts.part_of.get(name)
        if part is None:
            if folder.num_images or not folder.others:
                layout.ignored["stray"].append(folder.path)
        elif name not in parts.bases:
            layout.unlabelled.extend(image.path for image in folder.all_images())
        else:
            head = parts.bases[name]
            inside = {image.path for image in head.all_images()}
            _stray(layout, (one for one in folder.all_images() if one.path not in inside))
            _stray(layout, head.images)
            _take_classes(layout, head, part, level, {})
    return layout.finish(tree)


def _choose_variant(layout: Layout, base: Folder, variant: str) -> Folder:
    if variant not in base.filled:
        raise DatasetError(
            f"Expected one of the folders {', '.join(base.filled)} as the variant to read, "
            f"received '{variant}'.{did_you_mean(variant, base.filled)}"
        )
    _stray(layout, base.images)
    layout.ignored["variant"].extend(
        folder.path for name, folder in base.filled.items() if name != variant
    )
    return unwrap(base.folders[variant])[-1]


def _take_classes(
    layout: Layout, base: Folder, part: str | None, level: int, part_of: dict[str, str]
) -> None:
    """Take the folders ``level`` below ``base`` as classes, with all images below each.

    ``part_of`` gives parts by path for folders inside of class folders.
    """
    for name, folder in base.folders.items():
        if level > 1:
            _stray(layout, folder.images)
            _take_classes(layout, folder, part, level - 1, part_of)
            continue
        layout.classes[name] += [folder.path, *folder.joined]
        for inner in folder.walk():
            own = part_of.get(inner.path, part)
            if own == UNLABELLED:
                layout.unlabelled.extend(image.path for image in inner.images)
                continue
            for image in inner.images:
                layout.add(image, name, own)


def _stray(layout: Layout, images: Iterable[ImageFile]) -> None:
    layout.ignored["stray"].extend(image.path for image in images)

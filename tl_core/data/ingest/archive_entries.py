"""Select what is extracted from an archive: images, and tables and lists with their classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from tl_core.data.file_names import (
    UniqueNames,
    UnsafeName,
    debris_kind,
    may_be_image,
    safe_component,
    show_name,
)
from tl_core.data.images.images import SUFFIXES
from tl_core.data.ingest.zip_reader import ArchiveEntry, refusal
from tl_core.data.layout.split_names import part_of_name
from tl_core.errors import ArchiveError

MAX_TABLE_BYTES = 64 * 2**20
_LOOK_ENTRIES = 50
_MAX_NAME = 255  # characters of a file's name, of which a class name is made
ARCHIVE_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("zip", "tar", "gz", "tgz", "bz2", "tbz", "tbz2", "xz", "txz", "zst", "7z", "rar"),
        *("lzma", "lz4", "cab", "iso", "jar"),
    )
)
TABLE_SUFFIXES = frozenset((".csv", ".tsv", ".json", ".jsonl", ".ndjson"))
LIST_SUFFIXES = frozenset((".txt", ".xml", ".lst", ".names"))
_LIST_NAMES = re.compile(r"(?i)(class|label|categor)")
_MODEL_SUFFIXES = frozenset((".h5", ".keras", ".tflite", ".onnx", ".pb", ".pt", ".pth"))
_CONTAINER_SUFFIXES = frozenset((".parquet", ".tfrecord", ".arrow", ".npz", ".npy", ".mat"))
# What programs and browsers append to a class name when they name an archive.
_PACKED_NAME = re.compile(r"(?i)[-_ ]?(samples?|\d{8}T\d{6}Z(-\d+)*|\(\d+\)|-\d{3})$")


@dataclass
class Selection:
    """Which entries of an archive to extract, with their paths, and which to leave out."""

    files: dict[str, tuple[ArchiveEntry, PurePosixPath]] = field(default_factory=dict)
    odd: set[str] = field(default_factory=set)  # entries whose first bytes have to be checked
    tables: set[str] = field(default_factory=set)
    folders: list[PurePosixPath] = field(default_factory=list)
    nested: list[ArchiveEntry] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)  # system and hidden files by kind
    others: list[ArchiveEntry] = field(default_factory=list)  # neither image nor label file

    @property
    def num_bytes(self) -> int:
        """Size of the files to extract, in bytes."""
        return sum(entry.num_bytes for entry, _ in self.files.values())


def select_entries(
    entries: Sequence[ArchiveEntry], *, may_nest: bool, look: Callable[[], None]
) -> Selection:
    """Return which entries of an archive to extract.

    Args:
        entries: all entries.
        may_nest: whether archives inside of it are extracted too.
        look: called after some entries; it may raise, to stop.

    Raises:
        ArchiveError: it has an archive inside without ``may_nest``, no image, or an unsafe name.
    """
    selection, book = Selection(), UniqueNames()
    stems = {
        PurePosixPath(entry.parts[-1]).stem for entry in entries if suffix_of(entry) in SUFFIXES
    }
    num_images = 0
    for number, entry in enumerate(entries):
        if number % _LOOK_ENTRIES == 0:
            look()
        kind = debris_kind(part for part in entry.parts if part != ".")
        suffix = suffix_of(entry)
        if kind is not None:
            selection.ignored[kind] += 1
        elif entry.is_folder:
            if entry.parts != (".",):
                selection.folders.append(PurePosixPath(*map(safe_component, entry.parts)))
        elif suffix in SUFFIXES:
            num_images += 1
            _place(selection, book, entry)
        elif suffix in ARCHIVE_SUFFIXES:
            selection.nested.append(entry)
        elif entry.num_bytes <= MAX_TABLE_BYTES and is_table_name(entry.parts[-1], stems):
            selection.tables.add(entry.name)
            _place(selection, book, entry)
        elif may_be_image(entry.parts[-1]):
            selection.odd.add(entry.name)
            _place(selection, book, entry)
        else:
            selection.others.append(entry)
    if selection.nested and not may_nest:
        lack = "" if num_images else "There are no images in it. "
        named = show_name(selection.nested[0].name)
        raise ArchiveError(
            f"{lack}Its entry {named} is an archive itself: unpack that one, and pack the "
            "class folders in a single .zip, or have the archives in it unpacked too."
        )
    if not num_images and not selection.odd and not selection.nested:
        raise ArchiveError(_no_images_message(selection.others))
    return selection


def propose_class(name: str, folder: Sequence[str] = ()) -> str:
    """Return the likely class of an archive with photos of one class.

    Args:
        name: the name of the archive's file.
        folder: the only folder in it with images.

    Example:
        >>> propose_class("Class 1-samples.zip"), propose_class("photos.zip", ("cats",))
        ('Class 1', 'cats')
    """
    if folder:
        return folder[-1]
    stem = PurePosixPath(name).name[-_MAX_NAME:]
    while PurePosixPath(stem).suffix.lower() in ARCHIVE_SUFFIXES:
        stem = PurePosixPath(stem).stem
    while (shorter := _PACKED_NAME.sub("", stem).strip(" -_")) and shorter != stem:
        stem = shorter
    return stem


def _place(selection: Selection, book: UniqueNames, entry: ArchiveEntry) -> None:
    try:
        selection.files[entry.name] = (entry, book.place(entry.parts))
    except UnsafeName as error:
        raise refusal(entry.name, str(error)) from None


def suffix_of(entry: ArchiveEntry) -> str:
    """Return the extension of an entry's name, in lower case, with its dot."""
    return PurePosixPath(entry.parts[-1]).suffix.lower()


def is_table_name(file_name: str, stems: set[str]) -> bool:
    """Whether a file may contain the classes of images, or identify the dataset's format.

    Args:
        file_name: its name.
        stems: of the images that came with it.
    """
    name = PurePosixPath(file_name)
    if name.suffix.lower() in TABLE_SUFFIXES:
        return True
    if name.suffix.lower() not in LIST_SUFFIXES:
        return False
    is_list = part_of_name(name.stem) is not None or _LIST_NAMES.search(name.stem) is not None
    return name.stem in stems or is_list


def _no_images_message(others: Sequence[ArchiveEntry]) -> str:
    models = [entry for entry in others if suffix_of(entry) in _MODEL_SUFFIXES]
    if models:
        return (
            f"Its entry {show_name(models[0].name)} is a model, not photos: it cannot be trained "
            "on. Give the photos that it was trained on."
        )
    containers = [entry for entry in others if suffix_of(entry) in _CONTAINER_SUFFIXES]
    if containers:
        return (
            f"There are no images in it, but {show_name(containers[0].name)}, which is not read "
            "here: write the photos out as JPEG or PNG files, one folder for each class."
        )
    return "There are no images in it: expected one folder for each class, with image files."

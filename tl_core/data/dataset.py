"""Scan a folder of images into an index of images and classes; problems become findings.

The folder is only read. Each file is decoded once to check that it can be; pixels are loaded by
``images.py`` when needed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from tl_core.data.audit.findings import (
    Finding,
    find_animated,
    find_empty_classes,
    find_ignored,
    find_name_collisions,
    find_unreadable,
    find_wrapper,
    list_some,
)
from tl_core.data.images.decode import MAX_FILE_BYTES, PixelScale, is_deep
from tl_core.data.images.decode_turns import carried
from tl_core.data.images.images import inspect_image
from tl_core.data.layout.folder_layout import FoundFile, Layout, natural_key, natural_path_key
from tl_core.data.layout.layout_findings import find_layout, find_pixel_scale, find_split_gaps
from tl_core.data.layout.plan import read_layout
from tl_core.data.scan_cache import ScanCache, ScannedFile
from tl_core.errors import DatasetError, ImageError, Stopped, UnlabelledError
from tl_core.files import expand, is_plain_text, shown_name
from tl_core.progress import Monitor, OnProgress, ShouldStop

__all__ = ["DatasetIndex", "Finding", "ImageRecord", "PhotoLabel", "scan_dataset", "scan_photos"]

Decoded = TypeVar("Decoded")

_BATCH = 256  # files between two writes to the cache, lost at most by a kill
_TASK = 4  # files that a thread reads at a time: handing over each costs a tenth of reading it


class PhotoLabel(NamedTuple):
    """The class that a person gave to the file of these bytes."""

    sha256: str
    class_name: str


@dataclass(frozen=True)
class ImageRecord:
    """One readable image. ``width`` and ``height`` are those of the upright picture.

    Images of one ``group``, such as frames of one video, are kept in one part of a split.
    """

    path: str
    label: int
    sha256: str
    num_bytes: int
    mtime_ns: int
    width: int
    height: int
    format: str
    mode: str
    exif_orientation: int
    part: str | None
    group: str | None = None


@dataclass(frozen=True)
class DatasetIndex:
    """The images of a data folder, in class order, and the findings about it.

    ``num_ignored`` counts files that were left out, by the kind of their finding.
    ``decisions_fingerprint`` names the decisions that were applied; empty for none. ``layout``
    names how the folder was read, ``unlabelled`` are the paths of images without a class,
    ``labelled`` of those to which a person gave one, and ``sources`` the label files that were
    read. ``pixel_scale`` says which values of its 16-bit grey images become black and white; None
    takes their upper 8 bits. ``added`` are the paths of photos that were added one by one after a
    model had seen them, which a split puts into train.

    Examples:
        >>> from tl_core import scan_dataset
        >>> index = scan_dataset("photos")
        >>> index.records[0].path, index.records[0].width, index.records[0].height
        ('cat/0.png', 64, 56)
        >>> index.labels.shape
        (25,)
    """

    data_dir: Path
    class_names: tuple[str, ...]
    records: tuple[ImageRecord, ...]
    findings: tuple[Finding, ...]
    num_ignored: dict[str, int]
    decisions_fingerprint: str = ""
    layout: str = "class-folders"
    unlabelled: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    pixel_scale: PixelScale | None = None
    added: frozenset[str] = frozenset()
    labelled: tuple[str, ...] = ()

    @property
    def num_images(self) -> int:
        """Number of readable images."""
        return len(self.records)

    @property
    def num_classes(self) -> int:
        """Number of classes, each with at least one image."""
        return len(self.class_names)

    @property
    def has_given_split(self) -> bool:
        """Whether the folder itself says which image is for train, val or test."""
        return any(record.part is not None for record in self.records)

    @cached_property
    def labels(self) -> np.ndarray:
        """Class index of each record, -1 for none: ``(num_images,)`` int64."""
        labels = np.array([record.label for record in self.records], dtype=np.int64)
        labels.setflags(write=False)
        return labels

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the records: equal for equal images at equal paths."""
        lines = sorted(
            f"{record.path}\0{record.sha256}\0{record.label}\0{record.part or ''}"
            f"{'' if record.group is None else chr(0) + record.group}\n"
            for record in self.records
        )
        if (
            self.sources or self.labelled
        ):  # the same image may get another class without being moved
            lines.append("\0".join((self.layout, *self.class_names)))
        if self.pixel_scale is not None:
            lines.append(f"{self.pixel_scale.low} {self.pixel_scale.high}")
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @property
    def labels_given(self) -> dict[str, PhotoLabel]:
        """The labels that a person gave, as :func:`scan_dataset` takes them."""
        given = set(self.labelled)
        return {
            record.path: PhotoLabel(record.sha256, self.class_names[record.label])
            for record in self.records
            if record.path in given
        }

    def path_of(self, record: ImageRecord) -> Path:
        """Return the path of a record's file."""
        return self.data_dir / record.path

    def scale_of(self, record: ImageRecord) -> PixelScale | None:
        """Return the scale of a record's values, None for one of 8 bits."""
        return self.pixel_scale if is_deep(record.mode) else None

    def decode(self, record: ImageRecord, decode: Callable[[bytes], Decoded]) -> Decoded:
        """Return ``decode`` of a record's bytes, after checking that its file is unchanged.

        Raises:
            DatasetError: the file is missing or changed, or ``decode`` raises an ``ImageError``.
        """
        try:
            data = self.path_of(record).read_bytes()
        except OSError as error:
            raise DatasetError(
                f"'{record.path}' cannot be read ({error.strerror or error}). "
                "Scan the folder again, then start again."
            ) from error
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise DatasetError(
                f"'{record.path}' has changed since the folder was scanned. "
                "Scan the folder again, then start again."
            )
        try:
            return decode(data)
        except ImageError as error:
            raise DatasetError(
                f"'{record.path}' cannot be decoded: {error} "
                "Scan the folder again, then start again."
            ) from error

    def class_counts(self) -> dict[str, int]:
        """Return the number of images of each class, in class order."""
        counts = np.bincount(self.labels, minlength=self.num_classes)
        return {name: int(count) for name, count in zip(self.class_names, counts, strict=True)}


def check_folder_name(data_dir: Path) -> None:
    """Refuse a folder that no file of the workspace can name.

    Raises:
        DatasetError: its path is no UTF-8.
    """
    if not is_plain_text(str(data_dir)):
        raise DatasetError(
            f"Expected a folder whose path is UTF-8, received '{shown_name(str(data_dir))}'. "
            "Rename the folder."
        )


def scan_dataset(
    data_dir: str | os.PathLike[str],
    layout: str | None = None,
    *,
    labels: Mapping[str, PhotoLabel] | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
    num_workers: int | None = None,
) -> DatasetIndex:
    """Read every image of a folder that has a class.

    Args:
        data_dir: one folder per class, images at any depth below it; or ``train/ val/ test/`` of
            such folders, used as the given split; or any other structure listed by
            :func:`~tl_core.data.layout.plan.plan_layout`.
        layout: name of one of these layouts; by default the most plausible one.
        labels: the classes of images for which the folder names none, by path. A label of a file
            that has changed is ignored.
        cache_dir: the folder of the scan cache, so that the next scan reads only changed files.
        on_progress: called with stage ``"scan"`` and the files that had to be read.
        should_stop: polled between files.
        num_workers: number of threads; by default one per processor.

    Returns:
        Records sorted by class and path in natural order (2 before 10).

    Raises:
        ConfigError: there is no such layout.
        DatasetError: there is no such folder, the layout does not fit it, or fewer than two
            classes have a readable image.
        Stopped: ``should_stop`` returned True; with ``cache_dir`` files read so far are cached.

    Examples:
        >>> from tl_core import scan_dataset
        >>> index = scan_dataset("photos")
        >>> index.class_names, index.num_images
        (('cat', 'dog'), 25)
    """
    root = expand(data_dir).absolute()
    monitor = Monitor(on_progress, should_stop)
    found = read_layout(root, monitor, layout)
    labels = labels or {}
    labelled = set(found.without_class) & set(labels)
    found.label(root, {path: labels[path].class_name for path in labelled})
    _require_classes(root, found, {file.class_name for file in found.files}, {})
    scanned = _scan(root, found, monitor, cache_dir, num_workers)
    kept = {path for path in labelled & set(scanned) if scanned[path].sha256 == labels[path].sha256}
    if stale := labelled - kept:
        found.files = [file for file in found.files if file.path not in stale]
        found.unlabelled = sorted({*found.unlabelled, *stale}, key=natural_path_key)
    readable = {file.class_name for file in found.files if scanned[file.path].reason is None}
    _require_classes(root, found, readable, _unreadable(found, scanned))
    return _build_index(root, found, scanned, kept)


def scan_photos(
    data_dir: str | os.PathLike[str],
    layout: str | None = None,
    *,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> DatasetIndex:
    """Read every image of a folder that has a class or could get one.

    Args:
        data_dir: as for :func:`scan_dataset`.
        layout: as for :func:`scan_dataset`.
        cache_dir: the folder of the scan cache.
        on_progress: called with stage ``"scan"`` and the files that had to be read.
        should_stop: polled between files.

    Returns:
        The readable images; the label of one without a class is -1. There may be no class.

    Raises:
        ConfigError: there is no such layout.
        DatasetError: there is no such folder, or the layout does not fit it.
        Stopped: ``should_stop`` returned True.
    """
    root = expand(data_dir).absolute()
    monitor = Monitor(on_progress, should_stop)
    found = read_layout(root, monitor, layout)
    found.label(root, dict.fromkeys(found.without_class, ""))
    found.classes.pop("", None)
    return _build_index(root, found, _scan(root, found, monitor, cache_dir, None), set())


def _scan(
    root: Path,
    found: Layout,
    monitor: Monitor,
    cache_dir: Path | None,
    num_workers: int | None,
) -> dict[str, ScannedFile]:
    """Return what is known about the files of a layout after reading those that changed."""
    with ScanCache(cache_dir, root) as store:
        scanned = store.load()
        known = set(scanned)
        waiting = [file for file in found.files if not _is_current(scanned.get(file.path), file)]
        for batch in _read_files(root, waiting, monitor, num_workers):
            scanned.update(batch)
            store.put({path: entry for path, entry in batch.items() if entry.sha256})
        store.prune(known - {file.path for file in found.files} - set(found.without_class))
    return scanned


def _require_classes(
    root: Path, layout: Layout, class_names: set[str], unreadable: Mapping[str, str]
) -> None:
    if len(class_names) >= 2:
        return
    names = _in_order(class_names)
    empty = _in_order(layout.classes.keys() - class_names)
    stray = layout.ignored.get("stray", [])
    details = []
    if empty:
        details.append(f"without a readable image: {list_some(empty)}")
    if stray:
        details.append(f"outside any class folder: {list_some(stray)}")
    if links := layout.ignored.get("link"):
        details.append(f"left out as links: {list_some(links)}")
    if unreadable:
        path, reason = next(iter(unreadable.items()))
        details.append(f"{len(unreadable)} unreadable, the first '{path}': {reason.rstrip('.')}")
    in_brackets = f" ({'; '.join(details)})" if details else ""
    found = f"{len(names)}: {list_some(names)}" if names else "none"
    if layout.unlabelled and not any(layout.classes.values()):
        photos = f"{len(layout.unlabelled):,} photos without classes"
        raise UnlabelledError(
            f"Expected at least 2 classes in '{root.name or root}', found "
            f"{f'{found} and ' if names else ''}{photos}{in_brackets}. Label them, put "
            "each class in its own folder, or name a pattern of the file names.",
            remedy="unlabelled",
        )
    raise DatasetError(
        f"Expected at least 2 class folders in '{root.name or root}', found {found}"
        f"{in_brackets}. Put each class in its own folder"
        f"{', or label the photos' if names else ''}.",
        remedy="link" if links else "one_class" if names else "",
    )


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=natural_key)


def _is_current(entry: ScannedFile | None, file: FoundFile) -> bool:
    return (
        entry is not None and entry.num_bytes == file.num_bytes and entry.mtime_ns == file.mtime_ns
    )


def _read_files(
    root: Path,
    files: Sequence[FoundFile],
    monitor: Monitor,
    num_workers: int | None,
) -> Iterator[dict[str, ScannedFile]]:
    """Read files in threads (decoding runs outside Python's lock) and yield them in batches."""
    stage, read_some = monitor.stage("scan", len(files)), carried(_read_some)
    with ThreadPoolExecutor(num_workers or os.cpu_count() or 1, "scan") as pool:
        for first in range(0, len(files), _BATCH):
            batch: dict[str, ScannedFile] = {}
            chunk = files[first : first + _BATCH]
            tasks = [chunk[at : at + _TASK] for at in range(0, len(chunk), _TASK)]
            for future in [pool.submit(read_some, root, task) for task in tasks]:
                if monitor.is_stopped():
                    pool.shutdown(wait=False, cancel_futures=True)
                    yield batch
                    raise Stopped
                read = future.result()
                batch.update(read)
                stage.advance(len(read))
            yield batch


def _read_some(root: Path, files: Sequence[FoundFile]) -> dict[str, ScannedFile]:
    return {file.path: _read_file(root, file) for file in files}


def _read_file(root: Path, file: FoundFile) -> ScannedFile:
    """Read one file completely; size and time are those from before, in case it changes now.

    The entry has no ``sha256`` if reading the file again may succeed.
    """
    sha256 = ""
    try:
        with (root / file.path).open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)  # one byte more than the limit
        sha256 = hashlib.sha256(data).hexdigest()
        info = inspect_image(data)
    except OSError as error:
        return _failed(file, "", f"{error.strerror or error}.")
    except ImageError as error:
        is_lasting = not isinstance(error.__cause__, MemoryError)
        return _failed(file, sha256 if is_lasting else "", str(error))
    low, high = info.value_range or (None, None)
    return ScannedFile(
        file.num_bytes,
        file.mtime_ns,
        sha256,
        info.width,
        info.height,
        info.format,
        info.mode,
        info.exif_orientation,
        info.frames,
        None,
        low,
        high,
        is_deep(info.mode),
    )


def _failed(file: FoundFile, sha256: str, reason: str) -> ScannedFile:
    return ScannedFile(file.num_bytes, file.mtime_ns, sha256, 0, 0, "", "", 1, 0, reason)


def _build_index(
    root: Path, layout: Layout, scanned: Mapping[str, ScannedFile], labelled: Collection[str]
) -> DatasetIndex:
    readable = [file for file in layout.files if scanned[file.path].reason is None]
    present = {file.class_name for file in readable if file.class_name}
    class_names = tuple(_in_order(present))
    label_of = {name: label for label, name in enumerate(class_names)}
    is_split = len({file.part for file in readable if file.path not in labelled}) > 1
    records = tuple(
        _record(file, scanned[file.path], label_of.get(file.class_name, -1), is_split)
        for file in readable
    )
    scale = _pixel_scale([scanned[file.path] for file in readable])
    folders = {name: layout.classes[name] for name in _in_order(layout.classes)}
    findings = (
        *find_unreadable(_unreadable(layout, scanned)),
        *find_empty_classes({name: folders[name] for name in folders if name not in present}),
        *find_name_collisions(folders),
        *find_ignored(layout.ignored),
        *find_animated([file.path for file in readable if scanned[file.path].frames > 1]),
        *find_wrapper(layout.wrapper),
        *find_layout(layout),
        *find_pixel_scale(
            scale, [file.path for file in readable if is_deep(scanned[file.path].mode)]
        ),
        *find_split_gaps(class_names, records),
    )
    num_ignored = {kind: len(paths) for kind, paths in layout.ignored.items() if paths}
    return DatasetIndex(
        root,
        class_names,
        records,
        findings,
        num_ignored,
        layout=layout.name,
        unlabelled=tuple(layout.without_class),
        sources=layout.sources,
        pixel_scale=scale,
        labelled=tuple(sorted(labelled, key=natural_path_key)),
    )


def _unreadable(layout: Layout, scanned: Mapping[str, ScannedFile]) -> dict[str, str]:
    """Return why files cannot be read, by path."""
    reasons = {file.path: scanned[file.path].reason for file in layout.files}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def _pixel_scale(entries: Sequence[ScannedFile]) -> PixelScale | None:
    """Return the scale of a dataset's 16-bit images, None if their upper 8 bits suffice."""
    known = [(one.low, one.high) for one in entries]
    ranges = [(low, high) for low, high in known if low is not None and high is not None]
    return PixelScale.of_ranges(ranges, has_floats=any(one.mode == "F" for one in entries))


def _record(file: FoundFile, facts: ScannedFile, label: int, is_split: bool) -> ImageRecord:
    return ImageRecord(
        path=file.path,
        label=label,
        sha256=facts.sha256,
        num_bytes=facts.num_bytes,
        mtime_ns=facts.mtime_ns,
        width=facts.width,
        height=facts.height,
        format=facts.format,
        mode=facts.mode,
        exif_orientation=facts.exif_orientation,
        part=file.part if is_split else None,
        group=file.group,
    )

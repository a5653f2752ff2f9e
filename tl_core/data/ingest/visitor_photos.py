"""Photos of a hosted demo's visitors: within the limits, and encoded again without metadata.

Elsewhere photos are stored as they are, and nothing here changes them.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tl_core.config.limits import MEGABYTE, check_classes, current_limits, over
from tl_core.data.file_names import show_name
from tl_core.data.images.decode import decode
from tl_core.data.images.extra_formats import child_seconds
from tl_core.data.images.images import SUFFIXES, encode_jpeg
from tl_core.data.images.signatures import holds_image
from tl_core.data.layout.label_files import ROW_BYTES, num_rows
from tl_core.errors import ImageError
from tl_core.progress import Monitor
from tl_core.visitors.store import take_place
from tl_core.visitors.usage import allowance, check_photos, usage
from tl_core.workspace import visitor_at

_HEAD_BYTES = 32
_POLL_SECONDS = 0.05  # some systems take half a millisecond to tell a thread's processor time
_QUALITY = 92
_LOSSLESS = ("PNG", "GIF", "BMP")
_MAX_PNG_BYTES = 4 * MEGABYTE


def reencode(data: bytes) -> bytes:
    """Return a photo's pixels as a new file, upright, without EXIF, location, comment or profile.

    It is a JPEG, or a small PNG if the photo was PNG, GIF or BMP, whatever the file's name says.

    Raises:
        ImageError: it cannot be read as an image, or has more pixels than a demo allows.
    """
    decoded = decode(data, None)
    decoded.picture.info = {}  # Pillow would write comment and profile again
    if decoded.format in _LOSSLESS:
        buffer = io.BytesIO()
        decoded.picture.save(buffer, "PNG")
        if buffer.tell() <= _MAX_PNG_BYTES:
            return buffer.getvalue()
    return encode_jpeg(decoded.picture, quality=_QUALITY)


def in_time(monitor: Monitor) -> Monitor:
    """Return a monitor whose checks also hold the processor time that a demo allows an intake.

    It counts from this call, for the thread that makes it and the child processes that decode for
    it; outside of a demo nothing is added. The checks raise a
    :class:`~tl_core.errors.LimitError`.
    """
    limits = current_limits()
    if limits is None:
        return monitor
    began = time.thread_time() + child_seconds()

    def is_stopped() -> bool:
        seconds = time.thread_time() + child_seconds() - began
        if seconds > limits.intake_seconds:
            raise over("intake_seconds", math.ceil(seconds), "Add fewer photos, or smaller ones.")
        return monitor.is_stopped()

    return Monitor(monitor.report, is_stopped, report_seconds=0.0, poll_seconds=_POLL_SECONDS)


def check_visitor_files(
    out_dir: Path, uploads: Sequence[tuple[str, Any]], besides: Path | None = None
) -> None:
    """Check the size of a visitor's uploads and their number before any is read.

    Args:
        out_dir: the dataset that they are added to.
        uploads: their names and content.
        besides: the folder that they are in, if they are on the visitor's disk already.

    Raises:
        LimitError: one is larger than the demo allows, they are too many, or all places of the
            demo are taken.
    """
    visitor, limits = visitor_at(out_dir), current_limits()
    if visitor is None or limits is None:
        return
    for name, content in uploads:
        size = len(content) if isinstance(content, bytes) else getattr(content, "size", 0)
        if size > limits.upload_mb * MEGABYTE * 1.05:
            advice = f"{show_name(name)} is too large: choose a smaller file."
            raise over("upload_mb", size / MEGABYTE, advice)
    take_place(visitor)
    check_photos(visitor, len(uploads), 0, usage(visitor, besides))


def check_label_rows(name: str, data: bytes, before: int = 0) -> int:
    """Check the rows of a visitor's label files, counted by ``num_rows``.

    Args:
        name: of the file.
        data: what it holds.
        before: the rows of the files before it.

    Returns:
        The rows of all; 0 outside of a demo.

    Raises:
        LimitError: they are more than the demo allows.
    """
    limits = current_limits()
    if limits is None:
        return 0
    # Of a file that is far too long, without decoding it, which may take seconds.
    rows = before + max(data.count(b"\n"), len(data) // ROW_BYTES)
    if rows <= limits.label_rows:
        rows = before + num_rows(name, data)
    if rows > limits.label_rows:
        raise over(
            "label_rows", rows, f"Keep only the rows about your photos in {show_name(name)}."
        )
    return rows


def visitor_allowance(out_dir: Path, max_files: int, max_bytes: int) -> tuple[int, int]:
    """Return how many files and bytes an archive may unpack to, at most what is given.

    Raises:
        LimitError: none more, or all places of the demo are taken.
    """
    visitor = visitor_at(out_dir)
    if visitor is None:
        return max_files, max_bytes
    take_place(visitor)
    check_photos(visitor, 1, 1)
    allowed = allowance(visitor)
    return min(max_files, allowed.num_photos), min(max_bytes, allowed.num_bytes)


def clean_folder(folder: Path, out_dir: Path, monitor: Monitor) -> list[tuple[str, str]]:
    """Encode the photos of a visitor again, in the folder into which an archive was unpacked.

    Args:
        folder: the unpacked files.
        out_dir: where they will be; only in a visitor's workspace anything is done.
        monitor: counts the photos.

    Returns:
        The path and the reason of each file that is no readable image; it is removed.

    Raises:
        LimitError: they or the label files among them exceed a limit of the demo.
        Stopped: ``monitor`` was asked to stop.
    """
    visitor = visitor_at(out_dir)
    if visitor is None:
        return []
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    photos = [path for path in paths if path.suffix.lower() in SUFFIXES or _is_photo(path)]
    check_classes(len({path.parent.name for path in photos}))  # train/cat and test/cat are one
    rows = 0
    for path in sorted(set(paths) - set(photos)):
        monitor.check()
        rows = check_label_rows(path.name, path.read_bytes(), rows)
    refused: list[tuple[str, str]] = []
    stage = monitor.stage("encode", len(photos))
    num_bytes = 0
    for path in photos:
        monitor.check()
        try:
            data = reencode(path.read_bytes())
        except ImageError as error:
            refused.append((path.relative_to(folder).as_posix(), str(error)))
            path.unlink()
        else:
            num_bytes += len(data)
            path.write_bytes(data)
        stage.advance()
    used = usage(visitor, besides=folder)
    check_photos(visitor, len(photos) - len(refused), num_bytes, used)
    return refused


def _is_photo(path: Path) -> bool:
    with path.open("rb") as file:
        return holds_image(file.read(_HEAD_BYTES))

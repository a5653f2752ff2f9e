"""Photos of a hosted demo's visitors: within the limits, in turn, and encoded without metadata.

Elsewhere photos are stored as they are, and nothing here changes them.
"""

from __future__ import annotations

import io
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tl_core.config.limits import MEGABYTE, Limits, check_classes, current_limits, over
from tl_core.data.file_names import show_name
from tl_core.data.images.decode import MAX_FILE_BYTES, declared_size, decode
from tl_core.data.images.decode_turns import is_bulky, photo_turns
from tl_core.data.images.extra_formats import child_seconds
from tl_core.data.images.images import SUFFIXES, encode_jpeg
from tl_core.data.images.signatures import holds_image, webp_size
from tl_core.data.layout.label_files import ROW_BYTES, num_rows
from tl_core.errors import ImageError
from tl_core.progress import Monitor
from tl_core.visitors.store import asker_of, take_place
from tl_core.visitors.usage import allowance, check_photos, usage
from tl_core.visitors.writing import Written, writing
from tl_core.workspace import Workspace, visitor_at

Source = Path | bytes | BinaryIO | io.RawIOBase

_HEAD_BYTES = 2**18  # of a file, in which nearly all say the size of their picture
_START_BYTES = 32
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
    return _reencode(data)[0]


def _reencode(data: bytes) -> tuple[bytes, int]:
    """Return the new file, and the number of its pixels."""
    decoded = decode(data, None)
    decoded.picture.info = {}  # Pillow would write comment and profile again
    num_pixels = decoded.picture.width * decoded.picture.height
    if decoded.format in _LOSSLESS:
        buffer = io.BytesIO()
        decoded.picture.save(buffer, "PNG")
        if buffer.tell() <= _MAX_PNG_BYTES:
            return buffer.getvalue(), num_pixels
    return encode_jpeg(decoded.picture, quality=_QUALITY), num_pixels


class VisitorIntake:
    """Photos that a visitor adds at once: how many pixels they have, and what was written of them.

    Attributes:
        written: counts what is stored, before it is.
    """

    def __init__(
        self, visitor: Workspace, written: Written, before: VisitorIntake | None = None
    ) -> None:
        self.written = written
        self._asker = asker_of(visitor)
        self._limits = current_limits() or Limits()
        self._num_pixels: int = 0 if before is None else before._num_pixels

    @contextmanager
    def in_turn(self, look: Callable[[], object] | None = None) -> Iterator[None]:
        """Context manager for :meth:`expect` and :meth:`encode`: photos of visitors take turns.

        Args:
            look: called now and then while others have theirs; when it raises, so does this.
        """
        with photo_turns(self._asker, look) as self._next_photo:
            yield

    def expect(self, photos: Iterable[Source]) -> None:
        """Count the pixels of photos before any is decoded, as far as their files say how many.

        A few bytes can hold a picture that takes two seconds to decode and encode again.

        Raises:
            LimitError: they have more than the demo allows of an intake.
        """
        num_pixels = 0
        for photo in photos:
            self._next_photo(False)
            num_pixels += self._declared_pixels(_head_of(photo)) or 0
        self._count(num_pixels)

    def encode(self, photo: Source) -> bytes:
        """Return a photo encoded again, when it is its turn.

        Raises:
            ImageError: as :func:`reencode`.
            LimitError: the photos so far have more pixels than the demo allows of an intake.
        """
        head = _head_of(photo)
        self._next_photo(is_bulky(webp_size(head)))
        encoded, num_pixels = _reencode(read_whole(photo))
        if self._declared_pixels(head) is None:
            self._count(num_pixels)
        return encoded

    def _declared_pixels(self, head: bytes) -> int | None:
        """Return the pixels that a file says it has; 0 if so many that it will be left out."""
        if (size := declared_size(head)) is None:
            return None
        num_pixels = size[0] * size[1]
        return num_pixels if num_pixels <= self._limits.megapixels * 1_000_000 else 0

    def _count(self, num_pixels: int) -> None:
        self._num_pixels += num_pixels
        if self._num_pixels > self._limits.intake_megapixels * 1_000_000:
            advice = "Add fewer at once, or smaller copies."
            raise over("intake_megapixels", self._num_pixels / 1e6, advice)


@contextmanager
def visitor_intake(
    out_dir: Path, before: VisitorIntake | None = None
) -> Iterator[VisitorIntake | None]:
    """Context manager for photos added to ``out_dir``; None outside of a visitor's workspace.

    Args:
        out_dir: where they go.
        before: an earlier part of the same intake.
    """
    visitor = visitor_at(out_dir)
    if visitor is None:
        yield None
        return
    with writing(out_dir) as written:
        yield VisitorIntake(visitor, written, before)


def read_whole(source: Source) -> bytes:
    """Return the bytes of a file, at most one more than the limit."""
    if isinstance(source, bytes):
        return source
    return _read(source, MAX_FILE_BYTES + 1)


def _head_of(source: Source) -> bytes:
    return source[:_HEAD_BYTES] if isinstance(source, bytes) else _read(source, _HEAD_BYTES)


def _read(source: Path | BinaryIO | io.RawIOBase, num_bytes: int) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return file.read(num_bytes)
    source.seek(0)
    return source.read(num_bytes) or b""


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


def check_visitor_files(out_dir: Path, uploads: Sequence[tuple[str, Any]]) -> None:
    """Check the size of a visitor's uploads and their number before any is read.

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
    check_photos(visitor, len(uploads), 0)


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
    own = usage(visitor)
    check_photos(visitor, 1, 1, own)
    allowed = allowance(visitor, own)
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
        LimitError: they or the label files among them exceed a limit of the demo; ``folder`` is
            gone then, as after any error.
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
    with writing(out_dir) as written, removed_after_errors(folder):
        intake = VisitorIntake(visitor, written)
        with intake.in_turn(stage.look):
            intake.expect(photos)
            for path in photos:
                monitor.check()
                before = path.stat().st_size
                try:
                    data = intake.encode(path)
                except ImageError as error:
                    refused.append((path.relative_to(folder).as_posix(), str(error)))
                    path.unlink()
                    written.add(0, old=before)
                else:
                    written.add(1, new=len(data), old=before)
                    path.write_bytes(data)
                stage.advance()
    return refused


@contextmanager
def removed_after_errors(folder: Path) -> Iterator[None]:
    """Context manager that removes a folder after an error, before others count what is used."""
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _is_photo(path: Path) -> bool:
    with path.open("rb") as file:
        return holds_image(file.read(_START_BYTES))

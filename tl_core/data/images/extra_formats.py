"""HEIC, AVIF and TIFF, decoded in a child process with limits; they need the extra ``heif``.

Their decoders are large and have been attacked before: a few hundred bytes can make them take a
gigabyte or end the process. ``decode_child.py`` runs them with limited memory and time, and sends
back plain pixels.
"""

from __future__ import annotations

import importlib.util
import json
import queue
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from PIL import Image

from tl_core.errors import ImageError
from tl_core.guarded_process import ChildEndedError, GuardedProcess

EXTRA_FORMATS = ("HEIF", "AVIF", "TIFF")
"""Pillow's names of the formats."""

REQUEST = struct.Struct("<Q")
"""A request: the number of bytes of the file, then the file."""

ANSWER = struct.Struct("<IQ")
"""An answer: the number of bytes of its description in JSON and of the pixels, then both."""

ANSWER_SECONDS = 30.0
_MAX_DESCRIPTION = 2**16
_MAX_PIXEL_BYTES = 2**29
_NUM_CHILDREN = 2

_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_RAW = (b"II*\x00\x10\x00\x00\x00CR",)
_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"))


@dataclass(frozen=True)
class PlainPicture:
    """The pixels of a file and facts about it.

    ``image`` has mode L, RGB, RGBA, I or F; ``orientation`` is the EXIF orientation left to apply.
    """

    image: Image.Image
    format: str
    mode: str
    orientation: int
    num_frames: int


@cache
def has_extra_formats() -> bool:
    """Whether the extra ``heif`` is installed, without which these formats are refused."""
    return importlib.util.find_spec("pillow_heif") is not None


def is_extra_format(head: bytes) -> bool:
    """Whether a file with these first 32 bytes is one of these formats and can be read here."""
    is_known = (head.startswith(_TIFF) and not head.startswith(_RAW)) or (
        head[4:8] == b"ftyp" and bool(_BRANDS.intersection((head[8:12], head[16:20], head[20:24])))
    )
    return is_known and has_extra_formats()


def decode_extra(data: bytes) -> PlainPicture:
    """Decode a file in the child process.

    Args:
        data: the whole file.

    Raises:
        ImageError: it cannot be read within the limits.
    """
    with _child() as child:
        if not child.is_running:
            child.start()
        began = time.monotonic()
        try:
            child.write(REQUEST.pack(len(data)), data)
            num_text, num_pixels = ANSWER.unpack(child.read(ANSWER.size, ANSWER_SECONDS))
            if num_text > _MAX_DESCRIPTION or num_pixels > _MAX_PIXEL_BYTES:
                child.close()
                raise ChildEndedError
            described = json.loads(child.read(num_text, ANSWER_SECONDS))
            pixels = child.read(num_pixels, ANSWER_SECONDS)
        except ChildEndedError as error:
            _spent.seconds = child_seconds() + time.monotonic() - began
            raise ImageError(
                "The file is damaged, or asks for more memory or time than a photo needs. "
                "Convert it to JPEG or PNG."
            ) from error
    _spent.seconds = child_seconds() + described["seconds"]
    if reason := described.get("reason"):
        raise ImageError(reason)
    return PlainPicture(
        Image.frombytes(described["stored"], tuple(described["size"]), pixels),
        described["format"],
        described["mode"],
        described["orientation"],
        described["num_frames"],
    )


def child_seconds() -> float:
    """Return the processor time that decoding files for this thread has taken in child processes.

    Of a child that did not answer, it is the time that was waited for it.
    """
    seconds: float = getattr(_spent, "seconds", 0.0)
    return seconds


_spent = threading.local()
_idle: queue.LifoQueue[GuardedProcess] = queue.LifoQueue()
_making = threading.Lock()
_made: list[GuardedProcess] = []


@contextmanager
def _child() -> Iterator[GuardedProcess]:
    """Take one of a few child processes, which are kept for the next files."""
    with _making:
        if _idle.empty() and len(_made) < _NUM_CHILDREN:
            _made.append(GuardedProcess("tl_core.data.images.decode_child"))
            _idle.put(_made[-1])
    child = _idle.get()
    try:
        yield child
    finally:
        _idle.put(child)

"""The child process that decodes HEIC, AVIF and TIFF; see ``extra_formats.py``.

    python -m tl_core.data.images.decode_child

reads files from standard input and writes their pixels to standard output.
"""

from __future__ import annotations

import io
import json
import sys
import time
from typing import Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from tl_core.data.images.decode import DECODE_ERRORS, check_size, count_frames, explain_error
from tl_core.data.images.extra_formats import ANSWER, EXTRA_FORMATS, REQUEST
from tl_core.data.images.signatures import DAMAGED
from tl_core.errors import ImageError
from tl_core.guarded_process import limit_resources

_MEMORY_BYTES = 3 * 2**29  # address space: Python and the libraries take half a gigabyte of it
_STORED = ("L", "RGB", "RGBA", "F")


def describe(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the description of a file and its pixels, or the reason why it cannot be read."""
    try:
        file = Image.open(io.BytesIO(data), formats=EXTRA_FORMATS)
        check_size(*file.size)
        mode, num_frames = file.mode, count_frames(file)
        file.load()
        image = _plain(file)
        return {
            "format": file.format,
            "mode": "I;16" if image.mode == "I" else mode,
            "stored": image.mode,
            "size": image.size,
            "orientation": _orientation(file),
            "num_frames": num_frames,
        }, image.tobytes()
    except ImageError as error:
        return {"reason": str(error)}, b""
    except UnidentifiedImageError:
        return {"reason": DAMAGED}, b""
    except DECODE_ERRORS as error:
        return {"reason": explain_error(error)}, b""


def _plain(image: Image.Image) -> Image.Image:
    """Convert a picture to one of few modes, without loss where its values matter."""
    if image.mode in _STORED:
        return _finite(image) if image.mode == "F" else image
    if image.mode.startswith("I"):
        return Image.fromarray(np.asarray(image).astype(np.int32))
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode == "1" else "RGB")


def _finite(image: Image.Image) -> Image.Image:
    """Replace values that are not finite, which mark missing pixels, by the smallest one."""
    values = np.asarray(image, np.float32)
    known = np.isfinite(values)
    if known.all():
        return image
    if not known.any():
        raise ImageError("None of its pixels has a finite value. Convert it to JPEG or PNG.")
    return Image.fromarray(np.where(known, values, values[known].min()).astype(np.float32))


def _orientation(file: Image.Image) -> int:
    """Return the EXIF orientation that is still to be applied; it is read after the pixels."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODE_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def main() -> None:
    """Answer requests until standard input ends."""
    from pillow_heif import register_heif_opener

    register_heif_opener()
    Image.init()
    limit_resources(_MEMORY_BYTES)
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(REQUEST.size)) == REQUEST.size:
        (num_bytes,) = REQUEST.unpack(head)
        began = time.process_time()
        described, pixels = describe(source.read(num_bytes))
        text = json.dumps({**described, "seconds": time.process_time() - began}).encode()
        target.write(ANSWER.pack(len(text), len(pixels)) + text)
        target.write(pixels)
        target.flush()


if __name__ == "__main__":
    main()

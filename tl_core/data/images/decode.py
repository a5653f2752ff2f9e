"""One file's bytes become one upright RGB picture; the only place that calls Pillow's decoders.

A file is opened as one of few formats, measured before anything is decoded, decoded at a reduced
scale where less is needed, and converted. Whatever a broken file makes Pillow raise becomes an
:class:`~tl_core.errors.ImageError` with a reason for a user. Nothing here is shared between
threads but the turn that the largest pictures take.
"""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, WebPImagePlugin

from tl_core.data.images.signatures import explain_unknown, webp_size
from tl_core.errors import ImageError

# A byte FF within coded pixels is followed by 00, or by a restart marker; FF may fill before any.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_FRAME_0 = 0xC0
_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA


def count_scans(data: bytes) -> int:
    """Return the number of scans up to the end of the first picture, as libjpeg would meet them.

    What follows that end is not looked at: phones append a second picture or a video there.
    """
    num_scans, position = 0, 0
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker < _START_OF_FRAME_0 or marker == _START_OF_IMAGE:
            continue  # no length follows, and nothing may be skipped that libjpeg would read
        num_scans += marker == _START_OF_SCAN
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return num_scans


MAX_MEGAPIXELS = 40
MAX_FILE_BYTES = 256 * 2**20

Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it; only here and in ``images.py``."""

LeastSize = Callable[[int, int], Size]
"""Gives the least size that is needed of an upright picture of (width, height)."""

# Image.open would register formats on first use, in whichever thread comes first.
Image.preinit()
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", WebPImagePlugin.WebPImageFile.format)
# JPEG brings MPO with it, the phones' JPEG of two pictures; TIFF and others stay out: their
# decoders are many, and a few hundred bytes can make them take a gigabyte.

# Pillow warns of what costs no picture (odd EXIF) or is refused here in words (its size). Set once:
# catching warnings around a call would change them for other threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_WHITE = (255, 255, 255)
_MAX_SCANS = 100  # each scan of a progressive JPEG is a pass over all its pixels
_TRUNCATED = re.compile(r"truncated|end of file|not enough image data", re.IGNORECASE)
_UNSUPPORTED = re.compile(r"unsupported|unknown|not supported", re.IGNORECASE)
_TOO_MUCH_TEXT = re.compile(r"MAX_TEXT|Decompressed data too large")

# What Pillow's decoders raise on broken files, seen on thousands of them; the first four lead.
_DECODE_ERRORS = (
    OSError,  # UnidentifiedImageError too
    ValueError,
    Image.DecompressionBombError,
    SyntaxError,
    TypeError,
    ArithmeticError,
    LookupError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Warning,  # where warnings are set to raise
)

# Decoders of many threads each hold a whole picture: the largest ones take turns.
_LARGE_PIXELS = 16_000_000
_large_turn = threading.Lock()

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True)
class Decoded:
    """An upright RGB picture, perhaps at a reduced scale, and what its file says.

    ``width`` and ``height`` are the upright picture's at full scale.
    """

    picture: Image.Image
    format: str
    mode: str
    width: int
    height: int
    orientation: int
    file: ImageFile.ImageFile


def decode(data: bytes, least_size: LeastSize | None) -> Decoded:
    """Decode a file's bytes; the one place where Pillow's errors become ours.

    Args:
        data: the whole file.
        least_size: gives the least (width, height) that is needed of an upright picture of
            (width, height); None decodes at full scale.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"The file is larger than {MAX_FILE_BYTES // 2**20} MB, the limit.")
    try:
        check_size(*(webp_size(data) or (1, 1)))  # Pillow allocates a WebP's canvas to open it
        return _decode_file(Image.open(io.BytesIO(data), formats=_FORMATS), data, least_size)
    except UnidentifiedImageError as error:
        raise ImageError(explain_unknown(data)) from error
    except _DECODE_ERRORS as error:
        raise ImageError(_explain(error)) from error


def _decode_file(file: ImageFile.ImageFile, data: bytes, least_size: LeastSize | None) -> Decoded:
    check_size(*file.size)
    mode = file.mode
    if file.format in ("JPEG", "MPO"):
        if count_scans(data) > _MAX_SCANS:
            raise ImageError(f"The JPEG has more than {_MAX_SCANS} scans. Save it again.")
        # A JPEG's EXIF lies before its pixels, and says which side of the file becomes the width.
        orientation = _orientation(file)
        width, height = _upright(file.size, orientation)
        picture = _load_jpeg(file, least_size and _upright(least_size(width, height), orientation))
    else:
        # Elsewhere it may lie behind the pixels; asking for it first hides that they are broken.
        picture = _load_rgb(file)
        orientation = _orientation(file)
        width, height = _upright(file.size, orientation)
    if orientation in _TRANSPOSE:
        picture = picture.transpose(_TRANSPOSE[orientation])
    return Decoded(picture, file.format or "", mode, width, height, orientation, file)


def _load_jpeg(file: ImageFile.ImageFile, least_size: Size | None) -> Image.Image:
    """Decode a JPEG at the smallest of the scales 1, 1/2, 1/4, 1/8 that has the least size."""
    drafted = file.draft(None, least_size) if least_size is not None else None
    picture = _load_rgb(file)
    if drafted is None:
        return picture
    # Reduced sides are rounded up; a last row or column that is only partly picture goes.
    whole = (int(drafted[1][2]), int(drafted[1][3]))
    return picture if picture.size == whole else picture.crop((0, 0, *whole))


def _load_rgb(file: ImageFile.ImageFile) -> Image.Image:
    with _large_turn if file.width * file.height > _LARGE_PIXELS else nullcontext():
        file.load()
        return _to_rgb(file)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white."""
    if image.mode.startswith("I"):
        image = _reduce_depth(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, _WHITE)
        canvas.paste(layer, mask=layer)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _reduce_depth(image: Image.Image) -> Image.Image:
    """Take the upper 8 bits of 16-bit grey, as Pillow does of 16-bit colour; it clips grey."""
    values = np.asarray(image).clip(0, 0xFFFF)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _orientation(file: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; broken EXIF costs no picture, it counts as upright."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except _DECODE_ERRORS:
        return 1
    return value if isinstance(value, int) and value in _TRANSPOSE else 1


def _upright(size: Size, orientation: int) -> Size:
    """Swap (width, height) for the orientations that lie on their side; its own inverse."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def count_frames(file: ImageFile.ImageFile) -> int:
    """Return the number of frames; what follows a readable first frame may be broken."""
    try:
        return int(getattr(file, "n_frames", 1))
    except _DECODE_ERRORS:
        return 1


def check_size(width: int, height: int) -> None:
    """Refuse pictures too large to decode, by what the file's header says."""
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise ImageError(
            f"It has {width * height / 1e6:,.1f} megapixels ({width} x {height}), "
            f"the limit is {MAX_MEGAPIXELS}. Save a smaller copy."
        )
    if width < 1 or height < 1:
        raise ImageError(f"It has no pixels ({width} x {height}).")


def _explain(error: BaseException) -> str:
    """Turn what a decoder raised into words for a user."""
    text = str(error).rstrip(".") or type(error).__name__
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        pixels = re.search(r"\((\d+) pixels", text)
        count = f"{int(pixels[1]) / 1e6:,.0f} megapixels" if pixels else "too many pixels"
        return f"It has {count}, the limit is {MAX_MEGAPIXELS}. Save a smaller copy."
    if isinstance(error, EOFError) or _TRUNCATED.search(text):
        return "The file is truncated: it ends before its picture does. Copy or download it again."
    if isinstance(error, MemoryError):
        return "There is not enough memory to decode it. Save a smaller copy."
    if _TOO_MUCH_TEXT.search(text):
        return "The file carries far more text than picture. Save it again as JPEG or PNG."
    if _UNSUPPORTED.search(text):
        return f"It is of a rare kind that is not read here ({text}). Save it as JPEG or PNG."
    return f"The file is damaged ({text}). Copy or download it again."

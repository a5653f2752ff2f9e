"""Load and resize images: preview, training, evaluation and prediction all use this module.

``decode.py`` turns a file's bytes into an upright RGB picture; this module contains the functions
that use it, and the only resize. Image sizes are (height, width) in all public functions; Pillow's
order is used internally only.
"""

from __future__ import annotations

import io
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from tl_core.config.training import Resize
from tl_core.data.images.decode import (
    MAX_FILE_BYTES,
    Decoded,
    LeastSize,
    PixelScale,
    Size,
    decode,
    is_deep,
)
from tl_core.data.images.decode_turns import large_pictures_in_turn
from tl_core.errors import ImageError

_log = logging.getLogger(__name__)

Box = tuple[float, float, float, float]
ImageSource = str | os.PathLike[str] | bytes | BinaryIO

# Extensions treated as images. Unsupported formats are included on purpose: for a folder of HEIC
# photos the user should be asked to convert them, instead of reading that it is empty.
SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("jpg", "jpeg", "jpe", "jfif", "jif", "mpo", "png", "apng", "gif", "bmp", "dib", "webp"),
        *("heic", "heif", "hif", "avif", "tif", "tiff", "jp2", "j2k", "jpx", "jxl"),
        *("ico", "psd", "svg", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf"),
    )
)

_BLACK = (0, 0, 0)


@dataclass(frozen=True)
class ImageInfo:
    """Facts about an image file. ``width`` and ``height`` are of the upright picture, in pixels.

    ``value_range`` spans nearly all values of 16-bit grey or colour; None for 8-bit pictures.
    """

    format: str
    mode: str
    width: int
    height: int
    frames: int
    exif_orientation: int
    notes: tuple[str, ...]
    value_range: tuple[float, float] | None = None


@large_pictures_in_turn
def load_image(
    source: ImageSource,
    image_size: tuple[int, int],
    resize: Resize = "squash",
    scale: PixelScale | None = None,
    *,
    max_megapixels: int | None = None,
) -> np.ndarray:
    """Return the pixels of an image at a size.

    Args:
        source: a path, the file's bytes, or a binary file.
        image_size: (height, width) in pixels.
        resize: ``"squash"`` both sides to the size, ``"crop"`` the centre of that aspect, or
            ``"pad"`` the whole picture with black.
        scale: the values of 16-bit grey mapped to black and white; by default its upper 8 bits
            are used.
        max_megapixels: a lower limit than the usual one, for pictures of all formats.

    Returns:
        ``(height, width, 3)`` uint8 RGB, upright; transparent parts are white, and only the first
        frame of an animation is used. The result depends on the bytes and the arguments only.

    Raises:
        ImageError: the file cannot be read as an image.

    Examples:
        >>> from tl_core import load_image
        >>> load_image("photos/cat/0.png", (32, 48), resize="pad").shape
        (32, 48, 3)
    """

    def least_size(width: int, height: int) -> Size:
        if resize == "pad":
            return _fit_inside(width, height, image_size[1], image_size[0])
        return image_size[1], image_size[0]

    picture = _decode_source(source, least_size, scale, max_megapixels).picture
    try:
        return fit_image(picture, image_size, resize)
    except Exception as error:  # a bug, but one photo must not end a training over thousands
        _log.exception("Resizing a picture of %s to %s, %s", picture.size, image_size, resize)
        raise ImageError(
            f"This picture of {picture.width} x {picture.height} pixels could not be resized "
            f"('{resize}' to height {image_size[0]}, width {image_size[1]}). Please report it."
        ) from error


@large_pictures_in_turn
def open_image(
    source: ImageSource, max_side: int | None = None, scale: PixelScale | None = None
) -> Image.Image:
    """Return an image for viewing: upright RGB, its longer side at most ``max_side`` pixels.

    A JPEG of more than 40 megapixels is always reduced.

    Raises:
        ImageError: the file cannot be read as an image.
    """
    if max_side is None:
        return _decode_source(source, None, scale).picture
    side = max_side
    decoded = _decode_source(
        source, lambda width, height: _fit_inside(width, height, side, side), scale
    )
    width, height = _fit_inside(decoded.width, decoded.height, side, side)
    if width >= decoded.picture.width and height >= decoded.picture.height:
        return decoded.picture
    return _resample(decoded.picture, (width, height))


@large_pictures_in_turn
def inspect_image(source: ImageSource) -> ImageInfo:
    """Decode an image completely and return facts about it.

    Raises:
        ImageError: the file cannot be read as an image.
    """
    # The scale is not known yet, and the picture is not used: any scale serves.
    decoded = _decode_source(source, lambda width, height: (1, 1), PixelScale(0, 1))
    frames = decoded.num_frames
    return ImageInfo(
        format=decoded.format,
        mode=decoded.mode,
        width=decoded.width,
        height=decoded.height,
        frames=frames,
        exif_orientation=decoded.orientation,
        notes=(f"first of {frames} frames",) if frames > 1 else (),
        value_range=_value_range(decoded) if is_deep(decoded.mode) else None,
    )


def _value_range(decoded: Decoded) -> tuple[float, float]:
    """Return the range of all but 2 in 1,000 pixel values of a deep picture."""
    stored = decoded.file if decoded.values is None else decoded.values
    values = np.asarray(stored, np.float32)
    low, high = np.percentile(values, (0.1, 99.9))
    return float(low), float(high)


def make_thumbnail(source: ImageSource, side: int = 192, scale: PixelScale | None = None) -> bytes:
    """Return a JPEG of the upright image whose longer side is at most ``side`` pixels.

    Raises:
        ImageError: the file cannot be read as an image.
    """
    return encode_jpeg(open_image(source, side, scale), quality=85)


def encode_jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """Return an RGB picture as a JPEG file of that quality, 1 to 95."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def fit_image(
    image: Image.Image, image_size: tuple[int, int], resize: Resize = "squash"
) -> np.ndarray:
    """Resize an upright RGB picture: bilinear with antialiasing.

    Args:
        image: upright RGB.
        image_size: (height, width) in pixels.
        resize: see :func:`load_image`.

    Returns:
        ``(height, width, 3)`` uint8 RGB.
    """
    height, width = image_size
    if resize == "pad":
        inner = _fit_inside(image.width, image.height, width, height)
        canvas = Image.new("RGB", (width, height), _BLACK)
        canvas.paste(_resample(image, inner), ((width - inner[0]) // 2, (height - inner[1]) // 2))
        return np.array(canvas)
    if resize == "crop":
        return np.array(_resample(image, (width, height), crop_box(image.size, image_size)))
    return np.array(_resample(image, (width, height)))


def crop_box(size: Size, image_size: tuple[int, int]) -> Box:
    """Return the box that ``"crop"`` uses: (left, top, right, bottom) in pixels.

    Args:
        size: (width, height) of the picture, or of a smaller copy of it.
        image_size: (height, width) of the result.
    """
    (width, height), (out_height, out_width) = size, image_size
    scale = min(width / out_width, height / out_height)
    # Rounding can give -1.8e-15 for a side that is kept whole, and Pillow refuses such a box.
    left = max(0.0, (width - out_width * scale) / 2)
    top = max(0.0, (height - out_height * scale) / 2)
    return left, top, width - left, height - top


def _resample(image: Image.Image, size: Size, box: Box | None = None) -> Image.Image:
    # The gap lets whole-number steps do the bulk of a strong reduction; below sixfold it is exact.
    return image.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=3.0)


def _fit_inside(width: int, height: int, max_width: int, max_height: int) -> Size:
    """Return the largest (width, height) of the same aspect inside the limits."""
    scale = min(max_width / width, max_height / height)
    return (
        min(max_width, max(1, round(width * scale))),
        min(max_height, max(1, round(height * scale))),
    )


def _decode_source(
    source: ImageSource,
    least_size: LeastSize | None,
    scale: PixelScale | None = None,
    max_megapixels: int | None = None,
) -> Decoded:
    """Read and decode; errors name the file if it has a name."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        try:
            with path.open("rb") as file:
                return decode(_read(file), least_size, scale, max_megapixels)
        except OSError as error:
            raise ImageError(f"Cannot read '{path}': {error.strerror or error}.") from error
        except ImageError as error:
            reason = str(error)
            raise ImageError(f"Cannot read '{path}': {reason[0].lower()}{reason[1:]}") from error
    if isinstance(source, bytes):
        return decode(source, least_size, scale, max_megapixels)
    if source.seekable():
        source.seek(0)
    return decode(_read(source), least_size, scale, max_megapixels)


def _read(file: BinaryIO) -> bytes:
    """Read at most one byte more than the limit, so that larger files are detected."""
    return file.read(MAX_FILE_BYTES + 1)

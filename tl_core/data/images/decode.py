"""Decode a file's bytes to an upright RGB picture; the only module that calls Pillow's decoders.

A file is opened as one of few formats, its size is checked before decoding, and it is decoded at a
reduced scale where possible and converted. Errors of Pillow become an
:class:`~tl_core.errors.ImageError` with a message for the user. Threads share nothing here but the
turns for large pictures.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError, WebPImagePlugin

from tl_core.config.limits import current_limits
from tl_core.data.images.decode_turns import is_bulky, large_pictures_in_turn, take_turn
from tl_core.data.images.extra_formats import decode_extra, is_extra_format
from tl_core.data.images.header_limits import check_header
from tl_core.data.images.signatures import explain_rare_jpeg, explain_unknown, webp_size
from tl_core.errors import ImageError

# A byte FF within coded pixels is followed by 00, or by a restart marker; FF may fill before any.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")
_START_OF_FRAME_0 = 0xC0
_START_OF_IMAGE = 0xD8
_END_OF_IMAGE = 0xD9
_START_OF_SCAN = 0xDA


def count_scans(data: bytes) -> int:
    """Return the number of scans up to the end of the first picture, as libjpeg counts them.

    Data after that end is ignored: phones append a second picture or a video there.
    """
    num_scans, position = 0, 0
    while (found := _MARKER.search(data, position)) is not None:
        marker, position = found[1][0], found.end()
        if marker == _END_OF_IMAGE:
            break
        if marker < _START_OF_FRAME_0 or marker == _START_OF_IMAGE:
            continue  # no length follows, and no byte that libjpeg would read may be skipped
        num_scans += marker == _START_OF_SCAN
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    return num_scans


MAX_MEGAPIXELS = 40
MAX_JPEG_MEGAPIXELS = 250
"""For baseline JPEGs, which are decoded at a reduced scale without holding the whole picture."""
MAX_FILE_BYTES = 256 * 2**20

Size = tuple[int, int]
"""(width, height) in pixels, as Pillow has it; only here and in ``images.py``."""

LeastSize = Callable[[int, int], Size]
"""Returns the minimum size needed of an upright picture of (width, height)."""

# Pillow's own limit, below which sizes are checked here.
Image.MAX_IMAGE_PIXELS = MAX_JPEG_MEGAPIXELS * 1_000_000

# Image.open would register formats on first use, in whichever thread comes first.
Image.preinit()
_HEAD_BYTES = 32
_WITHOUT_CANVAS = ("JPEG", "PNG", "GIF", "BMP")
_FORMATS = (*_WITHOUT_CANVAS, WebPImagePlugin.WebPImageFile.format)
# JPEG brings MPO with it, the phones' JPEG of two pictures. TIFF and others are decoded in a child
# process only: their decoders are many, and a few hundred bytes can make them take a gigabyte.

# Pillow warns about harmless problems (odd EXIF) and sizes that are checked here. Set once, since
# catching warnings around a call would affect other threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

_WHITE = (255, 255, 255)
_MAX_SCANS = 100  # each scan of a progressive JPEG is a pass over all its pixels
_TRUNCATED = re.compile(r"truncated|end of file|not enough image data", re.IGNORECASE)
_UNSUPPORTED = re.compile(r"unsupported|unknown|not supported", re.IGNORECASE)
_TOO_MUCH_TEXT = re.compile(r"MAX_TEXT|Decompressed data too large")

# Pillow's own words, such as "decoder error -2", mean nothing to a user; they are in the cause.
RARE = "It is a rare variant of its format, which is not read here. Save it as JPEG or PNG."
DAMAGED_INSIDE = "The file is damaged: its pixels cannot be read. Copy or download it again."

# What Pillow's decoders raise on broken files, seen on thousands of them; the first four lead.
DECODE_ERRORS = (
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

DEEP_COLOUR = "RGB;16"
"""The mode here of a PNG with 16 bits for each of three colours, which Pillow calls RGB."""

_FULL_RANGE = 0x8000  # values that span this much show enough in the upper 8 bits
_REDUCED_PIXELS = 25_000_000  # of a JPEG beyond MAX_MEGAPIXELS, 75 MB
_PNG = b"\x89PNG\r\n\x1a\n"
_DARKEST = 32  # of 255: the limit for colours that use only the lowest of 16 bits

_ALWAYS_ALLOWED = 1_000_000  # pixels: no demo's limit is below
_STRIP_ROWS = 256

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
class PixelScale:
    """The values of 16-bit grey mapped to black and white, one pair for a whole dataset.

    Sensors use 10, 12 or 14 of the 16 bits, or a narrow range of them; prediction has to use the
    same scale as training.
    """

    low: float
    high: float

    @classmethod
    def of_ranges(
        cls, ranges: Sequence[tuple[float, float]], *, has_floats: bool
    ) -> PixelScale | None:
        """Return the scale of a dataset, None if the upper 8 of 16 bits suffice.

        Args:
            ranges: the lowest and highest value of each picture; the darkest and the brightest
                1 % of the pictures are ignored, since they may be faulty.
            has_floats: whether some are floating-point numbers, which have no upper 8 bits.
        """
        if not ranges:
            return None
        low = float(np.percentile([low for low, _ in ranges], 1))
        high = float(np.percentile([high for _, high in ranges], 99))
        if not low < high or (high - low >= _FULL_RANGE and not has_floats):
            return None
        return cls(low, high)


@dataclass(frozen=True)
class Decoded:
    """An upright RGB picture, possibly at a reduced scale, and facts about its file.

    ``width`` and ``height`` are the upright picture's at full scale; ``file`` has the values as
    they are stored, of 16-bit colour ``values``: ``(height, width, 3)`` uint16.
    """

    picture: Image.Image
    format: str
    mode: str
    width: int
    height: int
    orientation: int
    file: Image.Image
    known_frames: int | None = None
    values: np.ndarray | None = None

    @property
    def num_frames(self) -> int:
        """Number of frames; finding it may read the whole file."""
        return count_frames(self.file) if self.known_frames is None else self.known_frames


@large_pictures_in_turn
def decode(
    data: bytes,
    least_size: LeastSize | None,
    scale: PixelScale | None = None,
    max_megapixels: int | None = None,
) -> Decoded:
    """Decode a file's bytes, converting Pillow's errors to ours.

    Args:
        data: the whole file.
        least_size: returns the minimum (width, height) needed of an upright picture of
            (width, height); None decodes at full scale.
        scale: of 16-bit grey; without one the upper 8 bits are used.
        max_megapixels: a lower limit for pictures of all formats.
    """
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"The file is larger than {MAX_FILE_BYTES // 2**20} MB, the limit.")
    try:
        least = min(MAX_MEGAPIXELS, max_megapixels or MAX_MEGAPIXELS)
        if is_extra_format(data[:_HEAD_BYTES]):
            take_turn(None)
            return _decode_extra(data, scale, least)
        if (size := webp_size(data)) is not None:  # Pillow allocates its canvas to open it
            check_size(*size, least)
            take_turn(size[0] * size[1], bulky=is_bulky(size))
        check_header(data)
        file = Image.open(io.BytesIO(data), formats=_FORMATS)
        if max_megapixels is not None:
            check_size(*file.size, max_megapixels)
        return _decode_file(file, data, least_size, scale)
    except UnidentifiedImageError as error:
        raise ImageError(explain_unknown(data)) from error
    except DECODE_ERRORS as error:
        raise ImageError(explain_rare_jpeg(data) or explain_error(error)) from error


def _decode_file(
    file: ImageFile.ImageFile,
    data: bytes,
    least_size: LeastSize | None,
    scale: PixelScale | None,
) -> Decoded:
    mode, values = file.mode, None
    if file.format in ("JPEG", "MPO"):
        is_progressive = bool(file.info.get("progressive"))
        check_size(*file.size, MAX_MEGAPIXELS if is_progressive else MAX_JPEG_MEGAPIXELS)
        if count_scans(data) > _MAX_SCANS:
            raise ImageError(f"The JPEG has more than {_MAX_SCANS} scans. Save it again.")
        if is_progressive:  # at a reduced scale too, all of it is read into memory in each scan
            take_turn(file.width * file.height)
        # A JPEG's EXIF lies before its pixels, and says which side of the file becomes the width.
        orientation = _orientation(file)
        width, height = _upright(file.size, orientation)
        picture = _load_jpeg(file, least_size and _upright(least_size(width, height), orientation))
    else:
        check_size(*file.size)
        # In other formats it may follow the pixels; reading it first would hide damage to them.
        if _is_deep_colour(data):
            mode = DEEP_COLOUR
            picture, values = _load_deep_colour(file, data, scale)
        else:
            picture = _load_rgb(file, scale)
        orientation = _orientation(file)
        width, height = _upright(file.size, orientation)
    if orientation in _TRANSPOSE:
        picture = picture.transpose(_TRANSPOSE[orientation])
    return Decoded(
        picture, file.format or "", mode, width, height, orientation, file, values=values
    )


def _decode_extra(data: bytes, scale: PixelScale | None, max_megapixels: int) -> Decoded:
    plain = decode_extra(data)
    check_size(*plain.image.size, max_megapixels)
    picture = _to_rgb(plain.image, scale)
    if plain.orientation in _TRANSPOSE:
        picture = picture.transpose(_TRANSPOSE[plain.orientation])
    return Decoded(
        picture,
        plain.format,
        plain.mode,
        *picture.size,
        plain.orientation,
        plain.image,
        plain.num_frames,
    )


def _load_jpeg(file: ImageFile.ImageFile, least_size: Size | None) -> Image.Image:
    """Decode a JPEG at the smallest of the scales 1, 1/2, 1/4, 1/8 that has the least size.

    A JPEG beyond the size limit is decoded at most at the largest scale that fits into memory.
    """
    width, height = file.size
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        reduced = next(n for n in (2, 4, 8) if width * height / n**2 <= _REDUCED_PIXELS)
        most = (width // reduced, height // reduced)
        least_size = most if least_size is None else _smaller(least_size, most)
    drafted = file.draft(None, least_size) if least_size is not None else None
    picture = _load_rgb(file)
    if drafted is None:
        return picture
    # Reduced sides are rounded up; a last row or column that is only partly picture goes.
    whole = (int(drafted[1][2]), int(drafted[1][3]))
    return picture if picture.size == whole else picture.crop((0, 0, *whole))


def _smaller(first: Size, second: Size) -> Size:
    return min(first[0], second[0]), min(first[1], second[1])


def _load_rgb(file: ImageFile.ImageFile, scale: PixelScale | None = None) -> Image.Image:
    take_turn(file.width * file.height)
    file.load()
    return _to_rgb(file, scale)


def _to_rgb(image: Image.Image, scale: PixelScale | None) -> Image.Image:
    """Convert any mode to RGB, with transparent parts on white."""
    if is_deep(image.mode):
        image = _reduce_depth(image, scale)
    if image.has_transparency_data:
        canvas = Image.new("RGB", image.size, _WHITE)
        for top in range(0, image.height, _STRIP_ROWS):  # in strips, for little memory
            box = (0, top, image.width, min(top + _STRIP_ROWS, image.height))
            layer = image.crop(box).convert("RGBA")
            canvas.paste(layer, (0, top), layer)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def is_deep(mode: str) -> bool:
    """Return whether a picture of that mode has more than 8 bits for a grey or a colour."""
    return mode.startswith(("I", "F")) or mode == DEEP_COLOUR


def _reduce_depth(image: Image.Image, scale: PixelScale | None) -> Image.Image:
    """Convert deep grey to 8 bits: by a scale, else the upper 8 bits, as Pillow does for colour.

    Pillow itself clips grey.
    """
    values = np.asarray(image)
    if scale is None and image.mode == "F":
        raise ImageError(
            "Its pixels are floating-point numbers, whose black and white only a dataset of such "
            "images gives. Save it with 8 bits, as JPEG or PNG."
        )
    if scale is None:
        grey = Image.fromarray((values.clip(0, 0xFFFF).astype(np.uint16) >> 8).astype(np.uint8))
    else:
        grey = Image.fromarray(_to_8_bits(values, scale))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _to_8_bits(values: np.ndarray, scale: PixelScale) -> np.ndarray:
    factor = 255 / (scale.high - scale.low)
    scaled = (values.astype(np.float32) - np.float32(scale.low)) * np.float32(factor)
    return np.rint(scaled.clip(0, 255)).astype(np.uint8)


def _is_deep_colour(data: bytes) -> bool:
    return data.startswith(_PNG) and data[24:25] == b"\x10" and data[25:26] in (b"\x02", b"\x06")


def _load_deep_colour(
    file: ImageFile.ImageFile, data: bytes, scale: PixelScale | None
) -> tuple[Image.Image, np.ndarray | None]:
    """Decode a PNG of 16-bit colour; with a scale its values are returned too.

    Without one the upper 8 bits are used, and a picture that has none of them is refused.
    """
    picture = _load_rgb(file)
    if scale is None:
        if int(np.asarray(picture).max()) < _DARKEST:
            raise ImageError(
                "It is a 16-bit colour PNG that uses only the lowest of its bits, whose black and "
                "white only a dataset of such images gives: by the upper 8 it would be black. Save "
                "it with 8 bits."
            )
        return picture, None
    upper = np.asarray(file)
    # Pillow keeps the upper byte of each value. Read as if its bytes were swapped: the lower one.
    swapped = Image.open(io.BytesIO(data), formats=("PNG",))
    swapped.tile = [
        tile._replace(args=str(tile.args).replace(";16B", ";16L")) for tile in swapped.tile
    ]
    swapped.load()
    values = upper[..., :3].astype(np.uint16) << 8 | np.asarray(swapped)[..., :3]
    scaled = _to_8_bits(values, scale)
    if upper.shape[2] == 4:
        scaled = np.concatenate([scaled, upper[..., 3:]], axis=2)
    return _to_rgb(Image.fromarray(scaled), None), values


def _orientation(file: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; broken EXIF counts as upright."""
    try:
        value = file.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODE_ERRORS:
        return 1
    return value if isinstance(value, int) and value in _TRANSPOSE else 1


def _upright(size: Size, orientation: int) -> Size:
    """Swap (width, height) for orientations rotated by 90 degrees; its own inverse."""
    return (size[1], size[0]) if orientation in _SIDEWAYS else size


def declared_size(head: bytes) -> Size | None:
    """Return the (width, height) that a file says it has, without decoding it.

    Args:
        head: its first bytes.

    Returns:
        None if they do not say it, as those of HEIC, AVIF and TIFF.
    """
    if (size := webp_size(head)) is not None:  # Pillow would allocate its canvas
        return size
    try:
        with Image.open(io.BytesIO(head), formats=_WITHOUT_CANVAS) as file:
            return file.size
    except DECODE_ERRORS:
        return None


def count_frames(file: Image.Image) -> int:
    """Return the number of frames; frames after a readable first one may be broken."""
    try:
        return int(getattr(file, "n_frames", 1))
    except DECODE_ERRORS:
        return 1


def check_size(width: int, height: int, limit: int | None = None) -> None:
    """Check the size in the file's header against the limit.

    Args:
        width: in pixels.
        height: in pixels.
        limit: in megapixels; :data:`MAX_MEGAPIXELS` by default.
    """
    if limit is None:
        limit = MAX_MEGAPIXELS
    is_small = width * height <= _ALWAYS_ALLOWED  # saves reading the environment for each file
    demo = None if is_small else current_limits()
    if demo is not None and width * height > demo.megapixels * 1_000_000:
        raise ImageError(
            f"It has {width * height / 1e6:,.1f} megapixels ({width} x {height}); this demo allows "
            f"{demo.megapixels} megapixels of a photo. Save a smaller copy."
        )
    if width * height > limit * 1_000_000:
        raise ImageError(
            f"It has {width * height / 1e6:,.1f} megapixels ({width} x {height}), "
            f"the limit is {limit}{_of_kind(limit)}. Save a smaller copy."
        )
    if width < 1 or height < 1:
        raise ImageError(f"It has no pixels ({width} x {height}).")


def _of_kind(limit: int) -> str:
    if limit == MAX_JPEG_MEGAPIXELS:
        return ""
    return f" (for JPEGs that are not progressive {MAX_JPEG_MEGAPIXELS})"


def explain_error(error: BaseException) -> str:
    """Return the message for the user of a decoder's exception."""
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
        return "The file contains too much text metadata. Save it again as JPEG or PNG."
    if _UNSUPPORTED.search(text):
        return RARE
    return DAMAGED_INSIDE

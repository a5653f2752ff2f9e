"""Identify files by their first bytes, and explain why one is not a supported image."""

from __future__ import annotations

import struct

from tl_core.data.images.extra_formats import has_extra_formats, is_extra_format
from tl_core.data.images.header_limits import FRAMES, NO_FILL

_CONVERT = "Convert it to JPEG or PNG."
_HEIC = f"It is a HEIC photo, as iPhones save them. {_CONVERT}"
_AVIF = f"It is an AVIF image, which is not read here. {_CONVERT}"
_RAW = f"It is a camera RAW file. {_CONVERT}"
_JPEG_2000 = f"It is a JPEG 2000 image, which is not read here. {_CONVERT}"
_JPEG_XL = f"It is a JPEG XL image, which is not read here. {_CONVERT}"
_TIFF = f"It is a TIFF or camera RAW file, which is not read here. {_CONVERT}"
_ARCHIVE = "It is an archive, not a picture. Unpack it first."
_VIDEO = "It is a video. Save single frames of it as JPEG."
_WEB_PAGE = "It is a web page, not a picture. Download the picture itself."
_TEXT = "It is a text file, not a picture. Look for the picture itself."
_SVG = f"It is an SVG drawing, which has no pixels. {_CONVERT}"
_LFS = "It is a Git LFS pointer, not the picture itself. Run 'git lfs pull' where it came from."
_EMPTY = "The file is empty (0 bytes). Copy or download it again."
_ZEROS = "The file holds nothing but zeros. Copy or download it again."
DAMAGED = "The file is damaged: its header cannot be read. Copy or download it again."
UNKNOWN = "It is not an image of a kind that is read here ({kinds})."
DEEP_JPEG = (
    "It is a JPEG with {bits} bits for each colour, which is not read here. Convert it to one with "
    "8 bits."
)
LOSSLESS_JPEG = f"It is a lossless JPEG, which is not read here. {_CONVERT}"

EXTRA_REASONS = frozenset((_HEIC, _AVIF, _TIFF))
"""What is said of files that the extra ``heif`` reads."""

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"II*\x00\x10\x00\x00\x00CR", _RAW),
    (b"II*\x00", _TIFF),
    (b"MM\x00*", _TIFF),
    (b"II+\x00", _TIFF),
    (b"MM\x00+", _TIFF),
    (b"FUJIFILMCCD-RAW", _RAW),
    (b"IIRO", _RAW),
    (b"IIRS", _RAW),
    (b"IIU\x00", _RAW),
    (b"\x00\x00\x00\x0cjP  ", _JPEG_2000),
    (b"\xff\x4f\xff\x51", _JPEG_2000),
    (b"\x00\x00\x00\x0cJXL ", _JPEG_XL),
    (b"\xff\x0a", _JPEG_XL),
    (b"%PDF", f"It is a PDF document. {_CONVERT}"),
    (b"%!PS", f"It is an EPS drawing, which is not read here. {_CONVERT}"),
    (b"\xc5\xd0\xd3\xc6", f"It is an EPS drawing, which is not read here. {_CONVERT}"),
    (b"8BPS", f"It is a Photoshop document. {_CONVERT}"),
    (b"gimp xcf", f"It is a GIMP document. {_CONVERT}"),
    (b"\x00\x00\x01\x00", f"It is a Windows icon, which is not read here. {_CONVERT}"),
    (b"icns", f"It is a macOS icon, which is not read here. {_CONVERT}"),
    (b"DDS ", f"It is a DDS texture, which is not read here. {_CONVERT}"),
    (b"BLP", f"It is a BLP texture, which is not read here. {_CONVERT}"),
    (b"SIMPLE  =", f"It is a FITS image, which is not read here. {_CONVERT}"),
    (b"v/1\x01", f"It is an OpenEXR image, which is not read here. {_CONVERT}"),
    (b"qoif", f"It is a QOI image, which is not read here. {_CONVERT}"),
    (b"\x01\xda", f"It is an SGI image, which is not read here. {_CONVERT}"),
    (b"PK\x03\x04", _ARCHIVE),
    (b"PK\x05\x06", _ARCHIVE),
    (b"Rar!", _ARCHIVE),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE),
    (b"\x1f\x8b", _ARCHIVE),
    (b"\x1aE\xdf\xa3", _VIDEO),
    (b"version https://git-lfs", _LFS),
)
_READABLE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM")
_LOSSLESS_FRAMES = frozenset((0xC3, 0xC7, 0xCB, 0xCF))
_BMP_HEADERS = tuple(size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124))
_BRANDS = {
    b"heic": _HEIC, b"heix": _HEIC, b"heim": _HEIC, b"heis": _HEIC, b"hevc": _HEIC,
    b"hevx": _HEIC, b"mif1": _HEIC, b"msf1": _HEIC, b"avif": _AVIF, b"avis": _AVIF,
    b"crx ": _RAW,
}  # fmt: skip


def readable_kinds() -> str:
    """Return the kinds of images that are read in this installation, as words."""
    kinds = ["JPEG", "PNG", "GIF", "BMP", "WebP"]
    if has_extra_formats():
        kinds += ["HEIC", "AVIF", "TIFF"]
    return f"{', '.join(kinds[:-1])} and {kinds[-1]}"


def _unknown() -> str:
    return UNKNOWN.format(kinds=readable_kinds())


def looks_readable(head: bytes) -> bool:
    """Return whether a file with these first bytes (at least 12) may be a readable image."""
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return is_webp or head.startswith(_READABLE_STARTS) or is_extra_format(head)


def holds_image(head: bytes) -> bool:
    """Return whether a file without an image extension is an image, by its first 32 bytes.

    Stricter than :func:`looks_readable`, which accepts any file starting with ``BM`` as BMP.
    """
    if head.startswith(b"BM"):
        return head[6:10] == bytes(4) and head[14:18] in _BMP_HEADERS
    return looks_readable(head)


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Return the (width, height) that a WebP file's first 30 bytes declare, else None."""
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def explain_rare_jpeg(data: bytes) -> str:
    """Return why a JPEG of a rare kind is not read, by its frame header; empty for any other."""
    if not data.startswith(b"\xff\xd8"):
        return ""
    position = 2
    while data[position : position + 1] == b"\xff" and position + 4 < len(data):
        marker = data[position + 1]
        if marker == 0xFF:  # fills up before a marker; a file may be nothing else
            marker_at = NO_FILL.search(data, position)
            position = marker_at.start() - 1 if marker_at else len(data)
            continue
        if marker in FRAMES:
            bits = data[position + 4]
            if marker in _LOSSLESS_FRAMES:
                return LOSSLESS_JPEG
            return DEEP_JPEG.format(bits=bits) if 8 < bits <= 16 else ""
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return ""


def explain_unknown(data: bytes) -> str:
    """Return one or two sentences on what an undecodable file is."""
    if not data:
        return _EMPTY
    for start, reason in _STARTS:
        if data.startswith(start):
            return reason
    if data[4:8] == b"ftyp":
        return _explain_brands(data)
    if looks_readable(data):
        return explain_rare_jpeg(data) or DAMAGED
    if not data.strip(b"\x00"):
        return _ZEROS
    return _explain_text(data)


def _explain_brands(data: bytes) -> str:
    """Distinguish files in the ISO container format: photos of phones and cameras, and videos."""
    box_end = min(int.from_bytes(data[:4], "big"), 256)
    brands = [data[start : start + 4] for start in (8, *range(16, box_end, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), _VIDEO)


def _explain_text(data: bytes) -> str:
    """Distinguish web pages, SVG drawings and other text; anything else is unknown."""
    head = data[:1024]
    if b"\x00" in head:
        return _unknown()
    lowered = head.lower()
    if b"<svg" in lowered:
        return _SVG
    if b"<html" in lowered or b"<!doctype html" in lowered:
        return _WEB_PAGE
    try:
        text = head.decode("utf-8", errors="strict" if len(data) <= len(head) else "ignore")
    except UnicodeDecodeError:
        return _unknown()
    printable = sum(character.isprintable() or character.isspace() for character in text)
    if printable < len(text) or len(text.encode()) < len(head) - 3:
        return _unknown()
    return _TEXT

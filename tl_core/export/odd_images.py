"""Pictures that programs disagree about: every exported model is proven on them too.

Turned by EXIF, transparent, 16-bit, CMYK, palette, progressive, large, narrow and tiny ones, drawn
with a fixed seed.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

_SEED = 20261126
_ORIENTATION = 0x0112


def draw_odd_images() -> dict[str, bytes]:
    """Return the files' contents by name, the same at every call with the same Pillow."""
    rng = np.random.default_rng(_SEED)
    found: dict[str, bytes] = {}

    def add(name: str, image: Image.Image, kind: str, **options: Any) -> None:
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        found[name] = buffer.getvalue()

    for orientation in range(1, 9):
        add(
            f"exif-{orientation}.jpg",
            _draw(rng, 410, 290),
            "JPEG",
            quality=92,
            exif=_exif(orientation),
        )
    add("exif-6.png", _draw(rng, 310, 170), "PNG", exif=_exif(6))
    add("exif-6-large.jpg", _draw(rng, 2016, 1512), "JPEG", quality=90, exif=_exif(6))
    add("large-odd-sides.jpg", _draw(rng, 1999, 1333), "JPEG", quality=85, subsampling=0)
    add("panorama.jpg", _draw(rng, 2400, 300), "JPEG")
    add("progressive.jpg", _draw(rng, 900, 640), "JPEG", progressive=True)
    add("grey.jpg", _draw(rng, 500, 333).convert("L"), "JPEG")
    add("cmyk.jpg", _draw(rng, 480, 360).convert("CMYK"), "JPEG")
    colour, mask = _draw(rng, 300, 260), _draw(rng, 300, 260).convert("L")
    add("rgba.png", _with_alpha(colour, mask), "PNG")
    add("rgba.webp", _with_alpha(colour, mask), "WEBP", lossless=True)
    add("grey-alpha.png", _with_alpha(colour.convert("L"), mask), "PNG")
    palette = colour.quantize(32)
    add("palette.png", palette, "PNG")
    add("palette-transparent.png", palette, "PNG", transparency=3)
    add("palette.gif", palette, "GIF")
    add("transparent.gif", palette, "GIF", transparency=3)
    frames = [_draw(rng, 200, 150) for _ in range(3)]
    add("animation.gif", frames[0], "GIF", save_all=True, append_images=frames[1:])
    add("one-bit.png", colour.convert("1"), "PNG")
    add("colour.bmp", colour, "BMP")
    add("lossy.webp", _draw(rng, 640, 427), "WEBP", quality=70)
    deep = (np.asarray(_draw(rng, 260, 200), np.uint16) << 8) + 77
    found["16-bit-grey.png"] = _png(deep[:, :, 0])
    found["16-bit-colour.png"] = _png(deep)
    found["16-bit-grey-transparent.png"] = _png(deep[:, :, 0], transparent=int(deep[90, 90, 0]))
    add("one-pixel.png", _draw(rng, 1, 1), "PNG")
    add("tiny.png", _draw(rng, 9, 7), "PNG")
    add("tall.png", _draw(rng, 3, 700), "PNG")
    add("wide.jpg", _draw(rng, 1100, 2), "JPEG")
    return found


def _draw(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Return soft patches with fine noise on them, unlike any mirror image of themselves."""
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    noise = rng.integers(-20, 21, (height, width, 1))
    return Image.fromarray((np.asarray(image, np.int16) + noise).clip(0, 255).astype(np.uint8))


def _with_alpha(image: Image.Image, mask: Image.Image) -> Image.Image:
    image = image.copy()
    image.putalpha(mask)
    return image


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    return exif


def _png(pixels: np.ndarray, transparent: int | None = None) -> bytes:
    """Return 16-bit grey (height, width) or RGB (height, width, 3) uint16 as a PNG file."""
    height, width = pixels.shape[:2]
    color_type = 0 if pixels.ndim == 2 else 2
    rows = pixels.astype(">u2").reshape(height, -1)
    content = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0))]
    if transparent is not None:
        chunks.append((b"tRNS", struct.pack(">H", transparent)))
    chunks += [(b"IDAT", zlib.compress(content)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )

"""Thumbnails: made once per content, kept as JPEG files in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from PIL import Image, ImageOps

from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.decode_turns import carried
from tl_core.data.images.images import ImageSource, encode_jpeg, open_image
from tl_core.errors import ImageError
from tl_core.files import write_bytes
from tl_core.workspace import Workspace

SIZE = (240, 180)  # width, height in pixels: tiles of one shape make a calm grid
PAGE_SIZE = 36


def thumbnail(workspace: Workspace, index: DatasetIndex, record: ImageRecord) -> bytes | None:
    """Return an image's thumbnail as JPEG, from the disk when it was made before.

    None stands for a file that cannot be read any more, so that one picture spoils no page.
    """
    scale = index.scale_of(record)
    path = thumbnail_path(workspace.cache_dir, record.sha256, scale)
    try:
        return path.read_bytes()
    except OSError:
        pass
    try:
        data = make_tile(index.path_of(record), scale=scale)
    except (ImageError, OSError):
        return None
    with suppress(OSError):  # a full disk costs the next page its head start, not this picture
        write_bytes(path, data)
    return data


def make_tile(
    source: ImageSource, size: tuple[int, int] = SIZE, scale: PixelScale | None = None
) -> bytes:
    """Return the middle of an image in a tile of ``size`` (width, height) pixels, as JPEG.

    Raises:
        ImageError: it cannot be read as an image.
    """
    image = open_image(source, max_side=2 * max(size), scale=scale)
    tile = ImageOps.fit(image, size, Image.Resampling.BILINEAR, centering=(0.5, 0.5))
    return encode_jpeg(tile, quality=85)


def large_picture(index: DatasetIndex, record: ImageRecord, max_side: int) -> bytes | None:
    """Return an image whole, at most ``max_side`` pixels wide and high, as JPEG; None as above."""
    try:
        image = open_image(index.path_of(record), max_side, index.scale_of(record))
    except (ImageError, OSError):
        return None
    return encode_jpeg(image, quality=88)


def thumbnail_path(cache_dir: Path, sha256: str, scale: PixelScale | None = None) -> Path:
    """Return where a thumbnail is kept: by content, so that copies and renames share it."""
    seen = "" if scale is None else f"_{scale.low:g}-{scale.high:g}"
    return cache_dir / "thumbnails" / sha256[:2] / f"{sha256}_{SIZE[0]}x{SIZE[1]}{seen}.jpg"


def thumbnails(
    workspace: Workspace, index: DatasetIndex, records: Sequence[ImageRecord]
) -> list[bytes | None]:
    """Return the thumbnails of several images; missing ones are made side by side."""
    make = carried(partial(thumbnail, workspace, index))
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(make, records))

"""Pictures with light, shapes and grain like photos, for tests that compare pictures."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from tl_core.data.images.images import open_image
from tl_core.data.near_duplicates.perceptual_hash import make_fingerprint


def draw_scene(seed: int, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Draw a scene that shares nothing with that of another seed; ``size`` is (width, height)."""
    rng = np.random.default_rng([7, seed])
    coarse = rng.integers(40, 215, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(image)
    for _ in range(14):
        left, top = rng.uniform(-0.1, 0.9, 2) * size
        width, height = rng.uniform(0.08, 0.3, 2) * size
        colour = tuple(int(value) for value in rng.integers(20, 235, 3))
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((left, top, left + width, top + height), fill=colour)
    grain = rng.normal(0, 4, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def as_jpeg(image: Image.Image, quality: int = 90) -> bytes:
    """Return the image as the bytes of a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def fingerprint_of(image: Image.Image, quality: int = 90) -> bytes:
    """Return the fingerprint of the image saved as a JPEG."""
    return make_fingerprint(open_image(as_jpeg(image, quality), 256))


def crop(image: Image.Image, share: float, across: float = 0.5, down: float = 0.5) -> Image.Image:
    """Cut a share of both sides off; ``across`` and ``down`` say how much of it at left and top."""
    width, height = image.size
    left, top = width * share * across, height * share * down
    box = (left, top, left + width * (1 - share), top + height * (1 - share))
    return image.crop(tuple(round(value) for value in box))

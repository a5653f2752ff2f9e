"""Photos of the sample set: a scene, and how it was taken.

One seeded generator decides everything about a photo, so the same seed draws the same pixels.
"""

from __future__ import annotations

from random import Random

from PIL import Image

from tl_core.data.sample.drawing.scenes import SCENES, Look
from tl_core.data.sample.drawing.shots import beside, spoil

SIZES = ((360, 270), (320, 240), (336, 252), (360, 240), (280, 280), (256, 320))
_SIZE_WEIGHTS = (4, 6, 4, 4, 2, 2)
_SPOILED_SHARE = 0.15
_EXAMPLE_SIZE = (400, 300)


def draw_photo(class_name: str, rng: Random, *, look: Look = "usual") -> Image.Image:
    """Draw one photo of a class: 'Burger', 'Pizza', 'Quesadilla' or 'Taco'.

    A hard one is an unusual view, badly taken; an easy one shows its subject clearly.
    """
    if look == "easy":
        return SCENES[class_name](rng, _EXAMPLE_SIZE, look)
    size = rng.choices(SIZES, _SIZE_WEIGHTS)[0]
    photo = SCENES[class_name](rng, size, look)
    if look == "hard":
        return spoil(photo, rng, twice=rng.random() < 0.5)
    chance = rng.random()
    if chance < _SPOILED_SHARE:
        return spoil(photo, rng)
    return beside(photo, rng) if chance < 2 * _SPOILED_SHARE else photo

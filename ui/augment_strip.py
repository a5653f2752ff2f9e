"""One transform from off to its strongest, on a few photos, with the setting marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_core.config import AugmentConfig
from tl_core.data.augment import SWITCHES, TWO_SIDED
from tl_core.data.strengths import strength_strip
from ui.augment_state import say_strength

NUM_STEPS = 6
NUM_SWITCH_COLUMNS = 4  # a switch has two tiles a photo: two photos stand side by side
NUM_PHOTOS = 3
NUM_SWITCH_PHOTOS = 4


@dataclass(frozen=True)
class Strip:
    """Tiles of a sheet, in rows, with their labels; ``marked`` are the numbers of those set."""

    tiles: list[np.ndarray]
    labels: list[str]
    marked: set[int]
    columns: int


def num_photos(transform: str) -> int:
    """Return how many photos a strip of that transform shows."""
    return NUM_SWITCH_PHOTOS if transform in SWITCHES else NUM_PHOTOS


def make_strip(photos: Sequence[np.ndarray], transform: str, config: AugmentConfig) -> Strip:
    """Lay out a transform's strengths: the first photo to both sides, the others to one.

    Args:
        photos: (height, width, 3) uint8 RGB each, as the network takes them.
        transform: a field of the configuration.
        config: the setting to mark; its fill is used.
    """
    value = getattr(config, transform)
    sides = (1, -1) if transform in TWO_SIDED else (1,)
    strip = Strip([], [], set(), NUM_SWITCH_COLUMNS if transform in SWITCHES else NUM_STEPS)
    rows = [(photos[0], side) for side in sides] + [(photo, 1) for photo in photos[1:]]
    for photo, side in rows:
        steps = strength_strip(
            photo,
            transform,
            NUM_STEPS,
            also=None if transform in SWITCHES else value,
            direction=1 if side > 0 else -1,
            fill=config.fill,
        )
        for strength, tile in steps:
            label = say_strength(transform, strength)
            if transform in TWO_SIDED and strength:
                label = f"{'+' if side > 0 else '-'}{label}"
            if math.isclose(strength, value, abs_tol=1e-9):
                strip.marked.add(len(strip.tiles))
            strip.tiles.append(tile)
            strip.labels.append(label)
    return strip

"""How many blocks each backbone has and how large they are, without loading TensorFlow.

:mod:`tl_core.backbones.record_blocks` writes the table; a test holds it to the models.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

from tl_core.backbones.registry import get_backbone, resolve_image_size
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError

PATH = Path(__file__).with_name("blocks.json")
_WORTHWHILE_SHARE = 0.6


@dataclass(frozen=True)
class Block:
    """A part of a backbone that is trained or frozen as a whole; ``num_params`` may be trained."""

    name: str
    num_params: int


def block_table(backbone: str) -> tuple[Block, ...]:
    """Return the blocks of a backbone, the topmost first.

    Raises:
        ConfigError: no backbone has that name, or its blocks are not recorded.
    """
    rows = _read().get(get_backbone(backbone).name)
    if rows is None:
        raise ConfigError(
            f"The blocks of {backbone} are not recorded, so it can only be used frozen. "
            "'python -m tl_core.backbones.record_blocks' records them."
        )
    return tuple(Block(name, count) for name, count in rows)


def num_trainable(backbone: str, num_blocks: int) -> int:
    """Return how many numbers of a backbone are trained when its top blocks are.

    Raises:
        ConfigError: no backbone has that name.
    """
    return sum(block.num_params for block in block_table(backbone)[:num_blocks])


def recommended_blocks(backbone: str) -> int:
    """Return how many blocks to fine-tune when nothing else is known.

    It is the fewest from the top that hold most of the backbone's weights: what is specific to
    ImageNet lies there, and the costly large feature maps below stay out of training.

    Raises:
        ConfigError: no backbone has that name.
    """
    blocks = block_table(backbone)
    wanted = _WORTHWHILE_SHARE * num_trainable(backbone, len(blocks))
    return next(n for n in range(1, len(blocks) + 1) if num_trainable(backbone, n) >= wanted)


def check_settings(config: TrainConfig) -> None:
    """Check what a config alone cannot know: whether its backbone exists and suits the rest.

    Raises:
        ConfigError: no backbone has that name, the image size is too small for it, or it has
            fewer blocks than are to be fine-tuned.
    """
    resolve_image_size(config)
    if config.fine_tune_blocks == 0:
        return
    num_blocks = len(block_table(config.backbone))
    if config.fine_tune_blocks > num_blocks:
        raise ConfigError(
            f"Setting 'fine_tune_blocks': expected 0 to {num_blocks} for {config.backbone}, "
            f"received {config.fine_tune_blocks}."
        )


@functools.cache
def _read() -> dict[str, list[tuple[str, int]]]:
    table: dict[str, list[tuple[str, int]]] = json.loads(PATH.read_text(encoding="utf-8"))
    return table

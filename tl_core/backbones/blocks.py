"""The blocks of each backbone and their sizes, without loading TensorFlow.

:mod:`tl_core.backbones.record_blocks` writes the table; a test compares it with the models.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

from tl_core.backbones.registry import get_backbone, resolve_image_size
from tl_core.config.limits import check_config
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError

PATH = Path(__file__).with_name("blocks.json")
_WORTHWHILE_SHARE = 0.6

_Row = tuple[str, int, float, float]


@dataclass(frozen=True)
class Block:
    """A part of a backbone trained or frozen as a whole, with its number of trainable weights.

    ``num_values`` is how many numbers its layers give for each pixel of the input image,
    ``num_inputs`` how many it takes in; both are averages at the backbone's own image size.
    """

    name: str
    num_params: int
    num_values: float = field(default=0.0, compare=False)
    num_inputs: float = field(default=0.0, compare=False)


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
    return tuple(Block(*row) for row in rows)


def num_trainable(backbone: str, num_blocks: int) -> int:
    """Return the number of trainable weights in the top blocks of a backbone.

    Raises:
        ConfigError: no backbone has that name.
    """
    return sum(block.num_params for block in block_table(backbone)[:num_blocks])


def recommended_blocks(backbone: str) -> int:
    """Return how many blocks to fine-tune by default.

    That is the smallest number of top blocks that hold most of the backbone's weights: they contain
    what is specific to ImageNet, and the expensive large feature maps below are not trained.

    Raises:
        ConfigError: no backbone has that name.
    """
    blocks = block_table(backbone)
    wanted = _WORTHWHILE_SHARE * num_trainable(backbone, len(blocks))
    return next(n for n in range(1, len(blocks) + 1) if num_trainable(backbone, n) >= wanted)


def check_settings(config: TrainConfig) -> None:
    """Check a config against its backbone, which the config itself cannot.

    Raises:
        ConfigError: no backbone has that name, the image size is too small for it, or it has
            fewer blocks than are to be fine-tuned.
        LimitError: a setting exceeds a limit of a hosted demo.
    """
    resolve_image_size(config)
    check_config(config)
    if config.fine_tune_blocks == 0:
        return
    num_blocks = len(block_table(config.backbone))
    if config.fine_tune_blocks > num_blocks:
        raise ConfigError(
            f"Setting 'fine_tune_blocks': expected 0 to {num_blocks} for {config.backbone}, "
            f"received {config.fine_tune_blocks}."
        )


@functools.cache
def _read() -> dict[str, list[_Row]]:
    table: dict[str, list[_Row]] = json.loads(PATH.read_text(encoding="utf-8"))
    return table

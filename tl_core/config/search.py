"""Settings of a search: the values to try, how many heads, and how each is validated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from tl_core.config.base import Settings
from tl_core.config.training import TrainConfig
from tl_core.errors import ConfigError

VARIED = ("backbone", "fc_layers", "dropout", "learning_rate", "weight_decay", "label_smoothing")
"""The settings that a search can vary; named as in :class:`TrainConfig`."""

MAX_TRIALS = 1000

Width = Annotated[int, Field(ge=1, le=8192)]


class SweepConfig(Settings):
    """Which heads to try. A setting without values keeps its value from the training settings."""

    search: Literal["random", "grid"] = Field(
        "random",
        title="Search",
        description="Grid tries every combination, random as many of them as asked for.",
    )
    num_trials: int = Field(
        30,
        ge=1,
        le=MAX_TRIALS,
        title="Heads",
        description="How many combinations a random search tries.",
    )
    folds: int = Field(
        3,
        ge=2,
        le=10,
        title="Folds",
        description="Each head is trained this many times, each time validated on another part.",
    )
    seed: int = Field(
        0, ge=0, le=2**31 - 1, title="Seed", description="The same seed tries the same heads."
    )
    early_stopping: int = Field(
        3,
        ge=0,
        le=1000,
        title="Early stopping",
        description="Stop a head after this many epochs without a better val_loss; 0 never does.",
    )
    backbone: tuple[str, ...] = Field(
        (), title="Backbones", description="Pretrained networks to try."
    )
    fc_layers: tuple[tuple[Width, ...], ...] = Field(
        ((), (64,), (128,), (256,), (128, 64)),
        title="FC layers",
        description="Widths of the fully connected layers to try.",
    )
    dropout: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.0, 0.25, 0.5), title="Dropout", description="Shares of units switched off to try."
    )
    learning_rate: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.0003, 0.001, 0.003, 0.01), title="Learning rates", description="Step sizes to try."
    )
    weight_decay: tuple[Annotated[float, Field(ge=0, le=0.5)], ...] = Field(
        (), title="Weight decays", description="Strengths of weight decay to try."
    )
    label_smoothing: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (), title="Label smoothings", description="Strengths of label smoothing to try."
    )

    @model_validator(mode="after")
    def _is_finite(self) -> Self:
        sizes = [len(set(getattr(self, name))) for name in VARIED]
        if self.search == "grid" and math.prod(max(1, size) for size in sizes) > MAX_TRIALS:
            raise ValueError(
                f"Expected a grid of at most {MAX_TRIALS:,} combinations, received "
                f"{math.prod(max(1, size) for size in sizes):,}. Leave some values out, or search "
                "at random."
            )
        return self

    @property
    def varied(self) -> tuple[str, ...]:
        """The settings of which more than one value is tried."""
        return tuple(name for name in VARIED if len(set(getattr(self, name))) > 1)


def draw_trials(sweep: SweepConfig, base: TrainConfig) -> list[TrainConfig]:
    """Return the settings of every head to try, grouped by backbone.

    Equivalent combinations, such as different dropout without FC layers, are tried once.

    Args:
        sweep: the values to try.
        base: all other settings.

    Raises:
        ConfigError: a backbone is unknown, or there are too many combinations.
    """
    names = [name for name in VARIED if getattr(sweep, name)]
    values = [list(dict.fromkeys(getattr(sweep, name))) for name in names]
    if math.prod(map(len, values)) > 100 * MAX_TRIALS:
        raise ConfigError("Expected fewer combinations. Leave some values out.")
    for backbone in sweep.backbone:
        base.updated(backbone=backbone)
    # Numbers first: a configuration takes 0.1 ms to make, and there may be 100,000 of them.
    distinct = list(dict.fromkeys(_distinct(names, values, base)))
    if sweep.search == "random":
        import numpy as np  # limits and presets are read without it

        order = np.random.default_rng(sweep.seed).permutation(len(distinct))
        distinct = [distinct[place] for place in order[: sweep.num_trials]]
    patience = base.early_stopping or sweep.early_stopping
    configs = [
        base.updated(early_stopping=patience, **dict(zip(names, chosen, strict=True)))
        for chosen in distinct
    ]
    backbones = list(dict.fromkeys(config.backbone for config in configs))
    return sorted(configs, key=lambda config: backbones.index(config.backbone))


def _distinct(
    names: Sequence[str], values: Sequence[Sequence[Any]], base: TrainConfig
) -> Iterator[tuple[Any, ...]]:
    """Yield all combinations; without FC layers those that differ by their dropout are the same."""
    layers = names.index("fc_layers") if "fc_layers" in names else None
    dropout = names.index("dropout") if "dropout" in names else None
    for chosen in itertools.product(*values):
        has_layers = bool(base.fc_layers if layers is None else chosen[layers])
        if has_layers or dropout is None:
            yield chosen
        else:
            yield (*chosen[:dropout], base.dropout, *chosen[dropout + 1 :])

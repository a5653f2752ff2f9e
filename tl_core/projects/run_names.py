"""Short names of runs, made from the settings in which they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig, TrainConfig
from tl_core.errors import RunError
from tl_core.runs.run import Run

MAX_PARTS = 4
"""How many settings a name has at most."""

_USUAL = ("fc_layers", "learning_rate", "fine_tune_blocks")


def run_names(runs: Sequence[Run]) -> dict[str, str]:
    """Return a name for each run by its id, no two alike.

    A name that a person gave stays. Others have the settings in which the runs differ, the most
    telling first, such as ``"256, lr 0.001, frozen"``; where nothing differs, the usual ones. Runs
    with equal settings are distinguished by when they were made.

    Examples:
        >>> from tl_core.projects.run_names import run_names
        >>> from tl_core.runs.store import list_runs
        >>> run_names(list_runs("runs"))
        {'first': '8, lr 0.01, frozen'}
    """
    words: dict[str, dict[str, str]] = {}
    for run in runs:
        with suppress(RunError):
            words[run.id] = _words_of(run)
    differing = [name for name in _NAMES if _differ(words.values(), name)]
    names = {}
    for run in runs:
        if run.name != run.id:
            names[run.id] = run.name
        elif run.id in words:
            names[run.id] = _name(words[run.id], differing)
        else:
            names[run.id] = run.id
    return _with_times(runs, names)


def _words_of(run: Run) -> dict[str, str]:
    """Return what there is to say of a run's settings and photos, by setting."""
    words = {name: word for name, say in _WORDS.items() if (word := say(run.config))}
    with suppress(RunError):
        if isinstance(num_images := run.origin.get("num_images"), int):
            words[_PHOTOS] = f"{num_images:,} photos"
    return words


def _name(words: Mapping[str, str], differing: Sequence[str]) -> str:
    telling = [words[name] for name in differing if name in words]
    return ", ".join(telling[:MAX_PARTS] or [words[name] for name in _USUAL])


def _differ(words: Iterable[Mapping[str, str]], name: str) -> bool:
    return len({one[name] for one in words if name in one}) > 1


def _with_times(runs: Sequence[Run], names: Mapping[str, str]) -> dict[str, str]:
    """Add the time to names that several runs have; the date too if that is not enough."""
    distinct = dict(names)
    shows: tuple[Callable[[datetime], str], ...] = (
        lambda moment: f"{moment:%H:%M}",
        lambda moment: f"{moment:%d %b %H:%M:%S}",
    )
    for show in shows:
        shared = _shared(distinct)
        for run in runs:
            if distinct[run.id] in shared:
                distinct[run.id] = f"{names[run.id]}, {show(run.created.astimezone())}"
    shared = _shared(distinct)
    return {
        run_id: f"{name} ({run_id})" if name in shared else name
        for run_id, name in distinct.items()
    }


def _shared(names: Mapping[str, str]) -> set[str]:
    return {name for name, count in Counter(names.values()).items() if count > 1}


def _fc_layers(config: TrainConfig) -> str:
    return "+".join(map(str, config.fc_layers)) or "no FC layers"


def _fine_tuning(config: TrainConfig) -> str:
    count = config.fine_tune_blocks
    if not count:
        return "frozen"
    return f"{count} {'block' if count == 1 else 'blocks'} fine-tuned"


def _augment(config: TrainConfig) -> str:
    augment = config.augment
    for name, preset in AUGMENT_PRESETS.items():
        if augment == preset:
            return "not augmented" if augment.is_identity else f"{name} augmentation"
    default = AugmentConfig()
    changed = [name for name, value in augment if value != getattr(default, name)]
    values = [f"{name.replace('_', ' ')} {_number(getattr(augment, name))}" for name in changed]
    return " ".join(values[:2]) + (" and more" if len(values) > 2 else "")


def _image_size(config: TrainConfig) -> str:
    return "own size" if config.image_size is None else f"{max(config.image_size)} px"


def _plain(name: str, word: str) -> Callable[[TrainConfig], str]:
    return lambda config: f"{word} {_number(getattr(config, name))}"


def _fine_tuned(name: str, word: str) -> Callable[[TrainConfig], str]:
    """Return the words for a setting that only counts when there is fine-tuning."""
    return lambda config: _plain(name, word)(config) if config.fine_tune_blocks else ""


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


# In the order in which they are named: the most informative first.
_WORDS: dict[str, Callable[[TrainConfig], str]] = {
    "backbone": lambda config: config.backbone,
    "image_size": _image_size,
    "fc_layers": _fc_layers,
    "learning_rate": _plain("learning_rate", "lr"),
    "fine_tune_blocks": _fine_tuning,
    "dropout": lambda config: f"dropout {_number(config.dropout)}" if config.fc_layers else "",
    "augment": _augment,
    "views": lambda config: f"{config.views} {'view' if config.views == 1 else 'views'}",
    "epochs": lambda config: f"{config.epochs} {'epoch' if config.epochs == 1 else 'epochs'}",
    "fine_tune_epochs": _fine_tuned("fine_tune_epochs", "fine-tuning epochs"),
    "fine_tune_learning_rate": _fine_tuned("fine_tune_learning_rate", "fine-tuning lr"),
    "fine_tune_layer_decay": _fine_tuned("fine_tune_layer_decay", "layer decay"),
    "weight_decay": _plain("weight_decay", "weight decay"),
    "label_smoothing": _plain("label_smoothing", "smoothing"),
    "mixup": _plain("mixup", "mixup"),
    "cutmix": _plain("cutmix", "cutmix"),
    "class_weights": _plain("class_weights", "class weights"),
    "sampling": _plain("sampling", "sampling"),
    "batch_size": _plain("batch_size", "batch"),
    "early_stopping": _plain("early_stopping", "patience"),
    "clip_norm": _plain("clip_norm", "clip"),
    "pooling": _plain("pooling", "pooling"),
    "resize": _plain("resize", "resize"),
    "shuffle": _plain("shuffle", "shuffle"),
    "val_fraction": _plain("val_fraction", "validation"),
    "test_fraction": _plain("test_fraction", "test"),
    "seed": _plain("seed", "seed"),
}
_PHOTOS = "num_images"
_NAMES = (*_WORDS, _PHOTOS)

"""What a search shall try: values for each setting, how many heads, and how long that takes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from tl_core.backbones.api import list_backbones
from tl_core.config.limits import check_search
from tl_core.config.search import SweepConfig, draw_trials
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.errors import ConfigError, TLError
from tl_core.search.estimate import estimate_seconds
from tl_core.training.memory import check_search_memory
from ui.shared import words
from ui.shared.controls import control
from ui.shared.forms import check_number, draw_field, from_widget

PREFIX = "search"
LAYERS = ("none", "64", "128", "256", "512", "128, 64", "256, 128", "512, 256")
DROPOUTS = ("0", "0.1", "0.25", "0.5", "0.7")
RATES = ("0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03")
DECAYS = ("0", "0.0001", "0.001", "0.01", "0.1")
SMOOTHINGS = ("0", "0.05", "0.1", "0.2")


def draw_search_form(base: TrainConfig, index: DatasetIndex, cache_dir: Path) -> SweepConfig | None:
    """Draw what can be tried and return it, or None with the reason when it does not fit."""
    defaults = SweepConfig()
    values: dict[str, Any] = {}
    try:
        values["fc_layers"] = tuple(_read_layers(text) for text in _pick("fc_layers", LAYERS))
        # One below the other: in half the width the values are cut.
        values["learning_rate"] = _numbers("learning_rate", RATES)
        values["dropout"] = _numbers("dropout", DROPOUTS)
        with st.expander("More to vary", icon=":material/tune:"):
            values["weight_decay"] = _numbers("weight_decay", DECAYS)
            values["label_smoothing"] = _numbers("label_smoothing", SMOOTHINGS)
            names = [backbone.name for backbone in list_backbones()]
            values["backbone"] = tuple(_pick("backbone", names, may_add=False))
            left, right = st.columns(2)
            with left:
                values["folds"] = _field("folds", defaults)
                values["seed"] = _field("seed", defaults)
            with right:
                values["early_stopping"] = _field("early_stopping", defaults)
        left, right = st.columns(2, vertical_alignment="bottom")
        with left:
            values["search"] = _field("search", defaults)
        if values["search"] == "random":
            with right:
                values["num_trials"] = _field("num_trials", defaults)
        sweep = SweepConfig.create(values)
        trials = draw_trials(sweep, base)
        check_search(sweep, len(trials))
        check_search_memory(trials, sweep.folds, index)
        seconds = estimate_seconds(trials, sweep.folds, index, cache_dir)
    except TLError as error:
        st.error(str(error), icon=":material/tune:")
        return None
    st.caption(
        f"{words.number_of(len(trials), 'head')}, each trained {sweep.folds} times for at most "
        f"{words.number_of(base.epochs, 'epoch')}: about {words.seconds(max(seconds, 1))}, "
        "features of the photos included. All other settings are those of the form."
    )
    return sweep


def _field(name: str, defaults: SweepConfig) -> Any:
    return draw_field(SweepConfig, name, PREFIX, getattr(defaults, name))


def _pick(name: str, options: Sequence[str], *, may_add: bool = True) -> list[str]:
    """Draw the values of one setting to choose from and return those chosen."""
    field = SweepConfig.model_fields[name]
    key = f"{PREFIX}.{name}"
    chosen = st.session_state.setdefault(key, [_text(value) for value in field.default])
    return st.multiselect(
        SweepConfig.title_of(name),
        [*options, *(text for text in chosen if text not in options)],
        help=f"{field.description} Without any it stays as in the form.",
        placeholder="As in the form",
        accept_new_options=may_add,
        **control(key),
    )


def _numbers(name: str, options: Sequence[str]) -> tuple[float, ...]:
    return tuple(_number(name, text) for text in _pick(name, options))


def _read_layers(text: str) -> tuple[int, ...]:
    if text.strip().lower() == "none":
        return ()
    layers: tuple[int, ...] = from_widget(TrainConfig, "fc_layers", text)
    return layers


def _number(name: str, text: str) -> float:
    """Read a value of a setting; its limits are those of the setting in the form."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(
            f"{SweepConfig.title_of(name)}: expected a number such as 0.01, received '{text}'."
        )
    return check_number(TrainConfig.model_fields[name], value, SweepConfig.title_of(name))


def _text(value: Any) -> str:
    """Return a value as its option is written."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return value if isinstance(value, str) else f"{value:g}"

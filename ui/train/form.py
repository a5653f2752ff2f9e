"""The settings of a training run: the few that matter first, all others behind expanders.

Which widgets there are, and their words and bounds, comes from the fields of ``TrainConfig``: a
field added there appears here by itself, under "Other" until it is put in a group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import streamlit as st

from tl_core.backbones.blocks import check_settings
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import split_dataset
from tl_core.errors import ConfigError, TLError
from tl_core.evaluation.verdict import CUTMIX_FROZEN
from tl_core.training.memory import check_memory
from tl_core.workspace import Workspace
from ui.augment.state import current_augment, draw_use_toggle, set_augment
from ui.shared import session_keys
from ui.shared.caches import cache_data
from ui.shared.controls import control
from ui.shared.forms import draw_fields, from_widget, set_fields
from ui.train.backbones import draw_picker
from ui.train.block_picker import draw_block_picker

FIRST = ("fc_layers", "dropout", "learning_rate", "epochs", "batch_size", "early_stopping")
DRAWN_APART = ("backbone", "augment", "views", "fine_tune_blocks")
OF_THE_DATA = ("layout",)  # chosen on the Data page
GROUPS = {
    "Data": ("image_size", "resize", "pooling", "val_fraction", "test_fraction", "seed"),
    "Training": (
        "shuffle",
        "class_weights",
        "sampling",
        "label_smoothing",
        "mixup",
        "cutmix",
        "weight_decay",
        "clip_norm",
    ),
    "Record": ("tensorboard",),
}
FINE_TUNING = (
    *(name for name in TrainConfig.model_fields if name.startswith("fine_tune_")),
    "mixed_precision",
)
BLOCKS_KEY = f"{session_keys.TRAIN}.fine_tune_blocks"
VIEWS_KEY = f"{session_keys.TRAIN}.views"
DEFAULT_VIEWS = 3


def draw_form(
    workspace: Workspace, index: DatasetIndex
) -> tuple[TrainConfig | None, Sequence[str]]:
    """Draw the settings; what is wrong with one of them is said below it.

    Returns:
        The settings, or None while they cannot be trained with, and then why not: also what is
        wrong with several settings together, which is not said here.
    """
    initial = TrainConfig().model_dump()
    values: dict[str, Any] = {"backbone": draw_picker(workspace, initial["backbone"])}
    first, problems = draw_fields(TrainConfig, FIRST, session_keys.TRAIN, initial)
    values |= first | _draw_augment()
    fine_tuning, more = _draw_fine_tuning(values["backbone"], initial)
    values |= fine_tuning
    problems += more
    is_open = bool(st.session_state.get(session_keys.ALL_SETTINGS))
    with st.expander("More settings", icon=":material/tune:", expanded=is_open):
        for title, names in grouped(initial).items():
            st.markdown(f"**{title}**")
            found, more = draw_fields(
                TrainConfig, names, session_keys.TRAIN, initial, num_columns=min(2, len(names))
            )
            values |= found
            problems += more
    if values.get("cutmix") and not values["fine_tune_blocks"]:
        st.caption(f":material/info: {CUTMIX_FROZEN}")
    st.button(
        "Reset to defaults",
        key="reset_settings",
        type="tertiary",
        icon=":material/restart_alt:",
        on_click=take_over,
        args=(TrainConfig(),),
    )
    if problems:
        return None, problems
    try:
        config = TrainConfig.create(values)
        check_settings(config)
        check_memory(config, index)
    except ConfigError as error:
        return None, [str(error)]
    problem = _split_problem(index, config)
    return (None, [problem]) if problem else (config, [])


def _split_problem(index: DatasetIndex, config: TrainConfig) -> str:
    """Return why the photos cannot be split into parts as set; empty when they can be."""
    return _cached_split_problem(
        index, config, index.fingerprint, config.val_fraction, config.test_fraction, config.seed
    )


@cache_data(max_entries=32)
def _cached_split_problem(_index: DatasetIndex, _config: TrainConfig, *key: object) -> str:
    try:
        split_dataset(_index, _config)
    except TLError as error:
        return str(error)
    return ""


def grouped(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the fields behind "More settings" by group; what nobody grouped comes last."""
    placed = {
        *FIRST,
        *DRAWN_APART,
        *OF_THE_DATA,
        *FINE_TUNING,
        *(name for one in GROUPS.values() for name in one),
    }
    others = tuple(name for name in names if name not in placed)
    return {**GROUPS, "Other": others} if others else GROUPS


def _draw_fine_tuning(backbone: str, initial: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Draw how much of the backbone is fine-tuned and, when some is, how; as draw_fields."""
    blocks = draw_block_picker(backbone, BLOCKS_KEY, initial["fine_tune_blocks"], may_freeze=True)
    if blocks == 0:
        return {"fine_tune_blocks": 0}, []
    names = [name for name in FINE_TUNING if name not in DRAWN_APART]
    with st.expander("Fine-tuning", icon=":material/network_node:", expanded=True):
        values, problems = draw_fields(TrainConfig, names, session_keys.TRAIN, initial)
    return {**values, "fine_tune_blocks": blocks}, problems


def _draw_augment() -> dict[str, Any]:
    """Draw whether augmented views are trained on, and how many; return the two fields."""
    used = draw_use_toggle()
    if not used:
        return {"augment": AugmentConfig(), "views": 1}
    views = st.number_input(
        TrainConfig.title_of("views"),
        min_value=2,
        max_value=50,
        help=TrainConfig.help_of("views"),
        **control(VIEWS_KEY, DEFAULT_VIEWS),
    )
    return {"augment": current_augment().model_dump(), "views": views}


def stored_config() -> TrainConfig:
    """Return backbone, pixels and parts as they were left on the Train page, without drawing it.

    What cannot be read there counts as not set: it is the form's to complain.
    """
    values: dict[str, Any] = {}
    try:
        for name in ("backbone", *GROUPS["Data"]):
            if (key := f"{session_keys.TRAIN}.{name}") in st.session_state:
                values[name] = from_widget(TrainConfig, name, st.session_state[key])
        config = TrainConfig.create(values)
        check_settings(config)
    except ConfigError:
        return TrainConfig()
    return config


def take_over(config: TrainConfig) -> None:
    """Fill the form with the settings of a run; for a button's callback."""
    values = config.model_dump()
    augment = AugmentConfig.create(values.pop("augment"))
    views = values.pop("views")
    set_fields(session_keys.TRAIN, values)
    st.session_state[session_keys.USE_AUGMENT] = views > 1 and not augment.is_identity
    if st.session_state[session_keys.USE_AUGMENT]:
        st.session_state[VIEWS_KEY] = views
        set_augment(augment)

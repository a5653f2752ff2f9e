"""The augmentation that is set: kept for the session, shared by the Data and the Train page."""

from __future__ import annotations

import streamlit as st

from tl_core.config import AUGMENT_PRESETS, AugmentConfig
from ui import keys
from ui.forms import set_fields

PREFIX = "augment"  # of the controls' keys
CUSTOM = "custom"
PRESET_TITLES = {
    "none": "None",
    "photo": "Photo",
    "tutorial": "Tutorial",
    "document": "Document",
    CUSTOM: "Own",
}


def current_augment() -> AugmentConfig:
    """Return the augmentation set on the Data page; the photo preset until one was set."""
    values = st.session_state.get(keys.AUGMENT)
    return AUGMENT_PRESETS["photo"] if values is None else AugmentConfig.create(values)


def set_augment(config: AugmentConfig) -> None:
    """Set the augmentation and all its controls; before they are drawn, as in a callback."""
    st.session_state[keys.AUGMENT] = config.model_dump()
    set_fields(PREFIX, config.model_dump())


def take_control(name: str) -> AugmentConfig:
    """Take the value of one control over, from its callback, and return the whole."""
    value = st.session_state[f"{PREFIX}.{name}"]
    config = current_augment().updated(**{name: value})
    st.session_state[keys.AUGMENT] = config.model_dump()
    return config


def preset_of(config: AugmentConfig) -> str:
    """Return the name of the preset that equals a configuration, or that it is one's own."""
    return next((name for name, preset in AUGMENT_PRESETS.items() if preset == config), CUSTOM)


def draw_use_toggle() -> bool:
    """Draw the switch, on the Data and the Train page, that has training use the augmentation."""
    st.session_state.setdefault(keys.USE_AUGMENT, False)
    preset = PRESET_TITLES[preset_of(current_augment())].lower()
    return st.toggle(
        "Train on augmented views",
        key=keys.USE_AUGMENT,
        persist_state="session",
        help=f"Uses the augmentation set on the Data page, at present: {preset}. It helps when "
        "there are few photos; each view costs one more pass through the backbone.",
    )

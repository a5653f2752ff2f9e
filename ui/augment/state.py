"""The augmentation that is set: kept for the session, shared by the Data and the Train page."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig
from tl_core.data.augmentation.augment import SWITCHES, active_transforms
from tl_core.data.augmentation.presets import Preset
from ui.shared import session_keys
from ui.shared.controls import control
from ui.shared.forms import say_number, set_fields

PREFIX = "augment"  # of the controls' keys
CONTROLS, PICTURES, EFFECT = "augment_controls", "augment_pictures", "augment_effect"  # fragments
TRANSFORM_KEY = "augment_transform"  # the one whose strengths are shown
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
    values = st.session_state.get(session_keys.AUGMENT)
    return AUGMENT_PRESETS["photo"] if values is None else AugmentConfig.create(values)


def set_augment(config: AugmentConfig) -> None:
    """Set the augmentation and all its controls."""
    st.session_state[session_keys.AUGMENT] = config.model_dump()
    set_fields(PREFIX, config.model_dump())


def take_control(name: str) -> AugmentConfig:
    """Take the value of one control over, from its callback, and return the whole."""
    value = st.session_state[f"{PREFIX}.{name}"]
    config = current_augment().updated(**{name: value})
    st.session_state[session_keys.AUGMENT] = config.model_dump()
    return config


def saved_key(name: str) -> str:
    """Return what stands for a saved preset where built-in ones go by their names."""
    return f"/{name}"  # no name has a slash


def preset_of(config: AugmentConfig, saved: Sequence[Preset] = (), chosen: str = CUSTOM) -> str:
    """Return the key of the preset that equals a configuration, or that it is one's own.

    Of several that do, it is the one ``chosen``, else the first.
    """
    known = AUGMENT_PRESETS | {saved_key(preset.name): preset.augment for preset in saved}
    if known.get(chosen) == config:
        return chosen
    return next((name for name, preset in known.items() if preset == config), CUSTOM)


def title_of(transform: str) -> str:
    """Return the title of a transform's control."""
    return AugmentConfig.title_of(transform)


def say_strength(transform: str, value: float | bool) -> str:
    """Return a transform's strength as its control shows it; a switch is off or on."""
    if transform in SWITCHES:
        return "on" if value else "off"
    return say_number(AugmentConfig.model_fields[transform], value) if value else "off"


def say_augment(config: AugmentConfig) -> str:
    """Return what is switched on, as in ``"flip left-right, rotation 15°"``."""
    parts = []
    for name in active_transforms(config):
        strength = "" if name in SWITCHES else f" {say_strength(name, getattr(config, name))}"
        parts.append(f"{title_of(name).lower()}{strength}")
    return ", ".join(parts) or "nothing"


GAIN = (
    "On the sample set with a frozen backbone, 3 views gain 0.3 points (-0.9 to 1.6) and 8 views "
    "0.9 (0.3 to 1.5)."
)  # docs/BENCHMARKS.md, the sample set


def draw_use_toggle() -> bool:
    """Draw the switch, on the Data and the Train page, that has training use the augmentation."""
    return st.toggle(
        "Train on augmented views",
        **control(session_keys.USE_AUGMENT, False),
        help="Uses the augmentation set on the Data page, at present: "
        f"{say_augment(current_augment())}. {GAIN} Each view costs one more pass through the "
        "backbone.",
    )

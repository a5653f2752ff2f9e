"""The augmentation explorer: presets, one control per transform, and what they do to photos.

The pictures come from the functions that training uses, with the seed that training uses, so
they are the very pixels that the network will see.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from tl_core.config import AUGMENT_PRESETS, AugmentConfig, TrainConfig
from tl_core.data.augment import augment_view
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images import load_image
from tl_core.model.backbones import resolve_image_size
from ui import keys
from ui.errors import guarded
from ui.forms import draw_field, set_fields

PREFIX = "augment"
PRESET_KEY = "augment_preset"
CUSTOM = "custom"
NUM_VIEWS = 8
NUM_PHOTOS = 6
NUM_PHOTO_VIEWS = 4
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


def preset_of(config: AugmentConfig) -> str:
    """Return the name of the preset that equals a configuration, or that it is one's own."""
    return next((name for name, preset in AUGMENT_PRESETS.items() if preset == config), CUSTOM)


@st.fragment
@guarded
def draw_explorer(index: DatasetIndex, train_config: TrainConfig) -> None:
    """Draw the controls beside the pictures; only this part runs again when one is moved."""
    image_size = resolve_image_size(train_config)
    controls, pictures = st.columns([2, 3], gap="large")
    with controls:
        config = _draw_controls()
    with pictures:
        view = st.segmented_control(
            "Show",
            ["One photo", "Several photos"],
            default="One photo",
            key="augment_show",
            label_visibility="collapsed",
            required=True,
            persist_state="session",
        )
        if view == "One photo":
            _draw_one(index, config, train_config, image_size)
        else:
            _draw_several(index, config, train_config, image_size)
        st.caption(
            f"As the network sees them: {image_size[1]} × {image_size[0]} pixels, "
            f"seed {train_config.seed}. Validation and test photos are never changed."
        )


def _draw_controls() -> AugmentConfig:
    """Draw presets and one control per transform; remember and return the configuration."""
    config = current_augment()
    st.session_state[PRESET_KEY] = preset_of(config)
    st.pills(
        "Preset",
        list(PRESET_TITLES),
        format_func=PRESET_TITLES.__getitem__,
        key=PRESET_KEY,
        on_change=_apply_preset,
        required=True,
        wrap=True,
        help="Photo suits most pictures. Tutorial is flips and rotation up to 90 degrees.",
    )
    initial = config.model_dump()
    values: dict[str, Any] = {}
    with st.container(border=True, height=430):
        for name in AugmentConfig.model_fields:
            values[name] = draw_field(AugmentConfig, name, PREFIX, initial[name])
    st.session_state[keys.AUGMENT] = values
    draw_use_toggle()
    return AugmentConfig.create(values)


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


def _apply_preset() -> None:
    name = st.session_state[PRESET_KEY]
    if name in AUGMENT_PRESETS:
        values = AUGMENT_PRESETS[name].model_dump()
        st.session_state[keys.AUGMENT] = values
        set_fields(PREFIX, values)


def _draw_one(
    index: DatasetIndex,
    config: AugmentConfig,
    train_config: TrainConfig,
    image_size: tuple[int, int],
) -> None:
    record = _pick_photo(index)
    image = _decoded(index, record, train_config, image_size)
    with st.grid(3, min_column_width=96, gap="small"):
        st.image(to_jpeg(image), caption="The photo", width="stretch", alt=f"Photo {record.path}")
        for view in range(1, NUM_VIEWS + 1):
            changed = augment_view(image, config, record.sha256, view, train_config.seed)
            st.image(to_jpeg(changed), caption=f"View {view}", width="stretch", alt=f"View {view}")


def _draw_several(
    index: DatasetIndex,
    config: AugmentConfig,
    train_config: TrainConfig,
    image_size: tuple[int, int],
) -> None:
    """Draw a row per photo, spread over the classes: the photo, then some of its views."""
    step = max(1, index.num_images // NUM_PHOTOS)
    for record in index.records[step // 2 :: step][:NUM_PHOTOS]:
        image = _decoded(index, record, train_config, image_size)
        with st.grid(NUM_PHOTO_VIEWS + 1, min_column_width=48, gap="xsmall"):
            for view in range(NUM_PHOTO_VIEWS + 1):
                changed = augment_view(image, config, record.sha256, view, train_config.seed)
                st.image(to_jpeg(changed), width="stretch", alt=f"{record.path}, view {view}")


def _pick_photo(index: DatasetIndex) -> ImageRecord:
    """Draw the photo picker and return the photo picked."""
    number = st.session_state.get("augment_photo", 0) % index.num_images
    with st.container(horizontal=True, vertical_alignment="center"):
        record = index.records[number]
        if st.button("Another photo", icon=":material/shuffle:", key="augment_another"):
            number = int(np.random.default_rng().integers(index.num_images))
            st.session_state["augment_photo"] = number
            record = index.records[number]
        st.caption(f"{index.class_names[record.label]}, {Path(record.path).name}")
    return record


def to_jpeg(image: np.ndarray) -> bytes:
    """Return an image ``(height, width, 3)`` uint8 RGB as JPEG, made to be shown and dropped."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _decoded(
    index: DatasetIndex,
    record: ImageRecord,
    train_config: TrainConfig,
    image_size: tuple[int, int],
) -> np.ndarray:
    return _decode(str(index.path_of(record)), record.sha256, image_size, train_config.resize)


@st.cache_data(max_entries=64, show_spinner=False)
def _decode(path: str, sha256: str, image_size: tuple[int, int], resize: str) -> np.ndarray:
    """Decode a photo for the network; ``sha256`` keys the cache on content, not on the path."""
    return load_image(path, image_size, resize)  # type: ignore[arg-type]

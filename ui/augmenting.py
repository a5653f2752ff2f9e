"""The augmentation explorer: presets, one control per transform, and what they do to photos.

The pictures come from the functions that training uses, with the seed that training uses, so
they are the very pixels that the network will see. Controls and pictures are fragments of their
own: a control that is moved has only the pictures drawn again, as one image, to answer at once.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image, ImageDraw

from tl_core.config import AUGMENT_PRESETS, AugmentConfig, TrainConfig
from tl_core.data.augment import augment_view
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images import load_image
from tl_core.model.backbones import resolve_image_size
from ui import keys
from ui.augment_state import (
    PREFIX,
    PRESET_TITLES,
    current_augment,
    draw_use_toggle,
    preset_of,
    set_augment,
    take_control,
)
from ui.errors import guarded
from ui.forms import draw_field

CONTROLS, PICTURES = "augment_controls", "augment_pictures"
PRESET_KEY = "augment_preset"
ONE, SEVERAL = "One photo", "Several photos"
NUM_VIEWS = 8
NUM_COLUMNS = 3
NUM_PHOTOS = 6
NUM_PHOTO_VIEWS = 4
TILE_SIDE = 224  # pixels of a tile of the sheet at most; what is augmented is never scaled
SMALL_TILE_SIDE = 144
GAP = 10
RADIUS = 12
BACKGROUNDS = {"light": "#FDFCFA", "dark": "#121615"}  # those of .streamlit/config.toml


def draw_explorer(index: DatasetIndex, train_config: TrainConfig) -> None:
    """Draw the controls beside the pictures."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _draw_controls()
    with right:
        _draw_pictures(index, train_config)


@st.fragment(key=CONTROLS)
@guarded
def _draw_controls() -> None:
    """Draw the presets and one control per transform."""
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
    with st.container(border=True, height=430):
        for name, value in config.model_dump().items():
            draw_field(AugmentConfig, name, PREFIX, value, on_change=_apply_control, args=(name,))
    draw_use_toggle()


@st.fragment(key=PICTURES)
@guarded
def _draw_pictures(index: DatasetIndex, train_config: TrainConfig) -> None:
    """Draw one photo and its views, or several photos with some views each, as one image."""
    config = current_augment()
    image_size = resolve_image_size(train_config)
    bar = st.container(horizontal=True, vertical_alignment="center")
    with bar:
        view = st.segmented_control(
            "Show",
            [ONE, SEVERAL],
            default=ONE,
            key="augment_show",
            label_visibility="collapsed",
            required=True,
            persist_state="session",
        )
    if view == SEVERAL:
        records, num_views = _spread(index), NUM_PHOTO_VIEWS
        columns, side = NUM_PHOTO_VIEWS + 1, SMALL_TILE_SIDE
        told = "Each row: the photo as it is, then its first views."
    else:
        with bar:
            records, num_views = [_pick_photo(index)], NUM_VIEWS
        columns, side = NUM_COLUMNS, TILE_SIDE
        told = "Top left: the photo as it is. Then its views, as training draws them."
    tiles = [
        augment_view(photo, config, record.sha256, view, train_config.seed)
        for record in records
        for photo in [_decoded(index, record, train_config, image_size)]
        for view in range(num_views + 1)
    ]
    background = BACKGROUNDS["dark" if st.context.theme.type == "dark" else "light"]
    st.image(contact_sheet(tiles, columns, side, background), width="stretch", alt=told)
    st.caption(
        f"{told} The network sees {image_size[1]} × {image_size[0]} pixels; "
        "validation and test photos are never changed."
    )


def _apply_preset() -> None:
    name = st.session_state[PRESET_KEY]
    if name in AUGMENT_PRESETS:
        set_augment(AUGMENT_PRESETS[name])
    st.rerun([CONTROLS, PICTURES])


def _apply_control(name: str) -> None:
    """Draw the pictures again; the controls too when the preset's name no longer holds."""
    before = preset_of(current_augment())
    after = preset_of(take_control(name))
    st.rerun(PICTURES if after == before else [CONTROLS, PICTURES])


def _spread(index: DatasetIndex) -> Sequence[ImageRecord]:
    """Return some photos, evenly over the classes."""
    step = max(1, index.num_images // NUM_PHOTOS)
    return index.records[step // 2 :: step][:NUM_PHOTOS]


def _pick_photo(index: DatasetIndex) -> ImageRecord:
    """Draw the photo picker and return the photo picked."""
    number = st.session_state.get(keys.AUGMENT_PHOTO, 0)
    if st.button("Another photo", icon=":material/shuffle:", key="augment_another"):
        number = int(np.random.default_rng().integers(index.num_images))
        st.session_state[keys.AUGMENT_PHOTO] = number
    record = index.records[number % index.num_images]
    st.caption(f"{index.class_names[record.label]}, {Path(record.path).name}")
    return record


def contact_sheet(tiles: Sequence[np.ndarray], columns: int, side: int, background: str) -> bytes:
    """Set tiles with round corners on a sheet of the page's colour, as JPEG.

    Args:
        tiles: ``(height, width, 3)`` uint8 RGB each, all of one size.
        columns: how many stand side by side.
        side: the longer side of a tile on the sheet in pixels, at most its own.
        background: the page's colour, which shows between the tiles.
    """
    height, width = tiles[0].shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), RADIUS, fill=255)
    rows = -(-len(tiles) // columns)
    pitch = (size[0] + GAP, size[1] + GAP)
    sheet = Image.new("RGB", (columns * pitch[0] - GAP, rows * pitch[1] - GAP), background)
    for number, tile in enumerate(tiles):
        image = Image.fromarray(tile)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        sheet.paste(image, (number % columns * pitch[0], number // columns * pitch[1]), mask)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=88)
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

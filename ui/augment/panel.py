"""The augmentation laboratory: presets, one control per transform, and what they do to photos.

The pictures come from the functions that training uses, with the seed that training uses, so
they are the very pixels that the network will see. Controls, pictures and the measured effect are
fragments of their own: a control that is moved has only the others drawn again, the pictures as one
image, to answer at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st

from tl_core.backbones.api import resolve_image_size
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.augmentation.augment import SWITCHES, TRANSFORMS, augment_view
from tl_core.data.augmentation.presets import list_presets
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.images import load_image
from tl_core.workspace import Workspace
from ui.augment.contact_sheet import contact_sheet, current_palette, make_strip, num_photos
from ui.augment.effect import draw_effect
from ui.augment.network_input import draw_seen
from ui.augment.presets import draw_presets
from ui.augment.state import (
    CONTROLS,
    EFFECT,
    PICTURES,
    PREFIX,
    TRANSFORM_KEY,
    current_augment,
    draw_use_toggle,
    preset_of,
    take_control,
    title_of,
)
from ui.datasets.dataset_view import DatasetView
from ui.shared import session_keys
from ui.shared.address import go_to
from ui.shared.caches import cache_data
from ui.shared.controls import control
from ui.shared.errors import guarded
from ui.shared.forms import draw_field
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.words import plain

ONE, SEVERAL, TRANSFORM = "One photo", "Several photos", "One transform"
NUM_VIEWS = 8
NUM_COLUMNS = 3
NUM_PHOTOS = 6
NUM_PHOTO_VIEWS = 4
TILE_SIDE = 224  # pixels of a tile of the sheet at most; what is augmented is never scaled
SMALL_TILE_SIDE = 144
STRIP_WIDTH = 672  # pixels of its tiles together, so that labels are of one size


def draw_explorer(view: DatasetView) -> None:
    """Draw the controls beside the pictures, and below them the measured effect."""
    left, right = st.columns([2, 3], gap="large")
    with left:
        _draw_controls(view.workspace)
    with right:
        _draw_pictures(view.index, view.config)
    draw_effect(view)


@st.fragment(key=CONTROLS)
@guarded
def _draw_controls(workspace: Workspace) -> None:
    """Draw the presets, one control per transform, and the way to training."""
    draw_presets(workspace)
    with st.container(border=True, height=540):
        for name, value in current_augment().model_dump().items():
            draw_field(
                AugmentConfig,
                name,
                PREFIX,
                value,
                on_change=_apply_control,
                args=(workspace, name),
            )
    draw_use_toggle()
    if st.button(
        "Train with these",
        key="augment_train",
        icon=":material/model_training:",
        width="stretch",
        disabled=current_augment().is_identity,
        help="Switches augmented views on and opens the Train page.",
        on_click=_use,
    ):
        go_to(TRAIN_PAGE)


@st.fragment(key=PICTURES)
@guarded
def _draw_pictures(index: DatasetIndex, train_config: TrainConfig) -> None:
    """Draw what the setting does, as one image, and below it what the network sees of a photo."""
    bar = st.container(horizontal=True, vertical_alignment="center")
    with bar:
        shown = st.segmented_control(
            "Show",
            [ONE, SEVERAL, TRANSFORM],
            default=ONE,
            key="augment_show",
            label_visibility="collapsed",
            required=True,
            persist_state="session",
        )
    if shown == SEVERAL:
        records = _spread(index)
        _draw_views(index, records, train_config, NUM_PHOTO_VIEWS)
    else:
        with bar:
            number = _pick_photo(index)
        if shown == TRANSFORM:
            transform = _pick_transform()
            records = _with_others(index, number, num_photos(transform))
            _draw_strip(index, records, train_config, transform)
        else:
            records = [index.records[number]]
            _draw_views(index, records, train_config, NUM_VIEWS)
    seen = _decoded(index, records[0], train_config)
    draw_seen(index, records[0], seen, train_config.resize)


def _draw_views(
    index: DatasetIndex, records: Sequence[ImageRecord], train_config: TrainConfig, num_views: int
) -> None:
    """Draw photos as they are, each followed by its first views."""
    config = current_augment()
    tiles = [
        augment_view(photo, config, record.sha256, view, train_config.seed)
        for record in records
        for photo in [_decoded(index, record, train_config)]
        for view in range(num_views + 1)
    ]
    if len(records) == 1:
        columns, side = NUM_COLUMNS, TILE_SIDE
        text = "Top left: the photo as it is. Then its views, as training draws them."
    else:
        columns, side = num_views + 1, SMALL_TILE_SIDE
        text = "Each row: the photo as it is, then its first views."
    st.image(contact_sheet(tiles, columns, side, current_palette()), width="stretch", alt=text)
    st.caption(f"{text} Validation and test photos are never changed.")


def _draw_strip(
    index: DatasetIndex, records: Sequence[ImageRecord], train_config: TrainConfig, transform: str
) -> None:
    """Draw one transform from off to its strongest."""
    photos = [_decoded(index, record, train_config) for record in records]
    strip = make_strip(photos, transform, current_augment())
    sheet = contact_sheet(
        strip.tiles,
        strip.columns,
        STRIP_WIDTH // strip.columns,
        current_palette(),
        strip.labels,
        strip.marked,
    )
    is_switch = transform in SWITCHES
    text = f"{title_of(transform)} alone, " + (
        "off and on." if is_switch else "from off to the strongest setting."
    )
    drawn = "flips about half of the views" if is_switch else "draws a strength up to it"
    st.image(sheet, width="stretch", alt=f"{text} Steps: {', '.join(strip.labels)}")
    st.caption(f"{text} Framed: your setting; training {drawn}.")


def _use() -> None:
    st.session_state[session_keys.USE_AUGMENT] = True


def _apply_control(workspace: Workspace, name: str) -> None:
    """Draw the pictures again; the controls too when the preset's name no longer holds."""
    saved = list_presets(workspace)
    before = preset_of(current_augment(), saved)
    config = take_control(name)
    if name in TRANSFORMS:
        st.session_state[TRANSFORM_KEY] = name
    is_same = preset_of(config, saved) == before
    st.rerun([PICTURES, EFFECT] if is_same else [CONTROLS, PICTURES, EFFECT])


def _spread(index: DatasetIndex) -> Sequence[ImageRecord]:
    """Return some photos, evenly over the classes."""
    step = max(1, index.num_images // NUM_PHOTOS)
    return index.records[step // 2 :: step][:NUM_PHOTOS]


def _with_others(index: DatasetIndex, number: int, num: int) -> list[ImageRecord]:
    """Return a photo and others, of other classes as far as there are."""
    places = [number + step * index.num_images // num for step in range(num)]
    return [index.records[place] for place in dict.fromkeys(p % index.num_images for p in places)]


def _pick_photo(index: DatasetIndex) -> int:
    """Draw the photo picker and return the number of the photo picked."""
    number = st.session_state.get(session_keys.AUGMENT_PHOTO, 0)
    if st.button("Another photo", icon=":material/shuffle:", key="augment_another"):
        number = int(np.random.default_rng().integers(index.num_images))
        st.session_state[session_keys.AUGMENT_PHOTO] = number
    number %= index.num_images
    record = index.records[number]
    st.caption(plain(f"{index.class_names[record.label]}, {Path(record.path).name}"))
    return int(number)


def _pick_transform() -> str:
    """Draw the choice of a transform; the control that was moved last is chosen."""
    chosen = st.selectbox(
        "Transform",
        TRANSFORMS,
        format_func=title_of,
        label_visibility="collapsed",
        **control(TRANSFORM_KEY, "rotation"),
    )
    return chosen or "rotation"


def _decoded(index: DatasetIndex, record: ImageRecord, train_config: TrainConfig) -> np.ndarray:
    image_size = resolve_image_size(train_config)
    path, scale = str(index.path_of(record)), index.scale_of(record)
    return _decode(path, record.sha256, image_size, train_config.resize, scale)


@cache_data(max_entries=64)
def _decode(
    path: str, sha256: str, image_size: tuple[int, int], resize: str, scale: PixelScale | None
) -> np.ndarray:
    """Decode a photo for the network; ``sha256`` keys the cache on content, not on the path."""
    return load_image(path, image_size, resize, scale)  # type: ignore[arg-type]

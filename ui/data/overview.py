"""The overview: class counts, and one look at sizes, light, formats or the mean pictures.

A click in a chart narrows the gallery down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from tl_core.analysis.cache import ExploreFiles
from tl_core.backbones.api import resolve_image_size
from tl_core.charts.data import brightness_chart, clickable_counts_chart, formats_chart, sizes_chart
from tl_core.data.images.images import encode_jpeg
from ui.data.filter import Bounds, Filter
from ui.data.gallery import ALL, GALLERY
from ui.data.progress import draw_audit_progress
from ui.datasets.dataset_view import DatasetView
from ui.datasets.scans import rescan
from ui.shared import session_keys
from ui.shared.controls import as_kind
from ui.shared.errors import guarded
from ui.shared.page_layout import draw_chart
from ui.shared.words import number_of, plain

OVERVIEW = "overview"
SIZES, LIGHT, FORMATS, MEANS = "Sizes", "Brightness", "Formats", "Mean photos"
NUM_BINS = 20
MAX_POINTS = 5000
MEAN_SIDE = 96


# What clicks on the charts tell, and a drag over that of the sizes.
@dataclass(frozen=True)
class _Size:
    width: float
    height: float


@dataclass(frozen=True)
class _Region:
    width: tuple[float, float]
    height: tuple[float, float]


@dataclass(frozen=True)
class _Light:
    low: float
    high: float


@dataclass(frozen=True)
class _Format:
    format: str


@st.fragment(key=OVERVIEW)
@guarded
def draw_overview(view: DatasetView) -> None:
    """Draw the class counts beside one more look at the pictures."""
    counts, looks = st.columns([1, 1], gap="large")
    with counts:
        words = (
            f"{number_of(view.index.num_images, 'photo')} in "
            f"{number_of(view.index.num_classes, 'class', 'classes')}"
        )
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.subheader(words, anchor=False)
            if st.button(
                "Rescan folder",
                key="rescan",
                type="tertiary",
                icon=":material/refresh:",
                help="Reads the folder again, including files that were changed in place",
            ):
                rescan(view.dataset)
                st.rerun()
        if view.excluded:
            st.caption(f"{number_of(len(view.excluded), 'photo')} excluded and not counted.")
        table = pd.DataFrame(view.index.class_counts().items(), columns=["class", "images"])
        with st.container(height=340 if view.index.num_classes > 8 else "content", border=False):
            draw_chart(
                clickable_counts_chart(table, view.index.class_names),
                key=_key("class_counts"),
                on_select=lambda: _take_class(view),
                selection_mode="picked",
                alt="Photos in each class; a click shows those of one",
            )
    with looks:
        parts: dict[str, Callable[[DatasetView], None]] = {
            SIZES: _draw_sizes,
            LIGHT: _draw_brightness,
            FORMATS: _draw_formats,
            MEANS: _draw_means,
        }
        part = st.segmented_control(
            "Show",
            list(parts),
            default=SIZES,
            key="overview_part",
            label_visibility="collapsed",
            required=True,
            persist_state="session",
        )
        parts[part or SIZES](view)


def _draw_sizes(view: DatasetView) -> None:
    names = view.index.class_names
    sizes = Counter((r.width, r.height, r.label) for r in view.index.records)
    table = pd.DataFrame(
        [(w, h, names[label], count) for (w, h, label), count in sizes.items()],
        columns=["width", "height", "class", "images"],
    )
    if len(table) > MAX_POINTS:
        table = table.sample(MAX_POINTS, random_state=0)
    height, width = resolve_image_size(view.config)
    draw_chart(
        sizes_chart(table, names, (height, width)),
        key=_key("sizes"),
        on_select=_take_sizes,
        selection_mode=["picked", "region"],
        alt="Width and height of the photos, and the size that the network sees",
    )
    st.caption(
        f"Dashed: the {width} × {height} pixels that {view.config.backbone} sees of a photo. Click "
        "a dot or drag over some to see those photos below."
    )


def _draw_brightness(view: DatasetView) -> None:
    values = view.column("brightness", view.index.records)
    if values is None:
        draw_audit_progress(view)
        return
    bins = np.clip((values * NUM_BINS).astype(int), 0, NUM_BINS - 1)
    counted = Counter(zip(bins.tolist(), view.index.labels.tolist(), strict=True))
    names = view.index.class_names
    table = pd.DataFrame(
        [
            (place / NUM_BINS, (place + 1) / NUM_BINS, names[label], count)
            for (place, label), count in sorted(counted.items())
        ],
        columns=["low", "high", "class", "images"],
    )
    draw_chart(
        brightness_chart(table, names),
        key=_key("brightness"),
        on_select=_take_brightness,
        selection_mode="picked",
        alt="How bright the photos are",
    )
    st.caption(
        "Click a bar to see those photos below. If one class is darker than the others, a model "
        "may "
        "learn the brightness instead of the subject."
    )


def _draw_formats(view: DatasetView) -> None:
    counted = Counter(record.format for record in view.index.records)
    draw_chart(
        formats_chart(pd.DataFrame(counted.items(), columns=["format", "images"])),
        key=_key("formats"),
        on_select=_take_formats,
        selection_mode="picked",
        alt="File formats of the photos",
    )
    modes = Counter(record.mode for record in view.index.records)
    text = ", ".join(f"{mode} {count:,}" for mode, count in modes.most_common(6))
    st.caption(f"Stored as {text}. All are read as RGB. Click a bar to see those photos below.")


def _draw_means(view: DatasetView) -> None:
    files = ExploreFiles(view.workspace.cache_dir, view.raw)
    means = files.read_means()
    if means is None:
        draw_audit_progress(view)
        return
    place = st.container(height=340 if len(means) > 12 else "content", border=False)
    with place, st.grid("auto", min_column_width=MEAN_SIDE, gap="small"):
        for name, mean in zip(view.raw.class_names, means, strict=True):
            st.image(_as_jpeg(mean), width="stretch", caption=plain(name), alt=f"Mean of {name}")
    st.caption(
        "The mean of all photos of a class. What is clearly visible, such as a frame or a "
        "background, "
        "could identify the class without its subject."
    )


def _as_jpeg(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels).resize((192, 192), Image.Resampling.BICUBIC)
    return encode_jpeg(image)


def _take_class(view: DatasetView) -> None:
    picked = as_kind(list[dict[str, Any]], _selection("class_counts").get("picked"))
    name = picked[0].get("class") if picked else None
    st.session_state["gallery_class"] = name if name in view.index.class_names else ALL
    st.rerun(GALLERY)


def _take_sizes() -> None:
    chosen = _selection("sizes")
    region = as_kind(_Region, chosen.get("region"))
    picked = as_kind(list[_Size], chosen.get("picked"))
    if region is not None:
        bounds: Bounds = (("width", *region.width), ("height", *region.height))
        words = " and ".join(f"{name} {low:.0f} to {high:.0f}" for name, low, high in bounds)
        _set_filter(Filter(words, bounds=bounds))
    elif picked:
        width, height = picked[0].width, picked[0].height
        bounds = (("width", width, width), ("height", height, height))
        _set_filter(Filter(f"{width:.0f} × {height:.0f} pixels", bounds=bounds))
    else:
        _set_filter(None)


def _take_brightness() -> None:
    picked = as_kind(list[_Light], _selection("brightness").get("picked"))
    if not picked:
        _set_filter(None)
        return
    low, high = picked[0].low, picked[0].high
    words = f"brightness {100 * low:.0f} to {100 * high:.0f} %"
    # The last bar takes what is white altogether; others end before the next begins.
    end = 1.0 if high >= 1 else float(np.nextafter(np.float32(high), np.float32(0)))
    _set_filter(Filter(words, bounds=(("brightness", low, end),)))


def _take_formats() -> None:
    picked = as_kind(list[_Format], _selection("formats").get("picked"))
    formats = tuple(point.format for point in picked or [])
    _set_filter(Filter(", ".join(formats), formats=formats) if formats else None)


def _set_filter(chosen: Filter | None) -> None:
    if chosen is None:
        st.session_state.pop(session_keys.FILTER, None)
    else:
        st.session_state[session_keys.FILTER] = chosen
    st.rerun(GALLERY)


def _key(name: str) -> str:
    return f"overview_{name}_{st.session_state.get(session_keys.FILTER_ROUND, 0)}"


def _selection(name: str) -> dict[str, Any]:
    return dict(st.session_state[_key(name)].selection)

"""The backbone picker: a select box with facts, and a chart of size against accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from tl_core.backbones.api import Backbone, get_backbone, has_weights, list_backbones
from tl_core.charts.base import percent
from tl_core.charts.training import backbone_chart
from tl_core.config.limits import current_limits
from tl_core.errors import WeightsError
from tl_core.features.benchmark import known_speeds, take_failure
from tl_core.jobs import client
from tl_core.jobs.handlers import MEASURE_SPEED
from tl_core.jobs.queue import JobQueue
from tl_core.workspace import Workspace
from ui.shared import session_keys
from ui.shared.controls import as_kind, control
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar
from ui.shared.page_layout import draw_chart
from ui.shared.words import number_of

POLL_SECONDS = 0.5
KEY = f"{session_keys.TRAIN}.backbone"
CHART_KEY = "backbone_chart"


@dataclass(frozen=True)
class _Dot:
    """What a click on the chart tells."""

    backbone: str


def draw_picker(workspace: Workspace, initial: str) -> str:
    """Draw the select box with the facts of what is chosen, and return its name."""
    names = [backbone.name for backbone in _offered()]
    st.session_state.setdefault(KEY, initial if initial in names else names[0])
    if st.session_state[KEY] not in names:  # that of a run whose settings were taken over
        names.append(st.session_state[KEY])
    name = st.selectbox(
        "Backbone",
        names,
        **control(KEY),
        help="The pretrained network that turns a photo into numbers. It stays as it is unless "
        "blocks of it are fine-tuned; the new layers behind it are trained.",
    )
    st.caption(describe(get_backbone(name), known_speeds(workspace.cache_dir).get(name)))
    return name


def draw_backbone_chart(workspace: Workspace, chosen: str, *, may_measure: bool) -> None:
    """Draw all backbones by size and accuracy, where a click chooses, and the chosen one's facts.

    Args:
        workspace: where measured speeds are kept.
        chosen: the backbone that stands out.
        may_measure: whether the machine is free, so that its speed can be measured.
    """
    speeds = known_speeds(workspace.cache_dir)
    draw_chart(
        backbone_chart(_table(speeds), chosen),
        key=CHART_KEY,
        on_select=_take_click,
        selection_mode="picked",
        alt=f"Backbones by size and accuracy; {chosen} is chosen",
    )
    st.caption(
        "Click a dot to choose it. Smaller is faster. The accuracy was published for ImageNet's "
        "thousand everyday classes; on your own photos the order can differ."
    )
    facts, action = st.columns([3, 2], vertical_alignment="center")
    facts.markdown(
        f"**{chosen}**: "
        + (f"{speeds[chosen]:.0f} photos/s here" if chosen in speeds else "speed not measured yet")
    )
    if action.button(
        "Measure its speed here",
        key="measure_speed",
        icon=":material/speed:",
        disabled=not may_measure or JobQueue(workspace).find(*_measuring(chosen)) is not None,
        width="stretch",
        help="Takes some seconds; a backbone used for the first time is fetched and converted "
        "before. Not while a run trains.",
    ):
        take_failure(workspace.cache_dir, chosen)  # of an earlier try
        client.submit(workspace, *_measuring(chosen))
    if JobQueue(workspace).find(*_measuring(chosen)) is not None:
        _draw_measuring(workspace, chosen)
    elif (failure := take_failure(workspace.cache_dir, chosen)) is not None:
        raise WeightsError(failure)


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _draw_measuring(workspace: Workspace, backbone: str) -> None:
    """Draw how far the worker is; all is drawn again when it is over."""
    queue = JobQueue(workspace)
    job = queue.find(*_measuring(backbone))
    if job is None:
        st.rerun()
    draw_bar(workspace, queue.watch(job), f"Measuring {backbone}")


def _measuring(backbone: str) -> tuple[str, dict[str, str]]:
    return MEASURE_SPEED, {"backbone": backbone}


def describe(backbone: Backbone, speed: float | None) -> str:
    """Return the facts of a backbone in a line."""
    facts = [
        f"{backbone.num_params / 1e6:.1f} M parameters" if backbone.num_params else "",
        f"{backbone.weights_mb:.0f} MB",
        f"{percent(backbone.top1)} on ImageNet" if backbone.top1 is not None else "",
        "{1} × {0} px".format(*backbone.image_size),
        f"{speed:.0f} photos/s here" if speed else "",
        _weights_words(backbone),
    ]
    return " · ".join(fact for fact in facts if fact)


def _take_click() -> None:
    picked = as_kind(list[_Dot], st.session_state[CHART_KEY].selection.get("picked"))
    if picked and picked[0].backbone in {backbone.name for backbone in _offered()}:
        st.session_state[KEY] = picked[0].backbone


def _table(speeds: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "backbone": backbone.name,
                "weights_mb": backbone.weights_mb,
                "top1": backbone.top1,
                "weights": "included"
                if backbone.weights == "bundled" and has_weights(backbone.name, backbone.image_size)
                else "downloaded on first use",
                "speed": f"{speeds[backbone.name]:.0f} photos/s"
                if backbone.name in speeds
                else "not measured yet",
            }
            for backbone in _offered()
        ]
    )


def _offered() -> list[Backbone]:
    """Return the backbones to choose from: in a demo those that its operator allows."""
    limits = current_limits()
    if limits is None:
        return list_backbones()
    return [get_backbone(name) for name in limits.backbone_names]


def _weights_words(backbone: Backbone) -> str:
    if has_weights(backbone.name, backbone.image_size):
        return "weights installed"
    if backbone.weights == "bundled":
        return "needs an optional package"
    return f"{number_of(round(backbone.weights_mb), 'MB', 'MB')} to download on first use"

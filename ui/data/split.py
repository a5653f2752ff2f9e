"""The split to come: what falls where, how sure its figures will be, what more data would do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.learning_curve import LearningCurve
from tl_core.charts.base import percent
from tl_core.charts.data import curve_chart, split_chart
from tl_core.data.split import PARTS, Split, groups_apart, split_dataset
from tl_core.features.spec import FeatureSpec
from tl_core.metrics.classification import wilson_interval
from tl_core.projects.registry import runs_of
from ui.data.progress import draw_job
from ui.datasets.dataset_view import DatasetView, request_features
from ui.shared import session_keys
from ui.shared.address import go_to
from ui.shared.errors import guarded
from ui.shared.navigation import TRAIN_PAGE
from ui.shared.page_layout import draw_chart, section
from ui.shared.words import interval, number_of, plain

MAX_HALF = 0.05  # of an interval; wider is called out
ASSUMED_ACCURACY = 0.9
MAX_NAMED = 5


@guarded
def draw_split(view: DatasetView) -> None:
    """Draw the split as training will make it, and the learning curve."""
    parts, curve = st.columns([1, 1], gap="large")
    with parts:
        _draw_parts(view)
    with curve:
        section("Would more photos help?")
        _draw_curve(view)


def half_width(num_images: int, accuracy: float) -> float:
    """Return half the width of the interval around an accuracy on so many images."""
    low, high = wilson_interval(round(accuracy * num_images), num_images)
    return (high - low) / 2


def images_needed(accuracy: float, most: float = MAX_HALF) -> int:
    """Return how many images an interval of at most ±``most`` takes, to two digits."""
    sizes = (number * power for power in (1, 10, 100, 1000) for number in range(10, 100))
    return next(size for size in sizes if half_width(size, accuracy) <= most)


def expected_accuracy(view: DatasetView) -> tuple[float, str]:
    """Return the accuracy that intervals are reckoned for, and where it comes from."""
    for run in runs_of(view.workspace, view.dataset):
        if run.is_loadable:
            for part in ("test", "val"):
                value = run.metrics.get(f"{part}_accuracy")
                if value is not None:
                    return float(value), "the last run's"
    return ASSUMED_ACCURACY, "for example"


def _draw_parts(view: DatasetView) -> None:
    section("Training, validation and test photos")
    split = split_dataset(view.index, view.config)
    counts = {
        part: np.bincount(view.index.labels[places], minlength=view.index.num_classes)
        for part, places in split.items()
    }
    total = view.index.num_images
    text = ", ".join(
        f"**{part}** {counts[part].sum():,} ({100 * counts[part].sum() / total:.0f} %)"
        for part in PARTS
        if counts[part].sum()
    )
    origin = "as the folders give it" if view.index.has_given_split else "as set on the Train page"
    st.markdown(f"{text}, {origin}.")
    table = pd.DataFrame(
        [
            (name, part, int(counts[part][label]), order)
            for label, name in enumerate(view.index.class_names)
            for order, part in enumerate(PARTS)
        ],
        columns=["class", "part", "images", "order"],
    )
    with st.container(height=420 if view.index.num_classes > 10 else "content", border=False):
        draw_chart(
            split_chart(table, view.index.class_names),
            key="split_chart",
            alt="Photos of each class in train, val and test",
        )
    judged = "test" if counts["test"].sum() else "val"
    for line in [*copies_apart(view, split), *sureness(view, judged, counts[judged])]:
        st.markdown(line)
    if st.button("Change the shares", key="change_shares", type="tertiary", icon=":material/tune:"):
        st.session_state[session_keys.ALL_SETTINGS] = True
        go_to(TRAIN_PAGE)


def copies_apart(view: DatasetView, split: Split) -> list[str]:
    """Say how many photos have a near copy in another part; identical files never do."""
    findings = () if view.measured is None else view.measured.findings
    groups = [group for one in findings if one.kind.startswith("near_") for group in one.groups]
    apart = groups_apart(view.index, split, dict.fromkeys(groups))
    if not apart:
        return []
    photos = number_of(len(apart), "photo")
    return [
        f":orange[:material/warning:] {photos} {'has' if len(apart) == 1 else 'have'} a near copy "
        "in another part, so the figures will be slightly too high. Exclude the copies under "
        "Findings."
    ]


def sureness(view: DatasetView, part: str, counts: np.ndarray) -> list[str]:
    """Say how wide the intervals of the figures on a part will be, overall and by class."""
    accuracy, origin = expected_accuracy(view)
    total = int(counts.sum())
    if total == 0:
        return [":orange[:material/warning:] There is no val or test part to measure on."]
    num_right = round(accuracy * total)
    bounds = wilson_interval(num_right, total)
    half = half_width(total, accuracy)
    is_wide = half > MAX_HALF
    mark = ":orange[:material/warning:]" if is_wide else ":green[:material/check_circle:]"
    line = (
        f"{mark} On {number_of(total, f'{part} photo')} an accuracy of "
        f"{percent(num_right / total)} ({num_right:,} right, {origin}) means "
        f"{interval(bounds)} % (95 % interval, ±{100 * half:.1f} points)."
    )
    needed = images_needed(accuracy)
    if is_wide:
        line += f" For ±5 points it takes about {needed:,} {part} photos."
    lines = [line]
    wide = [
        (half_width(int(count), accuracy), name, int(count))
        for name, count in zip(view.index.class_names, counts, strict=True)
        if count == 0 or half_width(int(count), accuracy) > MAX_HALF
    ]
    if wide:
        wide.sort(reverse=True)
        named = ", ".join(
            f"{plain(name)} ±{100 * half:.0f} points on {number_of(count, 'photo')}"
            for half, name, count in wide[:MAX_NAMED]
        )
        more = f" and {len(wide) - MAX_NAMED} more" if len(wide) > MAX_NAMED else ""
        lines.append(
            f":orange[:material/warning:] The accuracy of single classes will be "
            f"known less precisely than ±5 points: {named}{more}. They are rough estimates; more "
            "photos make them precise."
        )
    return lines


def _draw_curve(view: DatasetView) -> None:
    try:
        files = ExploreFiles(
            view.workspace.cache_dir, view.index, FeatureSpec.from_config(view.features_config)
        )
    except OSError:
        files = None
    curve = None if files is None else files.read_curve()
    if curve is None:
        if files is not None and files.read_failure("curve") is None:
            request_features(view, files, "curve")
        draw_job(view, "curve", "The learning curve", files)
        return
    points = pd.DataFrame(
        [(point.num_images, point.mean, *point.spread) for point in curve.points],
        columns=["images", "mean", "low", "high"],
    )
    st.markdown(curve_words(curve))
    draw_chart(
        curve_chart(points, _fit_table(curve)),
        key="curve_chart",
        alt="Accuracy over the number of training photos",
    )
    repeats = len(curve.points[0].accuracies)
    st.caption(
        f"Dots: accuracy of a simple classifier on the backbone's features, mean of {repeats} "
        "rounds with other photos held out; lines through them: lowest and highest. Grey: a power "
        "law through the dots, dashed where it is a guess. Your own network may do better."
    )


def curve_words(curve: LearningCurve) -> str:
    """Say what the learning curve means."""
    last = curve.points[-1]
    text = (
        f"With {last.num_images:,} photos to learn from and the rest held out, a simple classifier "
        f"is right on {percent(last.mean)}. "
    )
    points = 100 * curve.gain(2.0)
    noise = 100 * (last.spread[1] - last.spread[0]) / 2
    if points < 0.5:
        return (
            text
            + "**Twice as many would hardly change that**: settings and clean labels matter more."
        )
    unsure = " That is within the spread of the measurements." if points < noise else ""
    return text + f"**Twice as many would add about {points:.1f} points**, by the fit.{unsure}"


def _fit_table(curve: LearningCurve) -> pd.DataFrame:
    first, last = curve.points[0].num_images, curve.points[-1].num_images
    rows = [
        (float(images), curve.accuracy_at(float(images)), kind)
        for kind, start, end in (("fit", first, last), ("guess", last, 4 * last))
        for images in np.geomspace(start, end, 30)
    ]
    return pd.DataFrame(rows, columns=["images", "accuracy", "kind"])

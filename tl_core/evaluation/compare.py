"""Compare runs: differing settings, metrics, and whether a difference is significant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.errors import RunError
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.evaluation.report import Evaluation
from tl_core.metrics.classification import exact_mcnemar, wilson_interval
from tl_core.progress import SILENT, Monitor
from tl_core.runs.store import Run, compare_runs, differ

__all__ = [
    "PairedTest",
    "compare_evaluations",
    "compare_on_test_images",
    "metric_rows",
    "setting_rows",
]

SURE_BELOW = 0.05

_FINGERPRINT = "data_fingerprint"


@dataclass(frozen=True)
class PairedTest:
    """Two runs on the same images.

    Args:
        first_name: name of the first run.
        second_name: name of the second run.
        num_images: number of images that both classified.
        first_accuracy: of the first run on these images.
        second_accuracy: of the second run on these images.
        num_only_first: images that only the first got right.
        num_only_second: images that only the second got right.
        p_value: probability of a difference at least as large between equally good runs.
        note: a remark for the user; may be empty.
    """

    first_name: str
    second_name: str
    num_images: int
    first_accuracy: float
    second_accuracy: float
    num_only_first: int
    num_only_second: int
    p_value: float
    note: str = ""

    @property
    def is_more_than_chance(self) -> bool:
        """Whether the difference is statistically significant."""
        return self.p_value < SURE_BELOW

    @property
    def sentence(self) -> str:
        """The result as a sentence."""
        photos = f"{self.num_images:,} photo{'' if self.num_images == 1 else 's'}"
        if self.num_only_first == self.num_only_second:
            both = f"'{self.first_name}' and '{self.second_name}'"
            if self.num_only_first == 0:
                return f"{both} agree on all {photos}: right in both, or wrong in both."
            return (
                f"{both} have the same accuracy on {photos}: each alone is right on "
                f"{self.num_only_first:,}."
            )
        sides = [
            (self.num_only_first, self.first_name),
            (self.num_only_second, self.second_name),
        ]
        (fewer, worse), (more, better) = sorted(sides)
        gain = 100 * abs(self.first_accuracy - self.second_accuracy)
        p = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.2g}"
        verdict = "more than chance" if self.is_more_than_chance else "no more than chance"
        return (
            f"'{better}' is better by {gain:.1f} points on {photos}: {more} that it alone gets "
            f"right, {fewer} that '{worse}' alone does. That is {verdict} ({p})."
        )


def compare_evaluations(
    first: Evaluation, second: Evaluation, first_name: str = "first", second_name: str = "second"
) -> PairedTest:
    """Test whether two runs differ on the images that both were evaluated on.

    Test images that the other run used for training or validation are excluded.

    Raises:
        RunError: they have no image in common.
    """
    row_of = {path: row for row, path in enumerate(second.paths)}
    pairs = [(row, row_of[path]) for row, path in enumerate(first.paths) if path in row_of]
    same_folder = first.data_dir == second.data_dir
    if not pairs or not same_folder:
        raise RunError(
            f"Expected runs tested on the same images, but '{first_name}' and '{second_name}' have "
            "none in common. Evaluate both on one folder."
        )
    ours, theirs = np.array(pairs).T
    first_right, second_right = first.is_right[ours], second.is_right[theirs]
    num_only_first = int(np.sum(first_right & ~second_right))
    num_only_second = int(np.sum(~first_right & second_right))
    return PairedTest(
        first_name=first_name,
        second_name=second_name,
        num_images=len(pairs),
        first_accuracy=float(first_right.mean()),
        second_accuracy=float(second_right.mean()),
        num_only_first=num_only_first,
        num_only_second=num_only_second,
        p_value=exact_mcnemar(num_only_first, num_only_second),
        note=_note(first, second, len(pairs)),
    )


def compare_on_test_images(
    first: Run,
    second: Run,
    *,
    cache_dir: Path | None = None,
    monitor: Monitor = SILENT,
) -> PairedTest:
    """Test whether two runs differ on the images that are in the test part of both.

    Images that one of them used for training or validation are excluded, since they favour it.

    Raises:
        RunError: they have no such image in common.
        DatasetError: the images are missing.
        Stopped: ``monitor`` was asked to stop.
    """

    def evaluate(run: Run) -> Evaluation:
        return evaluate_run(run.run_dir, cache_dir=cache_dir, **monitor.callbacks)

    return compare_evaluations(evaluate(first), evaluate(second), first.name, second.name)


def setting_rows(runs: Sequence[Run], *, include_same: bool = False) -> list[dict[str, Any]]:
    """Return the settings in which runs differ, or all, as rows ready for a DataFrame.

    Columns: ``setting``, ``differs``, then one per run, named by its id. Other images are said in
    words in the row ``photos``, such as ``"139, 1 left out, 2 of another class"``, compared with
    the first run.
    """
    ids = [run.id for run in runs]
    rows = compare_runs(runs, include_same=include_same)
    if _FINGERPRINT in rows and (text := _photos_in_words(runs)):
        rows = {**rows, _FINGERPRINT: text}
    names = {_FINGERPRINT: "photos"}
    return [
        {
            "setting": names.get(name, name),
            "differs": differ(values),
            **dict(zip(ids, values, strict=True)),
        }
        for name, values in rows.items()
    ]


def _photos_in_words(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return how many images each run has, and how they differ from the first's; else nothing."""
    try:
        splits = [{(row.path, row.sha256): row.class_name for row in run.split()} for run in runs]
    except RunError:
        return ()
    if not all(splits):
        return ()
    first = splits[0]
    text = []
    for split in splits:
        common = first.keys() & split.keys()
        changes = (
            (len(first) - len(common), "left out"),
            (len(split) - len(common), "added"),
            (sum(first[key] != split[key] for key in common), "of another class"),
        )
        text.append(", ".join([f"{len(split):,}", *(f"{n:,} {what}" for n, what in changes if n)]))
    return tuple(text)


def metric_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return the metrics of runs as rows ready for a DataFrame, one per run and part.

    Columns: ``run`` (id), ``name``, ``part``, ``accuracy``, ``low``, ``high`` (95 % interval),
    ``loss``, ``num_images`` (None when it is not known). Parts without metrics are left out.
    """
    rows = []
    for run in runs:
        metrics = run.metrics
        for part in ("val", "test"):
            share = metrics.get(f"{part}_accuracy")
            if share is None:
                continue
            num_images = run.num_images_of(part)
            known = metrics.get(f"{part}_interval")
            counted = num_images or 0
            low, high = known or wilson_interval(round(share * counted), counted)
            rows.append(
                {
                    "run": run.id,
                    "name": run.name,
                    "part": part,
                    "accuracy": share,
                    "low": low,
                    "high": high,
                    "loss": metrics.get(f"{part}_loss"),
                    "num_images": num_images,
                }
            )
    return rows


def _note(first: Evaluation, second: Evaluation, num_common: int) -> str:
    """Return a remark about the images that two runs are compared on; may be empty."""
    notes = []
    if "val" in (first.part, second.part):
        notes.append("These are validation images, which helped to choose the weights.")
    num_all = max(first.num_images, second.num_images)
    if num_common < num_all:
        notes.append(
            f"Compared on {num_common:,} of {num_all:,} photos: those that neither model was "
            "trained on. The others were training photos of one of them."
        )
    if first.num_relabelled != second.num_relabelled:
        notes.append(
            "Each photo counts with the class it has now, so the accuracies compared here can "
            "differ from those measured when the runs were trained."
        )
    return " ".join(notes)

"""The images of a run: its data folder, read as it was when the run was made."""

from __future__ import annotations

from pathlib import Path

from tl_core.data.curation.store import apply_decisions, kept_layout, load_decisions
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.layout.plan import plan_layout
from tl_core.progress import OnProgress, ShouldStop
from tl_core.runs.run import Run


def layout_of(run: Run) -> str | None:
    """Return the name of the reading of its data folder that a run was trained on.

    A run that was made before readings had names has the one whose classes are the run's.
    """
    named = run.origin.get("layout") or run.config.layout
    if named:
        return str(named)
    if not run.class_names:
        return kept_layout(run.workspace, run.data_dir)
    plan = plan_layout(run.data_dir)
    classes = set(run.class_names)
    for reading in plan.readings:
        if set(reading.class_counts) >= classes:
            return reading.name
    return None


def load_images_of(
    run: Run,
    *,
    cache_dir: Path,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> DatasetIndex:
    """Scan a run's data folder and apply the decisions about it.

    Args:
        run: its folder and its layout are taken.
        cache_dir: where scans are kept.
        on_progress: called with the progress of the scan.
        should_stop: asked between files.

    Raises:
        DatasetError: as :func:`~tl_core.data.dataset.scan_dataset`.
        Stopped: ``should_stop`` said so.
    """
    index = scan_dataset(
        run.data_dir,
        layout_of(run),
        cache_dir=cache_dir,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    return apply_decisions(index, load_decisions(run.workspace, run.data_dir))

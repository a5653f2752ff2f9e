"""The images of a run: its data folder, read with the layout the run was trained on."""

from __future__ import annotations

from pathlib import Path

from tl_core.data.curation.store import kept_layout, load_dataset
from tl_core.data.dataset import DatasetIndex
from tl_core.data.layout.plan import plan_layout
from tl_core.progress import SILENT, Monitor
from tl_core.runs.run import Run


def layout_of(run: Run) -> str | None:
    """Return the name of the layout of its data folder that a run was trained on.

    For older runs, which do not store it, that is the layout whose classes are the run's.
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


def load_images_of(run: Run, *, cache_dir: Path, monitor: Monitor = SILENT) -> DatasetIndex:
    """Scan a run's data folder and apply the decisions about it.

    Args:
        run: the run whose folder and layout to use.
        cache_dir: the folder of the scan cache.
        monitor: reports the scan.

    Raises:
        DatasetError: as :func:`~tl_core.data.dataset.scan_dataset`.
        Stopped: ``monitor`` was asked to stop.
    """
    return load_dataset(
        run.data_dir, run.workspace, layout_of(run), cache_dir=cache_dir, monitor=monitor
    )

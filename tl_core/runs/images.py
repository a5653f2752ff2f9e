"""The images of a run or search: its data folder as it is now, and those that it began with."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.data.curation.store import kept_layout, load_dataset
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.layout.plan import plan_layout
from tl_core.data.split import Split, write_split
from tl_core.errors import RunError
from tl_core.files import write_json
from tl_core.progress import SILENT, Monitor
from tl_core.runs.files import CLASSES_FILE, ORIGIN_FILE, SPLIT_FILE
from tl_core.runs.run import Run
from tl_core.runs.state_dir import WorkFolder


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


def write_images(work: WorkFolder, index: DatasetIndex, split: Split, **facts: Any) -> None:
    """Write the images, classes and parts that a run or search begins with into its folder.

    Args:
        work: the run or search.
        index: its dataset, with decisions applied.
        split: the parts.
        facts: others to keep in ``origin.json``.
    """
    scale = index.pixel_scale
    write_json(work.folder / CLASSES_FILE, list(index.class_names))
    write_split(work.folder / SPLIT_FILE, index, split)
    write_json(
        work.folder / ORIGIN_FILE,
        {
            **work.origin,
            "fingerprint": index.fingerprint,
            "decisions_fingerprint": index.decisions_fingerprint,
            "layout": index.layout,
            "pixel_scale": None if scale is None else [scale.low, scale.high],
            **facts,
        },
    )


def images_as_begun(work: WorkFolder, index: DatasetIndex) -> tuple[DatasetIndex, Split]:
    """Return the images, classes and parts that a run or search was started with.

    One that is continued by itself, after others had a turn, goes on with them though photos were
    added or got another class meanwhile.

    Args:
        work: a run or search whose images were written.
        index: its current dataset, with decisions applied.

    Raises:
        RunError: one of the images is gone, excluded or has changed.
    """
    present = {record.path: record for record in index.records}
    class_names = work.class_names
    records: list[ImageRecord] = []
    parts = dict[str, list[int]](train=[], val=[], test=[])
    for row in work.split():
        record = present.get(row.path)
        if record is None or record.sha256 != row.sha256:
            raise RunError(
                f"'{row.path}' was changed, moved or excluded while others had their turn. The "
                "best so far is kept."
            )
        parts[row.part].append(len(records))
        label = class_names.index(row.class_name)
        records.append(dataclasses.replace(record, label=label, group=row.group or None))
    begun = dataclasses.replace(
        index,
        class_names=class_names,
        records=tuple(records),
        decisions_fingerprint=str(work.origin.get("decisions_fingerprint", "")),
        pixel_scale=work.pixel_scale,
    )
    return begun, Split(**{part: np.array(rows, np.int64) for part, rows in parts.items()})

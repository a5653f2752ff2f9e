"""Which images of a folder a run is looked at with: its own split's, or all of its classes."""

from __future__ import annotations

from dataclasses import dataclass, field

from tl_core.data.dataset import DatasetIndex
from tl_core.errors import DatasetError, RunError, did_you_mean
from tl_core.training.runs import Run


@dataclass(frozen=True)
class Chosen:
    """Images of an index for a run, and what was left out.

    Args:
        positions: of the images in the index.
        labels: the run's label of each.
        rows: number of each among the images of its part; of a folder, among all images.
        skipped: reasons by path.
    """

    positions: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def choose_part(run: Run, index: DatasetIndex, part: str) -> tuple[str, Chosen]:
    """Find the images of the run's own split again, by content.

    Their label is the one they had then, unless a decision has changed it since.
    """
    rows = run.split()
    present = {row.part for row in rows}
    if part == "test" and part not in present:
        part = "val"
    if part not in present:
        raise RunError(
            f"Expected a part out of {', '.join(sorted(present)) or 'a split'} in run "
            f"'{run.name}', received '{part}'."
        )
    by_path = {record.path: i for i, record in enumerate(index.records)}
    by_content = {record.sha256: i for i, record in enumerate(index.records)}
    label_of = {name: label for label, name in enumerate(run.class_names)}
    chosen = Chosen()
    for number, row in enumerate(row for row in rows if row.part == part):
        position, name = by_path.get(row.path), row.class_name
        if position is not None and index.decisions_fingerprint:
            name = index.class_names[index.records[position].label]
        if position is None or index.records[position].sha256 != row.sha256:
            position = by_content.get(row.sha256)
        if position is None:
            chosen.skipped[row.path] = "excluded, changed or gone since the run was trained"
        elif name not in label_of:
            chosen.skipped[row.path] = f"the run has no class '{name}'"
        else:
            chosen.positions.append(position)
            chosen.labels.append(label_of[name])
            chosen.rows.append(number)
    if not chosen.positions:
        raise DatasetError(
            f"Expected the {len(chosen.skipped)} {part} images of run '{run.name}' in "
            f"'{index.data_dir}', found none of them. Evaluate it on another folder instead."
        )
    return part, chosen


def choose_all(run: Run, index: DatasetIndex) -> Chosen:
    """Take every image of a class that the run knows."""
    label_of = {name: label for label, name in enumerate(run.class_names)}
    chosen = Chosen()
    for position, record in enumerate(index.records):
        name = index.class_names[record.label]
        if name in label_of:
            chosen.positions.append(position)
            chosen.labels.append(label_of[name])
            chosen.rows.append(position)
        else:
            hint = did_you_mean(name, run.class_names)
            chosen.skipped[record.path] = f"the run has no class '{name}'.{hint}"
    if not chosen.positions:
        raise DatasetError(
            f"Expected class folders named {', '.join(run.class_names)} in '{index.data_dir}', "
            f"found {', '.join(index.class_names)}. Rename the folders to the run's classes."
        )
    return chosen

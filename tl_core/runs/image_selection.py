"""Which images of a folder a run is evaluated on: a part of its split, or all of its classes."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import SplitRow
from tl_core.errors import DatasetError, RunError, did_you_mean
from tl_core.runs.store import Run

TRAINED_ON = "the run was trained on it"
VALIDATED_WITH = "the run was validated with it while it trained"


@dataclass
class ImageSelection:
    """Images of an index for a run, and what was left out.

    Args:
        positions: positions of the images in the index.
        labels: the label of each in the run's class order.
        rows: row of each in its part of the split, or among all images of a folder.
        skipped: why images were left out, by path.
        num_relabelled: how many have another class than when the run was trained.
    """

    positions: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    num_relabelled: int = 0


def select_part(run: Run, index: DatasetIndex, part: str) -> tuple[str, ImageSelection]:
    """Find the images of a part of the run's split, by path or else by content, each once.

    Labels are the current ones, with decisions applied. A class that was renamed since counts as
    the class that it was, see :func:`renamed_classes`.
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
    label_of = {name: label for label, name in enumerate(run.class_names)}
    chosen = ImageSelection()
    places = _places(rows, index)
    name_then = _renamed(places, index, run.class_names)
    found = [(row, place) for row, place in places if row.part == part]
    for number, (row, place) in enumerate(found):
        if place is None:
            chosen.skipped[row.path] = "excluded, changed or gone since the run was trained"
            continue
        name = index.class_names[index.records[place].label]
        name = name_then.get(name, name)
        if name not in label_of:
            chosen.skipped[row.path] = f"the run has no class '{name}'"
        else:
            chosen.positions.append(place)
            chosen.labels.append(label_of[name])
            chosen.rows.append(number)
            chosen.num_relabelled += name != row.class_name
    if not chosen.positions:
        raise DatasetError(
            f"Expected the {len(chosen.skipped)} {part} images of run '{run.name}' in "
            f"'{index.data_dir}', found none of them. Evaluate it on another folder instead."
        )
    return part, chosen


def renamed_classes(run: Run, index: DatasetIndex) -> dict[str, str]:
    """Return which class of a run each class of its folder was that was renamed since.

    A class that the run does not have is taken for a renamed one if most of its images were of one
    class that is no longer there.

    Returns:
        The run's class name by the name of now, of renamed classes only.

    Raises:
        RunError: the run has no split.
    """
    return _renamed(_places(run.split(), index), index, run.class_names)


def _renamed(
    places: Sequence[tuple[SplitRow, int | None]], index: DatasetIndex, class_names: Sequence[str]
) -> dict[str, str]:
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for row, place in places:
        if place is not None:
            name = index.class_names[index.records[place].label]
            if name not in class_names and row.class_name not in index.class_names:
                votes[name][row.class_name] += 1
    return {name: counts.most_common(1)[0][0] for name, counts in votes.items()}


def select_all(run: Run, index: DatasetIndex) -> ImageSelection:
    """Select every image of the run's classes that was not used in its training.

    Images are compared by content, whatever their names. The run's own test images are included:
    the model has not seen them.

    Raises:
        DatasetError: no image is left.
    """
    label_of = {name: label for label, name in enumerate(run.class_names)}
    used = _used_in_training(run)
    chosen = ImageSelection()
    num_used = 0
    for position, record in enumerate(index.records):
        name = index.class_names[record.label]
        if name not in label_of:
            hint = did_you_mean(name, run.class_names)
            chosen.skipped[record.path] = f"the run has no class '{name}'.{hint}"
        elif record.sha256 in used:
            chosen.skipped[record.path] = used[record.sha256]
            num_used += 1
        else:
            chosen.positions.append(position)
            chosen.labels.append(label_of[name])
            chosen.rows.append(position)
    if not chosen.positions and num_used:
        raise DatasetError(
            f"Expected photos in '{index.data_dir}' that the run was not trained on, but it was "
            f"trained on all {num_used:,} of its classes. Choose a folder of other photos."
        )
    if not chosen.positions:
        raise DatasetError(
            f"Expected class folders named {', '.join(run.class_names)} in '{index.data_dir}', "
            f"found {', '.join(index.class_names)}. Rename the folders to the run's classes."
        )
    return chosen


def _used_in_training(run: Run) -> dict[str, str]:
    """Return how the run used each training and validation image, by sha256."""
    try:
        rows = run.split()
    except RunError:  # a run from another machine may have no split file
        return {}
    reasons = {"train": TRAINED_ON, "val": VALIDATED_WITH}
    return {row.sha256: reasons[row.part] for row in rows if row.part in reasons}


def _places(rows: Sequence[SplitRow], index: DatasetIndex) -> list[tuple[SplitRow, int | None]]:
    """Return each row with the position of its image, None if the image is missing.

    If no image is at the row's path, it is looked up by content among images that match no other
    row, so that a copy is never used twice.
    """
    by_path = {record.path: place for place, record in enumerate(index.records)}
    own: dict[str, int] = {}
    for row in rows:
        place = by_path.get(row.path)
        if place is not None and index.records[place].sha256 == row.sha256:
            own[row.path] = place
    taken = set(own.values())
    free: dict[str, deque[int]] = defaultdict(deque)
    for place, record in enumerate(index.records):
        if place not in taken:
            free[record.sha256].append(place)
    found: list[tuple[SplitRow, int | None]] = []
    for row in rows:
        place = own.get(row.path)
        if place is None and free[row.sha256]:
            place = free[row.sha256].popleft()
        found.append((row, place))
    return found

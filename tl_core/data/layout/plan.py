"""How a data folder is read, as a plan that can be shown and changed before anything is trained."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tl_core.data.layout.candidates import Candidate, build_layout, candidate_of, find_readings
from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.groups import GroupProposal, propose_groups
from tl_core.data.layout.label_files import ImageFinder
from tl_core.data.layout.layout_name import LayoutName
from tl_core.data.layout.other_formats import OtherFormat, set_masks_aside
from tl_core.data.layout.repeats import join_repeats
from tl_core.data.layout.tree import Tree, read_tree
from tl_core.errors import DatasetError
from tl_core.files import expand
from tl_core.progress import SILENT, Monitor

LINK_ROOT = "TL_LINK_ROOT"
"""Environment variable: the folder inside which links are followed on request."""

_MAX_LISTED = 8


@dataclass(frozen=True)
class Reading:
    """One way to read a folder.

    Attributes:
        name: what ``layout`` takes.
        class_counts: images of each class, by their names only: none was opened.
        part_counts: images in train, val and test; empty when no split is given.
        num_unlabelled: images without a class.
        left_out: images and label rows that this reading has no use for, counted by reason.
        num_groups: groups of images that stay together; 0 for none.
        reasons: why it is read so, in short sentences.
        examples: of a label file, (cell that names the file, its image, its class).
        preview: one image of each of the first classes.
    """

    name: str
    class_counts: dict[str, int]
    part_counts: dict[str, int]
    num_unlabelled: int
    left_out: dict[str, int]
    num_groups: int
    reasons: tuple[str, ...]
    examples: tuple[tuple[str, str, str], ...] = ()
    preview: dict[str, str] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """Images that have a class."""
        return sum(self.class_counts.values())

    @property
    def title(self) -> str:
        """One line, such as "3 classes with a given split"."""
        if not self.class_counts:
            count = self.num_unlabelled
            return f"{count:,} photos without classes" if count else "no photos"
        num = len(self.class_counts)
        text = f"{num:,} {'class' if num == 1 else 'classes'}"
        kind = LayoutName.parse(self.name)
        if kind.kind == "table":
            files = kind.argument.split(",")
            text += f" from {files[0] if len(files) == 1 else f'{len(files)} label files'}"
            if column := kind.options.get("label"):
                text += f" by '{column}'"
        elif kind.kind == "names":
            text += " from the file names"
        elif kind.kind == "variant":
            text += f" of '{kind.argument}'"
        elif kind.kind == "level":
            text += f" by folder level {kind.argument}"
        if self.part_counts:
            text += " with a given split"
        if self.num_groups:
            text += f" in {self.num_groups:,} groups"
        return text


@dataclass(frozen=True)
class LayoutPlan:
    """How a folder is read, and how else it could be.

    Attributes:
        data_dir: the folder.
        readings: the one that is taken comes first; empty when there is none.
        is_sure: whether no other reading is as plausible, or one was chosen.
        is_chosen: whether a person chose the reading.
        other: what the folder is when it is no dataset of class images.
        groups: how its images seem to belong together, for ``?group=``.
        links: links that were left out, and where they lead.
        unlabelled: the images without a class in the reading that is taken, those outside of
            class folders and without a row in the label file among them.

    Examples:
        >>> from tl_core import plan_layout
        >>> plan = plan_layout("photos")
        >>> plan.is_sure, plan.sentence
        (True, 'Read as 2 classes.')
    """

    data_dir: Path
    readings: tuple[Reading, ...]
    is_sure: bool
    is_chosen: bool
    other: OtherFormat | None
    groups: GroupProposal | None
    links: dict[str, str]
    unlabelled: tuple[str, ...]

    @property
    def chosen(self) -> Reading | None:
        """The reading that is taken, if there is one."""
        return self.readings[0] if self.readings else None

    @property
    def sentence(self) -> str:
        """What is done and what else could be, such as "Read as 3 classes. Other readings: ..."."""
        if self.chosen is None:
            return "" if self.other is None else self.other.message
        text = f"Read as {self.chosen.title}."
        others = [f"{one.title} ({one.name})" for one in self.readings[1 : _MAX_LISTED + 1]]
        return f"{text} Other readings: {'; '.join(others)}." if others else text


def plan_layout(
    data_dir: str | os.PathLike[str], layout: str | None = None, *, monitor: Monitor = SILENT
) -> LayoutPlan:
    """Return how a folder would be read, with the alternatives. No image is opened.

    Args:
        data_dir: the folder.
        layout: name of the reading to take; by default the most plausible one.
        monitor: checked at each folder.

    Raises:
        ConfigError: there is no such reading.
        DatasetError: there is no such folder, or the reading does not fit it.
        Stopped: ``monitor`` was asked to stop.

    Examples:
        >>> from tl_core import plan_layout
        >>> [(one.name, one.title) for one in plan_layout("photos").readings]
        [('class-folders', '2 classes')]
    """
    root = expand(data_dir).absolute()
    name = LayoutName.parse(layout) if layout else None
    tree = _tree(root, name, monitor)
    finder = ImageFinder.of(tree.top.all_images())
    readings = find_readings(tree, finder)
    candidates = readings.candidates
    if name is not None:
        chosen = candidate_of(tree, finder, name)
        candidates = [chosen, *(one for one in candidates if str(one.name) != str(name))]
    made = [(one, build_layout(one, tree, finder)) for one in candidates]
    first = made[0][1] if made else Layout()
    return LayoutPlan(
        data_dir=root,
        readings=tuple(_reading(one, found) for one, found in made),
        is_sure=readings.is_sure or name is not None,
        is_chosen=name is not None,
        other=readings.other,
        groups=propose_groups(first, readings.structure.inner_groups) or _column_groups(made),
        links=tree.links,
        unlabelled=tuple(first.without_class),
    )


def read_layout(root: Path, monitor: Monitor = SILENT, layout: str | None = None) -> Layout:
    """Return the files of a folder with their classes, by the named reading or the default one.

    Raises:
        ConfigError: there is no such reading.
        DatasetError: there is no such folder, the reading does not fit it, or it is no dataset of
            class images.
        Stopped: ``monitor`` was asked to stop.
    """
    name = LayoutName.parse(layout) if layout else None
    tree = _tree(root, name, monitor)
    finder = ImageFinder.of(tree.top.all_images()) if _has_tables(tree) else ImageFinder()
    if name is not None:
        return build_layout(candidate_of(tree, finder, name), tree, finder)
    readings = find_readings(tree, finder)
    if not readings.candidates:
        other = readings.other
        if other is None:
            raise DatasetError("There are no images.")
        raise DatasetError(other.message, remedy=other.remedy)
    chosen = readings.candidates[0]
    found = build_layout(chosen, tree, finder)
    if not readings.is_sure:
        found.alternatives = tuple(str(one.name) for one in readings.candidates[1:])
    return found


def _tree(root: Path, name: LayoutName | None, monitor: Monitor) -> Tree:
    follow = name is not None and name.options.get("links") == "follow"
    named = os.environ.get(LINK_ROOT)
    roots = [expand(named)] if named else [Path(os.path.realpath(root)).parent]
    tree = read_tree(root, monitor, follow_links=follow, link_roots=roots)
    set_masks_aside(tree)
    join_repeats(tree)
    return tree


def _has_tables(tree: Tree) -> bool:
    return any(folder.others for folder in tree.top.walk())


def _column_groups(made: Iterable[tuple[Candidate, Layout]]) -> GroupProposal | None:
    for candidate, layout in list(made)[:1]:
        labels = candidate.labels
        if labels is None or not labels.columns.group or any(file.group for file in layout.files):
            continue
        column = labels.columns.group
        values = {value for table, _ in labels.tables for value in table.column(column) if value}
        return GroupProposal(
            f"column:{column}",
            len(values),
            len(layout.files),
            f"column '{column}' says what the images show",
        )
    return None


def _reading(candidate: Candidate, layout: Layout) -> Reading:
    counts = Counter(file.class_name for file in layout.files)
    parts = Counter(file.part or "train" for file in layout.files)
    is_split = len({file.part for file in layout.files}) > 1
    preview: dict[str, str] = {}
    for file in layout.files:
        preview.setdefault(file.class_name, file.path)
    left_out = {reason: len(paths) for reason, paths in layout.ignored.items() if paths}
    if layout.missing:
        left_out["missing"] = len(layout.missing)
    return Reading(
        name=layout.name,
        class_counts={name: counts.get(name, 0) for name in layout.class_names},
        part_counts={part: parts[part] for part in ("train", "val", "test") if parts[part]}
        if is_split
        else {},
        num_unlabelled=len(layout.unlabelled),
        left_out=left_out,
        num_groups=len({file.group for file in layout.files if file.group is not None}),
        reasons=candidate.reasons,
        examples=candidate.labels.examples() if candidate.labels is not None else (),
        preview=dict(list(preview.items())[:_MAX_LISTED]),
    )

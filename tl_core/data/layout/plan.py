"""How a data folder is read, as a plan that can be shown and changed before anything is trained.

A reading has a name that says all there is to it, so that it can be kept, typed and written into a
run: ``class-folders``, ``top-folders``, ``level:2``, ``variant:color``, ``table:labels.csv``,
``names:{class}.{n}``, ``unlabelled``. Options follow as in a web address:
``class-folders?group=name:{group}_frame{n}&links=follow``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, unquote

from tl_core.data.layout.folder_layout import Layout, read_folders
from tl_core.data.layout.folder_structure import Structure, analyse, is_generic
from tl_core.data.layout.groups import (
    GROUPS_FILE,
    GroupProposal,
    apply_groups,
    group_paths,
    propose_groups,
    read_groups_file,
)
from tl_core.data.layout.label_files import ImageFinder
from tl_core.data.layout.name_patterns import compile_pattern, guess_class_pattern
from tl_core.data.layout.other_formats import (
    OtherFormat,
    box_list,
    multi_label,
    recognise,
)
from tl_core.data.layout.split_names import UNLABELLED, part_of_name
from tl_core.data.layout.table_layout import (
    Labels,
    agreement,
    find_labels,
    read_labels,
    split_lists,
)
from tl_core.data.layout.tree import Tree, read_tree
from tl_core.errors import ConfigError, DatasetError, did_you_mean
from tl_core.files import expand
from tl_core.progress import SILENT, Monitor

LINK_ROOT = "TL_LINK_ROOT"
"""Environment variable: the folder inside which links are followed on request."""

KINDS = ("class-folders", "top-folders", "level", "variant", "table", "names", "unlabelled")
_OPTIONS = ("file", "label", "split", "group", "links")
_MAX_LISTED = 8
_SAFE = " /:{}*.()+,@!$-_~[]'"


@dataclass(frozen=True)
class LayoutName:
    """The name of a reading in its pieces."""

    kind: str
    argument: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> LayoutName:
        """Read the name of a reading.

        Raises:
            ConfigError: there is no such kind of reading or option.

        Example:
            >>> LayoutName.parse("table:labels.csv?label=breed").options
            {'label': 'breed'}
        """
        head, _, tail = text.strip().partition("?")
        kind, _, argument = head.partition(":")
        if kind not in KINDS:
            raise ConfigError(
                f"Expected a layout out of {', '.join(KINDS)}, received '{text}'."
                f"{did_you_mean(kind, KINDS)}"
            )
        options = {}
        for pair in filter(None, tail.split("&")):
            key, _, value = pair.partition("=")
            if key not in _OPTIONS:
                raise ConfigError(
                    f"Expected layout options out of {', '.join(_OPTIONS)}, received '{key}'."
                    f"{did_you_mean(key, _OPTIONS)}"
                )
            options[key] = unquote(value)
        if kind == "level" and not argument.isdecimal():
            raise ConfigError(f"Expected a level such as 'level:2', received '{text}'.")
        if kind in ("variant", "table", "names") and not argument:
            raise ConfigError(f"Expected something after '{kind}:', received '{text}'.")
        return cls(kind, unquote(argument), options)

    def __str__(self) -> str:
        head = f"{self.kind}:{quote(self.argument, safe=_SAFE)}" if self.argument else self.kind
        told = "&".join(
            f"{key}={quote(value, safe=_SAFE)}" for key, value in self.options.items() if value
        )
        return f"{head}?{told}" if told else head

    def with_options(self, **changes: str) -> LayoutName:
        """Return the same reading with other options; an empty value takes one away."""
        merged = {**self.options, **changes}
        return LayoutName(
            self.kind, self.argument, {key: value for key, value in merged.items() if value}
        )


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
            return f"{self.num_unlabelled:,} photos without classes"
        num = len(self.class_counts)
        told = f"{num:,} {'class' if num == 1 else 'classes'}"
        kind = LayoutName.parse(self.name)
        if kind.kind == "table":
            files = kind.argument.split(",")
            told += f" from {files[0] if len(files) == 1 else f'{len(files)} label files'}"
        elif kind.kind == "names":
            told += " from the file names"
        elif kind.kind == "variant":
            told += f" of '{kind.argument}'"
        elif kind.kind == "level":
            told += f" by folder level {kind.argument}"
        if self.part_counts:
            told += " with a given split"
        if self.num_groups:
            told += f" in {self.num_groups:,} groups"
        return told


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
        unlabelled: the images without a class in the reading that is taken.

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
        told = f"Read as {self.chosen.title}."
        others = [f"{one.title} ({one.name})" for one in self.readings[1 : _MAX_LISTED + 1]]
        return f"{told} Other readings: {'; '.join(others)}." if others else told


@dataclass
class _Candidate:
    """A reading that can be made; made only when it is asked for."""

    name: LayoutName
    build: Callable[[], Layout]
    reasons: tuple[str, ...] = ()
    labels: Labels | None = None

    @cached_property
    def layout(self) -> Layout:
        layout = self.build()
        layout.name = str(self.name)
        return layout


@dataclass
class _Readings:
    """All candidates for a tree, the default first."""

    candidates: list[_Candidate]
    is_sure: bool
    other: OtherFormat | None
    structure: Structure


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
    readings = _find_readings(tree, finder)
    candidates = readings.candidates
    if name is not None:
        chosen = _candidate(tree, finder, name)
        candidates = [chosen, *(one for one in candidates if str(one.name) != str(name))]
    made = [(one, _finished(one, tree, finder)) for one in candidates]
    first = made[0][1] if made else Layout()
    return LayoutPlan(
        data_dir=root,
        readings=tuple(_reading(one, found) for one, found in made),
        is_sure=readings.is_sure or name is not None,
        is_chosen=name is not None,
        other=readings.other,
        groups=propose_groups(first, readings.structure.inner_groups) or _column_groups(made),
        links=tree.links,
        unlabelled=tuple(first.unlabelled),
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
        return _finished(_candidate(tree, finder, name), tree, finder)
    readings = _find_readings(tree, finder)
    if not readings.candidates:
        other = readings.other
        raise DatasetError(other.message if other is not None else "There are no images.")
    chosen = readings.candidates[0]
    found = _finished(chosen, tree, finder)
    if not readings.is_sure:
        found.alternatives = tuple(str(one.name) for one in readings.candidates[1:])
    return found


def _tree(root: Path, name: LayoutName | None, monitor: Monitor) -> Tree:
    follow = name is not None and name.options.get("links") == "follow"
    named = os.environ.get(LINK_ROOT)
    roots = [expand(named)] if named else [Path(os.path.realpath(root)).parent]
    return read_tree(root, monitor, follow_links=follow, link_roots=roots)


def _has_tables(tree: Tree) -> bool:
    return any(folder.others for folder in tree.top.walk())


def _find_readings(tree: Tree, finder: ImageFinder) -> _Readings:
    """Return the readings that fit a tree, the most plausible first."""
    structure = analyse(tree.top)
    other = recognise(tree) if not structure.has_classes else None
    if tree.top.num_images == 0:
        empty = [] if other is not None else _folder_candidates(tree, finder, structure)[:1]
        return _Readings(empty, True, other, structure)
    folders = _folder_candidates(tree, finder, structure)
    tables = find_labels(tree, finder)
    usable = [one for one in tables if not one.is_multi_label and not one.is_box_list]
    if not structure.has_classes and tables and not usable:
        worst = tables[0]
        other = other or (
            box_list(worst.paths[0])
            if worst.is_box_list
            else multi_label(worst.paths, worst.several, worst.num_rows)
        )
    by_table = [_table_candidate(tree, one) for one in usable if _is_enough(one, tree)]
    if structure.has_classes:
        return _with_folders(tree, structure, folders, by_table, other)
    if other is not None and not by_table:
        return _Readings([], True, other, structure)
    if by_table:
        return _Readings([*by_table, *folders], True, None, structure)
    by_name = _name_candidates(tree)
    without = _unlabelled_candidate(tree)
    if by_name:
        return _Readings([*by_name, without, *folders], True, None, structure)
    if len(structure.base.filled) > 1:
        return _Readings([*folders, without], False, None, structure)
    if structure.base.filled:
        return _Readings(folders, True, None, structure)
    return _Readings([without], True, None, structure)


def _with_folders(
    tree: Tree,
    structure: Structure,
    folders: list[_Candidate],
    tables: list[_Candidate],
    other: OtherFormat | None,
) -> _Readings:
    """Rank label files against folders that could be classes."""
    is_sure = structure.is_sure
    if not tables:
        return _Readings(folders, is_sure, other, structure)
    best = tables[0]
    first = folders[0].layout
    named = [name for name, paths in first.classes.items() if paths]
    all_generic = sum(map(is_generic, named)) >= 0.9 * len(named)
    labels = best.labels
    agrees = agreement(labels, first) if labels is not None else 0.0
    if labels is not None and agrees >= 0.98:
        # The file says what the folders say. It counts when it says more: a split, more images.
        says_more = bool(labels.columns.split) or len(labels.paths) > 1
        given = len({file.part for file in first.files}) > 1
        if labels.num_labelled > 1.02 * len(first.files) or (says_more and not given):
            return _Readings([*tables, *folders], True, None, structure)
        return _Readings([*folders, *tables], is_sure, None, structure)
    if all_generic:
        return _Readings([*tables, *folders], True, None, structure)
    covers = labels is not None and labels.num_labelled >= 0.5 * len(first.files)
    return _Readings([*folders, *tables], is_sure and not covers, None, structure)


def _folder_candidates(tree: Tree, finder: ImageFinder, structure: Structure) -> list[_Candidate]:
    """Return the readings by folders: levels, variants, and the folders at the top."""
    names = [LayoutName("class-folders")]
    names += [LayoutName("level", str(level)) for level in structure.levels if level > 1]
    names += [LayoutName("variant", name) for name in structure.variants]
    if structure.parts is not None:
        names.append(LayoutName("top-folders"))
    if structure.level > 1:
        preferred = LayoutName("level", str(structure.level))
    elif structure.variants:
        preferred = LayoutName("variant", structure.variants[0])
    else:
        preferred = names[0]
        if structure.parts is None and _parts_inside(tree, finder, structure):
            preferred = LayoutName("class-folders", "", {"split": "lists"})
            names.insert(0, preferred)
    names.sort(key=lambda name: str(name) != str(preferred))
    return [_folder_candidate(tree, finder, name, structure.reasons) for name in names]


def _parts_inside(tree: Tree, finder: ImageFinder, structure: Structure) -> bool:
    return structure.has_classes and bool(split_lists(tree, finder))


def _folder_candidate(
    tree: Tree, finder: ImageFinder, name: LayoutName, reasons: Sequence[str] = ()
) -> _Candidate:
    def build() -> Layout:
        if name.kind == "top-folders":
            return read_folders(tree, split=False)
        if name.kind == "level":
            return read_folders(tree, level=int(name.argument))
        if name.kind == "variant":
            return read_folders(tree, variant=name.argument)
        layout = read_folders(tree)
        if name.options.get("split") == "lists":
            part_of = split_lists(tree, finder)
            layout.set_parts(part_of)
        return layout

    told = {
        "class-folders": ("each folder is a class", *reasons),
        "top-folders": ("each folder at the top is a class, whatever its name",),
        "level": (f"level {name.argument} of the folders names the class", *reasons),
        "variant": (f"only '{name.argument}' is read", *reasons),
    }
    why = told[name.kind]
    if name.options.get("split") == "lists":
        why = (*why, "text files list which images are train, val and test")
    return _Candidate(name, build, why)


def _table_candidate(
    tree: Tree, labels: Labels, options: Mapping[str, str] | None = None
) -> _Candidate:
    name = LayoutName("table", ",".join(labels.paths), options or {})
    columns = labels.columns
    told = (
        f"column '{columns.file}' names the images and the marked column of "
        f"{len(columns.one_hot)} the class"
        if columns.one_hot
        else f"column '{columns.file}' names the images and '{columns.label}' the class"
    )
    reasons = [told]
    if columns.split:
        reasons.append(f"column '{columns.split}' gives the split")
    return _Candidate(name, lambda: read_labels(tree, labels, name.options), tuple(reasons), labels)


def _name_candidates(tree: Tree) -> list[_Candidate]:
    images = [image.path for image in tree.top.all_images()]
    part_of = {name: part_of_name(name) for name in tree.top.filled}
    train = [path for path in images if part_of.get(path.partition("/")[0]) == "train"]
    pattern = guess_class_pattern(train or images)
    if pattern is None:
        return []
    return [_name_candidate(tree, LayoutName("names", pattern))]


def _name_candidate(tree: Tree, name: LayoutName) -> _Candidate:
    def build() -> Layout:
        return _read_names(tree, name)

    reason = f"file names fit the pattern '{name.argument}'"
    return _Candidate(name, build, (reason,))


def _read_names(tree: Tree, name: LayoutName) -> Layout:
    pattern = compile_pattern(name.argument, "class")
    layout = Layout()
    for image in tree.top.all_images():
        tops = image.path.split("/")[:-1]
        part = next((one for one in map(part_of_name, tops) if one is not None), None)
        class_name = None if part == UNLABELLED else pattern.read(image.path, "class")
        group = pattern.read(image.path, "group") if pattern.reads("group") else None
        if class_name is not None:
            layout.classes.setdefault(class_name, [])
            layout.add(image, class_name, part, group)
        elif part in ("test", UNLABELLED):
            layout.unlabelled.append(image.path)
        else:
            layout.ignored["no_class"].append(image.path)
    return layout.finish(tree)


def _unlabelled_candidate(tree: Tree) -> _Candidate:
    def build() -> Layout:
        layout = Layout()
        layout.unlabelled = [image.path for image in tree.top.all_images()]
        return layout.finish(tree)

    return _Candidate(
        LayoutName("unlabelled"), build, ("neither folders nor names nor a file give classes",)
    )


def _candidate(tree: Tree, finder: ImageFinder, name: LayoutName) -> _Candidate:
    """Return the reading of that name.

    Raises:
        DatasetError: it does not fit the folder.
    """
    if name.kind == "names":
        compile_pattern(name.argument, "class")
        return _name_candidate(tree, name)
    if name.kind == "unlabelled":
        return _unlabelled_candidate(tree)
    if name.kind != "table":
        return _folder_candidate(tree, finder, name, analyse(tree.top).reasons)
    if not finder.by_path:
        finder = ImageFinder.of(tree.top.all_images())
    paths = [path for path in name.argument.split(",") if path]
    found = find_labels(tree, finder, paths, name.options)
    if not found:
        raise DatasetError(
            f"Expected a table in '{name.argument}' with a column of image files and one of "
            "classes, found none. Name the columns, as in "
            f"'table:{name.argument}?file=FILE_COLUMN&label=CLASS_COLUMN'."
        )
    if found[0].is_multi_label:
        one = found[0]
        raise DatasetError(multi_label(one.paths, one.several, one.num_rows).message)
    candidate = _table_candidate(tree, found[0], name.options)
    candidate.name = name
    return candidate


def _finished(candidate: _Candidate, tree: Tree, finder: ImageFinder) -> Layout:
    """Return a candidate's layout with the groups that are asked for or written beside it."""
    layout = candidate.layout
    spec = candidate.name.options.get("group", "")
    if spec and not spec.startswith("column:"):
        apply_groups(layout, group_paths(layout, spec))
    elif not spec and (groups := read_groups_file(tree, finder)):
        apply_groups(layout, groups)
        layout.sources = (*layout.sources, GROUPS_FILE)
        layout.ignored["other"].remove(GROUPS_FILE)
    return layout


def _is_enough(labels: Labels, tree: Tree) -> bool:
    """Whether label files say enough to be a reading: at least two classes, not a handful."""
    return labels.num_labelled >= 2 and labels.num_labelled >= 0.1 * tree.top.num_images


def _column_groups(made: Iterable[tuple[_Candidate, Layout]]) -> GroupProposal | None:
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


def _reading(candidate: _Candidate, layout: Layout) -> Reading:
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

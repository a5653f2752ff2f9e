"""The readings that fit a data folder, ranked by how plausible they are.

Folders, label files and file names are looked at; a reading is built only when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tl_core.data.layout.folder_layout import Layout, read_folders
from tl_core.data.layout.folder_structure import Structure, analyse, is_generic
from tl_core.data.layout.groups import GROUPS_FILE, apply_groups, group_paths, read_groups_file
from tl_core.data.layout.label_files import ImageFinder
from tl_core.data.layout.layout_name import LayoutName
from tl_core.data.layout.name_patterns import compile_pattern, guess_class_pattern
from tl_core.data.layout.other_formats import OtherFormat, box_list, multi_label, recognise
from tl_core.data.layout.split_names import UNLABELLED, part_of_name
from tl_core.data.layout.table_columns import is_label_word
from tl_core.data.layout.table_layout import (
    Labels,
    agreement,
    find_labels,
    read_labels,
    split_lists,
)
from tl_core.data.layout.tree import Tree
from tl_core.errors import DatasetError


@dataclass
class Candidate:
    """A reading that fits a folder; its layout is built when it is first used."""

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
class Readings:
    """All candidates for a tree, the default first."""

    candidates: list[Candidate]
    is_sure: bool
    other: OtherFormat | None
    structure: Structure


def find_readings(tree: Tree, finder: ImageFinder) -> Readings:
    """Return the readings that fit a tree, the most plausible first.

    Args:
        tree: the files of the data folder.
        finder: finds its images by what label files call them.
    """
    structure = analyse(tree.top)
    other = recognise(tree) if not structure.has_classes else None
    if tree.top.num_images == 0:
        empty = [] if other is not None else _folder_candidates(tree, finder, structure)[:1]
        return Readings(empty, True, other, structure)
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
    is_sure = not by_table or not _is_ambiguous(by_table[0])
    if by_table:
        by_table[1:1] = _other_columns(tree, finder, by_table[0])
    if structure.has_classes:
        return _with_folders(structure, folders, by_table, other, is_sure)
    if by_table:
        return Readings([*by_table, *folders], is_sure, None, structure)
    by_name = [] if other is not None and other.is_certain else _name_candidates(tree)
    without = _unlabelled_candidate(tree)
    if by_name:
        return Readings([*by_name, without, *folders], True, None, structure)
    if other is not None:
        return Readings([], True, other, structure)
    if structure.base.filled:  # one folder may be a class or hold photos of several
        return Readings([*folders, without], False, None, structure)
    return Readings([without], True, None, structure)


def _is_ambiguous(candidate: Candidate) -> bool:
    """Whether other columns of a label file are as plausible as the one taken for the class."""
    labels = candidate.labels
    if labels is None or labels.columns.one_hot or not labels.other_columns:
        return False
    return not is_label_word(labels.columns.label)


def _other_columns(tree: Tree, finder: ImageFinder, candidate: Candidate) -> list[Candidate]:
    """Return the readings of a label file by its other columns."""
    if candidate.labels is None:
        return []
    found = []
    for name in candidate.labels.other_columns:
        options = {"label": name}
        labels = find_labels(tree, finder, candidate.labels.paths, options)
        if labels and not labels[0].is_multi_label:
            found.append(_table_candidate(tree, labels[0], options))
    return found


def _with_folders(
    structure: Structure,
    folders: list[Candidate],
    tables: list[Candidate],
    other: OtherFormat | None,
    is_table_sure: bool,
) -> Readings:
    """Rank label files against folders that could be classes."""
    is_sure = structure.is_sure and folders[0].name.options.get("split") != "none"
    if not tables:
        return Readings(folders, is_sure, other, structure)
    best = tables[0]
    first = folders[0].layout
    named = [name for name, paths in first.classes.items() if paths]
    all_generic = sum(map(is_generic, named)) >= 0.9 * len(named) or _differ_in_numbers(named)
    labels = best.labels
    agrees = agreement(labels, first) if labels is not None else 0.0
    if labels is not None and agrees >= 0.98:
        # The file says what the folders say. It counts when it says more: a split, more images.
        says_more = bool(labels.columns.split) or len(labels.paths) > 1
        given = len({file.part for file in first.files}) > 1
        if labels.num_labelled > 1.02 * len(first.files) or (says_more and not given):
            return Readings([*tables, *folders], True, None, structure)
        return Readings([*folders, *tables], is_sure, None, structure)
    if all_generic:
        return Readings([*tables, *folders], is_table_sure, None, structure)
    covers = labels is not None and labels.num_labelled >= 0.5 * len(first.files)
    return Readings([*folders, *tables], is_sure and not covers, None, structure)


def _differ_in_numbers(names: Sequence[str]) -> bool:
    """Whether names such as "images_part_1" and "images_part_2" say nothing but a number."""
    return len(names) > 1 and len({re.sub(r"\d+", "", name) for name in names}) == 1


def _folder_candidates(tree: Tree, finder: ImageFinder, structure: Structure) -> list[Candidate]:
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
    made = [_folder_candidate(tree, finder, name, structure.reasons) for name in names]
    if (structure.parts or structure.variants) and _trains_one_class(made[0].layout):
        free = made[0].name.with_options(split="none")
        made.insert(0, _folder_candidate(tree, finder, free, structure.reasons))
    return made


def _trains_one_class(layout: Layout) -> bool:
    """Whether a given split leaves one class to train on, as sets for detecting anomalies do."""
    trained = {file.class_name for file in layout.files if file.part in (None, "train")}
    return len(trained) == 1 and len({file.class_name for file in layout.files}) > 1


def _parts_inside(tree: Tree, finder: ImageFinder, structure: Structure) -> bool:
    return structure.has_classes and bool(split_lists(tree, finder))


def _folder_candidate(
    tree: Tree, finder: ImageFinder, name: LayoutName, reasons: Sequence[str] = ()
) -> Candidate:
    def build() -> Layout:
        if name.kind == "top-folders":
            return read_folders(tree, split=False)
        if name.kind == "level":
            return read_folders(tree, level=int(name.argument))
        variant = name.argument if name.kind == "variant" else None
        layout = read_folders(tree, variant=variant)
        if name.options.get("split") == "lists":
            part_of = split_lists(tree, finder)
            layout.set_parts(part_of)
        elif name.options.get("split") == "none":
            layout.set_parts({})
        return layout

    reasons_of = {
        "class-folders": ("each folder is a class", *reasons),
        "top-folders": ("each folder at the top is a class, whatever its name",),
        "level": (f"level {name.argument} of the folders names the class", *reasons),
        "variant": (f"only '{name.argument}' is read", *reasons),
    }
    why = reasons_of[name.kind]
    if name.options.get("split") == "lists":
        why = (*why, "text files list which images are train, val and test")
    elif name.options.get("split") == "none":
        why = (*why, "the given split is not kept: train has one class alone")
    return Candidate(name, build, why)


def _table_candidate(
    tree: Tree, labels: Labels, options: Mapping[str, str] | None = None
) -> Candidate:
    name = LayoutName("table", ",".join(labels.paths), options or {})
    columns = labels.columns
    what = (
        f"column '{columns.file}' names the images and the marked column of "
        f"{len(columns.one_hot)} the class"
        if columns.one_hot
        else f"column '{columns.file}' names the images and '{columns.label}' the class"
    )
    reasons = [what]
    if columns.split:
        reasons.append(f"column '{columns.split}' gives the split")
    return Candidate(name, lambda: read_labels(tree, labels, name.options), tuple(reasons), labels)


def _name_candidates(tree: Tree) -> list[Candidate]:
    images = [image.path for image in tree.top.all_images()]
    part_of = {name: part_of_name(name) for name in tree.top.filled}
    train = [path for path in images if part_of.get(path.partition("/")[0]) == "train"]
    pattern = guess_class_pattern(train or images)
    if pattern is None:
        return []
    return [_name_candidate(tree, LayoutName("names", pattern))]


def _name_candidate(tree: Tree, name: LayoutName) -> Candidate:
    def build() -> Layout:
        return _read_names(tree, name)

    reason = f"file names fit the pattern '{name.argument}'"
    return Candidate(name, build, (reason,))


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


def _unlabelled_candidate(tree: Tree) -> Candidate:
    def build() -> Layout:
        layout = Layout()
        layout.unlabelled = [image.path for image in tree.top.all_images()]
        return layout.finish(tree)

    return Candidate(
        LayoutName("unlabelled"), build, ("neither folders nor names nor a file give classes",)
    )


def candidate_of(tree: Tree, finder: ImageFinder, name: LayoutName) -> Candidate:
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
            "classes, found none. Name the columns.",
            remedy="column",
        )
    if found[0].is_multi_label:
        one = found[0]
        other = multi_label(one.paths, one.several, one.num_rows)
        raise DatasetError(other.message, remedy=other.remedy)
    candidate = _table_candidate(tree, found[0], name.options)
    candidate.name = name
    return candidate


def build_layout(candidate: Candidate, tree: Tree, finder: ImageFinder) -> Layout:
    """Return a candidate's layout with the groups that its name or a file asks for."""
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

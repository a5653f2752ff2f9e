"""Classes from label files: which tables there are, and the layout that comes of them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tl_core.data.layout.folder_layout import Layout
from tl_core.data.layout.label_files import (
    ImageFinder,
    Table,
    is_table_name,
    read_table,
    read_text,
)
from tl_core.data.layout.split_names import UNLABELLED, part_of_file, part_of_name
from tl_core.data.layout.table_columns import Columns, Guess, find_columns, label_of, part_of_cell
from tl_core.data.layout.tree import Folder, ImageFile, Tree
from tl_core.files import parse_json

_MAX_TABLES = 40
_MAX_SEVERAL = 0.01  # of the rows: more that carry several labels make it another task
_INTEGER = re.compile(r"\d{1,15}(\.0+)?")  # no class has a longer number
_NAME_LISTS = re.compile(r"(?i)(class|label|categor|name|species|breed)")
_NUM_EXAMPLES = 5
_MAX_DIGITS = 15  # of the number of a class
_MAX_NAMES_BYTES = 2**20


@dataclass(frozen=True)
class Labels:
    """One or more label files of the same columns, and what they say about the images there are.

    Attributes:
        tables: each with what was guessed of it.
        num_labelled: images that get a class.
        several: rows that carry several labels.
        num_rows: rows in all.
        is_box_list: whether a column has boxes, which makes this a detection dataset.
    """

    tables: tuple[tuple[Table, Guess], ...]
    num_labelled: int
    several: int
    num_rows: int
    is_box_list: bool

    @property
    def columns(self) -> Columns:
        """Which columns mean what; equal in all tables."""
        found = self.tables[0][1].columns
        if found is None:
            raise ValueError("these tables have no label column")
        return found

    @property
    def paths(self) -> tuple[str, ...]:
        """The label files, relative to the root."""
        return tuple(table.path for table, _ in self.tables)

    @property
    def other_columns(self) -> tuple[str, ...]:
        """Further columns that could name the class, in all tables."""
        return tuple(
            name
            for name in self.tables[0][1].others
            if all(name in guess.others for _, guess in self.tables)
        )

    @property
    def is_multi_label(self) -> bool:
        """Whether so many rows carry several labels that it is another task."""
        return self.several > _MAX_SEVERAL * self.num_rows

    def examples(self) -> tuple[tuple[str, str, str], ...]:
        """Return the first rows as (cell that names the file, its image, its class)."""
        rows = []
        for table, guess in self.tables:
            place = table.place_of[self.columns.file]
            for row, image in zip(table.rows, guess.images, strict=True):
                if image is not None:
                    rows.append((row[place], image.path, label_of(table, self.columns, row)))
                if len(rows) == _NUM_EXAMPLES:
                    return tuple(rows)
        return tuple(rows)


def find_labels(
    tree: Tree,
    finder: ImageFinder,
    paths: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> list[Labels]:
    """Return the label files of a tree that name images and classes, the best first.

    Args:
        tree: what lies below the root.
        finder: of its images.
        paths: read these files only.
        options: the columns that a person chose: ``file``, ``label``, ``split``, ``column``.
    """
    chosen = options or {}
    wanted = list(paths) or _table_paths(tree.top)
    grouped: dict[tuple[tuple[str, ...], Columns], list[tuple[Table, Guess]]] = defaultdict(list)
    for path in wanted[:_MAX_TABLES]:
        table = read_table(tree.root, path, finder)
        if table is None:
            continue
        guess = find_columns(
            table,
            finder,
            file=chosen.get("file", ""),
            label=chosen.get("label", ""),
            split=chosen.get("split", ""),
            group=chosen.get("group", "").removeprefix("column:"),
        )
        if guess is not None and guess.columns is not None:
            same = replace(guess.columns, split="", group="")
            grouped[table.columns, same].append((table, guess))
    found = [_labels(tables) for tables in grouped.values()]
    return sorted(found, key=lambda labels: (-labels.num_labelled, labels.paths))


def read_labels(tree: Tree, labels: Labels, options: Mapping[str, str]) -> Layout:
    """Return the layout in which the classes come from label files."""
    layout = Layout(sources=labels.paths)
    columns = labels.columns
    folder_part = _folder_parts(tree.top)
    said: dict[str, tuple[str, str | None, str | None]] = {}
    images: dict[str, ImageFile] = {}
    conflicting: set[str] = set()
    takes_group = bool(columns.group) and (
        columns.group.casefold() == "group" or options.get("group") == f"column:{columns.group}"
    )
    for table, guess in labels.tables:
        place_of = {name: place for place, name in enumerate(table.columns)}
        own_part = part_of_file(table.path)
        for row, image in zip(table.rows, guess.images, strict=True):
            if image is None:
                layout.missing.append(row[place_of[columns.file]])
                continue
            name = label_of(table, columns, row)
            part = (
                part_of_cell(columns.split, row[place_of[columns.split]])
                if columns.split
                else own_part or folder_part.get(image.path.partition("/")[0])
            )
            together = row[place_of[columns.group]] if takes_group else ""
            entry = (name, part if part != UNLABELLED else None, together or None)
            images[image.path] = image
            if image.path in said and said[image.path][0] != name:
                conflicting.add(image.path)
            said.setdefault(image.path, entry)
    names = _class_names_of(tree, {entry[0] for entry in said.values() if entry[0]}, labels.paths)
    for path, (label, part, group) in said.items():
        if path in conflicting:
            layout.ignored["two_labels"].append(path)
        elif not label:
            layout.unlabelled.append(path)
        else:
            name = names.get(label, label)
            layout.classes.setdefault(name, [])
            layout.add(images[path], name, part, group)
    labelled_tops = {path.partition("/")[0] for path in said}
    for image in tree.top.all_images():
        if image.path not in said:
            top = image.path.partition("/")[0]
            is_held_out = folder_part.get(top) in ("test", UNLABELLED) and top not in labelled_tops
            (layout.unlabelled if is_held_out else layout.ignored["no_row"]).append(image.path)
    return layout.finish(tree)


def split_lists(tree: Tree, finder: ImageFinder) -> dict[str, str]:
    """Return the part of each image that text files such as ``train.txt`` list, by path.

    Empty when there are none, or when they do not list nearly all images.
    """
    part_of: dict[str, str] = {}
    for folder in tree.top.walk():
        for name in folder.others:
            part = part_of_name(name.rpartition(".")[0])
            if part is None or part == UNLABELLED or not name.lower().endswith((".txt", ".lst")):
                continue
            for image in _listed(tree.root, folder.path, name, finder):
                part_of.setdefault(image.path, part)
    if len(set(part_of.values())) < 2 or len(part_of) < 0.9 * tree.top.num_images:
        return {}
    return part_of


def _listed(root: Path, folder: str, name: str, finder: ImageFinder) -> list[ImageFile]:
    lines = read_text(root / folder / name).splitlines()
    found = []
    for line in lines:
        words = line.split(maxsplit=1)
        image = finder.find(line, folder) or (finder.find(words[0], folder) if words else None)
        if image is not None:
            found.append(image)
    return found if len(found) >= 0.8 * len(lines) else []


def _table_paths(top: Folder) -> list[str]:
    """Return the files that may be tables, those nearest to the root first."""
    paths = [
        f"{folder.path}{name}"
        for folder in top.walk()
        for name in folder.others
        if is_table_name(name)
    ]
    # Hundreds of JSON files are one for each image: annotations, which other_formats.py names.
    csvs = [path for path in paths if path.lower().endswith((".csv", ".tsv"))]
    chosen = paths if len(paths) <= _MAX_TABLES else csvs
    return sorted(chosen, key=lambda path: (path.count("/"), path))


def _labels(tables: list[tuple[Table, Guess]]) -> Labels:
    tables = sorted(tables, key=lambda pair: pair[0].path)
    named: set[str] = set()
    for table, guess in tables:
        if guess.columns is None:
            continue
        for row, image in zip(table.rows, guess.images, strict=True):
            if image is not None and label_of(table, guess.columns, row):
                named.add(image.path)
    boxes = re.compile(r"(?i)(?:^|[._])(x_?min|xmax|bbox|box|x1|left|bounding_?box.*)$")
    is_box_list = any(boxes.search(name) for table, _ in tables for name in table.columns)
    return Labels(
        tuple(tables),
        len(named),
        sum(guess.several for _, guess in tables) + _several_by_repeats(tables),
        sum(len(table.rows) for table, _ in tables),
        is_box_list,
    )


def _several_by_repeats(tables: Iterable[tuple[Table, Guess]]) -> int:
    """Return how many rows give an image another label than a row before did."""
    first: dict[str, str] = {}
    count = 0
    for table, guess in tables:
        if guess.columns is None:
            continue
        for row, image in zip(table.rows, guess.images, strict=True):
            if image is not None:
                name = label_of(table, guess.columns, row)
                count += first.setdefault(image.path, name) != name
    return count


def _folder_parts(top: Folder) -> dict[str, str]:
    """Return the part of each folder at the top whose name says one."""
    return {name: part for name in top.filled if (part := part_of_name(name)) is not None}


def _class_names_of(tree: Tree, labels: set[str], sources: Sequence[str]) -> Mapping[str, str]:
    """Return names for labels that are numbers only, where a file beside gives one for each."""
    if not labels or not all(_INTEGER.fullmatch(label) for label in labels):
        return {}
    numbers = {label: int(float(label)) for label in labels}
    for folder in tree.top.walk():
        for name in sorted(folder.others):
            path = f"{folder.path}{name}"
            if path in sources or not _NAME_LISTS.search(name):
                continue
            named = _read_names(tree.root / path)
            if named and all(number in named for number in numbers.values()):
                found = {label: named[number] for label, number in numbers.items()}
                if len(set(found.values())) == len(found):
                    return found
    return {}


def _read_names(path: Path) -> dict[int, str]:
    """Return the name of each number that a small file lists: JSON, CSV or one name a line."""
    text = read_text(path, _MAX_NAMES_BYTES)
    if path.suffix.lower() == ".json":
        try:
            value = parse_json(text)
        except ValueError:
            return {}
        if isinstance(value, list) and all(isinstance(one, str) for one in value):
            return dict(enumerate(value))
        if not isinstance(value, dict):
            return {}
        pairs = [(str(key), str(one)) for key, one in value.items()]
    else:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        pairs = []
        for line in lines:
            cells = [cell.strip().strip('"') for cell in re.split(r"[,;\t]", line, maxsplit=1)]
            if len(cells) < 2:
                cells = line.split(maxsplit=1)
            if len(cells) == 2 and (_is_number(cells[0]) or _is_number(cells[1])):
                pairs.append((cells[0], cells[1]))
        if not pairs and path.suffix.lower() in (".txt", ".names"):
            return dict(enumerate(lines))
    if all(_is_number(number) for number, _ in pairs):
        return {int(number): name for number, name in pairs}
    if all(_is_number(number) for _, number in pairs):
        return {int(number): name for name, number in pairs}
    return {int(number): name for number, name in pairs if _is_number(number)}


def _is_number(text: str) -> bool:
    return text.isdecimal() and len(text) <= _MAX_DIGITS


def agreement(labels: Labels, layout: Layout) -> float:
    """Return the share of the images in both whose classes correspond one to one."""
    by_table: dict[str, str] = {}
    for table, guess in labels.tables:
        for row, image in zip(table.rows, guess.images, strict=True):
            if image is not None:
                by_table[image.path] = label_of(table, labels.columns, row)
    pairs = [
        (file.class_name, by_table[file.path]) for file in layout.files if file.path in by_table
    ]
    if not pairs:
        return 0.0
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for name, label in pairs:
        counted[name][label] += 1
    best = {name: own.most_common(1)[0] for name, own in counted.items()}
    if len({label for label, _ in best.values()}) < len(best):
        return 0.0
    return sum(count for _, count in best.values()) / len(pairs)

"""Label files beside images: CSV, TSV, JSON and JSON lines, in whatever form people have them.

:func:`read_table` makes rows and columns of a file; :func:`find_columns` guesses which column names
the file and which the class by holding their values against the images that are there.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from tl_core.data.images.images import SUFFIXES
from tl_core.data.layout.split_names import part_of_value
from tl_core.data.layout.tree import ImageFile

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
MAX_TABLE_BYTES = 64 * 2**20
MAX_ROWS = 2_000_000
MULTI = "\x1f"  # between several values that one cell of a JSON file holds

_SAMPLE = 300
_SUBMISSION = re.compile(r"(?i)submission|sample_?sub")
_FILE_WORDS = re.compile(
    r"(?i)file|image|img|path|uri|url|photo|picture|^id$|_id$|^name$|^x$|^key$|^src$"
)
_LABEL_WORDS = (
    *("label_name", "class_name", "category_name", "label", "labels", "class", "classname"),
    *("category", "target", "diagnosis", "dx", "breed", "species", "variety", "disease", "type"),
    *(
        "tag",
        "tags",
        "y",
        "truth",
        "ground_truth",
        "annotation",
        "choice",
        "displayname",
        "classid",
    ),
    *("class_id", "label_id", "category_id", "kind", "name", "genus", "finding"),
)
_SPLIT_WORDS = re.compile(
    r"(?i)(?:^|[._])(split|set|subset|usage|partition|phase|ml_?use|dataset|data_set|data set|"
    r"sample_?type|group_set|train_?test)$"
)
_GROUP_WORDS = re.compile(
    r"(?i)(?:^|[._])(group|group_?id|patient|patient_?id|patientid|lesion_?id|subject|subject_?id|"
    r"person|person_?id|user_?id|video|video_?id|clip|clip_?id|session|session_?id|burst|"
    r"sequence|seq_?id|specimen|specimen_?id|individual|animal_?id|object_?id|plant_?id|scene|"
    r"scene_?id|case_?id|study_?id|site|site_?id|location|camera|camera_?id)$"
)
_NOT_LABELS = re.compile(
    r"(?i)(?:^|[._])(width|height|size|bytes|url|uri|date|time|timestamp|license|author|source|"
    r"credit|lat|lon|latitude|longitude|age|weight|md5|sha\d*|hash|index|unnamed.*|row|n)$"
)


@dataclass(frozen=True)
class Table:
    """Rows and columns of a label file; all cells are text. ``path`` is relative to the root."""

    path: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        place = self.columns.index(name)
        return [row[place] for row in self.rows]


@dataclass(frozen=True)
class Columns:
    """Which columns of a table mean what.

    ``label`` is "" with ``one_hot``, whose columns name the classes.
    """

    file: str
    label: str
    one_hot: tuple[str, ...] = ()
    split: str = ""
    group: str = ""


@dataclass
class ImageFinder:
    """Finds the image that a cell means: by path, by name, by name without ending."""

    by_path: dict[str, ImageFile] = field(default_factory=dict)
    by_name: dict[str, list[ImageFile]] = field(default_factory=lambda: defaultdict(list))
    by_stem: dict[str, list[ImageFile]] = field(default_factory=lambda: defaultdict(list))

    @classmethod
    def of(cls, images: Iterable[ImageFile]) -> ImageFinder:
        """Return a finder of these images."""
        finder = cls()
        for image in images:
            path = image.path.casefold()
            name = path.rpartition("/")[2]
            finder.by_path[path] = image
            finder.by_name[name].append(image)
            finder.by_stem[_stem(name)].append(image)
        return finder

    def find(self, value: str, near: str) -> ImageFile | None:
        """Return the image that a value means, or None for none or several.

        Args:
            value: a path, a name or an id, as a file or the web has it.
            near: the folder of the label file, "" or ending in a slash; of several images of one
                name the one below it counts.
        """
        key = _clean(value)
        if not key:
            return None
        near = near.casefold()
        for path in (f"{near}{key}", key):
            if path in self.by_path:
                return self.by_path[path]
        name = key.rpartition("/")[2]
        return (
            _only(self.by_name.get(name, ()), key, near)
            or _only(self.by_stem.get(name, ()), key, near)
            or _only(self.by_stem.get(_stem(name), ()), key, near)
        )


def _only(found: Sequence[ImageFile], key: str, near: str) -> ImageFile | None:
    if len(found) <= 1:
        return found[0] if found else None
    ending = _without_suffix(key)
    fitting = [one for one in found if _without_suffix(one.path.casefold()).endswith(f"/{ending}")]
    if len(fitting) == 1 and "/" in key:
        return fitting[0]
    below = [one for one in found if one.path.casefold().startswith(near)] if near else []
    return below[0] if len(below) == 1 else None


def _clean(value: str) -> str:
    """Return a cell as a path with slashes: without scheme, host, query and leading dots."""
    text = value.strip().strip("\"'").replace("\\", "/")
    if "://" in text:
        text = unquote(re.sub(r"[?#].*$", "", text.partition("://")[2]))
        text = text.partition("/")[2]
    while text.startswith(("./", "../", "/")):
        text = text.partition("/")[2]
    return text.casefold()


def _stem(name: str) -> str:
    return PurePosixPath(name).stem if PurePosixPath(name).suffix in SUFFIXES else name


def _without_suffix(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{_stem(name)}"


def is_table_name(path: str) -> bool:
    """Return whether a file's name is that of a table that may hold labels."""
    name = path.rpartition("/")[2]
    return name.lower().endswith(TABLE_SUFFIXES) and not _SUBMISSION.search(name)


def read_table(root: Path, path: str, finder: ImageFinder) -> Table | None:
    """Return the rows of a label file, or None when it is no table.

    Args:
        root: the data folder.
        path: of the file, relative to it.
        finder: of the images; tells a first line of values from one of column names.
    """
    place = root / path
    try:
        if place.stat().st_size > MAX_TABLE_BYTES:
            return None
        text = _decode(place.read_bytes())
    except OSError:
        return None
    suffix = place.suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            return _read_csv(path, text, finder)
        records = _json_records(json.loads(text)) if suffix == ".json" else _json_lines(text)
    except (ValueError, RecursionError, csv.Error):
        return None
    return _from_records(path, records)


def _decode(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _read_csv(path: str, text: str, finder: ImageFinder) -> Table | None:
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max("\t;,|", key=lambda mark: (first.count(mark), mark == ","))
    if not first.count(delimiter):
        return None
    rows = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if any(row)]
    if len(rows) > MAX_ROWS:
        return None
    near = path.rpartition("/")[0]
    near = f"{near}/" if near else ""
    header = [cell.strip() for cell in rows[0]]
    if any(finder.find(cell, near) is not None for cell in header) or len(set(header)) < len(
        header
    ):
        width = max(len(row) for row in rows)
        columns = tuple(f"column {number + 1}" for number in range(width))
    else:
        columns, rows = tuple(name or f"column {i + 1}" for i, name in enumerate(header)), rows[1:]
    width = len(columns)
    cells = [
        tuple(cell.strip() for cell in (*row, *[""] * (width - len(row)))[:width]) for row in rows
    ]
    return Table(path, columns, cells) if cells and width > 1 else None


def _json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _json_records(value: Any) -> list[Any]:
    """Return a JSON document as records: a list of them, file to label, or label to files."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict):
        return []
    labels, classes = value.get("labels"), value.get("classes")
    if isinstance(labels, dict) and labels and isinstance(classes, list):  # FiftyOne
        return [
            {"file": file, "label": classes[label] if _is_place(label, classes) else label}
            for file, label in labels.items()
        ]
    if isinstance(value.get("annotations"), list) and isinstance(value.get("images"), list):
        return _coco_records(value)
    lists = [one for one in value.values() if isinstance(one, list) and one]
    if lists and all(isinstance(one, dict) for own in lists for one in own[:3]):
        return max(lists, key=len)
    if value and all(isinstance(one, list) for one in value.values()):
        return [{"file": file, "label": name} for name, files in value.items() for file in files]
    if value and all(isinstance(one, str | int) for one in value.values()):
        return [{"file": file, "label": label} for file, label in value.items()]
    if value and all(isinstance(one, dict) for one in value.values()):
        return [{"file": file, **facts} for file, facts in value.items()]
    return []


def _coco_records(value: dict[str, Any]) -> list[Any]:
    names = {
        one.get("id"): one.get("name")
        for one in value.get("categories", [])
        if isinstance(one, dict)
    }
    files = {
        one.get("id"): one.get("file_name") for one in value["images"] if isinstance(one, dict)
    }
    return [
        {
            "file": files.get(one.get("image_id")),
            "label": names.get(one.get("category_id"), one.get("category_id")),
        }
        for one in value["annotations"]
        if isinstance(one, dict)
    ]


def _is_place(label: Any, classes: Sequence[Any]) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(classes)


def _from_records(path: str, records: Sequence[Any]) -> Table | None:
    flat = [_flatten(one) for one in records[:MAX_ROWS] if isinstance(one, dict)]
    if not flat:
        return None
    columns = tuple(dict.fromkeys(name for one in flat for name in one))
    if len(columns) < 2 or len(columns) > 500:
        return None
    return Table(path, columns, [tuple(one.get(name, "") for name in columns) for one in flat])


def _flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by dotted names; of a list with one element that one counts."""
    flat: dict[str, str] = {}
    for name, one in value.items():
        key = f"{prefix}{name}"
        if isinstance(one, list) and len(one) == 1:
            one = one[0]
        if isinstance(one, dict):
            flat.update(_flatten(one, f"{key}."))
        elif isinstance(one, list):
            texts = [_first_text(item) for item in one]
            flat[key] = MULTI.join(text for text in texts if text)
        elif one is not None:
            flat[key] = str(one).strip()
    return flat


def _first_text(value: Any) -> str:
    if isinstance(value, dict):
        return next((str(one) for one in value.values() if isinstance(one, str)), "")
    return str(value)


@dataclass(frozen=True)
class Guess:
    """What :func:`find_columns` made of a table.

    Attributes:
        columns: which columns mean what; None when no label column was found.
        images: the image of each row, None where there is none.
        several: how many rows carry several labels.
    """

    columns: Columns | None
    images: tuple[ImageFile | None, ...]
    several: int = 0


def find_columns(
    table: Table,
    finder: ImageFinder,
    *,
    file: str = "",
    label: str = "",
    split: str = "",
    group: str = "",
) -> Guess | None:
    """Guess which columns name the file and the class; None when none names files.

    Args:
        table: the label file.
        finder: of the images that are there.
        file, label, split, group: columns that a person chose; empty ones are guessed.
    """
    near = table.path.rpartition("/")[0]
    near = f"{near}/" if near else ""
    if file not in table.columns:
        file = _file_column(table, finder, near)
    if not file:
        return None
    images = tuple(finder.find(value, near) for value in table.column(file))
    matched = [place for place, image in enumerate(images) if image is not None]
    if not matched:
        return None
    split = split if split in table.columns else _split_column(table, file)
    group = group if group in table.columns else _group_column(table, file, matched)
    others = [name for name in table.columns if name not in (file, split)]
    if label in table.columns:
        return Guess(Columns(file, label, (), split, group), images, _count_several(table, label))
    label = _label_column(table, [name for name in others if name != group], matched, images)
    named = _label_rank(label) < len(_LABEL_WORDS) if label else False
    one_hot = _one_hot(table, others)
    if one_hot and not named:
        several = sum(
            sum(_is_one(row[table.columns.index(name)]) for name in one_hot) > 1
            for row in table.rows
        )
        return Guess(Columns(file, "", one_hot, split, group), images, several)
    if not label:
        return Guess(None, images)
    return Guess(Columns(file, label, (), split, group), images, _count_several(table, label))


def label_of(table: Table, columns: Columns, row: Sequence[str]) -> str:
    """Return the class that a row names; "" for none."""
    if not columns.one_hot:
        return row[table.columns.index(columns.label)].strip()
    marked = [name for name in columns.one_hot if _is_one(row[table.columns.index(name)])]
    return marked[0].strip() if len(marked) == 1 else ""


def _file_column(table: Table, finder: ImageFinder, near: str) -> str:
    step = max(1, len(table.rows) // _SAMPLE)
    sample = table.rows[::step][:_SAMPLE]
    best, best_score = "", 0.0
    for place, name in enumerate(table.columns):
        values = [row[place] for row in sample if row[place]]
        if not values:
            continue
        matched = [value for value in values if finder.find(value, near) is not None]
        if len(matched) < 2 and len(matched) < len(sample):
            continue
        share = len(matched) / len(sample)
        # Values that repeat, or plain numbers under another name, are matched by accident.
        distinct = len(set(matched)) / len(matched)
        named = 1.0 if _FILE_WORDS.search(name) else 0.8
        score = share * distinct * named
        if score > best_score:
            best, best_score = name, score
    return best if best_score >= 0.15 else ""


def _split_column(table: Table, file: str) -> str:
    for name in table.columns:
        if name == file:
            continue
        values = {value for value in table.column(name) if value}
        known = {part_of_value(value) for value in values}
        is_named = _SPLIT_WORDS.search(name) is not None
        if 0 < len(values) <= 6 and None not in known and (is_named or len(known) > 1):
            return name
        if re.search(r"(?i)is_?train(ing)?$", name) and values <= {"0", "1", "True", "False"}:
            return name
    return ""


def part_of_cell(name: str, value: str) -> str | None:
    """Return the part that a cell of a split column stands for, or None."""
    if re.search(r"(?i)is_?train(ing)?$", name):
        return {"1": "train", "True": "train", "0": "test", "False": "test"}.get(value)
    return part_of_value(value)


def _group_column(table: Table, file: str, matched: Sequence[int]) -> str:
    for name in table.columns:
        if name == file or not _GROUP_WORDS.search(name):
            continue
        values = [table.rows[place][table.columns.index(name)] for place in matched]
        num_groups = len({value for value in values if value})
        if 2 <= num_groups < len(values):
            return name
    return ""


def _label_rank(name: str) -> int:
    lowered = name.casefold().rpartition(".")[2].replace(" ", "_").replace("-", "_")
    if lowered in _LABEL_WORDS:
        return _LABEL_WORDS.index(lowered)
    for rank, word in enumerate(_LABEL_WORDS):
        if len(word) > 3 and word in lowered:
            return rank + 1
    return len(_LABEL_WORDS)


def _label_column(
    table: Table,
    names: Sequence[str],
    matched: Sequence[int],
    images: Sequence[ImageFile | None],
) -> str:
    best: tuple[float, str] | None = None
    for name in names:
        if _NOT_LABELS.search(name):
            continue
        place = table.columns.index(name)
        values = [table.rows[row][place] for row in matched if table.rows[row][place]]
        counts = Counter(values)
        rank = _label_rank(name)
        known = rank < len(_LABEL_WORDS)
        if len(counts) < 2 or len(values) < 0.5 * len(matched):
            continue
        if len(counts) > len(values) / (1 if known and len(values) < 20 else 1.5):
            continue
        if any(re.fullmatch(r"-?\d+\.\d+", value) for value in counts) and not known:
            continue
        if sum(len(value) for value in counts) / len(counts) > 60:
            continue
        numbers = all(re.fullmatch(r"-?\d+(\.0+)?", value) for value in counts)
        score = (2.0 if known else 0.0) - 0.02 * rank - (0.6 if numbers else 0.0)
        if numbers and not known and len(counts) > 0.2 * len(values):
            continue
        if best is None or score > best[0]:
            best = score, name
    return "" if best is None else best[1]


def _is_one(value: str) -> bool:
    return value.strip().lower() in ("1", "1.0", "true", "yes")


def _is_flag(value: str) -> bool:
    return value.strip().lower() in ("", "0", "0.0", "false", "no", "1", "1.0", "true", "yes")


def _one_hot(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    flags = [
        name
        for name in names
        if all(map(_is_flag, table.column(name))) and any(map(_is_one, table.column(name)))
    ]
    return tuple(flags) if len(flags) >= 2 else ()


def _count_several(table: Table, label: str) -> int:
    """Return how many cells of a label column hold more than one label."""
    values = table.column(label)
    distinct = set(values)
    several = sum(MULTI in value for value in values)
    if several:
        return several
    for mark in ("|", ";", ",", " "):
        joined = [value for value in distinct if mark in value]
        if not joined:
            continue
        pieces = [[one.strip() for one in value.split(mark) if one.strip()] for value in joined]
        alone = sum(all(one in distinct for one in own) for own in pieces)
        if alone >= max(1, 0.5 * len(joined)):
            return sum(mark in value for value in values)
    return 0

"""Label files beside images: CSV, TSV, JSON and JSON lines, in whatever form people have them.

:func:`read_table` makes rows and columns of a file, :class:`ImageFinder` finds the image that a
cell means. ``table_columns.py`` guesses which column is which.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from tl_core.data.images.images import SUFFIXES
from tl_core.data.layout.split_names import part_of_folders
from tl_core.data.layout.tree import ImageFile

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
MAX_TABLE_BYTES = 64 * 2**20
MAX_ROWS = 2_000_000
MULTI = "\x1f"  # between several values that one cell of a JSON file holds

_SUBMISSION = re.compile(r"(?i)submission|sample_?sub")


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

    def find(self, value: str, near: str, part: str = "train") -> ImageFile | None:
        """Return the image that a value means, or None for none or several.

        Args:
            value: a path, a name or an id, as a file or the web has it.
            near: the folder of the label file, "" or ending in a slash; of several images of one
                name the one below it counts.
            part: the part that the label file is about; of several images of one name that are
                left, the one in a folder of that part counts.
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
            _only(self.by_name.get(name, ()), key, near, part)
            or _only(self.by_stem.get(name, ()), key, near, part)
            or _only(self.by_stem.get(_stem(name), ()), key, near, part)
        )


def _only(found: Sequence[ImageFile], key: str, near: str, part: str) -> ImageFile | None:
    if len(found) <= 1:
        return found[0] if found else None
    ending = _without_suffix(key)
    fitting = [one for one in found if _without_suffix(one.path.casefold()).endswith(f"/{ending}")]
    if len(fitting) == 1 and "/" in key:
        return fitting[0]
    below = [one for one in found if one.path.casefold().startswith(near)] if near else []
    if len(below) == 1:
        return below[0]
    # Names such as 1.jpg stand in train and test both, and mean other images there.
    inside = [one for one in found if part_of_folders(one.path.rpartition("/")[0]) == part]
    return inside[0] if len(inside) == 1 else None


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
    if not rows or len(rows) > MAX_ROWS:
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

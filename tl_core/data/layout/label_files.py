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
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from tl_core.config.limits import current_limits
from tl_core.data.images.images import SUFFIXES
from tl_core.data.layout.split_names import part_of_folders
from tl_core.data.layout.tree import ImageFile
from tl_core.files import is_plain_text

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json")
TEXT_SUFFIXES = (*TABLE_SUFFIXES, ".txt", ".lst", ".names", ".xml")
"""Endings of the text files that say something about the photos that they lie beside."""

MAX_TABLE_BYTES = 64 * 2**20
MAX_ROWS = 2_000_000
ROW_BYTES = 250
"""Bytes of a text file that count as one row where rows are limited."""
_MAX_COLUMNS = 500  # of records in JSON
_MAX_CSV_COLUMNS = 2_000  # more are no names of classes; each column is looked at for each role
_MAX_LEVELS = 8  # of nested values in JSON
_MAX_NAME = 200  # characters of a column's name in JSON, with those of the levels around it
_MAX_CELLS_EACH = 2  # for each character: more are cells that the file does not have
MULTI = "\x1f"  # between several values that one cell of a JSON file holds

_SUBMISSION = re.compile(r"(?i)submission|sample_?sub")
_LEADING_DOTS = re.compile(r"(?:\.{0,2}/)*")


@dataclass(frozen=True)
class Table:
    """Rows and columns of a label file; all cells are text. ``path`` is relative to the root."""

    path: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def column(self, name: str) -> list[str]:
        """Return the cells of a column."""
        place = self.place_of[name]
        return [row[place] for row in self.rows]

    @cached_property
    def place_of(self) -> dict[str, int]:
        """The position of each column, by name; the first one of equal names."""
        return {name: place for place, name in reversed(list(enumerate(self.columns)))}


@dataclass
class ImageFinder:
    """Finds the image that a cell means: by path, by name, by name without ending."""

    by_path: dict[str, ImageFile] = field(default_factory=dict)
    by_name: dict[str, list[ImageFile]] = field(default_factory=lambda: defaultdict(list))
    by_stem: dict[str, list[ImageFile]] = field(default_factory=lambda: defaultdict(list))
    _by_place: dict[tuple[str, str, str], ImageFile | None] = field(default_factory=dict)

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
            self._only(self.by_name, name, key, near, part)
            or self._only(self.by_stem, name, key, near, part)
            or self._only(self.by_stem, _stem(name), key, near, part)
        )

    def _only(
        self, named: Mapping[str, list[ImageFile]], name: str, key: str, near: str, part: str
    ) -> ImageFile | None:
        """Return the one of the images of a name that is meant, or None.

        Thousands of images may have that name, and a table names them once or many times: what
        does not depend on the cell is looked up once.
        """
        found = named.get(name, ())
        if len(found) <= 1:
            return found[0] if found else None
        is_full = named is self.by_name
        ending = key if is_full else _without_suffix(key)
        if "/" in key and ending.rpartition("/")[2] == name:
            endings = self._full_endings if is_full else self._endings
            if (fitting := endings.get(ending)) is not None:
                return fitting
        place = (name if is_full else f"/{name}", near, part)
        if place not in self._by_place:
            self._by_place[place] = _only_there(found, near, part)
        return self._by_place[place]

    @cached_property
    def _full_endings(self) -> dict[str, ImageFile | None]:
        images = (image for same in self.by_name.values() for image in same)
        return _endings_of((image.path.casefold(), image) for image in images)

    @cached_property
    def _endings(self) -> dict[str, ImageFile | None]:
        images = (image for same in self.by_name.values() for image in same)
        return _endings_of((_without_suffix(image.path.casefold()), image) for image in images)


def _endings_of(images: Iterable[tuple[str, ImageFile]]) -> dict[str, ImageFile | None]:
    """Return the image by each ending of its path that has a folder, None for one of several."""
    endings: dict[str, ImageFile | None] = {}
    for path, image in images:
        folder, _, ending = path.rpartition("/")
        while folder:
            folder, _, last = folder.rpartition("/")
            ending = f"{last}/{ending}"
            if folder:
                endings[ending] = None if ending in endings else image
    return endings


def _only_there(found: Sequence[ImageFile], near: str, part: str) -> ImageFile | None:
    """Return the only image below ``near``, else the only one of ``part``."""
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
    dots = _LEADING_DOTS.match(text)
    return text[dots.end() if dots is not None else 0 :].casefold()


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
    text = read_text(root / path)
    suffix = PurePosixPath(path).suffix.lower()
    try:
        if suffix in (".csv", ".tsv"):
            return _read_csv(path, text, finder)
        records = _json_records(json.loads(text)) if suffix == ".json" else _json_lines(text)
        return _from_records(path, records, _MAX_CELLS_EACH * len(text))
    except (ValueError, RecursionError, csv.Error):
        return None


def _max_rows() -> int:
    """Return how many rows a table may have: in a demo no more than a project's label files.

    There they are counted as they are uploaded, but an object of JSON may have any number.
    """
    limits = current_limits()
    return MAX_ROWS if limits is None else limits.label_rows


def read_text(path: Path, max_bytes: int = MAX_TABLE_BYTES) -> str:
    """Return the text of a file, whatever it is encoded in; "" for one that is too large."""
    try:
        return decode_text(path.read_bytes()) if path.stat().st_size <= max_bytes else ""
    except OSError:
        return ""


def decode_text(data: bytes) -> str:
    """Return the text of these bytes, without NUL."""
    text = _decode(data)
    return text.replace("\0", "") if "\0" in text else text


def num_rows(name: str, data: bytes) -> int:
    """Return how many rows a text file counts for where they are limited.

    These are its lines, or the objects of a JSON file, and at least one for each 250 bytes: a
    list of a million numbers is one line.

    Example:
        >>> num_rows("labels.csv", b"file,label\\n1.jpg,cat\\n2.jpg,dog\\n")
        3
        >>> num_rows("labels.json", b'[{"file": "1.jpg", "label": "cat"}]')
        1
    """
    suffix = PurePosixPath(name).suffix.lower()
    rows = -(-len(data) // ROW_BYTES)
    if suffix == ".json":
        return max(rows, data.count(b"{"))
    if suffix == ".xml":  # a hundred lines for each photo are usual
        return rows
    return max(rows, len(decode_text(data).splitlines()))


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
    if not rows or len(rows) > _max_rows():
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
    if width > _MAX_CSV_COLUMNS or width * len(rows) > _MAX_CELLS_EACH * len(text):
        return None
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
    categories = value.get("categories")
    names = {
        _id(one.get("id")): one.get("name")
        for one in (categories if isinstance(categories, list) else [])
        if isinstance(one, dict)
    }
    files = {
        _id(one.get("id")): one.get("file_name") for one in value["images"] if isinstance(one, dict)
    }
    return [
        {
            "file": files.get(_id(one.get("image_id"))),
            "label": names.get(_id(one.get("category_id")), one.get("category_id")),
        }
        for one in value["annotations"]
        if isinstance(one, dict)
    ]


def _id(value: Any) -> Any:
    """Return a value that may identify something: a list or an object does not."""
    return None if isinstance(value, list | dict) else value


def _is_place(label: Any, classes: Sequence[Any]) -> bool:
    return isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(classes)


def _from_records(path: str, records: Sequence[Any], max_cells: int) -> Table | None:
    """Return the table of records; None for none, or for more rows or columns than may be."""
    if len(records) > _max_rows():
        return None
    flat: list[dict[str, str]] = []
    names: dict[str, None] = {}
    for one in records:
        if isinstance(one, dict):
            flat.append(_flatten(one))
            names.update(dict.fromkeys(flat[-1]))
            if len(names) > _MAX_COLUMNS or len(names) * len(flat) > max_cells:
                return None
    if len(names) < 2:
        return None
    columns = tuple(names)
    return Table(path, columns, [tuple(one.get(name, "") for name in columns) for one in flat])


def _flatten(value: Mapping[str, Any], prefix: str = "", level: int = 1) -> dict[str, str]:
    """Return nested values by dotted names; of a list with one element that one counts.

    What lies too deep is left out, and what has too long a name: no label has.
    """
    flat: dict[str, str] = {}
    for name, one in value.items():
        key = f"{prefix}{name}"
        if isinstance(one, list) and len(one) == 1:
            one = one[0]
        if len(key) > _MAX_NAME or len(flat) > _MAX_COLUMNS:
            continue
        if isinstance(one, dict):
            if level < _MAX_LEVELS:
                flat.update(_flatten(one, f"{key}.", level + 1))
        elif isinstance(one, list):
            texts = [_first_text(item) for item in one]
            flat[key] = MULTI.join(text for text in texts if text)
        elif one is not None:
            flat[key] = _plain(str(one))
    return flat


def _first_text(value: Any) -> str:
    if isinstance(value, dict):
        return next((_plain(one) for one in value.values() if isinstance(one, str)), "")
    return _plain(str(value))


def _plain(text: str) -> str:
    """Return a text of a JSON file without what UTF-8 and file names cannot hold."""
    if not is_plain_text(text):
        text = text.encode("utf-8", "replace").decode().replace("\0", "")
    return text.strip()

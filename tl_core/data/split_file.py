"""The file in a run's folder that says which image was in which part."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import PARTS, Split
from tl_core.errors import RunError
from tl_core.files import write_text

_COLUMNS = ["path", "sha256", "class", "part"]


@dataclass(frozen=True)
class SplitRow:
    """One line of ``split.csv``."""

    path: str
    sha256: str
    class_name: str
    part: str


def write_split(path: Path, index: DatasetIndex, split: Split) -> None:
    """Write the split as CSV with the columns path, sha256, class and part, whole or not at all."""
    part_of = {int(i): part for part, positions in split.items() for i in positions}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for position in sorted(part_of):
        record = index.records[position]
        class_name = index.class_names[record.label]
        writer.writerow([record.path, record.sha256, class_name, part_of[position]])
    write_text(path, text.getvalue())


def read_split(path: Path) -> list[SplitRow]:
    """Read what :func:`write_split` wrote.

    Raises:
        RunError: the file is missing or is not such a table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"Cannot read the split from '{path}': {error}.") from error
    if not rows or rows[0] != _COLUMNS:
        received = ",".join(rows[0]) if rows else "nothing"
        raise RunError(f"Expected the columns {','.join(_COLUMNS)} in '{path}', found {received}.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(_COLUMNS) or row[-1] not in PARTS:
            raise RunError(
                f"Expected a path, sha256, class and one of {', '.join(PARTS)} in line {number} "
                f"of '{path}', found {','.join(row)!r}."
            )
    return [SplitRow(*row) for row in rows[1:]]

"""Guess which columns of a label file name the images, the classes, the split and the groups.

Names of columns are only a hint: :func:`find_columns` compares their values with the images that
are there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tl_core.data.layout.label_files import MULTI, ImageFinder, Table
from tl_core.data.layout.split_names import part_of_file, part_of_value
from tl_core.data.layout.tree import ImageFile

_MAX_OTHERS = 4
_SAMPLE = 300  # rows that are looked at to find the column of files
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
    r"credit|lat|lon|latitude|longitude|age|weight|md5|sha\d*|hash|index|unnamed.*|row|n|"
    r"split|subset|partition|(?:k|cv)?_?fold)$"
)


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


@dataclass(frozen=True)
class Guess:
    """What :func:`find_columns` made of a table.

    Attributes:
        columns: which columns mean what; None when no label column was found.
        images: the image of each row, None where there is none.
        several: how many rows carry several labels.
        others: further columns that could name the class, and divide the images otherwise.
    """

    columns: Columns | None
    images: tuple[ImageFile | None, ...]
    several: int = 0
    others: tuple[str, ...] = ()


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
    part = part_of_file(table.path) or "train"

    def find(value: str) -> ImageFile | None:
        return finder.find(value, near, part)

    if file not in table.columns:
        file = _file_column(table, find)
    if not file:
        return None
    images = tuple(find(value) for value in table.column(file))
    matched = [place for place, image in enumerate(images) if image is not None]
    if not matched:
        return None
    split = split if split in table.columns else _split_column(table, file)
    group = group if group in table.columns else _group_column(table, file, matched)
    others = [name for name in table.columns if name not in (file, split)]
    if label in table.columns:
        return Guess(Columns(file, label, (), split, group), images, _count_several(table, label))
    ranked = _label_columns(table, [name for name in others if name != group], matched)
    label = ranked[0] if ranked else ""
    one_hot = _one_hot(table, others)
    if one_hot and (not label or _is_flag_column(table, label, one_hot)):
        several = sum(len(_marked(table, one_hot, row)) > 1 for row in table.rows)
        return Guess(Columns(file, "", one_hot, split, group), images, several)
    if not label:
        return Guess(None, images)
    columns = Columns(file, label, (), split, group)
    several = _count_several(table, label)
    return Guess(columns, images, several, _other_labels(table, ranked, matched))


def _is_flag_column(table: Table, label: str, one_hot: Sequence[str]) -> bool:
    """Whether a column of labels is rather one of several that mark a class each."""
    if _label_rank(label) == len(_LABEL_WORDS):
        return True
    if label not in one_hot:
        return False
    return not is_label_word(label) or all(
        len(_marked(table, one_hot, row)) == 1 for row in table.rows
    )


def _marked(table: Table, one_hot: Sequence[str], row: Sequence[str]) -> list[str]:
    return [name for name in one_hot if _is_one(row[table.place_of[name]])]


def _other_labels(table: Table, ranked: Sequence[str], matched: Sequence[int]) -> tuple[str, ...]:
    """Return the columns that divide the images otherwise than the first of ``ranked`` does."""
    places = [table.place_of[name] for name in ranked]
    kept = [
        {(table.rows[row][places[0]], table.rows[row][place]) for row in matched}
        for place in places
    ]
    sizes = [len({pair[1] for pair in pairs}) for pairs in kept]
    return tuple(
        name
        for name, pairs, size in zip(ranked[1:], kept[1:], sizes[1:], strict=True)
        if not len(pairs) == size == sizes[0]
    )[:_MAX_OTHERS]


def is_label_word(name: str) -> bool:
    """Return whether a column's name says that it holds the classes, as "label" and "breed" do."""
    return _plain_word(name) in _LABEL_WORDS


def label_of(table: Table, columns: Columns, row: Sequence[str]) -> str:
    """Return the class that a row names; "" for none."""
    if not columns.one_hot:
        return row[table.place_of[columns.label]].strip()
    marked = _marked(table, columns.one_hot, row)
    return marked[0].strip() if len(marked) == 1 else ""


def _file_column(table: Table, find: Callable[[str], ImageFile | None]) -> str:
    step = max(1, len(table.rows) // _SAMPLE)
    sample = table.rows[::step][:_SAMPLE]
    best, best_score = "", 0.0
    for place, name in enumerate(table.columns):
        values = [row[place] for row in sample if row[place]]
        if not values:
            continue
        matched = [value for value in values if find(value) is not None]
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
        known = {part_of_value(value) for value in values} if len(values) <= 6 else {None}
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
        values = [table.rows[place][table.place_of[name]] for place in matched]
        num_groups = len({value for value in values if value})
        if 2 <= num_groups < len(values):
            return name
    return ""


def _plain_word(name: str) -> str:
    return name.casefold().rpartition(".")[2].replace(" ", "_").replace("-", "_")


def _label_rank(name: str) -> int:
    lowered = _plain_word(name)
    if lowered in _LABEL_WORDS:
        return _LABEL_WORDS.index(lowered)
    for rank, word in enumerate(_LABEL_WORDS):
        if len(word) > 3 and word in lowered:
            return rank + 1
    return len(_LABEL_WORDS)


def _label_columns(table: Table, names: Sequence[str], matched: Sequence[int]) -> list[str]:
    """Return the columns that could name the class, the most plausible first."""
    found: list[tuple[float, str]] = []
    for name in names:
        if _NOT_LABELS.search(name):
            continue
        place = table.place_of[name]
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
        found.append((score, name))
    return [name for _, name in sorted(found, key=lambda pair: -pair[0])]


def _is_one(value: str) -> bool:
    return value.strip().lower() in ("1", "1.0", "true", "yes")


def _is_flag(value: str) -> bool:
    return value.strip().lower() in ("", "0", "0.0", "false", "no", "1", "1.0", "true", "yes", "-1")


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

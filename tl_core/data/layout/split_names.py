"""What the name of a folder, a file or a value in a column says about train, val and test."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

UNLABELLED = "unlabelled"
"""What :func:`part_of_name` gives for names such as ``seg_pred``: images without classes."""

_PARTS = {
    **dict.fromkeys(("train", "training", "trainset", "traindata", "trainval", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "devel"), "val"),
    **dict.fromkeys(("development",), "val"),
    **dict.fromkeys(("test", "testing", "tests", "testset", "testdata", "tst"), "test"),
    **dict.fromkeys(("holdout", "heldout", "eval", "evaluation"), "test"),
    **dict.fromkeys(("pred", "preds", "predict", "prediction", "predictions"), UNLABELLED),
    **dict.fromkeys(("unlabeled", "unlabelled", "unsupervised", "inference"), UNLABELLED),
}
# Words that a part's folder may carry besides, without meaning anything.
_FILLERS = frozenset(
    (
        *("set", "sets", "data", "dataset", "split", "folder", "dir", "part", "subset", "samples"),
        *("image", "images", "img", "imgs", "pic", "pics", "picture", "pictures", "photo"),
        *("photos", "jpg", "jpeg", "png", "the", "of", "for", "hold", "out", "held", "use", "ing"),
    )
)
_WORDS = re.compile(r"[a-z]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def part_of_name(name: str) -> str | None:
    """Return the part that a name stands for, or None.

    Args:
        name: such as ``"training_set"``, ``"seg_train"``, ``"train2017"`` or ``"Testing"``.

    Returns:
        ``"train"``, ``"val"``, ``"test"``, :data:`UNLABELLED`, or None for any other name.

    Example:
        >>> part_of_name("seg_train"), part_of_name("hold-out"), part_of_name("cats")
        ('train', 'test', None)
    """
    split = split_part_name(name)
    return None if split is None else split[0]


def split_part_name(name: str) -> tuple[str, str] | None:
    """Return the part that a name stands for and what else it says (``"seg"``), or None.

    What else is said is shared by the parts of one dataset: ``seg_train`` and ``seg_test`` belong
    together, ``steam_train`` and ``crash_test`` do not.
    """
    words = _WORDS.findall(_CAMEL.sub(" ", name).casefold())
    if not words or len(words) > 5:
        return None
    joined = "".join(words)
    if joined in ("holdout", "heldout"):
        return "test", ""
    found = [word for word in words if word in _PARTS]
    if not found:
        return None
    part = _PARTS[found[-1]]
    if "unlabeled" in found or "unlabelled" in found:
        part = UNLABELLED
    rest = [word for word in words if word not in _PARTS and word not in _FILLERS]
    return part, " ".join(rest)


def part_of_file(path: str) -> str | None:
    """Return the part that a label file is about, by its name or its folder's, or None.

    Example:
        >>> part_of_file("meta/test_labels.csv"), part_of_file("train/metadata.csv")
        ('test', 'train')
    """
    folder, _, name = path.rpartition("/")
    return part_of_name(name.rpartition(".")[0]) or part_of_value(folder.rpartition("/")[2])


@lru_cache(maxsize=4096)
def part_of_folders(folder: str) -> str | None:
    """Return the part that a path of folders lies in, by the first that stands for one, or None."""
    return next((part for name in folder.split("/") if (part := part_of_name(name))), None)


def part_of_value(value: str) -> str | None:
    """Return the part that a value of a split column stands for, or None.

    Example:
        >>> part_of_value("TRAINING"), part_of_value("UNASSIGNED")
        ('train', None)
    """
    split = split_part_name(value)
    if split is None or split[1] or split[0] == UNLABELLED:
        return None
    return split[0]


def parts_of_folders(names: Iterable[str]) -> dict[str, str]:
    """Return the part of each of the names that stands for one, of those that belong together.

    Names that say something else besides count only when train says it too.

    Example:
        >>> parts_of_folders(["seg_train", "seg_test", "crash_test"])
        {'seg_train': 'train', 'seg_test': 'test'}
    """
    split = {name: found for name in names if (found := split_part_name(name)) is not None}
    of_train = {rest for part, rest in split.values() if part == "train"}
    return {name: part for name, (part, rest) in split.items() if rest in of_train or not rest}

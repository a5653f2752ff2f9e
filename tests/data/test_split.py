"""Splits: proportion, copies on one side, what is said when a class is too small."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.split import (
    Split,
    SplitRow,
    groups_apart,
    read_split,
    split_dataset,
    stratified_split,
)
from tl_core.data.split import write_split as save_split
from tl_core.errors import ConfigError, DatasetError, RunError

DEFAULT = (0.7, 0.15, 0.15)


def make_record(path: str, label: int, content: str, part: str | None = None) -> ImageRecord:
    return ImageRecord(
        path=path,
        label=label,
        sha256=content,
        num_bytes=1,
        mtime_ns=0,
        width=32,
        height=32,
        format="PNG",
        mode="RGB",
        exif_orientation=1,
        part=part,
    )


def make_index(records: Sequence[ImageRecord], class_names: Sequence[str]) -> DatasetIndex:
    return DatasetIndex(
        data_dir=Path("data"),
        class_names=tuple(class_names),
        records=tuple(records),
        findings=(),
        num_ignored={},
    )


def index_of(contents: Mapping[str, Sequence[str]]) -> DatasetIndex:
    """An index with these contents, in place of digests, for each class."""
    records = [
        make_record(f"{name}/{number}.png", label, content)
        for label, (name, listed) in enumerate(contents.items())
        for number, content in enumerate(listed)
    ]
    return make_index(records, list(contents))


def distinct(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


def given_index(parts: Mapping[str, Mapping[str, int]]) -> DatasetIndex:
    """An index of train/val/test folders: ``parts[part][class]`` images."""
    names = sorted({name for counts in parts.values() for name in counts})
    records = [
        make_record(f"{part}/{name}/{number}.png", names.index(name), f"{part}{name}{number}", part)
        for part, counts in parts.items()
        for name, count in counts.items()
        for number in range(count)
    ]
    return make_index(records, names)


def part_of_content(index: DatasetIndex, split: Split) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for part, positions in split.items():
        for position in positions:
            found.setdefault(index.records[position].sha256, set()).add(part)
    return found


def counts_of(index: DatasetIndex, positions: np.ndarray) -> dict[str, int]:
    return dict(Counter(index.class_names[index.records[i].label] for i in positions))


def test_every_class_has_its_share_in_every_part() -> None:
    index = index_of({"cat": distinct("cat", 100), "dog": distinct("dog", 20)})
    split = stratified_split(index, DEFAULT, seed=0)
    assert counts_of(index, split.train) == {"cat": 70, "dog": 14}
    assert counts_of(index, split.val) == {"cat": 15, "dog": 3}
    assert counts_of(index, split.test) == {"cat": 15, "dog": 3}


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (10, (7, 2, 1)), (11, (8, 2, 1)), (13, (9, 2, 2))],
    ids=str,
)
def test_shares_are_rounded_by_largest_remainder_with_one_at_least(
    count: int, expected: tuple[int, int, int]
) -> None:
    # 10 images: 7, 1.5 and 1.5; the first of equal remainders gets the one left.
    index = index_of({"cat": distinct("cat", count)})
    split = stratified_split(index, DEFAULT, seed=0)
    assert tuple(len(positions) for _, positions in split.items()) == expected


def test_positions_are_sorted_int64() -> None:
    split = stratified_split(index_of({"cat": distinct("cat", 30)}), DEFAULT, seed=0)
    for _, positions in split.items():
        assert positions.dtype == np.int64
        assert (np.diff(positions) > 0).all()


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    index = index_of({"cat": distinct("cat", 40), "dog": distinct("dog", 40)})
    first, again, other = (stratified_split(index, DEFAULT, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.test, again.test)
    np.testing.assert_array_equal(first.val, again.val)
    assert not np.array_equal(first.test, other.test)


def test_names_and_order_of_the_files_do_not_matter() -> None:
    contents = distinct("cat", 40)
    index = index_of({"cat": contents})
    turned = index_of({"cat": contents[::-1]})
    assert part_of_content(index, stratified_split(index, DEFAULT, 0)) == part_of_content(
        turned, stratified_split(turned, DEFAULT, 0)
    )


def test_adding_images_moves_few_others_and_none_between_val_and_test() -> None:
    before = index_of({"cat": distinct("cat", 200)})
    after = index_of({"cat": distinct("cat", 210)})
    old = part_of_content(before, stratified_split(before, DEFAULT, 0))
    new = part_of_content(after, stratified_split(after, DEFAULT, 0))
    moved = [(old[content], new[content]) for content in old if old[content] != new[content]]
    assert len(moved) <= 10
    assert all({"train"} in pair for pair in moved)


def test_copies_stay_on_one_side() -> None:
    contents = [content for content in distinct("cat", 20) for _ in range(3)]
    index = index_of({"cat": contents, "dog": distinct("dog", 20)})
    for seed in range(10):
        split = stratified_split(index, DEFAULT, seed)
        assert all(len(parts) == 1 for parts in part_of_content(index, split).values())
        assert len(split.val) > 0
        assert len(split.test) > 0


def test_groups_stay_on_one_side_whatever_they_are_called() -> None:
    index = index_of({"cat": distinct("cat", 60)})
    pairs = {f"cat-{number}": f"pair {number // 2}" for number in range(40)}
    renamed = {content: f"{group} again" for content, group in pairs.items()}
    split = stratified_split(index, DEFAULT, 0, groups=pairs)
    found = part_of_content(index, split)
    for number in range(0, 40, 2):
        assert found[f"cat-{number}"] == found[f"cat-{number + 1}"]
    again = stratified_split(index, DEFAULT, 0, groups=renamed)
    np.testing.assert_array_equal(split.test, again.test)


def test_an_image_in_two_classes_goes_to_train() -> None:
    index = index_of(
        {"cat": [*distinct("cat", 6), "both"], "dog": ["both", "both", *distinct("dog", 6)]}
    )
    for seed in range(20):
        split = stratified_split(index, DEFAULT, seed)
        assert part_of_content(index, split)["both"] == {"train"}


def test_many_copies_of_one_image_leave_the_others_for_val_and_test() -> None:
    index = index_of({"cat": ["same"] * 50 + ["one", "two"]})
    for seed in range(10):
        found = part_of_content(index, stratified_split(index, DEFAULT, seed))
        assert found["same"] == {"train"}
        assert found["one"] | found["two"] == {"val", "test"}


def test_the_image_of_fewest_copies_is_taken_where_none_fits_its_share() -> None:
    index = index_of({"cat": ["three"] * 3 + ["two"] * 2 + ["pair"] * 2})
    for seed in range(10):
        found = part_of_content(index, stratified_split(index, DEFAULT, seed))
        assert found["three"] == {"train"}


def test_a_test_share_of_0_leaves_the_test_part_empty() -> None:
    index = index_of({"cat": distinct("cat", 10), "dog": distinct("dog", 2)})
    split = stratified_split(index, (0.8, 0.2, 0.0), seed=0)
    assert counts_of(index, split.val) == {"cat": 2, "dog": 1}
    assert split.test.shape == (0,)
    assert split.test.dtype == np.int64


@pytest.mark.parametrize(
    ("contents", "fractions", "message"),
    [
        (
            distinct("cat", 2),
            DEFAULT,
            "Class 'cat' has 2 distinct images; 3 are needed for train, val and test: add 1 or "
            "set the test part to 0.",
        ),
        (
            ["same"] * 9,
            DEFAULT,
            "Class 'cat' has 1 distinct image; 3 are needed for train, val and test: add 2.",
        ),
        (
            ["one"],
            (0.8, 0.2, 0.0),
            "Class 'cat' has 1 distinct image; 2 are needed for train and val: add 1.",
        ),
        (
            ["dog-1", "dog-2", "own"],
            DEFAULT,
            "Class 'cat' has 2 distinct images; 3 are needed for train, val and test: add 1 or "
            "set the test part to 0.",
        ),
    ],
    ids=["one lacks", "copies count once", "without test", "those in two classes count once"],
)
def test_a_class_that_is_too_small_is_named_with_what_it_lacks(
    contents: list[str], fractions: tuple[float, float, float], message: str
) -> None:
    index = index_of({"cat": contents, "dog": distinct("dog", 9)})
    with pytest.raises(DatasetError) as caught:
        stratified_split(index, fractions, seed=0)
    assert str(caught.value) == message


def test_of_many_small_classes_five_are_named_and_the_rest_counted() -> None:
    index = index_of({f"class{number}": [f"only{number}"] for number in range(8)})
    with pytest.raises(DatasetError, match=r"'class4'.* 3 more classes are too small\.$"):
        stratified_split(index, DEFAULT, seed=0)


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.2), (1.1, -0.1, 0.0), (0.0, 0.5, 0.5)], ids=str)
def test_shares_that_are_no_whole_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(ConfigError):
        stratified_split(index_of({"cat": distinct("cat", 9)}), fractions, seed=0)


def test_a_given_split_is_kept_as_it_is() -> None:
    index = given_index(
        {"train": {"cat": 6, "dog": 5}, "val": {"cat": 2}, "test": {"cat": 1, "dog": 3}}
    )
    split = split_dataset(index, TrainConfig())
    for part, positions in split.items():
        assert list(positions) == [
            i for i, record in enumerate(index.records) if record.part == part
        ]


def test_val_is_carved_out_of_train_where_the_folder_has_none() -> None:
    index = given_index({"train": {"cat": 20, "dog": 40}, "test": {"cat": 5, "dog": 5}})
    split = split_dataset(index, TrainConfig(val_fraction=0.2, test_fraction=0.3))
    assert counts_of(index, split.train) == {"cat": 16, "dog": 32}
    assert counts_of(index, split.val) == {"cat": 4, "dog": 8}
    assert {index.records[i].part for i in split.val} == {"train"}
    assert {index.records[i].part for i in split.test} == {"test"}
    assert len(split.test) == 10


@pytest.mark.parametrize(
    ("test_fraction", "expected"), [(0.2, {"cat": 4, "dog": 8}), (0, {})], ids=["on", "off"]
)
def test_test_is_carved_out_of_train_where_the_folder_has_none(
    test_fraction: float, expected: dict[str, int]
) -> None:
    index = given_index({"train": {"cat": 20, "dog": 40}, "val": {"cat": 5, "dog": 5}})
    split = split_dataset(index, TrainConfig(test_fraction=test_fraction))
    assert counts_of(index, split.test) == expected
    assert {index.records[i].part for i in split.val} == {"val"}
    assert len(split.train) + len(split.test) == 60


def test_a_class_absent_from_a_given_train_part_is_named() -> None:
    index = given_index({"train": {"cat": 3}, "test": {"cat": 2, "dog": 2}})
    with pytest.raises(DatasetError, match=r"in the train folder, found none of 'dog'"):
        split_dataset(index, TrainConfig())


def test_without_a_given_split_the_settings_decide() -> None:
    index = index_of({"cat": distinct("cat", 50)})
    config = TrainConfig(val_fraction=0.1, test_fraction=0.2, seed=5)
    split = split_dataset(index, config)
    expected = stratified_split(index, (0.7, 0.1, 0.2), 5)
    np.testing.assert_array_equal(split.test, expected.test)
    np.testing.assert_array_equal(split.val, expected.val)
    assert (len(split.train), len(split.val), len(split.test)) == (35, 5, 10)


def test_a_written_split_reads_back_with_odd_names(tmp_path: Path) -> None:
    index = index_of({'a, "b"': distinct("x", 4), "naïve\nclass": distinct("y", 4)})
    split = stratified_split(index, DEFAULT, 0)
    path = tmp_path / "split.csv"
    save_split(path, index, split)
    assert path.read_bytes().startswith(b"path,sha256,class,part\n")
    expected = [
        SplitRow(
            record.path,
            record.sha256,
            index.class_names[record.label],
            next(part for part, positions in split.items() if i in positions),
        )
        for i, record in enumerate(index.records)
    ]
    assert read_split(path) == expected
    assert [file.name for file in tmp_path.iterdir()] == ["split.csv"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "Cannot read the split"),
        (b"", "Expected the columns path,sha256,class,part"),
        (b"path,class\na,b\n", "found path,class"),
        (b"path,sha256,class,part\na,b,c,train\na,b,c,holdout\n", "line 3"),
        (b"path,sha256,class,part\na,b\n", "line 2"),
        (b"path,sha256,class,part\n\xff,b,c,train\n", "Cannot read the split"),
    ],
    ids=["missing", "empty", "other columns", "other part", "short line", "no text"],
)
def test_what_is_no_split_file_is_a_run_error(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "split.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_split(path)


@settings(max_examples=150, deadline=None)
@given(
    classes=st.lists(st.lists(st.integers(0, 25), min_size=1, max_size=60), min_size=1, max_size=4),
    val=st.sampled_from([0.0, 0.1, 0.15, 0.4]),
    test=st.sampled_from([0.0, 0.1, 0.15, 0.4]),
    seed=st.integers(0, 50),
)
def test_any_split_covers_all_images_once_and_every_class_in_every_part(
    classes: list[list[int]], val: float, test: float, seed: int
) -> None:
    """Contents are small numbers, so that there are copies inside and across classes."""
    index = index_of(
        {f"c{label}": [str(number) for number in listed] for label, listed in enumerate(classes)}
    )
    try:
        split = stratified_split(index, (1 - val - test, val, test), seed)
    except DatasetError:
        parts = 1 + (val > 0) + (test > 0)
        crossing = Counter(number for listed in classes for number in set(listed))
        pure = [sum(crossing[number] == 1 for number in set(listed)) for listed in classes]
        mixed = [any(crossing[number] > 1 for number in listed) for listed in classes]
        assert any(a + b < parts or a < parts - 1 for a, b in zip(pure, mixed, strict=True))
        return
    together = np.concatenate([positions for _, positions in split.items()])
    assert sorted(together) == list(range(len(index.records)))
    assert all(len(parts) == 1 for parts in part_of_content(index, split).values())
    for part, fraction in (("train", 1.0), ("val", val), ("test", test)):
        found = counts_of(index, dict(split.items())[part])
        assert len(found) == (len(classes) if fraction else 0)


def test_records_without_a_part_beside_given_parts_train() -> None:
    index = given_index({"train": {"cat": 4}, "val": {"cat": 2}, "test": {"cat": 2}})
    loose = replace(index.records[0], path="cat/loose.png", sha256="loose", part=None)
    index = replace(index, records=(*index.records, loose))
    assert len(index.records) - 1 in split_dataset(index, TrainConfig()).train


def test_groups_that_lie_in_several_parts_are_named_without_what_is_left_out():
    index = make_index([make_record(f"a/{n}.png", 0, str(n)) for n in range(6)], ["a"])
    split = Split(np.array([0, 1, 2]), np.array([3, 4]), np.array([5]))
    groups = [
        ("a/0.png", "a/1.png"),  # both in train
        ("a/2.png", "a/3.png", "a/4.png"),
        ("a/0.png", "a/gone.png"),
        ("a/5.png", "a/gone.png", "a/1.png"),
    ]
    assert groups_apart(index, split, groups) == [
        ("a/2.png", "a/3.png", "a/4.png"),
        ("a/5.png", "a/1.png"),
    ]


@pytest.mark.parametrize("stored", ["/etc/passwd", "../secret.png", "cat/../../secret.png"])
def test_a_split_names_no_file_outside_of_the_data_folder(tmp_path: Path, stored: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(f"path,sha256,class,part\n{stored},0,cat,test\n", encoding="utf-8")
    with pytest.raises(RunError, match="inside the data folder"):
        read_split(path)


def test_added_photos_go_to_train_and_leave_the_other_parts_as_they_are() -> None:
    index = index_of({"cat": [f"c{n}" for n in range(20)], "dog": [f"d{n}" for n in range(20)]})
    before = stratified_split(index, DEFAULT, 0)
    new = [make_record(f"cat/new{n}.png", 0, f"new{n}") for n in range(30)]
    grown = replace(
        index,
        records=(*index.records, *new),
        added=frozenset(record.path for record in new),
    )
    after = stratified_split(grown, DEFAULT, 0)
    assert after.val.tolist() == before.val.tolist()
    assert after.test.tolist() == before.test.tolist()
    assert after.train.tolist() == [*before.train.tolist(), *range(40, 70)]


def test_an_added_photo_goes_where_its_group_goes() -> None:
    records = [
        replace(make_record(f"{name}/{n}.png", label, f"{name}{n}"), group=f"{name}{n}")
        for label, name in enumerate(("cat", "dog"))
        for n in range(10)
    ]
    index = make_index(records, ("cat", "dog"))
    split = stratified_split(index, DEFAULT, 0)
    tested = records[int(split.test[0])]
    near = replace(make_record("cat/near.png", tested.label, "near"), group=tested.group)
    alone = replace(make_record("cat/alone.png", 0, "alone"), group="alone")
    paths = frozenset((near.path, alone.path))
    grown = make_index([*records, near, alone], ("cat", "dog"))
    after = stratified_split(replace(grown, added=paths), DEFAULT, 0)
    parts = {int(place): part for part, places in after.items() for place in places}
    assert parts[20] == parts[records.index(tested)]
    assert parts[21] == "train"


def test_a_class_of_added_photos_alone_is_divided_like_any_other() -> None:
    index = index_of({"cat": [f"c{n}" for n in range(20)], "new": [f"n{n}" for n in range(20)]})
    new = frozenset(record.path for record in index.records if record.label == 1)
    split = stratified_split(replace(index, added=new), DEFAULT, 0)
    assert split.test.tolist() == stratified_split(index, DEFAULT, 0).test.tolist()

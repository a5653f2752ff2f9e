"""Groups of images stay on one side of a split, from the plan to the cleaned copy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import draw_image

from tl_core.config.training import TrainConfig
from tl_core.data.curation.export import export_cleaned_copy
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.folds import folds_of
from tl_core.data.split import read_split, split_dataset, write_split
from tl_core.data.units import unit_names
from tl_core.errors import DatasetError

BY_CLIP = "class-folders?group=name:{group}_frame{n}"


def draw_clips(data_dir: Path, num_clips: int, classes: tuple[str, ...] = ("on", "off")) -> Path:
    """Draw 6 frames of each clip; clip k has frames in every class."""
    for kind, name in enumerate(classes):
        (data_dir / name).mkdir(parents=True)
        for clip in range(num_clips):
            for frame in range(6):
                path = data_dir / name / f"clip{clip}_frame{frame}.png"
                draw_image(kind, 100 * clip + frame, (24, 20)).save(path)
    return data_dir


def groups_by_part(index: DatasetIndex, config: TrainConfig) -> dict[str, set[str | None]]:
    split = split_dataset(index, config)
    return {part: {index.records[int(i)].group for i in own} for part, own in split.items()}


@pytest.mark.parametrize("seed", range(4))
def test_no_group_is_divided_and_every_class_is_in_every_part(tmp_path: Path, seed: int) -> None:
    index = scan_dataset(draw_clips(tmp_path / "clips", 8), BY_CLIP)
    config = TrainConfig(seed=seed, val_fraction=0.25, test_fraction=0.25)

    split = split_dataset(index, config)

    parts = groups_by_part(index, config)
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == 8
    assert {part: len(own) for part, own in split.items()} == {"train": 48, "val": 24, "test": 24}
    for _, positions in split.items():
        assert np.bincount(index.labels[positions]).tolist() == [len(positions) // 2] * 2


def test_another_seed_gives_another_split_and_the_same_the_same(tmp_path: Path) -> None:
    index = scan_dataset(draw_clips(tmp_path / "clips", 8), BY_CLIP)

    first, again, other = (groups_by_part(index, TrainConfig(seed=seed)) for seed in (0, 0, 3))

    assert first == again
    assert first != other


def test_the_same_picture_in_two_groups_holds_them_together(tmp_path: Path) -> None:
    data_dir = draw_clips(tmp_path / "clips", 4)
    copied = (data_dir / "on/clip0_frame0.png").read_bytes()
    (data_dir / "on/clip3_frame9.png").write_bytes(copied)
    index = scan_dataset(data_dir, BY_CLIP)

    names = unit_names(index, range(index.num_images))

    by_group = {record.group: name for record, name in zip(index.records, names, strict=True)}
    assert by_group["clip0"] == by_group["clip3"]
    assert len(set(by_group.values())) == 3


def test_folds_keep_groups_together(tmp_path: Path) -> None:
    index = scan_dataset(draw_clips(tmp_path / "clips", 6), BY_CLIP)

    folds = folds_of(index, np.arange(index.num_images), 3, 0)

    by_group: dict[str | None, set[int]] = {}
    for record, fold in zip(index.records, folds, strict=True):
        by_group.setdefault(record.group, set()).add(int(fold))
    assert all(len(own) == 1 for own in by_group.values())


def test_too_few_groups_are_an_error_that_says_so(tmp_path: Path) -> None:
    index = scan_dataset(draw_clips(tmp_path / "clips", 2), BY_CLIP)

    with pytest.raises(DatasetError, match=r"come in 2 groups.*none is left for (val|test)"):
        split_dataset(index, TrainConfig())


def test_groups_survive_the_cleaned_copy_and_the_split_file(tmp_path: Path) -> None:
    index = scan_dataset(draw_clips(tmp_path / "clips", 4), BY_CLIP)

    copied = scan_dataset(export_cleaned_copy(index, tmp_path / "copy"))

    assert {(r.sha256, r.group) for r in copied.records} == {
        (r.sha256, r.group) for r in index.records
    }
    assert "other" not in copied.num_ignored
    write_split(tmp_path / "split.csv", index, split_dataset(index, TrainConfig()))
    rows = read_split(tmp_path / "split.csv")
    assert {row.path: row.group for row in rows} == {r.path: r.group for r in index.records}


def test_labels_from_a_table_become_class_folders_in_the_cleaned_copy(tmp_path: Path) -> None:
    rows = ["id,label,group"]
    for n in range(8):
        draw_image(n % 2, n, (24, 20)).save(tmp_path / f"{n * 7919 % 9973:04x}.png")
        rows.append(f"{n * 7919 % 9973:04x},{'ab'[n % 2]},{n // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    index = scan_dataset(tmp_path)

    copied = scan_dataset(export_cleaned_copy(index, tmp_path.parent / "as folders"))

    assert index.class_counts() == copied.class_counts() == {"a": 4, "b": 4}
    assert len({record.group for record in copied.records}) == 4


def test_a_given_split_that_divides_groups_is_a_finding(tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw_clips(tmp_path / part, 3)

    index = scan_dataset(tmp_path, BY_CLIP)

    (found,) = [one for one in index.findings if one.kind == "group_across_parts"]
    assert found.message.startswith("3 of 3 groups")


def test_the_fingerprint_tells_groups_apart_and_leaves_others_as_they_were(tmp_path: Path) -> None:
    data_dir = draw_clips(tmp_path / "clips", 3)

    assert scan_dataset(data_dir).fingerprint != scan_dataset(data_dir, BY_CLIP).fingerprint

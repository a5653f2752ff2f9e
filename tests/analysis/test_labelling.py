"""Groups of similar photos, and the order in which a person labels the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tl_core.analysis.labelling import (
    SHEET,
    LabelState,
    PhotoPool,
    Ranking,
    classes_of_photos,
    group_photos,
    rank,
)
from tl_core.analysis.labelling_cache import LabellingFiles, sort_photos
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decision, Decisions
from tl_core.data.dataset import DatasetIndex, ImageRecord
from tl_core.data.ingest.labels import label_photos
from tl_core.features.spec import FeatureSpec
from tl_core.workspace import Workspace

SPEC = FeatureSpec.from_config(TrainConfig(backbone="tiny"))


def index_of(num: int, labels: tuple[int, ...] = ()) -> DatasetIndex:
    """Return an index of photos "0" to ``num - 1``; the first have the labels given."""
    records = tuple(
        ImageRecord(
            *(str(i), labels[i] if i < len(labels) else -1, f"sha{i}", 1, 1, 8, 8, "PNG", "RGB"),
            *(1, None),
        )
        for i in range(num)
    )
    return DatasetIndex(Path("/data"), ("cat", "dog") if labels else (), records, (), {})


def clusters(*sizes: int) -> np.ndarray:
    """Return features in clusters far from each other, the first the tightest."""
    rng = np.random.default_rng(0)
    centres = 10 * np.eye(len(sizes))
    return np.concatenate(
        [
            centres[number] + 0.01 * (number + 1) * rng.standard_normal((size, len(sizes)))
            for number, size in enumerate(sizes)
        ]
    ).astype(np.float32)


def pool_with_groups(groups: list[int]) -> PhotoPool:
    """Return photos in the groups given, each less near to its centre than the one before."""
    num = len(groups)
    features = np.eye(8, dtype=np.float32)[np.array(groups) % 8]
    spread = np.arange(num, dtype=np.float32)
    return PhotoPool(
        index_of(num), features.astype(np.float16), features, np.array(groups, np.int32), spread
    )


def ranking(*certainty: float) -> Ranking:
    """Return a ranking that gives class "a" these probabilities, and "b" the rest."""
    first = np.array(certainty, np.float32)
    return Ranking(("a", "b"), np.stack([first, 1 - first], axis=1), 2)


def test_photos_of_a_cluster_are_a_group_and_the_tightest_comes_first():
    pool = group_photos(index_of(24), clusters(8, 8, 8))
    assert [set(pool.group_of[start : start + 8]) for start in (0, 8, 16)] == [{0}, {1}, {2}]
    assert np.allclose(np.linalg.norm(pool.features, axis=1), 1, atol=1e-3)
    sheets = LabelState(pool, {}, frozenset()).groups()
    assert [sorted(map(int, sheet.paths)) for sheet in sheets] == [
        list(range(start, start + 8)) for start in (0, 8, 16)
    ]
    assert {sheet.suggestion for sheet in sheets} == {None}


def test_few_photos_and_one_are_grouped_as_well():
    assert group_photos(index_of(1), np.ones((1, 4), np.float32)).group_of.tolist() == [0]
    assert group_photos(index_of(2), np.eye(2, dtype=np.float32)).group_of.tolist() == [0, 0]


def test_a_large_group_is_shown_in_sheets_of_nearly_equal_size():
    state = LabelState(pool_with_groups([0] * (SHEET + 6)), {}, frozenset())
    assert [len(sheet.paths) for sheet in state.groups()] == [SHEET // 2 + 3] * 2


def test_labelled_and_left_out_photos_are_in_no_sheet_and_two_photos_are_no_group():
    state = LabelState(pool_with_groups([0] * 5 + [1] * 2), {"0": "a"}, frozenset({"1"}))
    assert [sheet.paths for sheet in state.groups()] == [("2", "3", "4")]
    assert set(state.one_by_one().paths) == {"2", "3", "4", "5", "6"}
    assert state.num_photos == 6


def test_one_by_one_starts_in_the_middle_of_each_group_largest_first():
    state = LabelState(pool_with_groups([0, 0, 1, 1, 1]), {}, frozenset())
    assert state.one_by_one().paths == ("2", "0", "3", "1", "4")
    assert state.one_by_one(2).paths == ("2", "0")


def test_with_a_ranking_the_least_sure_come_first():
    state = LabelState(pool_with_groups([0] * 4), {}, frozenset(), ranking(0.9, 0.45, 0.7, 0.52))
    assert state.one_by_one().paths == ("3", "1", "2", "0")
    assert state.suggestion_for("1") == ("b", pytest.approx(0.55))


def test_a_group_in_which_the_ranking_sees_two_classes_is_split_by_what_is_sure():
    certain = (0.95, 0.99, 0.9, 0.1, 0.05, 0.2, 0.6)
    state = LabelState(pool_with_groups([0] * 7), {}, frozenset(), ranking(*certain))
    assert [(sheet.kind, sheet.paths, sheet.suggestion) for sheet in state.groups()] == [
        ("sure", ("1", "0", "2"), "a"),
        ("sure", ("4", "3", "5"), "b"),
    ]


def test_a_group_of_one_class_by_the_ranking_keeps_its_photos_and_is_named():
    state = LabelState(pool_with_groups([0] * 3), {}, frozenset(), ranking(0.6, 0.3, 0.9))
    assert state.groups() == []
    state = LabelState(pool_with_groups([0] * 3), {}, frozenset(), ranking(0.6, 0.51, 0.9))
    assert [(one.kind, one.suggestion) for one in state.groups()] == [("group", "a")]


def test_more_like_these_are_the_nearest_without_a_class():
    features = np.array([[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]], np.float32)
    pool = group_photos(index_of(4), features)
    state = LabelState(pool, {"0": "cat", "1": "cat"}, frozenset())
    sheet = state.more_like(["0"])
    assert (sheet.paths, sheet.suggestion) == (("2", "3"), "cat")
    assert state.more_like(["3"], 1).paths == ("2",)
    assert state.more_like(["gone"]).paths == ()


def test_the_rest_is_sorted_again_after_the_first_two_classes_and_twenty_more_labels():
    pool = pool_with_groups([0] * 60)
    two = {"0": "a", "1": "b"}
    assert not LabelState(pool, {"0": "a"}, frozenset()).is_due
    assert LabelState(pool, two, frozenset()).is_due
    later = {str(i): "a" for i in range(2, 21)}
    ranked = ranking(*[0.5] * 60)
    assert not LabelState(pool, two | later, frozenset(), ranked).is_due
    assert LabelState(pool, two | later | {"21": "a"}, frozenset(), ranked).is_due


def test_the_ranking_learns_the_classes_from_a_few_labels():
    pool = group_photos(index_of(40), clusters(20, 20))
    assert rank(pool, {"0": "cat", "1": "cat"}) is None
    ranked = rank(pool, {"0": "cat", "1": "cat", "20": "dog", "21": "dog"})
    assert ranked is not None
    assert ranked.class_names == ("cat", "dog")
    assert ranked.probabilities.argmax(axis=1).tolist() == [0] * 20 + [1] * 20
    assert ranked.num_labels == 4


def test_decisions_say_which_photos_have_a_class():
    index = index_of(6, (0, 1))
    decisions = Decisions().decide(
        "several",
        [
            Decision("1", "sha1", "relabel", "cat"),
            Decision("2", "sha2", "label", "bird"),
            Decision("3", "other bytes", "label", "bird"),
            Decision("4", "sha4", "exclude"),
        ],
    )
    assert classes_of_photos(index, decisions) == ({"0": "cat", "1": "cat", "2": "bird"}, {"4"})


def test_sorting_is_kept_and_only_the_ranking_is_made_again(make_dataset, tmp_path, monkeypatch):
    workspace, heap = Workspace(tmp_path / "workspace"), tmp_path / "heap"
    make_dataset({"any": 8}, tmp_path)
    (tmp_path / "any").rename(heap)
    files = LabellingFiles(workspace, heap, SPEC)
    assert files.read_pool() is None
    first = sort_photos(workspace, heap, SPEC)
    assert first.ranking is None
    label_photos(heap, {"0.png": "a", "1.png": "b"}, workspace)
    monkeypatch.setattr("tl_core.analysis.labelling_cache.make_pool", None)
    again = sort_photos(workspace, heap, SPEC)
    assert again.ranking is not None
    pool = files.read_pool()
    assert pool is not None
    assert pool.index.records == first.pool.index.records
    assert np.array_equal(pool.features, first.pool.features)
    kept = files.read_ranking(pool)
    assert kept is not None
    assert kept.class_names == ("a", "b")
    assert np.allclose(kept.probabilities, again.ranking.probabilities)
    monkeypatch.undo()
    shutil.copy(heap / "7.png", heap / "8.png")
    assert sort_photos(workspace, heap, SPEC).pool.index.num_images == 9

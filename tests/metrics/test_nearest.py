"""Neighbours in feature space, against comparing all with all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from tl_core.metrics import nearest
from tl_core.metrics.nearest import (
    make_unit,
    nearest_pairs,
    nearest_rows,
    spread_rows,
    unit_rows,
)


def test_pairs_are_those_of_each_image_and_its_nearest():
    features = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, -1]], np.float32)

    assert nearest_pairs(features, 1, 0.5).tolist() == [[0, 1], [2, 3]]


def test_length_does_not_count():
    features = np.array([[1, 0], [50, 1], [0, 1]], np.float32)

    assert nearest_pairs(features, 1, 0.9).tolist() == [[0, 1]]
    assert np.allclose(np.linalg.norm(unit_rows(features), axis=1), 1)


def test_more_neighbours_than_images_are_no_trouble():
    assert nearest_pairs(np.ones((3, 4)), 9, 0.5).tolist() == [[0, 1], [0, 2], [1, 2]]


@pytest.mark.parametrize("num", [0, 1])
def test_fewer_than_two_images_have_no_pairs(num):
    assert nearest_pairs(np.ones((num, 4)), 3, 0.5).shape == (0, 2)


def test_cells_lose_hardly_any_close_pair(monkeypatch):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((40, 16))
    first = centres[rng.integers(0, 40, 900)] + rng.standard_normal((900, 16))
    features = np.concatenate([first, first + 0.1 * rng.standard_normal((900, 16))])
    monkeypatch.setattr(nearest, "_MIN_CELL", 100)

    pairs = {tuple(pair) for pair in nearest_pairs(features, 3, 0.95).tolist()}
    expected = {(place, place + 900) for place in range(900)}
    assert len(expected & pairs) > 0.97 * 900


def test_nearest_rows_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(nearest, "_ROWS", 7)
    rows = unit_rows(np.random.default_rng(1).standard_normal((30, 6)))
    expected = NearestNeighbors(n_neighbors=5, metric="cosine").fit(rows)
    distances, positions = expected.kneighbors()
    done = []

    found, cosines = nearest_rows(rows, rows, 5, np.arange(30), done.append)
    assert np.array_equal(found, positions)
    assert np.allclose(1 - cosines, distances, atol=1e-6)
    assert done == [7, 14, 21, 28, 30]


def test_a_row_is_left_out_only_where_it_is_among_the_references():
    rows = unit_rows(np.array([[1, 0], [1, 0.1], [0, 1]]))
    found, _ = nearest_rows(rows, rows[[0, 2]], 1, np.array([0, -1, 1]))
    assert found.ravel().tolist() == [1, 0, 0]


def test_rows_are_spread_evenly():
    assert spread_rows(3, 5).tolist() == [0, 1, 2]
    assert spread_rows(9, 3).tolist() == [0, 4, 8]
    assert spread_rows(0, 3).tolist() == []


def test_rows_are_made_unit_in_place_as_in_a_copy(monkeypatch):
    monkeypatch.setattr(nearest, "_ROWS_MEASURED", 2)
    rows = np.array([[3, 4], [0, 0], [0, 5]], np.float32)
    made = unit_rows(rows)
    make_unit(rows)
    assert rows.tolist() == made.tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [0, 1]]

"""Maps of features: against scikit-learn, and stable from one call to the next."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from tl_core.analysis.projection import pca_2d, tsne_2d


@pytest.mark.parametrize("shape", [(40, 8), (8, 40)], ids=["many rows", "many columns"])
def test_pca_agrees_with_scikit_learn_up_to_the_sign(shape) -> None:
    features = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    expected = PCA(2).fit_transform(features)
    points = pca_2d(features)
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-4)
    np.testing.assert_array_equal(pca_2d(features), points)
    assert (points.max(axis=0) >= -points.min(axis=0)).all()


def test_pca_of_equal_images_puts_them_all_in_one_point() -> None:
    np.testing.assert_array_equal(pca_2d(np.ones((3, 5), np.float32)), np.zeros((3, 2)))


def test_pca_of_one_image_is_the_origin() -> None:
    np.testing.assert_array_equal(pca_2d(np.ones((1, 5), np.float32)), np.zeros((1, 2)))


def test_tsne_keeps_two_far_groups_apart_and_repeats() -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 1, (20, 10)), rng.normal(30, 1, (20, 10))])
    points = tsne_2d(features.astype(np.float32))
    inside = np.linalg.norm(points[:20] - points[:20].mean(0), axis=1).max()
    between = np.linalg.norm(points[:20].mean(0) - points[20:].mean(0))
    assert between > inside
    np.testing.assert_array_equal(tsne_2d(features.astype(np.float32)), points)


def test_tsne_takes_as_few_as_three_images() -> None:
    assert tsne_2d(np.eye(3, dtype=np.float32)).shape == (3, 2)

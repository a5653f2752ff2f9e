"""What is estimated for a kind of job is what its work takes, measured by the arrays it makes."""

import tracemalloc

import numpy as np
import pytest

from tl_core.analysis.explore import nearest_of_all
from tl_core.analysis.labelling import group_photos
from tl_core.analysis.learning_curve import learning_curve
from tl_core.analysis.projection import pca_2d
from tl_core.data.audit.label_errors import check_labels, dissimilarity
from tl_core.jobs.handlers import CURVE, EXPLORE, LABEL
from tl_core.jobs.memory import NEEDS
from tl_core.metrics.nearest import nearest_pairs

NUM_PHOTOS, DIM = 400, 10_000
LABELS = np.arange(NUM_PHOTOS) % 4


class Photos:
    """What grouping reads of the index of photos."""

    findings = ()


@pytest.mark.parametrize(
    ("kind", "work"),
    [
        (LABEL, lambda features: group_photos(Photos(), features)),
        (EXPLORE, lambda features: nearest_of_all(features, 12)),
        (EXPLORE, pca_2d),
        (EXPLORE, lambda features: nearest_pairs(features, 3, 0.9)),
        (EXPLORE, lambda features: check_labels(features, LABELS, 4)),
        (EXPLORE, lambda features: dissimilarity(features, LABELS)),
        (CURVE, lambda features: learning_curve(features, LABELS, repeats=1)),
    ],
    ids=["group", "neighbours", "pca", "pairs", "labels", "outliers", "curve"],
)
def test_work_holds_no_more_rows_than_are_estimated(kind, work):
    few = np.arange(NUM_PHOTOS * 8, dtype=np.float32).reshape(NUM_PHOTOS, 8)
    work(few)  # what it imports is not counted
    features = np.random.default_rng(0).random((NUM_PHOTOS, DIM), np.float32)
    features[:, 0] += LABELS
    tracemalloc.start()
    try:
        work(features)
        made = tracemalloc.get_traced_memory()[1] / (4 * DIM)
    finally:
        tracemalloc.stop()
    need = NEEDS[kind]
    assert NUM_PHOTOS + made <= need.rows * NUM_PHOTOS + need.more_rows

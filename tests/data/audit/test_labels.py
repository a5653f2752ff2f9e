"""Which labels are named as wrong, from probabilities worked out by hand."""

import numpy as np

from tl_core.config.audit import AuditConfig
from tl_core.data.audit.label_errors import LabelCheck
from tl_core.data.audit.labels import find_wrong_labels
from tl_core.data.dataset import scan_dataset


def test_as_many_as_confident_learning_counts_are_named_the_least_probable_first(make_dataset):
    """Images 0 to 3 are of class a; for image 2 another class is confident, for 1 none is."""
    index = scan_dataset(make_dataset({"a": 4, "b": 2, "c": 2}))
    probabilities = np.array(
        [
            [0.90, 0.05, 0.05],
            [0.02, 0.48, 0.50],
            [0.20, 0.75, 0.05],
            [0.40, 0.60, 0.00],
            *[[0.1, 0.9, 0.0]] * 2,
            *[[0.0, 0.2, 0.8]] * 2,
        ],
        np.float32,
    )
    confident = index.labels.copy()
    confident[[2, 3]] = 1  # 0.6 is not half above 0.4, so that only one label is counted
    check = LabelCheck(
        probabilities,
        1 - probabilities[np.arange(8), index.labels],
        probabilities.argmax(axis=1),
        confident,
    )
    (finding,) = find_wrong_labels(index, check, AuditConfig())
    assert (finding.paths, finding.target) == ((index.records[1].path,), "c")
    both = find_wrong_labels(index, check, AuditConfig(label_margin=0.1))
    named = {path: one.target for one in both for path in one.paths}
    assert named == {index.records[1].path: "c", index.records[2].path: "b"}
    assert find_wrong_labels(index, check, AuditConfig(label_margin=0.6)) == []
    third = find_wrong_labels(
        index, check, AuditConfig(label_margin=0.1), covered=[index.records[1].path]
    )
    assert [one.paths for one in third] == [(index.records[2].path,)]

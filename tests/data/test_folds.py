import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from tl_core.data.dataset import scan_dataset
from tl_core.data.folds import folds_of
from tl_core.errors import DatasetError


@pytest.fixture
def index(make_dataset, tmp_path):
    """30 + 15 images; three cats are one picture, one dog is that picture too."""
    data_dir = make_dataset({"cat": 30, "dog": 15})
    content = (data_dir / "cat" / "0.png").read_bytes()
    for path in ("cat/1.png", "cat/2.png", "dog/0.png"):
        (data_dir / path).write_bytes(content)
    return scan_dataset(data_dir, cache_dir=tmp_path / "cache")


def test_every_fold_has_its_share_of_every_class(index):
    folds = folds_of(index, np.arange(45), 3, seed=0)
    for label, size in ((0, 30), (1, 15)):
        counts = np.bincount(folds[index.labels == label], minlength=3)
        assert counts.sum() == size
        assert np.ptp(counts) <= 3  # scikit-learn's own reaches as much with these copies
    sklearn_folds = StratifiedGroupKFold(3).split(
        np.zeros(45), index.labels, [record.sha256 for record in index.records]
    )
    sizes = [len(held_out) for _, held_out in sklearn_folds]
    assert abs(max(np.bincount(folds)) - max(sizes)) <= 3


def test_copies_are_on_one_side(index):
    folds = folds_of(index, np.arange(45), 3, seed=0)
    first = index.records[0].sha256
    copies = [place for place, record in enumerate(index.records) if record.sha256 == first]
    assert len(copies) == 4
    assert len(set(folds[copies].tolist())) == 1


def test_near_copies_are_on_one_side(index):
    places = [5, 9, 33, 40]
    groups = {index.records[place].sha256: "alike" for place in places}
    apart = [len(set(folds_of(index, np.arange(45), 3, seed)[places])) for seed in range(5)]
    assert max(apart) > 1
    for seed in range(5):
        folds = folds_of(index, np.arange(45), 3, seed, groups=groups)
        assert len(set(folds[places].tolist())) == 1


def test_a_seed_gives_the_same_folds_and_another_others(index):
    one, again, other = (folds_of(index, np.arange(45), 3, seed) for seed in (0, 0, 1))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def test_a_class_of_one_picture_is_refused_in_words(index):
    cats = np.arange(30)
    alone = np.append(cats, 31)
    with pytest.raises(DatasetError, match=r"Class 'dog' has 1 different image .*: add 1\."):
        folds_of(index, alone, 3, seed=0)


def test_more_folds_than_the_images_fill_are_refused_in_words(make_dataset, tmp_path):
    index = scan_dataset(make_dataset({"cat": 8, "dog": 7}, tmp_path / "few"))
    with pytest.raises(DatasetError, match=r"15 different .* at most 8 folds, or add images"):
        folds_of(index, np.arange(15), 10, seed=0)
    for seed in range(20):
        assert set(folds_of(index, np.arange(15), 8, seed)) == set(range(8))

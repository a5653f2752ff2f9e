import shutil
import sys
import types

import numpy as np
import pytest

from tl_core.analysis import cache
from tl_core.analysis import explore as module
from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.explore import (
    explore,
    measure_curve,
    nearest_of_all,
)
from tl_core.analysis.learning_curve import learning_curve
from tl_core.analysis.projection import tsne_2d
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import Stopped
from tl_core.features.spec import FeatureSpec
from tl_core.progress import SILENT, Monitor

TINY = TrainConfig(backbone="tiny")


@pytest.fixture
def index(make_dataset):
    return scan_dataset(make_dataset({"cat": 9, "dog": 7}, size=(80, 64)))


@pytest.fixture(autouse=True)
def features(drawn_features):
    """No backbone has to run here."""


def files_of(index, cache_dir):
    return ExploreFiles(cache_dir, index, FeatureSpec.from_config(TINY))


def test_exploring_leaves_maps_neighbours_and_an_audit_with_features(index, tmp_path):
    explore(index, TINY, tmp_path)
    files = files_of(index, tmp_path)
    assert files.read_audit().has_features
    for kind in ("pca", "tsne"):
        one = files.read_map(kind)
        assert one.points.shape == (16, 2)
        assert np.isfinite(one.points).all()
        assert one.neighbours.shape == (16, 12)


def test_a_stop_keeps_what_was_found(index, tmp_path, monkeypatch):
    def stop(*args):
        raise Stopped

    monkeypatch.setattr(module, "_tsne_in_child", stop)
    with pytest.raises(Stopped):
        explore(index, TINY, tmp_path)
    assert files_of(index, tmp_path).read_map("pca") is not None
    assert files_of(index, tmp_path).read_map("tsne") is None


def test_the_child_of_tsne_ends_when_asked_to_stop():
    features = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    with pytest.raises(Stopped):
        module._tsne_in_child(features, Monitor(None, lambda: True))


def test_the_child_of_tsne_does_not_run_the_main_module_again(tmp_path, monkeypatch):
    # As Streamlit does: the main module is a page, and running it again would start the app.
    page = tmp_path / "page.py"
    page.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    main_module = types.ModuleType("__main__")
    main_module.__file__ = str(page)
    monkeypatch.setitem(sys.modules, "__main__", main_module)
    features = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    points = module._tsne_in_child(features, SILENT)
    np.testing.assert_array_equal(points, tsne_2d(features))
    assert not (tmp_path / "ran").exists()


def test_no_more_neighbours_than_there_are_others():
    assert nearest_of_all(np.eye(3, dtype=np.float32), 12).shape == (3, 2)


def test_a_failure_is_kept_until_it_is_forgotten(index, tmp_path):
    files = files_of(index, tmp_path)
    files.write_failure("explore", "No weights.")
    assert files.read_failure("explore") == "No weights."
    assert files.read_failure("curve") is None
    files.forget_failure("explore")
    assert files.read_failure("explore") is None


def test_the_learning_curve_holds_copies_out_together(make_dataset, tmp_path, monkeypatch):
    folder = make_dataset({"cat": 6, "dog": 6})
    for path in sorted(folder.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    index, seen = scan_dataset(folder), {}

    def note(features, labels, *, groups, **options):
        seen["groups"] = groups.tolist()
        return learning_curve(features, labels, groups=groups, **options)

    monkeypatch.setattr(module, "learning_curve", note)
    measure_curve(index, TINY, tmp_path)
    group_of = dict(zip([record.path for record in index.records], seen["groups"], strict=True))
    for path, group in group_of.items():
        assert group == group_of[path.replace("copy of ", "")]
    assert len(set(group_of.values())) == 12


def test_a_curve_measured_in_another_way_is_measured_again(index, tmp_path, monkeypatch):
    measure_curve(index, TINY, tmp_path)
    assert files_of(index, tmp_path).read_curve() is not None
    monkeypatch.setattr(cache, "CURVE_VERSION", cache.CURVE_VERSION + 1)
    assert files_of(index, tmp_path).read_curve() is None

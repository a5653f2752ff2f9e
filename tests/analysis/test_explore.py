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
    look,
    look_apart,
    mean_images,
    measure_curve,
    nearest_of_all,
)
from tl_core.analysis.learning_curve import learning_curve
from tl_core.analysis.projection import tsne_2d
from tl_core.config.audit import AuditConfig
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError, Stopped
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


def test_a_look_keeps_findings_and_what_each_image_is_like(index, tmp_path):
    look(index, tmp_path)
    measured = ExploreFiles(tmp_path, index).read_audit()
    assert not measured.has_features
    assert measured.columns["brightness"].shape == (16,)
    assert ExploreFiles(tmp_path, index).read_means().shape == (2, 64, 64, 3)


def test_a_look_in_a_process_of_its_own_finds_the_same(index, tmp_path):
    told = []
    look(index, tmp_path / "here")
    look_apart(index, tmp_path / "apart", monitor=Monitor(told.append))
    here, apart = (ExploreFiles(tmp_path / name, index).read_audit() for name in ("here", "apart"))
    assert apart.findings == here.findings
    np.testing.assert_array_equal(apart.columns["sharpness"], here.columns["sharpness"])
    assert told[-1].done == told[-1].total == 16


def test_the_process_says_why_it_failed(index, tmp_path):
    shutil.rmtree(index.data_dir)
    with pytest.raises(DatasetError, match="Expected"):
        look_apart(index, tmp_path / "apart")


def test_a_bug_in_the_process_is_not_told_as_the_users_mistake(index, tmp_path):
    (tmp_path / "apart").touch()  # where the cache is to be
    with pytest.raises(RuntimeError, match="Traceback"):
        look_apart(index, tmp_path / "apart")


def test_a_process_that_was_ended_is_told_as_such(index, tmp_path, monkeypatch):
    ends = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(module, "module_command", lambda *_: ends)
    with pytest.raises(DatasetError, match="ended by signal 9, most likely for lack of memory"):
        look_apart(index, tmp_path / "apart")


def test_findings_come_back_as_they_were(make_dataset, tmp_path):
    folder = make_dataset({"cat": 9, "dog": 7}, size=(80, 64))
    (folder / "cat" / "again.png").write_bytes((folder / "cat" / "0.png").read_bytes())
    index = scan_dataset(folder)
    look(index, tmp_path / "cache")
    findings = ExploreFiles(tmp_path / "cache", index).read_audit().findings
    found = next(one for one in findings if one.kind == "duplicate")
    assert found.groups == (("cat/0.png", "cat/again.png"),)
    assert found.action == "exclude"
    assert len(found.action_paths) == 1


def test_another_content_is_looked_at_anew(index, tmp_path):
    look(index, tmp_path)
    (index.data_dir / "cat" / "0.png").unlink()
    assert ExploreFiles(tmp_path, scan_dataset(index.data_dir)).read_audit() is None


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


def test_an_audit_by_other_settings_is_not_taken_for_todays(index, tmp_path, monkeypatch):
    look(index, tmp_path)
    assert ExploreFiles(tmp_path, index).read_audit() is not None
    monkeypatch.setattr(cache, "AUDIT_VERSION", cache.AUDIT_VERSION + 1)
    assert ExploreFiles(tmp_path, index).read_audit() is None
    look(index, tmp_path)
    assert ExploreFiles(tmp_path, index).read_audit() is not None
    monkeypatch.setattr(cache, "AuditConfig", lambda: AuditConfig(dark=0.9))
    assert ExploreFiles(tmp_path, index).read_audit() is None


def test_no_more_neighbours_than_there_are_others():
    assert nearest_of_all(np.eye(3, dtype=np.float32), 12).shape == (3, 2)


def test_the_mean_image_is_the_mean(make_dataset):
    from PIL import Image

    folder = make_dataset({"cat": 2, "dog": 2}, size=(64, 64))
    for level, path in zip((0, 100), sorted((folder / "cat").iterdir()), strict=True):
        Image.new("RGB", (64, 64), (level, 0, 40)).save(path)
    mean = mean_images(scan_dataset(folder))[0]
    np.testing.assert_array_equal(mean.reshape(-1, 3), np.full((64 * 64, 3), (50, 0, 40)))


def test_a_failure_is_kept_until_it_is_forgotten(index, tmp_path):
    files = files_of(index, tmp_path)
    files.write_failure("explore", "No weights.")
    assert files.read_failure("explore") == "No weights."
    assert files.read_failure("curve") is None
    files.forget_failure("explore")
    assert files.read_failure("explore") is None


def test_only_the_contents_looked_at_last_are_kept(index, tmp_path, monkeypatch):
    for number in range(30):
        (tmp_path / "explore" / f"old_{number}").mkdir(parents=True)
    look(index, tmp_path)
    left = list((tmp_path / "explore").iterdir())
    assert len(left) == 24
    assert ExploreFiles(tmp_path, index).dir in left


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

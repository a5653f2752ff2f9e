import shutil
import sys

import numpy as np
import pytest

from tl_core.analysis import cache
from tl_core.analysis import overview as module
from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.overview import look, look_apart, mean_images
from tl_core.config.audit import AuditConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError
from tl_core.progress import Monitor


@pytest.fixture
def index(make_dataset):
    return scan_dataset(make_dataset({"cat": 9, "dog": 7}, size=(80, 64)))


def test_a_look_keeps_findings_and_what_each_image_is_like(index, tmp_path):
    look(index, tmp_path)
    measured = ExploreFiles(tmp_path, index).read_audit()
    assert not measured.has_features
    assert measured.columns["brightness"].shape == (16,)
    assert ExploreFiles(tmp_path, index).read_means().shape == (2, 64, 64, 3)


def test_a_look_in_a_process_of_its_own_finds_the_same(index, tmp_path):
    reports = []
    look(index, tmp_path / "here")
    look_apart(index, tmp_path / "apart", monitor=Monitor(reports.append))
    here, apart = (ExploreFiles(tmp_path / name, index).read_audit() for name in ("here", "apart"))
    assert apart.findings == here.findings
    np.testing.assert_array_equal(apart.columns["sharpness"], here.columns["sharpness"])
    assert reports[-1].done == reports[-1].total == 16


def test_the_process_says_why_it_failed(index, tmp_path):
    shutil.rmtree(index.data_dir)
    with pytest.raises(DatasetError, match="Expected"):
        look_apart(index, tmp_path / "apart")


def test_a_bug_in_the_process_is_not_reported_as_the_users_mistake(index, tmp_path):
    (tmp_path / "apart").touch()  # where the cache is to be
    with pytest.raises(RuntimeError, match="Traceback"):
        look_apart(index, tmp_path / "apart")


def test_a_process_that_was_ended_is_reported_as_such(index, tmp_path, monkeypatch):
    ends = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    monkeypatch.setattr(module, "module_command", lambda *_: ends)
    with pytest.raises(DatasetError, match="ended by SIGKILL, most likely for lack of memory"):
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


def test_another_content_is_looked_at_again(index, tmp_path):
    look(index, tmp_path)
    (index.data_dir / "cat" / "0.png").unlink()
    assert ExploreFiles(tmp_path, scan_dataset(index.data_dir)).read_audit() is None


def test_an_audit_by_other_settings_is_not_taken_for_todays(index, tmp_path, monkeypatch):
    look(index, tmp_path)
    assert ExploreFiles(tmp_path, index).read_audit() is not None
    monkeypatch.setattr(cache, "AUDIT_VERSION", cache.AUDIT_VERSION + 1)
    assert ExploreFiles(tmp_path, index).read_audit() is None
    look(index, tmp_path)
    assert ExploreFiles(tmp_path, index).read_audit() is not None
    monkeypatch.setattr(cache, "AuditConfig", lambda: AuditConfig(dark=0.9))
    assert ExploreFiles(tmp_path, index).read_audit() is None


def test_the_mean_image_is_the_mean(make_dataset):
    from PIL import Image

    folder = make_dataset({"cat": 2, "dog": 2}, size=(64, 64))
    for level, path in zip((0, 100), sorted((folder / "cat").iterdir()), strict=True):
        Image.new("RGB", (64, 64), (level, 0, 40)).save(path)
    mean = mean_images(scan_dataset(folder))[0]
    np.testing.assert_array_equal(mean.reshape(-1, 3), np.full((64 * 64, 3), (50, 0, 40)))


def test_only_the_contents_looked_at_last_are_kept(index, tmp_path, monkeypatch):
    for number in range(30):
        (tmp_path / "explore" / f"old_{number}").mkdir(parents=True)
    look(index, tmp_path)
    left = list((tmp_path / "explore").iterdir())
    assert len(left) == 24
    assert ExploreFiles(tmp_path, index).dir in left

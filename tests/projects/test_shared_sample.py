"""The sample set of a hosted demo: drawn and looked at once, for visitors who stay apart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import draw_image
from demo_helpers import new_visitor, start_demo

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.overview import look
from tl_core.data.audit import image_stats
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.projects.shared_sample import look_at_shared_sample, share_sample
from tl_core.workspace import Workspace

NUM_PHOTOS = 9


@pytest.fixture
def host(monkeypatch, tmp_path, make_dataset) -> Workspace:
    """A demo whose sample set has been drawn: 5 cats and 4 dogs."""
    host = start_demo(monkeypatch, tmp_path / "demo")
    make_dataset({"cat": 5, "dog": 4}, host.datasets_dir / SAMPLE_NAME)
    return host


@pytest.fixture
def measured(monkeypatch) -> list[str]:
    """The pictures that are measured, in order."""
    measured, measure = [], image_stats._measure_record

    def note(index: DatasetIndex, record: image_stats.ImageRecord) -> image_stats.ImageStats:
        measured.append(record.path)
        return measure(index, record)

    monkeypatch.setattr(image_stats, "_measure_record", note)
    return measured


def with_sample(host: Workspace) -> tuple[Workspace, DatasetIndex]:
    visitor = new_visitor(host)
    share_sample(host, visitor)
    return visitor, scan_dataset(visitor.datasets_dir / SAMPLE_NAME, cache_dir=visitor.cache_dir)


def files_below(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_the_first_visitor_looks_for_all(host, measured, tmp_path):
    first, index = with_sample(host)
    assert look_at_shared_sample(first, index)
    assert len(measured) == NUM_PHOTOS
    second, index = with_sample(host)
    assert look_at_shared_sample(second, index)
    assert len(image_stats.measure_dataset(index, second.cache_dir)) == NUM_PHOTOS
    assert len(measured) == NUM_PHOTOS
    look(index, tmp_path / "alone")
    expected = ExploreFiles(tmp_path / "alone", index)
    for visitor in (first, second):
        files = ExploreFiles(visitor.cache_dir, index)
        assert files.read_audit().findings == expected.read_audit().findings
        for name, column in expected.read_audit().columns.items():
            assert (files.read_audit().columns[name] == column).all()
        assert (files.read_means() == expected.read_means()).all()


def test_a_result_of_older_rules_is_replaced(host):
    visitor, index = with_sample(host)
    files = ExploreFiles(visitor.cache_dir, index)
    look(index, visitor.cache_dir)
    (files.dir / "audit.json").write_text('{"by": "older rules"}')
    assert look_at_shared_sample(visitor, index)
    assert files.read_audit() is not None


def test_photos_that_a_visitor_added_stay_with_the_visitor(host, measured):
    before, _ = with_sample(host)
    look_at_shared_sample(before, scan_dataset(before.datasets_dir / SAMPLE_NAME))
    kept, shared = len(measured), files_below(host.cache_dir / "explore")
    visitor, _ = with_sample(host)
    draw_image(2, 77).save(visitor.datasets_dir / SAMPLE_NAME / "cat" / "own.png")
    assert not look_at_shared_sample(visitor, scan_dataset(visitor.datasets_dir / SAMPLE_NAME))
    own = visitor.datasets_dir / "own"
    shutil.copytree(host.datasets_dir / SAMPLE_NAME, own)
    assert not look_at_shared_sample(visitor, scan_dataset(own))
    assert len(measured) == kept
    assert files_below(host.cache_dir / "explore") == shared
    assert not (host.datasets_dir / SAMPLE_NAME / "cat" / "own.png").exists()


def test_what_one_visitor_deletes_another_one_has(host):
    first, _ = with_sample(host)
    second, index = with_sample(host)
    shutil.rmtree(first.root)
    assert look_at_shared_sample(second, index)
    assert index.num_images == NUM_PHOTOS


def test_outside_of_a_demo_nothing_is_shared(tmp_path, make_dataset):
    workspace = Workspace(tmp_path / "own")
    folder = make_dataset({"cat": 2, "dog": 2}, workspace.datasets_dir / SAMPLE_NAME)
    assert not look_at_shared_sample(workspace, scan_dataset(folder))

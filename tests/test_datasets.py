import os
from pathlib import Path

import pytest
from conftest import draw_image

from tl_core.files import write_json
from ui.datasets import DatasetRef, folder_stamp, list_datasets, load_raw, rescan

FUTURE = 4_000_000_000  # seconds


@pytest.fixture
def chosen(workspace, dataset):
    return DatasetRef(workspace.relative(dataset), "Sample", dataset, True)


def add_picture(path: Path, seed: int) -> None:
    draw_image(0, seed).save(path)


def test_an_opened_folder_that_cannot_be_reached_is_passed_over(workspace, dataset):
    # As with a folder that may not be entered, asking whether it is one is an error in itself.
    write_json(workspace.datasets_dir / "opened.json", [str(dataset.parent / ("x" * 300))])
    assert [one.path for one in list_datasets(workspace)] == [dataset]


def test_a_new_file_is_seen_beside_a_folder_dated_in_the_future(workspace, dataset, chosen):
    os.utime(dataset / "cat", (FUTURE, FUTURE))
    assert load_raw(workspace, chosen).num_images == 11
    add_picture(dataset / "dog" / "new.png", 77)
    assert load_raw(workspace, chosen).num_images == 12


def test_a_folder_that_takes_the_place_of_another_is_seen(dataset):
    before = folder_stamp(dataset)
    times = (dataset / "cat").stat().st_mtime, dataset.stat().st_mtime
    (dataset / "cat").rename(dataset / "lynx")
    os.utime(dataset / "lynx", (times[0], times[0]))
    os.utime(dataset, (times[1], times[1]))
    assert folder_stamp(dataset) != before


def test_a_file_changed_in_place_is_seen_when_the_folder_is_looked_at_again(
    workspace, dataset, chosen
):
    before = load_raw(workspace, chosen)
    add_picture(dataset / "cat" / "0.png", 77)
    rescan(chosen)
    after = load_raw(workspace, chosen)
    assert after.records[0].sha256 != before.records[0].sha256
    assert after is load_raw(workspace, chosen)

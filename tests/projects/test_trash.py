"""A deleted project goes whole and can be brought back whole for a day."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta

import pytest
from made_project import add_run, add_search, exclude

from tl_core.data.curation.store import load_dataset, load_decisions
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.errors import DatasetError, RunError
from tl_core.files import read_json, write_json
from tl_core.projects import trash
from tl_core.projects.bundle import BUNDLE_FILE
from tl_core.projects.registry import (
    list_projects,
    load_project,
    open_folder,
    rename_project,
    runs_of,
    searches_of,
)
from tl_core.projects.relink import relink_project
from tl_core.projects.trash import delete_project, list_deleted, restore_project, sweep_trash
from tl_core.runs.store import archive_run, create_run, list_runs
from tl_core.search.store import list_sweeps


def test_a_project_goes_with_all_it_has_and_comes_back_with_it(place, pets):
    run, archived, search = add_run(place, pets), add_run(place, pets), add_search(place, pets)
    archive_run(archived)
    exclude(place, pets, "cat/0.png")
    project = rename_project(place, load_project(place, "pets"), "Our pets")

    deleted = delete_project(place, project)
    assert (deleted.title, deleted.num_runs) == ("Our pets", 2)
    assert list_projects(place) == []
    assert list_runs(place.runs_dir, include_archived=True) == list_sweeps(place) == []
    assert not pets.exists()
    assert list(load_decisions(place, pets).steps) == []
    assert list_deleted(place) == [deleted]

    assert restore_project(place, deleted.token) == project
    assert list_projects(place) == [project]
    found = runs_of(place, project, include_archived=True)
    assert {one.id for one in found} == {run.id, archived.id}
    assert searches_of(place, project) == [search]
    assert load_dataset(pets, place).num_images == 11
    assert list_deleted(place) == []
    assert list(place.trash_dir.iterdir()) == []


def test_other_projects_are_left_alone(place, pets, photos):
    other = open_folder(place, photos)
    run = add_run(place, photos)
    delete_project(place, load_project(place, "pets"))

    assert list_projects(place) == [other]
    assert runs_of(place, other) == [run]


def test_a_folder_elsewhere_is_not_touched(place, photos):
    before = sorted(photos.rglob("*"))
    project = open_folder(place, photos)
    run = add_run(place, photos)
    deleted = delete_project(place, project)

    assert list_projects(place) == []
    assert sorted(photos.rglob("*")) == before
    assert restore_project(place, deleted.token) == project
    assert runs_of(place, project) == [run]


def test_a_relinked_project_comes_back_with_its_id(place, photos):
    project = open_folder(place, photos)
    add_run(place, photos)
    moved = photos.rename(photos.with_name("moved"))
    project = relink_project(place, load_project(place, project.id), moved)
    deleted = delete_project(place, project)

    assert restore_project(place, deleted.token) == project
    assert len(runs_of(place, project)) == 1


def test_a_project_whose_folder_is_gone_is_deleted_and_restored(place, pets):
    add_run(place, pets)
    shutil.rmtree(pets)
    deleted = delete_project(place, load_project(place, "pets"))
    project = restore_project(place, deleted.token)

    assert (project.id, project.is_missing, len(runs_of(place, project))) == ("pets", True, 1)


def test_names_that_were_taken_meanwhile_get_a_number(place, pets, make_dataset):
    rename_project(place, load_project(place, "pets"), "Mine")
    run = add_run(place, pets)
    deleted = delete_project(place, load_project(place, "pets"))
    make_dataset({"cat": 3, "dog": 3}, pets)
    rename_project(place, load_project(place, "pets"), "Mine")
    project = restore_project(place, deleted.token)

    assert (project.id, project.title) == ("pets-2", "Mine (2)")
    assert [one.id for one in runs_of(place, project)] == [run.id]
    assert runs_of(place, project)[0].data_dir == place.datasets_dir / "pets-2"
    assert runs_of(place, load_project(place, "pets")) == []


def test_a_project_that_is_worked_on_is_not_deleted(place, pets):
    create_run(place.runs_dir, add_run(place, pets).config, pets)

    with pytest.raises(RunError, match="under way"):
        delete_project(place, load_project(place, "pets"))
    assert pets.is_dir()


def test_the_sample_set_is_not_deleted(place, make_dataset):
    make_dataset({"a": 3, "b": 3}, place.datasets_dir / SAMPLE_NAME)

    with pytest.raises(DatasetError, match="drawn again"):
        delete_project(place, load_project(place, SAMPLE_NAME))


def age(place, deleted, hours):
    path = place.trash_dir / deleted.token / BUNDLE_FILE
    moment = datetime.now(UTC) - timedelta(hours=hours)
    write_json(path, {**read_json(path), "deleted": moment.isoformat()})


def test_after_a_day_it_is_gone(place, pets):
    deleted = delete_project(place, load_project(place, "pets"))
    age(place, deleted, 23)
    sweep_trash(place)
    assert len(list_deleted(place)) == 1

    age(place, deleted, 25)
    assert list_deleted(place) == []
    with pytest.raises(DatasetError, match="kept for a day"):
        restore_project(place, deleted.token)
    sweep_trash(place)
    assert list(place.trash_dir.iterdir()) == []


@pytest.mark.parametrize("token", ["..", "../runs", "nothing"])
def test_only_what_was_deleted_can_be_restored(place, pets, token):
    with pytest.raises(DatasetError, match="Expected a deleted project"):
        restore_project(place, token)


def test_what_a_kill_cut_off_can_be_brought_back(place, pets, monkeypatch):
    runs = [add_run(place, pets), add_run(place, pets)]
    moved = []

    def die_at_the_second(source, target):
        moved.append(source)
        if len(moved) == 2:
            raise KeyboardInterrupt
        shutil.move(source, target)

    fake = type("Fake", (), {"move": staticmethod(die_at_the_second), "rmtree": shutil.rmtree})
    monkeypatch.setattr(trash, "shutil", fake)
    with pytest.raises(KeyboardInterrupt):
        delete_project(place, load_project(place, "pets"))
    monkeypatch.undo()
    (deleted,) = list_deleted(place)
    project = restore_project(place, deleted.token)

    assert {one.id for one in runs_of(place, project)} == {run.id for run in runs}
    assert project.id == "pets"

"""A project whose folder moved: decisions, runs and searches follow, the id stays."""

from __future__ import annotations

import shutil

import pytest
from made_project import add_run, add_search, exclude

from tl_core.data.curation.store import load_dataset, load_decisions
from tl_core.errors import DatasetError, RunError
from tl_core.files import write_json
from tl_core.projects import relink
from tl_core.projects.registry import (
    list_projects,
    load_project,
    open_folder,
    project_at,
    rename_project,
    runs_of,
    searches_of,
)
from tl_core.projects.relink import relink_project
from tl_core.runs.files import ORIGIN_FILE, update_status
from tl_core.runs.store import create_run


def test_decisions_runs_and_searches_follow_and_the_id_stays(place, photos, tmp_path):
    project = rename_project(place, open_folder(place, photos), "Pets")
    run, search = add_run(place, photos), add_search(place, photos)
    exclude(place, photos, "cat/0.png")
    moved = photos.rename(tmp_path / "elsewhere" / "moved")

    after = relink_project(place, load_project(place, project.id), moved)

    assert (after.id, after.title, after.path) == (project.id, "Pets", moved)
    assert list_projects(place) == [after]
    assert runs_of(place, after) == [run]
    assert searches_of(place, after) == [search]
    assert (run.data_dir, search.data_dir) == (moved, moved)
    assert load_dataset(moved, place).num_images == 9


def test_a_second_move_is_followed_as_well(place, photos):
    project = open_folder(place, photos)
    run = add_run(place, photos)
    for name in ("second", "third"):
        moved = load_project(place, project.id).path.rename(photos.with_name(name))
        relink_project(place, load_project(place, project.id), moved)

    assert (run.data_dir, project_at(place, run.data_dir).id) == (moved, project.id)


def test_decisions_about_the_new_place_stay(place, photos):
    project = open_folder(place, photos)
    exclude(place, photos, "cat/0.png")
    copy = photos.with_name("copy")
    shutil.copytree(photos, copy)
    exclude(place, copy, "dog/0.png")
    relink_project(place, project, copy)

    assert set(load_decisions(place, copy).current) == {"cat/0.png", "dog/0.png"}


def test_a_new_folder_in_the_old_place_is_another_project(place, photos, make_dataset):
    project = open_folder(place, photos)
    run = add_run(place, photos)
    relink_project(place, project, photos.rename(photos.with_name("moved")))
    new = open_folder(place, make_dataset({"cat": 3, "dog": 3}, photos))

    assert new.id != project.id
    assert runs_of(place, new) == []
    assert runs_of(place, load_project(place, project.id)) == [run]


def test_a_lost_dataset_of_the_workspace_is_found_elsewhere(place, pets, tmp_path, make_dataset):
    run = add_run(place, pets)
    moved = pets.rename(tmp_path / "taken out")
    project = relink_project(place, load_project(place, "pets"), moved)
    make_dataset({"a": 3, "b": 3}, pets)

    assert (project.id, project.path, project.is_ours) == ("pets", moved, False)
    assert {one.path: one.id for one in list_projects(place)}[pets] != "pets"
    assert runs_of(place, project) == [run]


def test_a_folder_without_any_of_the_photos_is_refused(place, photos, make_dataset):
    project = open_folder(place, photos)
    add_run(place, photos)
    other = make_dataset({"emu": 3, "yak": 3}, photos.with_name("other"))

    with pytest.raises(DatasetError, match="None of the photos"):
        relink_project(place, project, other)
    assert load_project(place, project.id).path == photos


def test_folders_that_cannot_be_it_are_refused(place, photos, pets):
    project = open_folder(place, photos)

    with pytest.raises(DatasetError, match="found none"):
        relink_project(place, project, photos.with_name("nowhere"))
    with pytest.raises(DatasetError, match="another project, 'pets'"):
        relink_project(place, project, pets)
    with pytest.raises(DatasetError, match="nothing to re-link"):
        relink_project(place, load_project(place, "pets"), photos)


def test_a_project_that_is_worked_on_is_refused(place, photos):
    project = open_folder(place, photos)
    create_run(place.runs_dir, add_run(place, photos).config, photos)

    with pytest.raises(RunError, match="under way"):
        relink_project(place, project, photos)


def test_what_a_kill_cut_off_belongs_to_the_project_and_is_completed(place, photos, monkeypatch):
    project = open_folder(place, photos)
    runs = [add_run(place, photos), add_run(place, photos)]
    moved = photos.rename(photos.with_name("moved"))

    def die(path, value):
        if path.name == ORIGIN_FILE and path.parent == runs[0].run_dir:
            raise KeyboardInterrupt
        write_json(path, value)

    monkeypatch.setattr(relink, "write_json", die)
    with pytest.raises(KeyboardInterrupt):
        relink_project(place, project, moved)
    monkeypatch.undo()
    cut_off = load_project(place, project.id)
    assert len(runs_of(place, cut_off)) == 2
    relink_project(place, cut_off, moved)

    assert {run.data_dir for run in runs} == {moved}
    assert [one.id for one in list_projects(place)] == [project.id]


def test_a_run_of_another_state_follows_too(place, photos):
    project = open_folder(place, photos)
    run = add_run(place, photos)
    update_status(run.run_dir, state="failed")
    moved = photos.rename(photos.with_name("moved"))
    relink_project(place, load_project(place, project.id), moved)

    assert run.data_dir == moved

"""Which projects there are, and that runs and searches are assigned by their data folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_project import add_run, add_search, exclude

from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.errors import DatasetError
from tl_core.files import write_json, write_text
from tl_core.projects.registry import (
    SAMPLE_TITLE,
    forget_folder,
    list_projects,
    load_project,
    open_folder,
    project_at,
    project_of,
    rename_project,
    runs_of,
    searches_of,
)
from tl_core.runs.files import ORIGIN_FILE
from tl_core.workspace import Workspace


def ids(workspace: Workspace) -> list[str]:
    return [project.id for project in list_projects(workspace)]


def test_runs_and_searches_belong_to_the_project_of_their_folder(place, pets, photos):
    first, second = add_run(place, pets), add_run(place, photos)
    search = add_search(place, photos)
    own, elsewhere = list_projects(place)

    assert (own.id, own.title, own.path, own.is_ours) == ("pets", "pets", pets, True)
    assert (elsewhere.path, elsewhere.is_ours) == (photos, False)
    assert [run.id for run in runs_of(place, own)] == [first.id]
    assert [run.id for run in runs_of(place, elsewhere)] == [second.id]
    assert searches_of(place, own) == []
    assert searches_of(place, elsewhere) == [search]
    assert project_of(place, first) == own
    assert project_of(place, search) == elsewhere


def test_the_sample_set_comes_first_with_a_title_of_its_own(place, pets, make_dataset):
    make_dataset({"a": 3, "b": 3}, place.datasets_dir / SAMPLE_NAME)
    first, second = list_projects(place)

    assert (first.title, first.is_sample) == (SAMPLE_TITLE, True)
    assert second.id == "pets"


def test_folders_of_one_name_are_two_projects(place, tmp_path, make_dataset):
    one = make_dataset({"a": 3, "b": 3}, tmp_path / "left" / "set")
    other = make_dataset({"a": 3, "b": 3}, tmp_path / "right" / "set")
    first, second = open_folder(place, one), open_folder(place, other)

    assert first.id != second.id
    assert ids(place) == [first.id, second.id]


def test_a_folder_is_one_project_through_a_link(place, photos, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(photos)

    assert project_at(place, link).id == project_at(place, photos).id


def test_a_renamed_project_keeps_its_id_and_its_runs(place, pets):
    run = add_run(place, pets)
    project = rename_project(place, load_project(place, "pets"), "  Our   pets ")

    assert (project.id, project.title) == ("pets", "Our pets")
    assert list_projects(place) == [project]
    assert runs_of(place, project) == [run]
    assert rename_project(place, project, "").title == "pets"


@pytest.mark.parametrize("title", ["x" * 81, "a\u202eb"], ids=["long", "turned around"])
def test_a_title_that_cannot_be_shown_is_refused(place, pets, title):
    with pytest.raises(DatasetError, match="printable"):
        rename_project(place, load_project(place, "pets"), title)


@pytest.mark.parametrize("title", ["fruit", " Fruit "])
def test_a_title_of_another_project_is_refused(place, pets, title):
    (place.datasets_dir / "fruit").mkdir()
    with pytest.raises(DatasetError, match="Another project"):
        rename_project(place, load_project(place, "pets"), title)
    assert load_project(place, "pets").title == "pets"
    assert rename_project(place, load_project(place, "pets"), "Pets").title == "Pets"


def test_an_unknown_project_is_refused_with_a_suggestion(place, pets):
    with pytest.raises(DatasetError, match="Did you mean 'pets'"):
        load_project(place, "petz")


def test_a_closed_folder_is_not_listed_although_it_has_runs_until_it_is_opened(place, photos):
    add_run(place, photos)
    (project,) = list_projects(place)
    forget_folder(place, project)
    assert list_projects(place) == []

    assert open_folder(place, photos) == project
    assert list_projects(place) == [project]


def test_a_missing_folder_is_listed_as_long_as_something_waits_for_it(place, photos):
    project = open_folder(place, photos)
    exclude(place, photos, "cat/0.png")
    photos.rename(photos.with_name("moved"))

    (missing,) = list_projects(place)
    assert (missing.id, missing.is_missing) == (project.id, True)


def test_a_missing_folder_that_nothing_was_made_from_is_not_listed(place, photos):
    open_folder(place, photos)
    shutil.rmtree(photos)

    assert list_projects(place) == []


def test_a_folder_that_is_not_there_cannot_be_opened(place, photos):
    with pytest.raises(DatasetError, match="Did you mean 'photos'"):
        open_folder(place, photos.with_name("photo"))


def test_a_run_that_does_not_say_its_folder_belongs_to_no_project(place, pets):
    run = add_run(place, pets)
    write_text(run.run_dir / ORIGIN_FILE, "not json")

    assert runs_of(place, load_project(place, "pets")) == []
    assert project_of(place, run) is None


@pytest.mark.parametrize(
    "content", ["", "[]", '{"projects": []}', '{"projects": {"pets": 3}}', "[" * 100_000]
)
def test_a_damaged_file_of_titles_costs_the_titles_only(place, pets, content):
    write_text(place.root / "projects.json", content)

    assert [(one.id, one.title) for one in list_projects(place)] == [("pets", "pets")]


def test_the_projects_of_a_workspace_that_moved_are_the_same(place, pets, tmp_path):
    add_run(place, pets)
    rename_project(place, load_project(place, "pets"), "Our pets")
    place.root.rename(tmp_path / "there")
    there = Workspace(tmp_path / "there")

    (project,) = list_projects(there)
    assert (project.id, project.title, len(runs_of(there, project))) == ("pets", "Our pets", 1)


def test_a_workspace_of_the_first_version_opens_with_its_run_and_search(old):
    opened = old.root.parent / "opened"
    opened.mkdir()
    write_json(old.datasets_dir / "opened.json", [str(opened)])
    own, elsewhere = list_projects(old)

    assert (own.id, own.title) == ("shapes", "shapes")
    assert elsewhere.path == opened
    assert [run.name for run in runs_of(old, own)] == ["old run"]
    assert len(searches_of(old, own)) == 1
    assert Path(old.root / "projects.json").exists() is False

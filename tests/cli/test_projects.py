"""``tl projects``: the functions of the core as commands."""

from __future__ import annotations

import json

import pytest
from made_project import add_run

from tl_core.workspace import Workspace


@pytest.fixture
def place(tmp_path, make_dataset):
    workspace = Workspace(tmp_path / "workspace")
    add_run(workspace, make_dataset({"cat": 6, "dog": 6}, workspace.datasets_dir / "pets"))
    return workspace


@pytest.fixture
def projects(cli, place):
    def run(*words):
        return cli("projects", *words, "--workspace", place.root)

    return run


def listed(projects, *options):
    code, out, _ = projects("list", "--json", *options)
    assert code == 0
    return json.loads(out)


def test_projects_are_listed_and_renamed(projects, place):
    assert projects("rename", "pets", "Our pets") == (0, "Our pets\n", "")
    (row,) = listed(projects)
    assert row == {
        **{"id": "pets", "title": "Our pets", "data_dir": str(place.datasets_dir / "pets")},
        **{"missing": False, "num_runs": 1, "num_searches": 0},
    }
    assert "Our pets" in projects("list")[1]


def test_a_project_is_exported_imported_deleted_and_restored(projects, tmp_path):
    out = tmp_path / "pets.zip"
    code, shown, _ = projects("export", "pets", out, "--quiet")
    assert (code, shown.splitlines()) == (0, ["12 files, 1 runs, 0 searches", str(out)])
    assert projects("import", out, "--quiet") == (0, "pets-2\n", "")
    code, token, _ = projects("delete", "pets")
    assert code == 0
    assert [row["id"] for row in listed(projects)] == ["pets-2"]
    (deleted,) = listed(projects, "--deleted")
    assert (deleted["token"], deleted["num_runs"]) == (token.strip(), 1)
    assert "pets" in projects("list", "--deleted")[1]
    assert projects("restore", token.strip()) == (0, "pets\n", "")
    assert [row["id"] for row in listed(projects)] == ["pets", "pets-2"]


def test_a_moved_folder_is_re_linked(projects, place, tmp_path, make_dataset):
    photos = make_dataset({"cat": 5, "dog": 5}, tmp_path / "photos")
    add_run(place, photos)
    moved = photos.rename(tmp_path / "moved")
    project_id = listed(projects)[1]["id"]
    assert listed(projects)[1]["missing"]
    assert "missing: " in projects("list")[1]
    assert projects("relink", project_id, moved) == (0, f"{moved}\n", "")
    assert listed(projects)[1]["data_dir"] == str(moved)


@pytest.mark.parametrize(
    "words",
    [("rename", "petz", "x"), ("export", "petz", "x.zip"), ("delete", "petz"), ("restore", "x")],
)
def test_a_mistake_is_one_line(projects, words):
    code, out, err = projects(*words)
    assert (code, out) == (2, "")
    assert err.startswith("Error: Expected a ")
    assert len(err.splitlines()) == 1

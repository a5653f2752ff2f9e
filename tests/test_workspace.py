from pathlib import Path

import tl_core
from tl_core.workspace import Workspace, default_workspace


def test_a_path_inside_is_stored_relative_and_survives_a_move(tmp_path):
    old, new = Workspace(tmp_path / "old"), Workspace(tmp_path / "new")
    stored = old.relative(old.runs_dir / "run 1")
    assert stored == "runs/run 1"
    assert new.resolve(stored) == new.runs_dir / "run 1"


def test_a_path_outside_is_stored_absolute(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    outside = tmp_path / "workspace-of-another" / "photos"
    assert workspace.resolve(workspace.relative(outside)) == outside
    assert workspace.relative(outside) == str(outside)


def test_the_environment_names_the_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_WORKSPACE", str(tmp_path / "mine"))
    assert default_workspace().root == tmp_path / "mine"


def test_a_relative_name_in_the_environment_is_taken_from_where_the_program_starts(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TL_WORKSPACE", "mine")
    assert default_workspace().root == tmp_path / "mine"


def test_otherwise_the_workspace_lies_beside_the_app(monkeypatch):
    monkeypatch.delenv("TL_WORKSPACE", raising=False)
    assert default_workspace().root == Path(tl_core.__file__).parent.parent / "workspace"


def test_everything_lies_below_the_root_in_folders_of_its_own(tmp_path):
    workspace = Workspace(tmp_path)
    folders = [
        workspace.datasets_dir,
        workspace.runs_dir,
        workspace.cache_dir,
        workspace.queue_dir,
        workspace.logs_dir,
    ]
    assert {folder.parent for folder in folders} == {tmp_path}
    assert len(set(folders)) == len(folders)

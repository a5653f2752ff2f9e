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


def test_in_a_checkout_the_workspace_lies_beside_the_app(monkeypatch):
    monkeypatch.delenv("TL_WORKSPACE", raising=False)
    assert default_workspace().root == Path(tl_core.__file__).parent.parent / "workspace"


def test_an_installed_package_keeps_its_workspace_among_the_data_of_the_user(
    monkeypatch, installed, tmp_path
):
    monkeypatch.delenv("TL_WORKSPACE", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr("sys.platform", "linux")
    assert default_workspace().root == tmp_path / "data" / "tl-core"


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


def test_one_folder_is_stored_in_one_way_however_it_is_reached(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path / "workspace")
    inside, outside = workspace.datasets_dir / "food", tmp_path / "photos"
    for folder in (inside, outside, tmp_path / "here"):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.chdir(tmp_path / "here")
    through_link = tmp_path / "link" / "workspace" / "datasets" / "food"
    for path in (inside, Path("../workspace/datasets/food"), through_link):
        assert workspace.relative(path) == "datasets/food"
        assert Workspace(tmp_path / "link" / "workspace").relative(path) == "datasets/food"
        assert Workspace(tmp_path / "here" / ".." / "workspace").relative(path) == "datasets/food"
    for path in (outside, Path("../photos"), tmp_path / "link" / "photos"):
        assert workspace.relative(path) == str(outside)


def test_a_dataset_linked_into_the_workspace_is_stored_by_its_name_there(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    workspace.datasets_dir.mkdir(parents=True)
    (tmp_path / "photos").mkdir()
    (workspace.datasets_dir / "linked").symlink_to(tmp_path / "photos", target_is_directory=True)
    assert workspace.relative(workspace.datasets_dir / "linked") == "datasets/linked"
    assert workspace.resolve("datasets/linked").is_dir()

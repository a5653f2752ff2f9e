import collections
import io
import shutil
import subprocess
import sys
import time

import pytest

from tl_core.config.training import TrainConfig, load_config
from tl_core.errors import RunError
from tl_core.files import read_json, write_json
from tl_core.processes import own_identity
from tl_core.runs import files
from tl_core.runs.files import end_run, start_run, update_status
from tl_core.runs.state_dir import MEMORY_MESSAGE
from tl_core.runs.store import (
    Run,
    annotate_run,
    archive_run,
    compare_runs,
    create_run,
    create_run_at,
    delete_run,
    list_runs,
    load_run,
    rename_run,
    unarchive_run,
)
from tl_core.workspace import Workspace

CONFIG = TrainConfig(backbone="tiny", fc_layers=(8,))


@pytest.fixture
def runs_dir(tmp_path):
    return tmp_path / "workspace" / "runs"


@pytest.fixture
def run(runs_dir, tmp_path):
    return create_run(runs_dir, CONFIG, tmp_path / "data")


def test_a_new_run_is_queued_and_describes_itself(runs_dir, tmp_path):
    run = create_run(runs_dir, CONFIG, tmp_path / "data", name="first")
    again = load_run(run.run_dir)
    assert again.state == "queued"
    assert again.is_active
    assert again.name == "first"
    assert again.config == CONFIG
    assert again.data_dir == tmp_path / "data"
    assert again.class_names == ()
    assert again.metrics == {}
    assert again.split() == []
    assert not again.is_loadable
    assert again.id.endswith("_tiny")


def test_runs_of_the_same_second_get_folders_of_their_own(runs_dir):
    runs = [create_run(runs_dir, CONFIG, "data") for _ in range(5)]
    assert len({run.run_dir for run in runs}) == 5


def test_nothing_but_whole_runs_is_left_in_the_folder(runs_dir):
    create_run(runs_dir, CONFIG, "data")
    assert len(list(runs_dir.iterdir())) == 1


def test_a_run_is_not_created_over_something_else(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        create_run_at(tmp_path / "full", CONFIG, "data")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    assert create_run_at(tmp_path / "empty", CONFIG, "data").state == "queued"


def test_a_data_folder_of_the_workspace_moves_with_it(runs_dir, tmp_path):
    run = create_run(runs_dir, CONFIG, runs_dir.parent / "datasets" / "pets")
    assert run.origin["data_dir"] == "datasets/pets"
    runs_dir.parent.rename(tmp_path / "moved")
    moved = load_run(tmp_path / "moved" / "runs" / run.id)
    assert moved.data_dir == tmp_path / "moved" / "datasets" / "pets"


def test_the_command_repeats_the_run(run):
    *_, train, data_dir, option, config = run.command
    assert (train, data_dir, option) == ("train", str(run.data_dir), "--config")
    assert load_config(config) == CONFIG


def test_a_run_being_trained_by_a_living_process_is_running(run):
    start_run(run.run_dir, "head")
    assert run.state == "running"
    assert run.status["phase"] == "head"
    assert run.message == ""


def test_a_run_whose_process_is_gone_is_interrupted(run):
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        create_time = time.time()
    update_status(run.run_dir, state="running", pid=process.pid, pid_create_time=create_time)
    assert run.state == "interrupted"
    assert "ended unexpectedly" in run.message


def test_a_run_whose_process_the_system_ended_for_lack_of_memory_says_so(run, monkeypatch):
    monkeypatch.setattr(files, "num_memory_kills", lambda: 4)
    start_run(run.run_dir, "head")
    update_status(run.run_dir, pid_create_time=1.0)
    assert "ended unexpectedly" in run.message
    monkeypatch.setattr(files, "num_memory_kills", lambda: 5)
    assert run.state == "interrupted"
    assert run.message == MEMORY_MESSAGE
    monkeypatch.setattr(files, "num_memory_kills", lambda: 0)  # the machine was started again
    assert "ended unexpectedly" in run.message


def test_a_pid_used_again_by_another_process_does_not_keep_a_run_running(run):
    start_run(run.run_dir, "head")
    update_status(run.run_dir, pid_create_time=own_identity()["pid_create_time"] - 60)
    assert run.state == "interrupted"


@pytest.mark.parametrize("state", ["finished", "stopped", "failed"])
def test_a_run_ends_in_the_state_it_is_given(run, state):
    end_run(run.run_dir, state, "why")
    assert (run.state, run.message) == (state, "why")
    assert not run.is_active
    assert run.status["ended"] >= run.status["created"]


def test_a_missing_run_is_refused_with_its_place(runs_dir):
    with pytest.raises(RunError, match="'nowhere' does not exist in"):
        load_run(runs_dir / "nowhere")


def test_a_run_of_a_newer_schema_is_refused_saying_so(run):
    write_json(run.run_dir / "status.json", {**run.status, "schema": 99})
    with pytest.raises(RunError, match="schema 99, this version reads up to 1"):
        load_run(run.run_dir)


def break_status(run):
    (run.run_dir / "status.json").write_text('{"schema": 1, "sta')


def lose_status(run):
    (run.run_dir / "status.json").unlink()


def raise_schema(run):
    write_json(run.run_dir / "status.json", {**run.status, "schema": 99})


def break_config(run):
    (run.run_dir / "config.json").write_text("[]")


def list_instead_of_object(run):
    write_json(run.run_dir / "status.json", [])


@pytest.mark.parametrize(
    "damage", [break_status, lose_status, raise_schema, break_config, list_instead_of_object]
)
def test_a_damaged_run_is_listed_as_such_beside_the_others(runs_dir, run, damage):
    damage(run)
    other = create_run(runs_dir, CONFIG, "data")
    states = {listed.id: listed.state for listed in list_runs(runs_dir)}
    assert states == {run.id: "damaged", other.id: "queued"}
    listed = Run(run.run_dir)
    assert listed.message
    assert listed.name == run.id
    assert not listed.is_loadable
    delete_run(listed)
    assert [left.id for left in list_runs(runs_dir)] == [other.id]


def test_runs_are_listed_newest_first_and_hidden_folders_not_at_all(runs_dir):
    runs = [create_run(runs_dir, CONFIG, "data") for _ in range(3)]
    for day, run in zip(("03", "01", "02"), runs, strict=True):
        update_status(run.run_dir, created=f"2025-01-{day}T00:00:00+00:00")
    (runs_dir / ".half.tmp").mkdir()
    (runs_dir / "file.txt").write_text("")
    assert [run.id for run in list_runs(runs_dir)] == [runs[0].id, runs[2].id, runs[1].id]


def test_an_archived_run_is_listed_only_where_asked_for_until_it_is_taken_back(runs_dir, run):
    other = create_run(runs_dir, CONFIG, "data")
    end_run(run.run_dir, "finished")
    rename_run(run, "old one")
    archive_run(run)
    assert [listed.id for listed in list_runs(runs_dir)] == [other.id]
    everything = list_runs(runs_dir, include_archived=True)
    assert {listed.id: listed.is_archived for listed in everything} == {
        run.id: True,
        other.id: False,
    }
    unarchive_run(run)
    assert {listed.name for listed in list_runs(runs_dir)} == {"old one", other.id}


def test_a_run_that_waits_is_not_archived(run):
    with pytest.raises(RunError, match="Stop it, then archive it"):
        archive_run(run)
    assert not run.is_archived


def test_a_folder_without_runs_lists_none(tmp_path):
    assert list_runs(tmp_path / "nowhere") == []


def test_two_hundred_runs_are_listed_without_reading_a_file_of_theirs_again_and_again(
    runs_dir, run, monkeypatch
):
    for number in range(199):
        shutil.copytree(run.run_dir, runs_dir / f"copy-{number}")
    opened = []
    plain_open = io.open

    def noting_open(file, *arguments, **options):
        opened.append(str(file))
        return plain_open(file, *arguments, **options)

    monkeypatch.setattr(io, "open", noting_open)
    rows = [(listed.name, listed.state, listed.metrics) for listed in list_runs(runs_dir)]
    assert len(rows) == 200
    assert len(opened) >= 200
    assert max(collections.Counter(opened).values()) <= 2


def test_a_name_and_notes_are_kept_beside_what_the_trainer_writes(run):
    rename_run(run, "  better  ")
    annotate_run(run, "with more light")
    start_run(run.run_dir, "head")
    again = load_run(run.run_dir)
    assert (again.name, again.notes, again.state) == ("better", "with more light", "running")
    rename_run(run, "")
    assert again.name == run.id
    assert again.notes == "with more light"


def test_renaming_a_deleted_run_does_not_bring_it_back(run):
    delete_run(run)
    with pytest.raises(RunError, match="does not exist"):
        rename_run(run, "ghost")
    assert not run.run_dir.exists()


def test_a_running_run_is_not_deleted(run):
    start_run(run.run_dir, "head")
    with pytest.raises(RunError, match="Stop it, then delete it"):
        delete_run(run)
    end_run(run.run_dir, "stopped")
    delete_run(run)
    assert list(run.run_dir.parent.iterdir()) == []


def test_compared_runs_show_the_settings_that_differ_and_no_others(runs_dir):
    runs = [
        create_run(runs_dir, CONFIG, "data"),
        create_run(runs_dir, CONFIG.updated(dropout=0.2, augment="tutorial"), "data"),
        create_run(runs_dir, CONFIG, "other"),
    ]
    differing = compare_runs(runs)
    assert set(differing) == {
        "dropout",
        "augment.horizontal_flip",
        "augment.vertical_flip",
        "augment.rotation",
        "augment.fill",
        "data_dir",
    }
    assert differing["dropout"] == (0.5, 0.2, 0.5)
    assert differing["augment.rotation"] == (0.0, 90.0, 0.0)
    assert compare_runs(runs[:1]) == {}


def test_other_images_in_the_same_folder_are_a_difference(runs_dir):
    runs = [create_run(runs_dir, CONFIG, "data") for _ in range(2)]
    for run, fingerprint in zip(runs, ("aa", "bb"), strict=True):
        write_json(run.run_dir / "origin.json", {**run.origin, "fingerprint": fingerprint})
    assert compare_runs(runs) == {"data_fingerprint": ("aa", "bb")}


def test_history_has_its_columns_before_the_first_epoch_and_exact_numbers_after(run):
    columns = "phase,epoch,loss,accuracy,val_loss,val_accuracy,learning_rate,seconds"
    assert list(run.history().columns) == columns.split(",")
    loss = 0.1 + 0.2
    (run.run_dir / "history.csv").write_text(f"{columns}\nhead,0,{loss!r},0.5,1.5,0.5,0.001,2.0\n")
    history = run.history()
    assert history["loss"][0] == loss
    assert history["phase"][0] == "head"


def test_the_log_is_read_from_its_end(run):
    assert run.log_tail() == []
    (run.run_dir / "log.txt").write_text("\n".join(f"line {n}" for n in range(50_000)) + "\n")
    assert run.log_tail(2) == ["line 49998", "line 49999"]


def test_the_status_file_says_what_the_contract_names(run):
    assert set(read_json(run.run_dir / "status.json")) == {
        "schema",
        "state",
        "created",
        "started",
        "ended",
        "pid",
        "pid_create_time",
        "phase",
        "epoch",
        "message",
    }


def test_a_run_that_lies_elsewhere_knows_its_workspace_even_when_both_move(tmp_path):
    workspace = Workspace(tmp_path / "here" / "workspace")
    run = create_run(tmp_path / "here" / "runs", CONFIG, tmp_path / "data", workspace=workspace)
    assert run.workspace == workspace
    (tmp_path / "here").rename(tmp_path / "there")
    moved = load_run(tmp_path / "there" / "runs" / run.id)
    assert moved.workspace == Workspace(tmp_path / "there" / "workspace")
    assert moved.data_dir == tmp_path / "data"


def test_a_run_in_its_workspace_goes_where_that_goes(runs_dir, tmp_path):
    workspace = Workspace(runs_dir.parent)
    run = create_run(runs_dir, CONFIG, workspace.datasets_dir / "pets", workspace=workspace)
    assert "workspace" not in run.origin
    workspace.root.rename(tmp_path / "moved")
    moved = load_run(tmp_path / "moved" / "runs" / run.id)
    assert moved.workspace == Workspace(tmp_path / "moved")
    assert moved.data_dir == tmp_path / "moved" / "datasets" / "pets"

import errno
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import SAMPLE_NUM, draw_image
from PIL import Image

from tl_core.analysis import explore
from tl_core.cli import terminal
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.sample import content
from tl_core.data.sample.content import CLASS_NAMES
from tl_core.errors import TLError
from tl_core.evaluation.verdict import verdict_of
from tl_core.jobs.queue import JobQueue
from tl_core.runs import store
from tl_core.runs.store import archive_run, create_run, list_runs, load_run, unarchive_run
from tl_core.training import phases

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["sample", "inspect", "backbones", "train", "runs", "evaluate", "predict"]
COMMANDS += ["explain", "cache", "find-lr", "sweep"]
FIELDS = [*TrainConfig.model_fields, *AugmentConfig.model_fields]


def run_cli(*words, **options):
    """Run the real command line in a process of its own."""
    command = [sys.executable, "-m", "tl_core", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("TL_WORKSPACE", str(tmp_path / "workspace"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sample_set):
    """Train once, for real; return its folder of data, its workspace and what was printed."""
    root = tmp_path_factory.mktemp("trained")
    shutil.copytree(sample_set, root / "data")
    words = "--backbone tiny --epochs 3 --fc-layers none --name first --json"
    finished = run_cli("train", root / "data", "--workspace", root / "ws", *words.split())
    assert finished.returncode == 0, finished.stderr
    return root / "data", root / "ws", finished


# Training, evaluating and predicting for real


def test_train_prints_one_json_object_and_nothing_else(trained):
    _, workspace, finished = trained
    values = json.loads(finished.stdout)
    run = load_run(values["run_dir"])
    assert run.run_dir.parent == workspace / "runs"
    assert (values["state"], values["name"]) == ("finished", "first")
    assert values["class_names"] == list(CLASS_NAMES)
    assert values["num_images"] == Counter(row.part for row in run.split())
    assert sum(values["num_images"].values()) == 4 * SAMPLE_NUM - 1  # one is truncated
    assert [row["epoch"] for row in values["history"]] == [0, 1, 2]
    assert {"loss", "accuracy", "val_loss", "val_accuracy"} <= set(values["history"][0])
    assert set(values["seconds"]) >= {"scan", "features", "head", "total"}
    assert values["seconds"]["scan"] > 0
    assert values["images_per_second"] > 0
    assert values["test_accuracy"] == run.metrics["test_accuracy"]
    assert values["val_accuracy"] == run.metrics["val_accuracy"]
    assert [one["text"] for one in values["verdict"]] == [one.text for one in verdict_of(run)]
    assert run.config == TrainConfig(backbone="tiny", epochs=3, fc_layers=())


def test_training_tells_its_progress_and_nothing_of_its_libraries(trained):
    lines = trained[2].stderr.splitlines()
    known = (
        "reading the photos: ",
        "preparing the backbone: ",
        "running the backbone: ",
        "training: ",
    )
    others = [line for line in lines if not line.startswith(known)]
    assert others == ["Note: 1 file cannot be read: see left_out.csv of the run."]
    assert {line.split(":")[0] for line in lines} >= {"running the backbone", "training"}
    assert "epoch 3/3" in lines[-1]


def test_evaluating_gives_exactly_the_accuracy_that_training_told(trained, cli):
    _, workspace, finished = trained
    told = json.loads(finished.stdout)
    words = ("evaluate", told["run_dir"], "--workspace", workspace)
    code, out, _ = cli(*words, "--json")
    values = json.loads(out)
    assert code == 0
    assert values["part"] == "test"
    assert values["accuracy"] == told["test_accuracy"]
    assert values["log_loss"] == told["test_loss"]
    assert sum(map(sum, values["confusion_matrix"])) == told["num_images"]["test"]
    assert [one["class_name"] for one in values["per_class"]] == list(CLASS_NAMES)
    _, out, _ = cli(*words)
    assert f"accuracy  {100 * told['test_accuracy']:.1f} %" in out
    assert f"{told['num_images']['test']} images of the run's test part" in out


def test_evaluating_a_folder_leaves_out_the_photos_that_were_trained_on(trained, cli):
    data_dir, workspace, finished = trained
    run_dir = json.loads(finished.stdout)["run_dir"]
    words = ("evaluate", run_dir, "--data-dir", data_dir, "--workspace", workspace)
    values = json.loads(cli(*words, "--json")[1])
    num_images = json.loads(finished.stdout)["num_images"]
    assert (values["part"], values["num_images"]) == ("all", num_images["test"])
    assert len(values["skipped"]) == num_images["train"] + num_images["val"]


def test_predicting_prints_a_list_with_top_or_error(trained, cli):
    data_dir, workspace, finished = trained
    run_dir = json.loads(finished.stdout)["run_dir"]
    words = ("predict", run_dir, data_dir / "Pizza", "--workspace", workspace)
    code, out, _ = cli(*words, "--top-k", 2, "--json")
    values = json.loads(out)
    assert code == 0
    assert [Path(one["path"]).name for one in values][:2] == ["pizza_001.jpg", "pizza_002.jpg"]
    failed = [one for one in values if "error" in one]
    assert len(values) == 12
    assert len(failed) == 1
    assert "truncated" in failed[0]["error"]
    assert all(len(one["top"]) == 2 for one in values if one not in failed)
    name, probability = values[0]["top"][0]
    _, out, _ = cli(*words)
    assert f"{name} {100 * probability:.1f} %" in out.splitlines()[0]
    assert "truncated" in out


def test_explaining_writes_the_overlay_and_names_the_nearest_images(trained, cli, tmp_path):
    data_dir, workspace, finished = trained
    run_dir = json.loads(finished.stdout)["run_dir"]
    out_path = tmp_path / "overlay.png"
    words = ("explain", run_dir, data_dir / "Taco" / "taco_001.jpg", "--out", out_path)
    code, out, _ = cli(*words, "--workspace", workspace, "--class", "Pizza", "--json")
    values = json.loads(out)
    assert code == 0
    assert (values["class"], values["method"]) == ("Pizza", "grad_cam")
    assert 0 <= values["probability"] <= 1
    assert len(values["nearest"]) == 5
    with Image.open(out_path) as overlay, Image.open(data_dir / "Taco" / "taco_001.jpg") as photo:
        assert overlay.size == photo.size
    code, out, _ = cli(*words, "--workspace", workspace, "--method", "grad_cam++")
    assert code == 0
    assert "nearest training images" in out
    assert str(out_path) in out


def test_explaining_tells_a_wrong_class_or_file_name(trained, cli, tmp_path):
    data_dir, workspace, finished = trained
    image = data_dir / "Taco" / "taco_001.jpg"
    words = ("explain", json.loads(finished.stdout)["run_dir"], image, "--workspace", workspace)
    code, _, err = cli(*words, "--class", "Tacos")
    assert code == 2
    assert "Did you mean 'Taco'" in err
    code, _, err = cli(*words, "--out", tmp_path / "overlay.gif")
    assert code == 2
    assert "ending in .png or .jpg" in err


def test_predicting_and_helping_load_no_tensorflow(trained):
    data_dir, workspace, finished = trained
    run_dir = json.loads(finished.stdout)["run_dir"]
    image = data_dir / "Taco" / "taco_001.jpg"
    for words, modules in {
        ("predict", run_dir, image, "--workspace", workspace): {"tensorflow", "keras"},
        ("--help",): {"tensorflow", "keras", "numpy", "PIL", "rich"},
    }.items():
        code = f"""
import atexit, sys
atexit.register(lambda: print("loaded", sorted({modules!r} & set(sys.modules))))
sys.argv[1:] = {list(map(str, words))!r}
from tl_core.cli.app import main
main()
"""
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert shown.stdout.splitlines()[-1] == "loaded []", shown.stderr


def test_runs_are_listed_with_their_figures_also_damaged_ones(trained, cli):
    _, workspace, finished = trained
    told = json.loads(finished.stdout)
    (workspace / "runs" / "broken").mkdir(exist_ok=True)
    _, out, _ = cli("runs", "--runs-dir", workspace / "runs", "--json")
    by_name = {row["name"]: row for row in json.loads(out)}
    assert by_name["first"]["test_accuracy"] == told["test_accuracy"]
    assert by_name["first"]["backbone"] == "tiny"
    assert by_name["broken"]["state"] == "damaged"
    archive_run(load_run(told["run_dir"]))
    _, out, _ = cli("runs", "--workspace", workspace)
    assert "first" not in out
    _, out, _ = cli("runs", "--workspace", workspace, "--archived")
    unarchive_run(load_run(told["run_dir"]))
    assert out.split()[:3] == ["run", "name", "state"]
    assert any("first  finished" in line for line in out.splitlines())


def test_the_command_kept_with_a_run_repeats_it(trained, cli, tmp_path):
    _, workspace, finished = trained
    told = json.loads(finished.stdout)
    command = load_run(told["run_dir"]).command
    words = command[command.index("tl_core") + 1 :]
    code, out, _ = cli(*words, "--workspace", workspace, "--runs-dir", tmp_path / "again", "--json")
    assert code == 0
    again = json.loads(out)
    assert again["test_accuracy"] == told["test_accuracy"]
    assert [row["val_loss"] for row in again["history"]] == pytest.approx(
        [row["val_loss"] for row in told["history"]], rel=1e-5
    )


def test_ctrl_c_stops_training_and_keeps_the_best_weights(trained, tmp_path):
    data_dir, workspace, _ = trained
    words = f"--backbone tiny --epochs 1000 --json --workspace {workspace} --runs-dir {tmp_path}"
    command = [sys.executable, "-m", "tl_core", "train", str(data_dir), *shlex.split(words)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        for line in process.stderr:
            if "epoch" in line:
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "Ctrl-C again aborts" in err
    values = json.loads(out)
    assert values["state"] == "stopped"
    assert values["val_accuracy"] is not None
    (run,) = list_runs(tmp_path)
    assert run.is_loadable


# The other commands


def test_label_takes_a_table_lists_groups_and_undoes(cli, make_dataset, tmp_path):
    heap = make_dataset({"any": 6}) / "any"
    table, out_table = tmp_path / "given.csv", tmp_path / "out.csv"
    rows = "".join(f"{n}.png,{'cat' if n < 2 else 'dog'}\n" for n in range(4))
    table.write_text(f"file_name,label\n{rows}nowhere.png,cat\n", encoding="utf-8")
    _, out, _ = cli("label", heap, "--csv", table, "--out", out_table, "--json")
    told = json.loads(out)
    assert (told["taken"], told["unknown"], told["written"]) == (4, ["nowhere.png"], 4)
    assert told["class_counts"] == {"cat": 2, "dog": 2}
    assert out_table.read_text(encoding="utf-8").splitlines()[1] == "0.png,cat"

    code, out, _ = cli("label", heap, "--undo", "--groups", "--backbone", "tiny")
    assert code == 0
    assert "Undone: 4 photos labelled" in out
    assert "0 photos with a class, 6 without" in out
    assert "group 1: 6 photos" in out


def test_inspect_counts_classes_and_tells_findings(cli, make_dataset):
    data_dir = make_dataset({"cat": 3, "dog": 2})
    (data_dir / "dog" / "broken.png").write_bytes(b"no image")
    _, out, _ = cli("inspect", data_dir, "--json")
    values = json.loads(out)
    assert values["class_counts"] == {"cat": 3, "dog": 2}
    assert values["num_images"] == 5
    broken = [one for one in values["findings"] if "dog/broken.png" in one["paths"]]
    assert [one["severity"] for one in broken] == ["error"]
    assert values["summary"].startswith("1 unreadable file")
    code, out, _ = cli("inspect", data_dir)
    assert code == 0
    assert "5 images in 2 classes" in out
    assert "\nFound: 1 unreadable file" in out
    assert "cat         3  60.0 %" in out
    assert f"error: {broken[0]['message']}\n  dog/broken.png" in out


def test_inspect_tells_what_groups_change_when_it_runs_the_backbone(cli, make_dataset, monkeypatch):
    def features(index, *_):
        # One value a group, told apart by nothing else: mixed, a photo is known by its fellows.
        groups = {name: n for n, name in enumerate(sorted({r.path[:-8] for r in index.records}))}
        return np.eye(len(groups), dtype=np.float32)[[groups[r.path[:-8]] for r in index.records]]

    data_dir = make_dataset({"cat": 0, "dog": 0})
    for kind, name in enumerate(("cat", "dog")):
        for group in range(6):
            for frame in range(4):
                photo = draw_image(kind, 10 * group + frame, (24, 20))
                photo.save(data_dir / name / f"{name}{group}_view{frame}.png")
    monkeypatch.setattr(explore, "_features", features)
    assert "with groups apart" not in cli("inspect", data_dir)[1]
    _, out, _ = cli("inspect", data_dir, "--features")
    assert "The images come in 12 groups." in out
    assert f"Keep each group in one part of the split.\n{terminal.COMMANDS['group_effect']}" in out


def test_backbones_are_listed_without_the_tests_own(cli):
    values = json.loads(cli("backbones", "--json")[1])
    assert values[0]["name"] == "EfficientNetLite0"
    assert "tiny" not in {one["name"] for one in values}
    _, out, _ = cli("backbones")
    assert len(out.splitlines()) == len(values) + 1
    assert "75.1 %" in out.splitlines()[1]


def test_a_backbone_is_measured_on_this_machine(cli):
    values = json.loads(cli("backbones", "--measure", "tiny", "--json")[1])
    assert [one["name"] for one in values] == ["tiny"]
    assert values[0]["images_per_second"] > 0


def test_the_sample_set_goes_into_the_workspace_once(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "draw_photo", lambda *_, look: Image.new("RGB", (32, 24)))
    place = tmp_path / "workspace" / "datasets" / "sample"
    assert cli("sample", "--num-per-class", 8, "--quiet") == (0, f"{place}\n", "")
    drawn = sorted(path.stat().st_mtime_ns for path in place.rglob("*.jpg"))
    assert len(drawn) == 4 * 8
    assert cli("sample") == (0, f"{place}\n", "")
    assert sorted(path.stat().st_mtime_ns for path in place.rglob("*.jpg")) == drawn


def test_a_folder_given_for_the_sample_set_must_be_new(cli, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "photo.jpg").touch()
    code, _, err = cli("sample", tmp_path / "mine")
    assert code == 2
    assert err.startswith("Error: Expected a name that is not taken")


def test_the_cache_is_measured_and_cleared(cli, tmp_path):
    from tl_core.features.cache import open_feature_cache

    cache_dir = tmp_path / "workspace" / "cache"
    with open_feature_cache(cache_dir) as features:
        features.put_many("space", {"key": [1.0, 2.0]})
    values = json.loads(cli("cache", "--json")[1])
    assert values["num_features"] == 1
    assert values["total_bytes"] > 0
    assert "1 vectors" in cli("cache")[1]
    assert json.loads(cli("cache", "--clear", "--json")[1])["num_features"] == 0


def test_no_runs_yet_say_what_to_do(cli):
    assert "train DATA_DIR" in cli("runs")[1]
    assert json.loads(cli("runs", "--json")[1]) == []


# Mistakes

MISTAKES = {
    "no folder": ("train nowhere", "Expected a folder with one folder per class"),
    "backbone": ("train . --backbone ResNet51", "Did you mean 'ResNet50'?"),
    "range": ("train . --dropout 1", "'dropout': expected less than 1"),
    "config": ("train . --config nowhere.json", "Cannot read settings from 'nowhere.json'"),
    "no run": ("predict nowhere pyproject.toml", "Run 'nowhere' does not exist"),
    "no image": ("predict nowhere gone.jpg", "Expected an image or a folder at 'gone.jpg'"),
    "evaluate": ("evaluate nowhere", "Run 'nowhere' does not exist"),
    "option": ("train . --bachsize 3", "--bachsize"),
    "number": ("train . --epochs many", "Invalid value for '--epochs'"),
    "command": ("tarin .", "No such command 'tarin'"),
    "no such home": ("inspect ~nosuch/x", "'~nosuch' has no home folder"),
    "workspace in no home": ("runs --workspace ~nosuch/x", "'~nosuch' has no home folder"),
    "runs in a file": ("runs --runs-dir README.md", "README.md' is a file"),
    "workspace is a file": ("runs --workspace README.md", "README.md' is a file"),
    "inspecting beside a file": ("inspect . --workspace README.md", "README.md' is a file"),
    "training below a file": ("train . --runs-dir README.md/x", "README.md' is a file"),
    "drawing below a file": ("sample README.md/x", "README.md' is a file"),
    "long image name": (f"predict nowhere {'x' * 300}", "File name too long"),
    "long folder name": (f"inspect {'x' * 300}", "File name too long"),
    "long workspace name": (f"runs --workspace {'x' * 300}", "File name too long"),
    "a name for what goes on": ("train --resume nowhere --name x", "give no --name"),
    "a place for what goes on": ("train --resume nowhere --runs-dir x", "no --runs-dir"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_ends_with_a_message_and_exit_code_2(cli, words, message):
    code, out, err = cli(*words.split())
    assert (code, out) == (2, "")
    assert "Error: " in err
    assert message in err
    assert "Traceback" not in err


def test_names_that_the_terminal_cannot_show_are_escaped(trained):
    data_dir, workspace, finished = trained
    run_dir = json.loads(finished.stdout)["run_dir"]
    photo = data_dir.parent / "日本é.png"
    shutil.copy(next(data_dir.glob("Pizza/*.jpg")), photo)
    words = ("predict", run_dir, photo, "--workspace", workspace)
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    told = run_cli(*words, env=environment, encoding="cp1252")
    assert told.returncode == 0, told.stderr
    assert "\\u65e5\\u672cé.png" in told.stdout
    told = run_cli(*words, "--json", env=environment, encoding="cp1252")
    assert json.loads(told.stdout)[0]["path"] == str(photo)
    told = run_cli("predict", run_dir, "日本", env=environment, encoding="cp1252")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.startswith("Error: Expected an image or a folder at '\\u65e5\\u672c'")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "x/runs"),
            "'x/runs': Permission denied",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "or write: No space left on device"),
    ],
    ids=["not allowed", "disk full"],
)
def test_a_place_that_cannot_be_written_to_is_no_bug(cli, make_dataset, monkeypatch, error, told):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(store, "create_run", fail)
    code, out, err = cli("train", make_dataset({"a": 8, "b": 8}), "--backbone", "tiny", "--quiet")
    assert (code, out) == (2, "")
    assert told in err
    assert "Traceback" not in err


def test_a_failed_training_tells_its_reason_once(cli, make_dataset, monkeypatch):
    def fail(*_, **__):
        raise TLError("The well has run dry.")

    monkeypatch.setattr(phases, "load_features", fail)
    code, out, err = cli("train", make_dataset({"a": 8, "b": 8}), "--backbone", "tiny")
    assert (code, out) == (2, "")
    assert err.count("The well has run dry.") == 1
    assert err.splitlines()[-1] == "Error: The well has run dry."


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(cli, name):
    code, out, _ = cli(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: python -m tl_core {name}")


def test_too_few_images_leave_no_failed_run_behind(cli, make_dataset, tmp_path):
    code, _, err = cli("train", make_dataset({"cat": 1, "dog": 1}), "--backbone", "tiny")
    assert code == 2
    assert "Class 'cat' has 1 distinct image" in err
    assert list_runs(tmp_path / "workspace" / "runs") == []


@pytest.mark.parametrize("name", FIELDS)
def test_every_setting_is_an_option_of_its_name_with_its_default_and_range(cli, name):
    out = cli("train", "--help")[1].partition("Options:")[2]
    start = out.index(f"--{name.replace('_', '-')} ")
    text = " ".join(out[start : start + 400].split())
    assert "default: " in text.partition("]")[0]


def test_help_shows_ranges_as_the_settings_have_them(cli):
    text = " ".join(cli("train", "--help")[1].split())
    assert "switched off in training. [0 <= x < 1; default: 0.5]" in text
    assert "Step size of Adam. [0 < x <= 1; default: 0.001]" in text
    assert "--fill reflect|edge|black" in text


def test_a_run_that_was_killed_before_it_began_is_resumed(cli, workspace, dataset):
    run = create_run(workspace.runs_dir, TrainConfig(backbone="tiny", epochs=1), dataset)
    code, out, _ = cli("train", "--resume", run.run_dir, "--json", "--quiet")
    assert (code, json.loads(out)["state"]) == (0, "finished")
    waiting = create_run(workspace.runs_dir, TrainConfig(backbone="tiny", epochs=1), dataset)
    JobQueue(workspace).submit("train", {}, waiting.run_dir)
    code, _, err = cli("train", "--resume", waiting.run_dir, "--quiet")
    assert code == 2
    assert "is queued" in err


def test_an_environment_that_reads_names_as_ascii_is_refused(tmp_path):
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    done = run_cli("inspect", tmp_path, env=environment)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: Expected an environment that reads names of files")
    assert "Set PYTHONUTF8=1" in done.stderr

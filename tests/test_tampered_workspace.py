"""Whatever lies in the workspace, every page opens, and the other projects and runs still work.

Each case damages one thing in a small workspace of two runs, a search, a preset, decisions and a
job, the way a full disk, an editor, a sync tool or a stranger would.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from app_helpers import CLASSIFY, DATA, TRAIN, open_page, unescaped
from made_project import add_search, exclude
from made_run import make_run
from streamlit.testing.v1 import AppTest

from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.augmentation.presets import list_presets, save_preset
from tl_core.data.curation.store import decisions_path
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.errors import DatasetError
from tl_core.evaluation.store import EvaluationFile
from tl_core.files import write_json, write_text
from tl_core.head.out_of_distribution import KNOWN_FILE
from tl_core.jobs import training as training_jobs
from tl_core.jobs.handlers import EVALUATE
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.training import start_training
from tl_core.jobs.worker_client import worker_state
from tl_core.projects.registry import list_projects
from tl_core.runs.files import METRICS_FILE
from tl_core.runs.store import Run, list_runs
from tl_core.search.store import list_sweeps
from tl_core.workspace import Workspace
from ui.shared.errors import BUG_MESSAGE

EVALUATE_PAGE = "pages/4_Evaluate.py"
ENSURE_WORKER = training_jobs.ensure_worker
PAGES = (None, DATA, TRAIN, EVALUATE_PAGE, CLASSIFY)
DEEP = "[" * 100_000
NESTED = "[" * 900 + "]" * 900
SURROGATE = '{"name": "\\ud800", "schema": 1, "state": "\\ud800", "message": "\\ud800"}'

Damage = Callable[[Workspace], object]


def run_file(name: str, content: str | bytes) -> Damage:
    """Return what replaces a file of the run ``bad``."""
    return lambda workspace: _put(workspace.runs_dir / "bad" / name, content)


def own_file(name: str, content: str | bytes) -> Damage:
    """Return what replaces a file of the workspace."""
    return lambda workspace: _put(workspace.root / name, content)


def every_file(pattern: str, content: str | bytes) -> Damage:
    """Return what replaces the files of a pattern, of which there is at least one."""

    def damage(workspace: Workspace) -> None:
        paths = [path for path in workspace.root.glob(pattern) if path.is_file()]
        assert paths
        for path in paths:
            _put(path, content)

    return damage


def _put(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def latin_folder(place: str) -> Damage:
    """Return what makes a folder whose name is no UTF-8."""

    def damage(workspace: Workspace) -> None:
        folder = os.fsencode(workspace.root / place) + b"/caf\xe9"
        try:
            os.makedirs(folder + b"/cat")  # noqa: PTH103, a name in bytes
            os.makedirs(folder + b"/dog")  # noqa: PTH103
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")

    return damage


def latin_run(workspace: Workspace) -> None:
    target = os.fsencode(workspace.runs_dir) + b"/caf\xe9"
    try:
        shutil.copytree(os.fsencode(workspace.runs_dir / "bad"), target)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")


def truncated_detector(workspace: Workspace) -> None:
    path = workspace.runs_dir / "bad" / KNOWN_FILE
    path.write_bytes((workspace.runs_dir / "bad" / "weights.safetensors").read_bytes()[:40])


def folder_instead(name: str) -> Damage:
    """Return what puts a folder in the place of a file of the run ``bad``."""

    def damage(workspace: Workspace) -> None:
        path = workspace.runs_dir / "bad" / name
        path.unlink(missing_ok=True)
        path.mkdir()

    return damage


def other_rows(path: str, sha256: str = "0" * 64) -> str:
    return "path,sha256,class,part\n" + "".join(
        f"{path},{sha256},cat,{part}\n" for part in ("train", "val", "test")
    )


DAMAGES: dict[str, Damage] = {
    "latin name in datasets": latin_folder("datasets"),
    "latin name in runs": latin_folder("runs"),
    "latin name in sweeps": latin_folder("sweeps"),
    "run of a latin name": latin_run,
    "status deep": run_file("status.json", DEEP),
    "status nested": run_file("status.json", '{"schema": 1, "state": ' + NESTED + "}"),
    "status list": run_file("status.json", "[]"),
    "status NaN": run_file("status.json", '{"schema": NaN, "state": "finished"}'),
    "status types": run_file(
        "status.json",
        '{"schema": 1, "state": ["finished"], "created": {}, "message": [1], "pid": "x"}',
    ),
    "status running with a wild pid": run_file(
        "status.json",
        '{"schema": 1, "state": "running", "created": 5, "pid": 1e400, "pid_create_time": "x"}',
    ),
    "status running with a huge pid": run_file(
        "status.json",
        '{"schema": 1, "state": "running", "created": "2024-01-01", "started": "never",'
        ' "pid": 99999999999999999999999, "pid_create_time": 1, "phase": {}, "epoch": "x"}',
    ),
    "status created without a zone": run_file(
        "status.json", '{"schema": 1, "state": "finished", "created": "2024-01-01"}'
    ),
    "status surrogate": run_file("status.json", SURROGATE),
    "status of no UTF-8": run_file("status.json", b"\xff\xfe\x00"),
    "status empty": run_file("status.json", ""),
    "status a folder": folder_instead("status.json"),
    "meta deep": run_file("meta.json", DEEP),
    "meta nested": run_file("meta.json", '{"name": ' + NESTED + "}"),
    "meta types": run_file("meta.json", '{"name": {"a": 1}, "notes": [1], "archived": "no"}'),
    "meta surrogate": run_file("meta.json", SURROGATE),
    "config deep": run_file("config.json", DEEP),
    "config surrogate": run_file("config.json", '{"backbone": "tiny", "layout": "\\ud800"}'),
    "config unknown backbone": run_file("config.json", '{"backbone": "\\ud800"}'),
    "config NaN": run_file("config.json", '{"backbone": "tiny", "learning_rate": NaN}'),
    "classes deep": run_file("classes.json", DEEP),
    "classes types": run_file("classes.json", '[{"a": 1}, null, 7]'),
    "classes surrogate": run_file("classes.json", '["cat", "\\ud800"]'),
    "classes object": run_file("classes.json", '{"cat": 0}'),
    "origin deep": run_file("origin.json", DEEP),
    "origin types": run_file("origin.json", '{"data_dir": 7, "workspace": [], "layout": {}}'),
    "origin with a null byte": run_file("origin.json", '{"data_dir": "a\\u0000b"}'),
    "origin surrogate": run_file("origin.json", '{"data_dir": "datasets/\\ud800"}'),
    "origin of a wild scale": run_file(
        "origin.json", f'{{"data_dir": "datasets/{SAMPLE_NAME}", "pixel_scale": "xyz"}}'
    ),
    "split absolute": run_file("split.csv", other_rows("/etc/passwd")),
    "split leaves the folder": run_file("split.csv", other_rows("../../../secret.png")),
    "split null byte": run_file("split.csv", other_rows("a\0b.png")),
    "split of no UTF-8": run_file("split.csv", b"path,sha256,class,part\n\xe9,0,cat,test\n"),
    "history words": run_file(
        "history.csv", "phase,epoch,loss,accuracy,val_loss,val_accuracy\nhead,x,y,z,?,\n"
    ),
    "history other columns": run_file("history.csv", "a,b\n1,2\n"),
    "history binary": run_file("history.csv", bytes(range(256))),
    "history empty": run_file("history.csv", ""),
    "metrics deep": run_file(METRICS_FILE, DEEP),
    "metrics types": run_file(
        METRICS_FILE,
        '{"test_accuracy": "high", "val_accuracy": [], "test_interval": 3, "best_epoch": {},'
        ' "num_images": [], "seconds": 5}',
    ),
    "metrics NaN": run_file(METRICS_FILE, '{"test_accuracy": NaN, "val_accuracy": Infinity}'),
    "calibration deep": run_file("calibration.json", DEEP),
    "calibration types": run_file(
        "calibration.json", '{"schema": "new", "temperature": "hot", "weights": 1}'
    ),
    "calibration newer": run_file("calibration.json", '{"schema": 99}'),
    "events deep": run_file("events.jsonl", DEEP + '\n{"event": "epoch_end"}\n{"event": 5}\n'),
    "events of a running run": run_file(
        "events.jsonl",
        '{"event": "phase_started", "phase": 5, "num_epochs": "x"}\n'
        '{"event": "epoch_end", "epoch": "x", "time": "late"}\n'
        '{"event": "run_resumed", "history": 7}\n',
    ),
    "weights truncated": run_file("weights.safetensors", b"\xff" * 12),
    "weights a folder": folder_instead("weights.safetensors"),
    "known truncated": truncated_detector,
    "known a folder": folder_instead(KNOWN_FILE),
    "evaluations": every_file("runs/bad/evaluations/*.npz", b"no archive"),
    "evaluation failed": run_file("evaluations/0123456789abcdef.failed.json", DEEP),
    "decisions deep": every_file("decisions/*.json", DEEP),
    "decisions types": every_file("decisions/*.json", '{"schema": 1, "steps": [5]}'),
    "decisions leave the folder": every_file(
        "decisions/*.json",
        '{"schema": 1, "steps": [{"label": "x", "time": 1, "decisions": [{"path":'
        ' "../../etc/passwd", "sha256": "0", "action": "exclude", "class_name": null}]}]}',
    ),
    "preset deep": own_file("presets/deep.json", DEEP),
    "preset types": own_file("presets/types.json", '{"preset": "types", "augment": {"x": NaN}}'),
    "opened deep": own_file("datasets/opened.json", DEEP),
    "opened types": own_file("datasets/opened.json", '[7, null, "a\\u0000b", "\\ud800"]'),
    "last deep": own_file("datasets/last.json", DEEP),
    "last types": own_file("datasets/last.json", '{"dataset": "\\ud800"}'),
    "projects deep": own_file("projects.json", DEEP),
    "projects types": own_file(
        "projects.json",
        f'{{"projects": {{"{SAMPLE_NAME}": {{"title": "\\ud800", "data_dir": 7}},'
        ' "x": 5, "y": {"data_dir": "\\ud800"}}}',
    ),
    "job deep": own_file("queue/00000000000000000001-0a.waiting.json", DEEP),
    "job types": own_file(
        "queue/00000000000000000001-0a.waiting.json",
        '{"kind": [], "payload": 7, "run_dir": {}, "priority": "x"}',
    ),
    "job of infinite priority": own_file(
        "queue/00000000000000000001-0a.waiting.json",
        '{"kind": "train", "payload": {}, "run_dir": "runs/\\u0000", "priority": 1e999}',
    ),
    "progress types": every_file("queue/*.progress.json", '{"done": "x", "total": [], "stage": 5}'),
    "progress deep": every_file("queue/*.progress.json", DEEP),
    "worker deep": own_file("queue/worker.json", DEEP),
    "worker types": own_file(
        "queue/worker.json", '{"pid": "x", "pid_create_time": [], "state": 5}'
    ),
    "users deep": own_file("queue/worker_users.json", DEEP),
    "sweep status deep": every_file("sweeps/*/status.json", DEEP),
    "sweep config deep": every_file("sweeps/*/config.json", DEEP),
    "sweep base NaN": every_file("sweeps/*/base.json", '{"learning_rate": NaN}'),
    "sweep origin types": every_file(
        "sweeps/*/origin.json", '{"data_dir": [], "num_trials": "x", "num_images": {}}'
    ),
    "sweep trials": every_file("sweeps/*/trials.jsonl", DEEP + '\n{"number": "x"}\n[]\n'),
    "speeds": own_file("cache/speeds.json", '{"tiny": "fast", "x": [1]}'),
    "scans": own_file("cache/scans.sqlite", b"no database"),
    "runs hold a file": own_file("runs/a file", b"x"),
    "datasets hold a file": own_file("datasets/a file", b"x"),
}


# What can stand in any file, whoever wrote it.
CONTENTS: dict[str, str | bytes] = {
    "empty": "",
    "cut off": '{"schema": 1, "sta',
    "null": "null",
    "a list": "[1, [2], {}]",
    "a number": "-1e308",
    "a string": '"../../etc/passwd"',
    "NaN": '{"schema": 1, "value": NaN}',
    "infinite": '{"schema": 1e999}',
    "surrogate": SURROGATE,
    "deep": DEEP,
    "nested": '{"a": ' + NESTED + "}",
    "newer": '{"schema": 99999999999999999999}',
    "no UTF-8": b"\xff\xfe\x00\x01",
    "zeros": bytes(4096),
}
FILES = {
    "status": "runs/bad/status.json",
    "meta": "runs/bad/meta.json",
    "config": "runs/bad/config.json",
    "classes": "runs/bad/classes.json",
    "origin": "runs/bad/origin.json",
    "metrics": "runs/bad/metrics.json",
    "calibration": "runs/bad/calibration.json",
    "split": "runs/bad/split.csv",
    "left out": "runs/bad/left_out.csv",
    "events": "runs/bad/events.jsonl",
    "preset": "presets/odd.json",
    "projects": "projects.json",
    "worker": "queue/worker.json",
    "users": "queue/worker_users.json",
    "job": "queue/00000000000000000001-0a.waiting.json",
    "last": "datasets/last.json",
}
KINDS = {
    f"{file}: {content}": own_file(path, CONTENTS[content])
    for file, path in FILES.items()
    for content in CONTENTS
}
# All of them, over 300, are tried by benchmarks/reliability.py; a run of the tests tries some.
TRIES_ALL = os.environ.get("TL_TAMPER_ALL") == "1"
LISTED = {**DAMAGES, **(KINDS if TRIES_ALL else dict(list(KINDS.items())[::13]))}
OPENED = {**DAMAGES, **(KINDS if TRIES_ALL else {})}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    """Return a workspace in which nothing is wrong."""
    from conftest import draw_image

    root = tmp_path_factory.mktemp("sound") / "workspace"
    workspace = Workspace(root)
    data_dir = workspace.datasets_dir / SAMPLE_NAME
    for kind, name in enumerate(("cat", "dog")):
        (data_dir / name).mkdir(parents=True)
        for number in range(8):
            draw_image(kind, number).save(data_dir / name / f"{number}.png")
    for name in ("good", "bad"):
        make_run(workspace.runs_dir / name, data_dir, cache_dir)
        write_json(workspace.runs_dir / name / METRICS_FILE, {"val_accuracy": 0.8})
        write_text(workspace.runs_dir / name / "events.jsonl", "")
    (workspace.runs_dir / "bad" / "evaluations").mkdir()
    path = EvaluationFile(Run(workspace.runs_dir / "bad"), "test")._path
    np.savez(path, values=np.zeros(2, np.uint8))
    sweep = add_search(workspace, data_dir)
    write_text(sweep.sweep_dir / "trials.jsonl", "")
    save_preset(workspace, "mine", AugmentConfig())
    exclude(workspace, data_dir, "cat/0.png")
    queue = JobQueue(workspace)
    job = queue.submit(EVALUATE, {"run": "runs/bad", "part": "test", "data_dir": None})
    queue.report(job.id, {"stage": "scan", "done": 1, "total": 2, "seconds": 0.1})
    return root


@pytest.fixture
def tampered(sound: Path, workspace: Workspace) -> Workspace:
    """Return a copy of the workspace, for the app."""
    shutil.copytree(sound, workspace.root, dirs_exist_ok=True)
    return workspace


def assert_opens(at: AppTest) -> None:
    """Assert that a page was drawn to its end, if with messages about what is damaged."""
    assert not at.exception, at.exception
    assert BUG_MESSAGE not in [error.value for error in at.error]
    assert at.markdown or at.subheader


@pytest.mark.parametrize("name", LISTED)
def test_lists_hold_what_is_sound(tampered: Workspace, name: str) -> None:
    LISTED[name](tampered)
    runs = {run.id: run for run in list_runs(tampered.runs_dir, include_archived=True)}
    for run in runs.values():
        assert isinstance(run.message + run.name + run.notes, str)
        run.message.encode()
        _ = (
            run.left_out(),
            run.state,
            run.created,
            run.is_archived,
            run.is_loadable,
            run.events(),
            run.workspace,
        )
    assert runs["good"].state == "finished"
    assert runs["good"].class_names == ("cat", "dog")
    assert SAMPLE_NAME in [project.id for project in list_projects(tampered)]
    for project in list_projects(tampered):
        project.title.encode("utf-8", "surrogateescape")
    for sweep in list_sweeps(tampered):
        assert isinstance(sweep.message, str)
        if sweep.state != "damaged":
            assert sweep.num_trials >= 0
            _ = sweep.ranking()
    assert "mine" in [preset.name for preset in list_presets(tampered)]
    for job in JobQueue(tampered).jobs():
        JobQueue(tampered).state(job)
    assert not worker_state(tampered).alive
    assert decisions_path(tampered, tampered.datasets_dir / SAMPLE_NAME).is_file()


@pytest.mark.parametrize("name", OPENED)
def test_every_page_opens(tampered: Workspace, name: str) -> None:
    OPENED[name](tampered)
    for page in PAGES:
        for run in (None, "bad"):
            if run is None or page in (TRAIN, EVALUATE_PAGE, CLASSIFY):
                assert_opens(open_page(page, run=run))


def test_a_dataset_whose_name_is_no_utf8_opens_and_says_what_to_do(
    workspace: Workspace, dataset: Path
) -> None:
    latin_folder("datasets")(workspace)
    folder = Path(os.fsdecode(os.fsencode(workspace.datasets_dir) + b"/caf\xe9"))
    for name in ("cat", "dog"):
        for path in (dataset / name).iterdir():
            shutil.copy(path, folder / name)
    (project,) = [one for one in list_projects(workspace) if not one.is_sample]
    assert project.title == "caf\\xe9"
    for page in PAGES:
        at = open_page(page, dataset=project.id)
        assert_opens(at)
    with pytest.raises(DatasetError, match="UTF-8"):
        start_training(workspace, TrainConfig(backbone="tiny"), folder)
    assert list_runs(workspace.runs_dir) == []


def test_every_page_opens_on_a_read_only_disk(
    tampered: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object, *_: object, **__: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    os_open, path_open = os.open, Path.open

    def low_open(path: str, flags: int, *rest: int, **more: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and str(tampered.root) in str(path):
            refuse(path)
        return os_open(path, flags, *rest, **more)

    def high_open(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if mode.strip("bt") != "r" and path.is_relative_to(tampered.root):
            refuse(path)
        return path_open(path, mode, *rest, **more)

    monkeypatch.setattr(os, "open", low_open)
    monkeypatch.setattr(Path, "open", high_open)
    for module, name in ((os, "replace"), (os, "rename"), (os, "mkdir"), (os, "unlink")):
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr(training_jobs, "ensure_worker", ENSURE_WORKER)
    for page in PAGES:
        at = open_page(page)
        assert_opens(at)
        assert any("read-only" in unescaped(error.value) for error in at.error)

"""Preparing a backbone: once, whole, by a child process where TensorFlow is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from demo_helpers import new_visitor, start_demo

from tl_core.backbones import litert
from tl_core.backbones.registry import get_backbone
from tl_core.errors import Stopped, TLError, WeightsError
from tl_core.features import engine_files
from tl_core.features.engine_files import engine_path, in_background, prepare_engine
from tl_core.progress import Monitor, Progress

PROJECT_DIR = Path(__file__).resolve().parents[2]
TINY = ("tiny", (32, 32), "avg")

pytestmark = pytest.mark.converts


# Of a child: it says that it has begun, and goes on when it may.
WAITING = 'cd "$(dirname "$0")"; touch begun; while [ ! -e go ]; do sleep 0.02; done'


def wait_for(path: Path) -> None:
    """Wait until there is something at ``path``."""
    for _ in range(15_000):
        if path.exists():
            return
        time.sleep(0.02)
    raise AssertionError(f"there never was a {path.name}")


def in_the_background(cache_dir: Path) -> Future[Path]:
    """Begin preparing in a thread."""
    return in_background(lambda: prepare_engine(*TINY, cache_dir), "prepare-tiny")


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return ``child(script)``, which puts a shell script in the place of the child process."""
    monkeypatch.delitem(sys.modules, "tensorflow", raising=False)

    def put(script: str) -> None:
        path = tmp_path / "child"
        path.write_text(f'#!/bin/sh\nfor out in "$@"; do :; done\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return put


def test_the_file_is_named_by_all_that_decides_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [
        engine_path("tiny", (32, 32), "avg", tmp_path),
        engine_path("tiny", (32, 48), "avg", tmp_path),
        engine_path("tiny", (32, 32), "max", tmp_path),
        engine_path("EfficientNetLite0", (32, 32), "avg", tmp_path),
    ]
    monkeypatch.setattr(engine_files, "weights_fingerprint", lambda name: "other weights")
    paths.append(engine_path("tiny", (32, 32), "avg", tmp_path))
    monkeypatch.setattr(engine_files, "ENGINE_VERSION", 99)
    paths.append(engine_path("tiny", (32, 32), "avg", tmp_path))
    assert len(set(paths)) == len(paths)


def test_a_process_without_tensorflow_converts_and_stays_without(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from tl_core.features.engine import Engine, prepare_engine\n"
        f"path = prepare_engine('tiny', (32, 32), 'avg', Path({str(tmp_path)!r}))\n"
        "print(Engine.open(path).feature_dim, 'tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_DIR, capture_output=True, text=True
    )
    assert done.stdout.split() == ["32", "False"], done.stderr


def test_a_backbone_that_is_there_is_not_converted_again(tmp_path: Path, child) -> None:
    child('echo x >> "$(dirname "$0")/count"; echo model > "$out"')
    first = prepare_engine(*TINY, tmp_path)
    assert prepare_engine(*TINY, tmp_path) == first
    assert first.read_text() == "model\n"
    assert (tmp_path / "count").read_text() == "x\n"


def test_visitors_share_backbones_of_the_sizes_of_pretraining_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start_demo(monkeypatch, tmp_path / "demo")
    a, b = new_visitor(host), new_visitor(host)
    size = get_backbone("tiny").image_size
    paths = {engine_path("tiny", size, "max", one.cache_dir) for one in (a, b, host)}
    assert [path.parent for path in paths] == [host.cache_dir / "engines"]
    other = engine_path("tiny", (size[0] + 1, size[1]), "max", a.cache_dir)
    assert other.parent == a.cache_dir / "engines"
    assert engine_path("tiny", (40, 48), "avg", host.cache_dir).parent == paths.pop().parent


def test_of_a_visitors_own_those_used_least_recently_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child
) -> None:
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=3)  # 1 MB of these
    cache_dir = new_visitor(host).cache_dir
    child('head -c 300000 /dev/zero > "$out"; touch "$out.lock"')

    def prepare(side: int) -> Path:
        path = prepare_engine("tiny", (side, 40), "avg", cache_dir)
        time.sleep(0.01)  # the times of files differ
        return path

    first, second, third = map(prepare, (41, 42, 43))
    assert prepare(41) == first  # used again
    fourth = prepare(44)
    kept = [first, fourth, third]
    assert sorted(fourth.parent.iterdir()) == sorted(
        [*kept, *(Path(f"{one}.lock") for one in kept)]
    )
    assert not second.exists()
    monkeypatch.delenv("TL_MODE")
    elsewhere = [prepare_engine("tiny", (side, 40), "avg", tmp_path) for side in (41, 42, 43, 44)]
    assert all(path.exists() for path in elsewhere)  # of a studio none


def test_one_that_takes_more_than_all_may_is_kept_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, child
) -> None:
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=3)
    cache_dir = new_visitor(host).cache_dir
    child('head -c 1100000 /dev/zero > "$out"')
    prepare_engine("tiny", (41, 40), "avg", cache_dir)
    last = prepare_engine("tiny", (42, 40), "avg", cache_dir)
    assert list(last.parent.glob("*.tflite")) == [last]


def test_those_who_want_it_at_once_share_one_conversion(tmp_path: Path, child) -> None:
    child(f'echo x >> "$(dirname "$0")/count"; {WAITING}; echo model > "$out"')
    futures = [in_the_background(tmp_path) for _ in range(3)]
    wait_for(tmp_path / "begun")
    assert [future.done() for future in futures] == [False] * 3
    (tmp_path / "go").touch()
    assert len({future.result(timeout=300) for future in futures}) == 1
    assert (tmp_path / "count").read_text() == "x\n"


def test_progress_is_reported_in_its_own_stage(tmp_path: Path, child) -> None:
    child('echo model > "$out"')
    reports: list[Progress] = []
    prepare_engine(*TINY, tmp_path, Monitor(reports.append))
    assert {report.stage for report in reports} == {"backbone"}
    assert [reports[0].done, reports[-1].done] == [0, 1]


def test_missing_weights_are_told_as_such_by_the_child(tmp_path: Path, child) -> None:
    answer = json.dumps({"error": "WeightsError", "message": "They're not here."})
    answer = answer.replace("'", "'\\''")
    child(f"echo '{answer}'; exit 2")
    with pytest.raises(WeightsError, match=r"^They're not here\.$"):
        prepare_engine(*TINY, tmp_path)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'Traceback'>&2; echo 'ValueError: odd shape'>&2; exit 1", "odd shape"),
        ("kill -9 $$", "lack of memory"),
        ("exit 0", "no reason was given"),
        ('echo \'{"error": "SystemExit"}\'; exit 3', "no reason was given"),
    ],
    ids=["crash", "killed", "no file", "unknown error"],
)
def test_a_child_that_fails_is_one_plain_error(
    tmp_path: Path, child, script: str, words: str
) -> None:
    child(script)
    with pytest.raises(TLError, match=words) as caught:
        prepare_engine(*TINY, tmp_path)
    assert "Backbone tiny could not be converted" in str(caught.value)


def test_a_stop_ends_the_child_at_once(tmp_path: Path, child) -> None:
    child('cd "$(dirname "$0")"; echo $$ > new; mv new pid; exec sleep 3600')
    pid = tmp_path / "pid"
    with pytest.raises(Stopped):
        prepare_engine(*TINY, tmp_path, monitor=Monitor(None, pid.exists))
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_one_who_waits_for_anothers_conversion_can_be_stopped(tmp_path: Path, child) -> None:
    child(f'{WAITING}; echo model > "$out"')
    other = in_the_background(tmp_path)
    wait_for(tmp_path / "begun")
    looks = iter([False, False, True])
    with pytest.raises(Stopped):
        prepare_engine(*TINY, tmp_path, monitor=Monitor(None, lambda: next(looks)))
    assert not other.done()
    (tmp_path / "go").touch()
    assert other.result(timeout=300).exists()


def test_work_in_the_background_keeps_no_thread_waiting_and_no_process_alive(
    tmp_path: Path, child
) -> None:
    child(f"{WAITING}; exit 1")
    future = in_the_background(tmp_path)
    wait_for(tmp_path / "begun")
    assert not future.done()
    threads = [thread for thread in threading.enumerate() if thread.name == "prepare-tiny"]
    assert [thread.daemon for thread in threads] == [True]
    (tmp_path / "go").touch()
    with pytest.raises(TLError):
        future.result(timeout=300)


def test_the_child_prints_errors_of_ours_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise WeightsError("none here")

    monkeypatch.setattr(litert, "convert_backbone", fail)
    assert litert.main(["tiny", "32", "32", "avg", str(tmp_path / "x")]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"error": "WeightsError", "message": "none here"}

"""A full or read-only disk: one plain sentence, nothing half done, and a worker that lives on."""

from __future__ import annotations

import errno
import itertools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import FakeClock, MakeDataset

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import Decision, edit_decisions, load_decisions
from tl_core.errors import RunError, StorageError
from tl_core.jobs import __main__ as process
from tl_core.jobs import ends, worker, worker_client
from tl_core.jobs.handlers import TRAIN, JobContext, JobKind
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.training import start_training
from tl_core.progress import Progress
from tl_core.runs.files import STATUS_FILE, start_run
from tl_core.runs.store import Run, create_run, list_runs
from tl_core.workspace import Workspace

CONFIG = TrainConfig(backbone="tiny")
PROBLEMS = {errno.ENOSPC: "is full", errno.EROFS: "read-only", errno.EACCES: "not allowed"}
REPLACE = os.replace
Refuse = Callable[[str, int], None]


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setattr(worker_client, "_starts", {})
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Refuse:
    """Return ``refuse(part, code)``: no file of a path with that part can be written from now on.

    An empty ``part`` lets all be written again.
    """

    def refuse(part: str, code: int) -> None:
        def replace(source: str | Path, target: str | Path) -> None:
            if part and part in str(target):
                raise OSError(code, os.strerror(code), str(target))
            REPLACE(source, target)

        monkeypatch.setattr(os, "replace", replace)

    return refuse


@pytest.mark.parametrize("code", PROBLEMS)
@pytest.mark.parametrize("part", ["config.json", "status.json", "queue"])
def test_a_training_that_cannot_be_written_says_why_and_leaves_nothing(
    studio: Workspace, make_dataset: MakeDataset, refuse: Refuse, part: str, code: int
) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 2})
    refuse(part, code)
    with pytest.raises(StorageError, match=PROBLEMS[code]) as caught:
        start_training(studio, CONFIG, data_dir)
    assert "Errno" not in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert caught.value.errno == code
    assert list_runs(studio.runs_dir) == []
    assert JobQueue(studio).jobs() == []
    assert [path.name for path in studio.runs_dir.iterdir()] == []


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_folder_that_cannot_be_made_says_why(
    studio: Workspace, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    data_dir = make_dataset({"cat": 2, "dog": 2})

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    for action in (
        lambda: start_training(studio, CONFIG, data_dir),
        lambda: edit_decisions(studio, data_dir, lambda before: before),
        lambda: worker_client.ensure_worker(studio),
    ):
        with pytest.raises(StorageError, match=PROBLEMS[code]):
            action()


@pytest.mark.parametrize("code", PROBLEMS)
def test_a_decision_that_cannot_be_written_says_why_and_the_earlier_ones_stay(
    studio: Workspace, tmp_path: Path, refuse: Refuse, code: int
) -> None:
    first, second = (Decision(f"cat/{number}.png", "0", "exclude") for number in range(2))
    kept = edit_decisions(studio, tmp_path, lambda before: before.decide("one", [first]))
    refuse("decisions", code)
    with pytest.raises(StorageError, match=PROBLEMS[code]):
        edit_decisions(studio, tmp_path, lambda before: before.decide("two", [second]))
    assert load_decisions(studio, tmp_path) == kept


def test_other_errors_of_the_system_are_not_renamed(
    studio: Workspace, tmp_path: Path, refuse: Refuse
) -> None:
    refuse("decisions", errno.EIO)
    with pytest.raises(OSError, match="Errno") as caught:
        edit_decisions(studio, tmp_path, lambda before: before.decide("", [_decision()]))
    assert not isinstance(caught.value, StorageError)


def _decision() -> Decision:
    return Decision("cat/0.png", "0", "exclude")


def test_the_worker_survives_a_full_disk_and_writes_the_end_when_there_is_space(
    studio: Workspace, tmp_path: Path, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "_SAVE_SECONDS", 0.0)
    first, second = (create_run(studio.runs_dir, CONFIG, tmp_path, name=str(i)) for i in range(2))
    seen: list[str] = []

    def train(context: JobContext) -> None:
        assert context.job.run_dir is not None
        run = Run(context.job.run_dir)
        context.monitor.report(Progress("scan", 1, 2, 0.1))
        if run.run_dir == first.run_dir:
            start_run(run.run_dir, "scan")
            refuse(STATUS_FILE, errno.ENOSPC)
            raise RunError("The photos are gone.")
        seen.append(first.state)
        refuse("", 0)

    queue = JobQueue(studio)
    for run in (first, second):
        queue.submit(TRAIN, {}, run.run_dir)
    worker.run_worker(studio, warm=False, idle_seconds=0.3, kinds={TRAIN: JobKind(train)})
    assert seen == ["running"]
    assert (first.state, first.message) == ("failed", "The photos are gone.")
    assert second.state == "failed"  # its job ended without training it
    assert queue.jobs() == []


def test_a_worker_that_dies_at_once_is_started_again_ever_more_rarely(
    studio: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(worker_client, "time", clock)
    starts: list[float] = []

    def spawn(*_: object) -> SimpleNamespace:
        starts.append(clock.now)
        return SimpleNamespace(pid=2**22 + 1, poll=lambda: 1)  # more than any system gives

    monkeypatch.setattr(worker_client, "_spawn", spawn)
    for _ in range(600):
        worker_client.ensure_worker(studio)
        clock.now += 0.5
    pauses = [after - before for before, after in itertools.pairwise(starts)]
    assert pauses[:7] == [0.5, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert set(pauses[7:]) == {60.0}


@pytest.mark.parametrize(("code", "expected"), [(None, 1), (0, 5), (-9, 2)])
def test_one_that_lives_or_has_left_is_not_taken_for_dead(
    studio: Workspace, monkeypatch: pytest.MonkeyPatch, code: int | None, expected: int
) -> None:
    """On a full disk a worker cannot write that it lives; one killed is brought back at once."""
    starts = []

    def spawn(*_: object) -> SimpleNamespace:
        starts.append(1)
        return SimpleNamespace(pid=2**22 + 1, poll=lambda: code)

    monkeypatch.setattr(worker_client, "_spawn", spawn)
    for _ in range(5):
        worker_client.ensure_worker(studio)
    assert len(starts) == expected


class Clock(FakeClock):
    """Tells the time of day as well."""

    def time(self) -> float:
        return self.now


def test_the_worker_writes_its_records_to_its_log_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logger = logging.getLogger("tl_core")
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logger.level)
    monkeypatch.setattr(process.sys, "argv", ["worker", str(tmp_path)])
    printed: list[logging.LogRecord] = []
    root = logging.Handler()
    root.emit = printed.append  # type: ignore[method-assign]  # as TensorFlow's libraries add one
    monkeypatch.setattr(logging.getLogger(), "handlers", [root])

    def run(*_: object, **__: object) -> None:
        logger.info("photos from %s", tmp_path / "visitors" / "t0ken" / "Grandma")

    monkeypatch.setattr(process, "run_worker", run)
    process.main()
    logger.handlers[0].close()
    assert printed == []
    text = (tmp_path / "logs" / worker_client.LOG_NAME).read_text("utf-8")
    assert "photos from ./visitors/" in text
    assert "Grandma" not in text

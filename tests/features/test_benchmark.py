import pytest

from tl_core.errors import WeightsError
from tl_core.features import benchmark
from tl_core.jobs import handlers
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.workspace import Workspace


def measure(workspace):
    """Do the job that measures a backbone, as the worker would."""
    job = JobQueue(workspace).submit(handlers.MEASURE_SPEED, {"backbone": "tiny"})
    handlers.KINDS[job.kind].run(handlers.JobContext(workspace, job, Monitor()))


def test_a_measured_speed_is_remembered_beside_others(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)
    benchmark.remember_speed(workspace.cache_dir, "other", 12.34)
    monkeypatch.setattr(benchmark, "measure", lambda name, **_: 250.04)
    measure(workspace)
    assert benchmark.known_speeds(workspace.cache_dir) == {"other": 12.3, "tiny": 250.0}
    assert benchmark.take_failure(workspace.cache_dir, "tiny") is None


def test_why_a_backbone_could_not_be_measured_is_read_once(tmp_path, monkeypatch):
    workspace = Workspace(tmp_path)

    def fail(name, **_):
        raise WeightsError("Its weights cannot be downloaded.")

    monkeypatch.setattr(benchmark, "measure", fail)
    with pytest.raises(WeightsError):
        measure(workspace)
    assert benchmark.known_speeds(workspace.cache_dir) == {}
    failure = benchmark.take_failure(workspace.cache_dir, "tiny")
    assert failure == "Its weights cannot be downloaded."
    assert benchmark.take_failure(workspace.cache_dir, "tiny") is None


def test_damaged_speeds_are_none(tmp_path):
    (tmp_path / "speeds.json").write_text("[1, 2")
    assert benchmark.known_speeds(tmp_path) == {}

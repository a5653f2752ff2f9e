import numpy as np
import pytest
from made_run import make_run

from tl_core.data.curation.store import Decision, edit_decisions
from tl_core.data.dataset import scan_dataset
from tl_core.errors import RunError
from tl_core.evaluation.evaluate import evaluate_run, images_to_evaluate
from tl_core.evaluation.store import EvaluationFile
from tl_core.files import write_bytes
from tl_core.jobs import client
from tl_core.jobs.handlers import KINDS, JobContext
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def dataset(make_dataset, tmp_path):
    return make_dataset({"cat": 8, "dog": 8})


@pytest.fixture
def run(workspace, dataset):
    return make_run(workspace.runs_dir / "trained", dataset, workspace.cache_dir)


def work(workspace, run, part="test", data_dir=None, told=None):
    """Do the job that evaluates a run as the worker would."""
    kind, payload = client.evaluation(workspace, run, part, data_dir)
    job = JobQueue(workspace).submit(kind, payload)
    monitor = Monitor(None if told is None else told.append)
    KINDS[kind].run(JobContext(workspace, job, monitor))


def read(workspace, run, part="test", data_dir=None):
    index = images_to_evaluate(run, data_dir, cache_dir=workspace.cache_dir)
    return EvaluationFile(run, part, data_dir).read(index)


def test_the_worker_keeps_what_evaluating_comes_to(workspace, run):
    told = []
    work(workspace, run, told=told)
    kept = read(workspace, run)
    expected = evaluate_run(run.run_dir, cache_dir=workspace.cache_dir)
    assert kept.to_dict() == expected.to_dict()
    assert (kept.paths, kept.data_dir, kept.part) == (expected.paths, expected.data_dir, "test")
    for name in ("labels", "probabilities", "raw_probabilities", "distances"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(expected, name))
    assert (kept.calibration, kept.thresholds) == (expected.calibration, expected.thresholds)
    assert told


def test_each_part_and_folder_has_its_own(workspace, run, make_dataset, tmp_path):
    other = make_dataset({"cat": 3, "dog": 3}, tmp_path / "other", (56, 44))
    work(workspace, run, "val")
    work(workspace, run, data_dir=other)
    assert read(workspace, run) is None
    assert read(workspace, run, "val").part == "val"
    assert read(workspace, run, data_dir=other).num_images == 6


@pytest.mark.parametrize("what", ["photo", "decision", "weights", "damage"])
def test_it_is_good_only_for_what_it_was_made_of(workspace, run, dataset, what):
    work(workspace, run)
    assert read(workspace, run) is not None
    if what == "photo":
        (dataset / "cat" / "0.png").unlink()
    elif what == "decision":
        record = scan_dataset(dataset).records[0]
        decision = Decision(record.path, record.sha256, "exclude")
        edit_decisions(workspace, dataset, lambda held: held.decide("one", [decision]))
    elif what == "weights":
        write_bytes(run.run_dir / WEIGHTS_FILE, b"others")
    else:
        (path,) = (run.run_dir / "evaluations").iterdir()
        write_bytes(path, path.read_bytes()[:100])
    assert read(workspace, run) is None


def test_a_failure_is_kept_with_its_reason_until_it_was_read(workspace, run):
    write_bytes(run.run_dir / WEIGHTS_FILE, b"no weights")
    with pytest.raises(RunError):
        work(workspace, run)
    file = EvaluationFile(run, "test")
    assert "Cannot read the weights" in file.take_failure()
    assert file.take_failure() is None
    assert not file.exists

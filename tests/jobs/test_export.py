"""The job that exports a run: its result lies in the run's folder, or the reason why not."""

import zipfile
from contextlib import nullcontext

import pytest
from made_export import make_export_run

from tl_core.errors import ExportError, Stopped
from tl_core.export import run_exports
from tl_core.export.exporter import zip_export
from tl_core.head.model import load_weights, load_weights_metadata, save_weights
from tl_core.inference.rejection import set_target
from tl_core.jobs import export as export_jobs
from tl_core.jobs import handlers, worker_client
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import delete_run


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_client, "ensure_worker", lambda *args, **kwargs: None)
    return make_export_run(tmp_path)


def do_next(run, report=lambda progress: None, should_stop=lambda: False):
    queue = JobQueue(run.workspace)
    job = queue.take()
    context = handlers.JobContext(run.workspace, job, Monitor(report, should_stop))
    try:
        handlers.KINDS[job.kind].run(context)
    finally:
        queue.finish(job.id)


def test_the_job_puts_the_export_into_the_runs_folder(run, tmp_path):
    export_jobs.request_export(run.workspace, run, "litert")
    export_jobs.request_export(run.workspace, run, "litert")
    assert len(JobQueue(run.workspace).jobs()) == 1
    assert not export_jobs.export_state(run.workspace, run, "litert").is_active
    stages = []
    do_next(run, lambda progress: stages.append(progress.stage))
    assert {"export", "parity"} <= set(stages)
    assert export_jobs.export_state(run.workspace, run, "litert") is None
    export = run_exports.find_export(run, "litert")
    assert export.parity["agrees"]
    assert export.info.name == run.data_dir.name != run.name  # as its project is called
    written = tmp_path / "pets.zip"
    zip_export(export, "pets", written)
    archive = zipfile.ZipFile(written)
    assert "pets/model.tflite" in archive.namelist()
    assert archive.read("pets/model.json") == (export.folder / "model.json").read_bytes()


def test_the_reason_is_kept_when_it_fails_and_forgotten_with_the_next(run, monkeypatch):
    def fail(*args, **kwargs):
        raise ExportError("It does not agree.")

    monkeypatch.setattr(handlers, "export_run", fail)
    export_jobs.request_export(run.workspace, run, "litert")
    with pytest.raises(ExportError):
        do_next(run)
    assert run_exports.export_failure(run, "litert") == "It does not agree."
    export_jobs.request_export(run.workspace, run, "litert")
    assert run_exports.export_failure(run, "litert") == ""


def test_a_stopped_export_leaves_no_reason(run):
    export_jobs.request_export(run.workspace, run, "litert")
    with pytest.raises(Stopped):
        do_next(run, should_stop=lambda: True)
    assert run_exports.export_failure(run, "litert") == ""
    assert run_exports.find_export(run, "litert") is None


def test_an_earlier_export_stays_until_the_next_is_finished(run, monkeypatch):
    folder = run_exports.export_folder(run, "litert")
    folder.mkdir(parents=True)
    (folder / "old").write_text("old")

    def write(run_dir, format_name, out, **_):
        out.mkdir()
        (out / "new").write_text("new")
        assert (folder / "old").exists()
        if broken:
            raise ExportError("It does not agree.")

    monkeypatch.setattr(handlers, "export_run", write)
    broken = True
    export_jobs.request_export(run.workspace, run, "litert")
    with pytest.raises(ExportError):
        do_next(run)
    assert (folder / "old").exists()
    broken = False
    export_jobs.request_export(run.workspace, run, "litert")
    do_next(run)
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in folder.parent.iterdir()] == ["litert"]  # nothing is left beside


def test_an_export_is_outdated_when_its_run_answers_differently(run):
    export_jobs.request_export(run.workspace, run, "bundle")
    do_next(run)
    export = run_exports.find_export(run, "bundle")
    assert not run_exports.is_outdated(export, run_exports.describe_now(run))
    set_target(run.run_dir, 0.3)
    assert run_exports.is_outdated(export, run_exports.describe_now(run))
    set_target(run.run_dir, export.info.rejection.target)
    assert not run_exports.is_outdated(export, run_exports.describe_now(run))
    path = run.run_dir / WEIGHTS_FILE
    weights, metadata = load_weights(path), load_weights_metadata(path)
    weights["predictions/bias"] = weights["predictions/bias"] + 1
    save_weights(path, weights, metadata)
    assert run_exports.is_outdated(export, run_exports.describe_now(run))


def test_a_run_deleted_meanwhile_is_no_error(run):
    export_jobs.request_export(run.workspace, run, "litert")
    run.run_dir.rename(run.run_dir.with_name("gone"))
    do_next(run)
    assert not run.run_dir.exists()


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_of_a_run_that_is_deleted_while_it_is_exported(run, monkeypatch, fails):
    """What was written after that would be shown as a damaged run."""

    def write(run_dir, format_name, folder, **more):
        delete_run(run)
        folder.mkdir(parents=True)
        (folder / "model").write_bytes(b"model")
        if fails:
            raise ExportError("It does not agree.")

    monkeypatch.setattr(handlers, "export_run", write)
    export_jobs.request_export(run.workspace, run, "litert")
    with pytest.raises(ExportError) if fails else nullcontext():
        do_next(run)
    assert list(run.run_dir.parent.iterdir()) == []

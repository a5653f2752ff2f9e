"""The job that exports a run: its result lies in the run's folder, or the reason why not."""

import io
import zipfile

import pytest
from made_export import make_export_run

from tl_core.errors import ExportError, Stopped
from tl_core.export import run_exports
from tl_core.export.exporter import zip_export
from tl_core.jobs import export as export_jobs
from tl_core.jobs import handlers, worker_client
from tl_core.jobs.queue import JobQueue
from tl_core.progress import Monitor


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


def test_the_job_puts_the_export_into_the_runs_folder(run):
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
    archive = zipfile.ZipFile(io.BytesIO(zip_export(export, "pets")))
    assert "pets/model.tflite" in archive.namelist()
    assert archive.read("pets/model.json") == (export.folder / "model.json").read_bytes()
    run_exports.delete_export(run, "litert")
    assert run_exports.find_export(run, "litert") is None


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


def test_a_run_deleted_meanwhile_is_no_error(run):
    export_jobs.request_export(run.workspace, run, "litert")
    run.run_dir.rename(run.run_dir.with_name("gone"))
    do_next(run)
    assert not run.run_dir.exists()

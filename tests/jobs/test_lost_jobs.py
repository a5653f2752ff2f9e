"""Jobs whose worker was killed: they go on, or say why they ended where they were asked for."""

from __future__ import annotations

import pytest
from app_helpers import finished_run, open_page
from made_run import make_run

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.effect_cache import EffectFiles
from tl_core.analysis.labelling_cache import LabellingFiles
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import StorageError
from tl_core.evaluation.store import EvaluationFile
from tl_core.export import run_exports
from tl_core.features import benchmark
from tl_core.features.spec import FeatureSpec
from tl_core.inference.folder_answers import FolderAnswers
from tl_core.jobs import client, handlers, worker_client
from tl_core.jobs.client import request_answers
from tl_core.jobs.ends import LOST_TEXT
from tl_core.jobs.export import request_export
from tl_core.jobs.handlers import KINDS, JobKind
from tl_core.jobs.queue import JobQueue
from tl_core.jobs.worker import run_worker
from tl_core.runs.store import create_run
from tl_core.search.lr_cache import RangeFile

CONFIG = TrainConfig(backbone="tiny", augment=AugmentConfig(rotation=30))
OF_A_FOLDER = (handlers.TRAIN, handlers.SWEEP)  # which are interrupted themselves
IN_ADVANCE = (handlers.FEATURES,)  # asked for by nobody


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    monkeypatch.setattr(worker_client, "ensure_worker", lambda *args, **kwargs: None)


@pytest.fixture
def queue(workspace):
    return JobQueue(workspace)


def work(workspace, **kinds):
    run_worker(workspace, warm=False, idle_seconds=0, kinds=kinds or None)


def ask(workspace, dataset, run, kind):
    """Ask for a job as the page does; return what reads there why it failed."""
    index, spec = scan_dataset(dataset), FeatureSpec.from_config(CONFIG)
    cache_dir = workspace.cache_dir
    if kind == handlers.EXPORT:
        request_export(workspace, run, "litert")
        return lambda: run_exports.export_failure(run, "litert")
    if kind == handlers.EVALUATE:
        client.submit(workspace, *client.evaluation(workspace, run, "test"))
        return EvaluationFile(run, "test").take_failure
    if kind == handlers.CLASSIFY:
        answers = FolderAnswers(workspace, run.run_dir, dataset)
        request_answers(answers)
        return answers.take_failure
    if kind == handlers.MEASURE_SPEED:
        client.submit(workspace, kind, {"backbone": "tiny"})
        return lambda: benchmark.take_failure(cache_dir, "tiny")
    if kind == handlers.AUGMENT_EFFECT:
        client.request(workspace, kind, CONFIG, dataset, run=None)
        files = EffectFiles(cache_dir, index, CONFIG).explore
        return lambda: files.read_failure(kind)
    client.request(workspace, kind, CONFIG, dataset)
    if kind == handlers.FIND_LR:
        return RangeFile(cache_dir, index, CONFIG).read_failure
    if kind == handlers.LABEL:
        return lambda: LabellingFiles(workspace, dataset, spec).read_failure(kind)
    return lambda: ExploreFiles(cache_dir, index, spec).read_failure(kind)


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {*OF_A_FOLDER, *IN_ADVANCE}))
def test_a_job_whose_worker_was_killed_says_so_where_it_was_asked_for(
    workspace, dataset, cache_dir, queue, kind
):
    run = make_run(workspace.runs_dir / "trained", dataset, cache_dir)
    why = ask(workspace, dataset, run, kind)
    assert not why()
    job = queue.take()
    assert job.kind == kind
    if KINDS[kind].gives_way:  # which is run once more
        queue.put_back_lost(job)
        queue.take()
    work(workspace)
    assert queue.jobs() == []
    assert why() == LOST_TEXT


def test_a_job_that_can_be_resumed_goes_on_once(workspace, queue):
    done = []
    kinds = {"look": JobKind(lambda context: done.append(context.job.lost), gives_way=True)}
    queue.submit("look", {})
    queue.take()
    work(workspace, **kinds)
    assert (done, queue.jobs()) == ([""], [])
    queue.submit("look", {})
    queue.put_back_lost(queue.take())
    queue.take()
    work(workspace, **kinds)
    assert (done, queue.jobs()) == (["", LOST_TEXT], [])


def test_what_killed_even_the_worker_that_says_so_is_dropped(workspace, queue):
    done = []
    queue.submit("look", {})
    queue.put_back_lost(queue.take(), LOST_TEXT)
    assert queue.take().lost == LOST_TEXT
    work(workspace, look=JobKind(done.append))
    assert (done, queue.jobs()) == ([], [])


def test_a_job_that_was_being_stopped_is_over(workspace, queue):
    done = []
    queue.submit("look", {})
    queue.request_stop(queue.take().id)
    work(workspace, look=JobKind(done.append))
    assert (done, queue.jobs()) == ([], [])


def test_a_lost_job_says_so_before_long_work_begins(queue):
    lost = queue.submit("look", {}, priority=-20, needs_user=True)
    queue.put_back_lost(queue.take(), LOST_TEXT)
    queue.submit("train", {})
    assert queue.take().id == lost.id


def test_a_page_that_only_waits_for_a_job_starts_a_killed_worker_again(
    workspace, dataset, monkeypatch, queue
):
    request_export(workspace, finished_run(workspace, dataset), "litert")
    queue.take()
    started = []
    monkeypatch.setattr(worker_client, "ensure_worker", started.append)
    at = open_page("pages/5_Share.py")
    assert len(at.get("progress")) == 1
    assert started == [workspace]


def test_a_page_that_waits_for_a_training_starts_a_killed_worker_again(
    workspace, dataset, monkeypatch, queue
):
    run = create_run(workspace.runs_dir, CONFIG, dataset)
    queue.submit(handlers.TRAIN, {}, run.run_dir)
    started = []
    monkeypatch.setattr("ui.runs.live_run.keep_worker", started.append)
    open_page("pages/2_Train.py")
    assert started == [workspace]


def test_a_disk_that_is_full_does_not_hide_how_far_a_job_is(workspace, dataset, monkeypatch, queue):
    def fail(*_):
        raise StorageError("The disk is full.")

    request_export(workspace, finished_run(workspace, dataset), "litert")
    monkeypatch.setattr(worker_client, "ensure_worker", fail)
    at = open_page("pages/5_Share.py")
    assert (len(at.get("progress")), len(at.error)) == (1, 0)

"""What the worker can do: one function a kind of job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.explore import explore, measure_curve
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import kept_layout, load_dataset
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.split import split_dataset
from tl_core.errors import RunError
from tl_core.features.spec import FeatureSpec
from tl_core.jobs import augment_effect as effect_jobs
from tl_core.jobs.failures import keeping_reason
from tl_core.jobs.queue import Job, JobQueue
from tl_core.jobs.search import FIND_LR, SWEEP
from tl_core.jobs.search_work import do_range_test, do_sweep
from tl_core.progress import Monitor
from tl_core.runs.store import Run
from tl_core.training.feature_stage import load_features
from tl_core.training.trainer import train_queued
from tl_core.workspace import Workspace


@dataclass(frozen=True)
class JobContext:
    """What a kind of job is given. ``monitor`` is to be checked several times a second."""

    workspace: Workspace
    job: Job
    monitor: Monitor

    def load_dataset(self) -> DatasetIndex:
        """Return the job's data folder under the decisions about it."""
        return load_dataset(
            self.workspace.resolve(self.job.payload["data_dir"]),
            self.workspace,
            self.job.payload.get("config", {}).get("layout"),
            monitor=self.monitor,
        )


@dataclass(frozen=True)
class JobKind:
    """How to do a job.

    Attributes:
        run: does it.
        gives_way: whether it is interrupted for more urgent jobs and goes on later.
        needs_user: whether it waits while the app is closed. Trainings and searches do not.
    """

    run: Callable[[JobContext], None]
    gives_way: bool = False
    needs_user: bool = False


def run_train(context: JobContext) -> None:
    """Train the queued run of the job."""
    if context.job.run_dir is None:
        raise RunError("Expected a training job to name its run.")
    run = Run(context.job.run_dir)
    if run.state == "queued":  # otherwise it was deleted or cancelled meanwhile
        train_queued(
            run, should_stop=context.monitor.is_stopped, cache_dir=context.workspace.cache_dir
        )


def run_features(context: JobContext) -> None:
    """Fill the feature cache with what a training of this config and data would need."""
    config = TrainConfig.create(context.job.payload["config"])
    cache_dir = context.workspace.cache_dir
    index = context.load_dataset()
    load_features(
        config,
        index,
        split_dataset(index, config),
        cache_dir=cache_dir,
        monitor=context.monitor,
    )


def run_explore(context: JobContext) -> None:
    """Look at a data folder as it is on disk, with the backbone's features."""
    data_dir = context.workspace.resolve(context.job.payload["data_dir"])
    index = scan_dataset(
        data_dir,
        kept_layout(context.workspace, data_dir),
        cache_dir=context.workspace.cache_dir,
        **context.monitor.callbacks,
    )
    _find_out(context, "explore", index)


def run_curve(context: JobContext) -> None:
    """Measure the learning curve of a data folder under the decisions about it."""
    index = context.load_dataset()
    _find_out(context, "curve", index)


def run_augment_effect(context: JobContext) -> None:
    """Measure how strong an augmentation is for a data folder under the decisions about it."""
    index = context.load_dataset()
    effect_jobs.measure(
        context.workspace,
        context.job,
        index,
        context.monitor,
    )


def run_sweep(context: JobContext) -> None:
    """Try the heads of the search of the job."""
    do_sweep(context.workspace, context.job, context.monitor)


def run_find_lr(context: JobContext) -> None:
    """Test which learning rate suits the settings of the job."""
    do_range_test(context.workspace, context.job, context.monitor)


def _find_out(context: JobContext, kind: str, index: DatasetIndex) -> None:
    """Run :func:`explore` or :func:`measure_curve`; keep the reason when it cannot be done."""
    config = TrainConfig.create(context.job.payload["config"])
    cache_dir = context.workspace.cache_dir
    work = explore if kind == "explore" else measure_curve

    def keep(reason: str) -> None:
        ExploreFiles(cache_dir, index, FeatureSpec.from_config(config)).write_failure(kind, reason)

    with keeping_reason(keep):
        work(
            index,
            config,
            cache_dir,
            monitor=context.monitor,
        )


KINDS: dict[str, JobKind] = {
    "train": JobKind(run_train),
    "features": JobKind(run_features, gives_way=True, needs_user=True),
    "explore": JobKind(run_explore, gives_way=True, needs_user=True),
    "curve": JobKind(run_curve, gives_way=True, needs_user=True),
    "augment_effect": JobKind(run_augment_effect, gives_way=True, needs_user=True),
    SWEEP: JobKind(run_sweep, gives_way=True),
    FIND_LR: JobKind(run_find_lr),
}


def num_unattended(workspace: Workspace) -> int:
    """Return how many jobs are done also while the app is closed: trainings and searches."""
    jobs = JobQueue(workspace).jobs()
    return sum(job.kind in KINDS and not KINDS[job.kind].needs_user for job in jobs)

"""The kinds of jobs of the worker, and the functions that run them.

To add a kind, add a row to :data:`KINDS` and a function. Its jobs are queued with
:func:`tl_core.jobs.client.submit`. A function without a run or search does its work inside
:func:`record_failure`, which also says that a worker was killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tl_core.analysis.augment_effect import measure_augment_effect
from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.effect_cache import KIND as AUGMENT_EFFECT
from tl_core.analysis.effect_cache import EffectFiles, EffectRecord
from tl_core.analysis.explore import explore, measure_curve
from tl_core.analysis.labelling_cache import KIND as LABEL
from tl_core.analysis.labelling_cache import LabellingFiles, sort_photos
from tl_core.backbones.api import get_backbone
from tl_core.backbones.finetuned_weights import split_weights
from tl_core.config.limits import check_config
from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_dataset, scan_labelled
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import split_dataset
from tl_core.errors import RunError, Stopped, TLError
from tl_core.evaluation.evaluate import evaluate_run, images_to_evaluate
from tl_core.evaluation.store import EvaluationFile
from tl_core.export import run_exports
from tl_core.export.exporter import export_run
from tl_core.features import benchmark
from tl_core.features.spec import FeatureSpec
from tl_core.head.model import load_weights
from tl_core.inference.folder_answers import FolderAnswers
from tl_core.jobs.queue import Job, JobQueue
from tl_core.progress import Monitor
from tl_core.projects.registry import project_of, public_name
from tl_core.runs.files import WEIGHTS_FILE, put_back_run
from tl_core.runs.state_dir import WorkFolder
from tl_core.runs.store import Run, load_run
from tl_core.runs.weights import feature_spec_of
from tl_core.search.lr_cache import RangeFile, settings_that_matter
from tl_core.search.lr_finder import find_learning_rate
from tl_core.search.run import run_sweep
from tl_core.search.store import Sweep
from tl_core.training.feature_stage import load_features
from tl_core.training.trainer import train_queued
from tl_core.workspace import Workspace

TRAIN, FEATURES, EXPLORE, CURVE = "train", "features", "explore", "curve"
EVALUATE, MEASURE_SPEED = "evaluate", "measure_speed"
FIND_LR = "find_lr"
EXPORT = "export"
CLASSIFY = "classify"
EXAMPLES = "examples"  # of an export: whether test photos go along
SWEEP = "sweep"
"""The kind of search jobs, also the key of the search in their payload."""


@dataclass(frozen=True)
class JobContext:
    """The argument of job functions, which check ``monitor`` several times a second."""

    workspace: Workspace
    job: Job
    monitor: Monitor

    @property
    def config(self) -> TrainConfig:
        """The settings of the job."""
        return TrainConfig.create(self.job.payload["config"])

    @property
    def data_dir(self) -> Path:
        """The data folder of the job."""
        return self.workspace.resolve(self.job.payload["data_dir"])

    def check_not_lost(self) -> None:
        """Raise why the job is not run again, if its worker ended while it ran.

        Raises:
            RunError: with the reason.
        """
        if self.job.lost:
            raise RunError(self.job.lost)

    def load_dataset(self) -> DatasetIndex:
        """Return the images of the job's data folder, with decisions applied."""
        layout = self.job.payload.get("config", {}).get("layout")
        return load_dataset(self.data_dir, self.workspace, layout, monitor=self.monitor)


@dataclass(frozen=True)
class JobKind:
    """How jobs of one kind are queued and run.

    Attributes:
        run: runs a job.
        priority: a higher number goes first; precomputation is below 0.
        gives_way: whether it is interrupted for more urgent jobs and resumed later.
        needs_user: whether it waits while the app is closed, and takes precedence while a page
            shows it. False for trainings and searches.
        alongside: whether it runs in parallel with a job that does not give way. In a demo it is
            continued later when others have waited, as the features so far are kept.
        keeps_partial: whether it keeps what it has when it is stopped.
        settings: the settings that its result depends on; requests with equal ones are one job.
    """

    run: Callable[[JobContext], None]
    priority: int = 0
    gives_way: bool = False
    needs_user: bool = False
    alongside: bool = False
    keeps_partial: bool = False
    settings: Callable[[TrainConfig], dict[str, Any]] | None = None


def run_train(context: JobContext) -> None:
    """Train the queued run of the job."""
    if context.job.run_dir is None:
        raise RunError("Expected a training job to name its run.")
    run = Run(context.job.run_dir)
    if run.state == "queued":  # unless it was deleted or cancelled meanwhile
        check_config(run.config)
        train_queued(
            run, should_stop=context.monitor.is_stopped, cache_dir=context.workspace.cache_dir
        )


def run_features(context: JobContext) -> None:
    """Compute and cache the features that training with this config and data would need."""
    context.check_not_lost()  # nobody asked for it, so the reason is only logged
    config, index = context.config, context.load_dataset()
    load_features(
        config,
        index,
        split_dataset(index, config),
        cache_dir=context.workspace.cache_dir,
        monitor=context.monitor,
    )


def run_explore(context: JobContext) -> None:
    """Analyse a data folder, without decisions applied, with the backbone's features."""
    index = scan_labelled(context.data_dir, context.workspace, monitor=context.monitor)
    files = ExploreFiles(
        context.workspace.cache_dir, index, FeatureSpec.from_config(context.config)
    )
    with record_failure(context, partial(files.write_failure, EXPLORE)):
        explore(index, context.config, context.workspace.cache_dir, monitor=context.monitor)


def run_label(context: JobContext) -> None:
    """Group the photos of a data folder and rank them by the labels so far."""
    spec = FeatureSpec.from_config(context.config)
    files = LabellingFiles(context.workspace, context.data_dir, spec)
    with record_failure(context, partial(files.write_failure, LABEL)):
        sort_photos(context.workspace, context.data_dir, spec, monitor=context.monitor)


def run_curve(context: JobContext) -> None:
    """Measure the learning curve of a data folder, with decisions applied."""
    index = context.load_dataset()
    files = ExploreFiles(
        context.workspace.cache_dir, index, FeatureSpec.from_config(context.config)
    )
    with record_failure(context, partial(files.write_failure, CURVE)):
        measure_curve(index, context.config, context.workspace.cache_dir, monitor=context.monitor)


def run_augment_effect(context: JobContext) -> None:
    """Measure the effect of an augmentation on a data folder, with decisions applied."""
    workspace, config, index = context.workspace, context.config, context.load_dataset()
    files = EffectFiles(workspace.cache_dir, index, config)
    with record_failure(context, partial(files.explore.write_failure, AUGMENT_EFFECT)):
        run, spec, head = None, FeatureSpec.from_config(config), None
        if context.job.payload["run"] is not None:
            run = load_run(workspace.resolve(context.job.payload["run"]))
            spec = replace(feature_spec_of(run), augment=config.augment, seed=config.seed)
            head, _ = split_weights(load_weights(run.run_dir / WEIGHTS_FILE))
        effects = measure_augment_effect(
            index, spec, cache_dir=workspace.cache_dir, head=head, monitor=context.monitor
        )
    files.write(EffectRecord(config.augment, effects, None if run is None else run.id), run)


def run_search(context: JobContext) -> None:
    """Run the job's search; if it gives way to another job, it is queued again."""
    sweep = Sweep(context.workspace.sweeps_dir / str(context.job.payload[SWEEP]))
    if sweep.state != "queued":  # deleted or cancelled meanwhile
        return
    try:
        run_sweep(sweep, monitor=context.monitor)
    except Stopped:
        stopped = JobQueue(context.workspace).is_stop_requested(context.job.id)
        if sweep.sweep_dir.is_dir() and not stopped:
            put_back_run(sweep.sweep_dir, is_continued=True)
        raise


def run_find_lr(context: JobContext) -> None:
    """Run a learning-rate test with the settings of the job."""
    config, index = context.config, context.load_dataset()
    cache_dir = context.workspace.cache_dir
    kept = RangeFile(cache_dir, index, config)
    with record_failure(context, kept.write_failure):
        kept.write(find_learning_rate(config, index, cache_dir=cache_dir, monitor=context.monitor))


def run_export(context: JobContext) -> None:
    """Export a run in the format of the job, and verify that it agrees with the app."""
    name = context.job.payload["format"]
    run = Run(context.workspace.resolve(context.job.payload["run"]))
    if not run.run_dir.is_dir():  # deleted meanwhile
        return
    with (
        record_failure(context, partial(run_exports.write_failure, run, name)),
        run_exports.replacing_export(run, name) as folder,
    ):
        project = project_of(context.workspace, run)
        export_run(
            run.run_dir,
            name,
            folder,
            name=None if project is None else public_name(context.workspace, project),
            with_examples=bool(context.job.payload.get(EXAMPLES)),
            cache_dir=context.workspace.cache_dir,
            **context.monitor.callbacks,
        )


def run_classify(context: JobContext) -> None:
    """Answer for the photos of a folder with a run or an imported model.

    The payload with model and photos is created by :mod:`tl_core.jobs.client`.
    """
    workspace, payload = context.workspace, context.job.payload
    model_dir, photos_dir = (workspace.resolve(payload[name]) for name in ("model", "photos"))
    if not model_dir.is_dir():  # deleted meanwhile
        return
    answers = FolderAnswers(workspace, model_dir, photos_dir)
    with record_failure(context, answers.write_failure):
        answers.compute(workspace.cache_dir, context.monitor)


def run_evaluate(context: JobContext) -> None:
    """Evaluate the job's run on a part of its own data or on another folder, and save the result.

    The payload with run, part and folder is created by :func:`tl_core.jobs.client.evaluation`.
    """
    workspace, payload = context.workspace, context.job.payload
    cache_dir = workspace.cache_dir
    run = load_run(workspace.resolve(payload["run"]))
    data_dir = None if payload["data_dir"] is None else workspace.resolve(payload["data_dir"])
    file = EvaluationFile(run, payload["part"], data_dir)
    with record_failure(context, file.write_failure):
        index = images_to_evaluate(run, data_dir, cache_dir=cache_dir, monitor=context.monitor)
        evaluation = evaluate_run(
            run.run_dir,
            data_dir,
            part=payload["part"],
            cache_dir=cache_dir,
            **context.monitor.callbacks,
        )
        file.write(evaluation, index)


def run_measure_speed(context: JobContext) -> None:
    """Measure how fast the job's backbone is on this machine."""
    name = get_backbone(context.job.payload["backbone"]).name
    cache_dir = context.workspace.cache_dir
    with record_failure(context, partial(benchmark.remember_failure, cache_dir, name)):
        speed = benchmark.measure(name, cache_dir=cache_dir, monitor=context.monitor)
        benchmark.remember_speed(cache_dir, name, speed)


@contextmanager
def record_failure(context: JobContext, keep: Callable[[str], None]) -> Iterator[None]:
    """Context manager that passes the reason of a failure to ``keep``, to show it on a page.

    A job whose worker was killed fails at once with that reason, unless it may go on. A stop is
    not a failure. For unexpected errors the message is generic; the log has details.
    """
    try:
        context.check_not_lost()
        yield
    except Stopped:
        raise
    except Exception as error:
        keep(str(error) if isinstance(error, TLError) else "Something went wrong in the worker.")
        raise


def work_folder(workspace: Workspace, job: Job) -> WorkFolder | None:
    """Return the run or the search of a job; None for jobs without one."""
    if job.run_dir is not None:
        return Run(job.run_dir)
    if job.kind == SWEEP and SWEEP in job.payload:
        return Sweep(workspace.sweeps_dir / str(job.payload[SWEEP]))
    return None


def _only(*names: str) -> Callable[[TrainConfig], dict[str, Any]]:
    return lambda config: config.model_dump(mode="json", include=set(names))


_PIXELS = ("backbone", "image_size", "resize", "pooling")

KINDS: dict[str, JobKind] = {
    TRAIN: JobKind(run_train, keeps_partial=True),
    FIND_LR: JobKind(run_find_lr, settings=settings_that_matter),
    EXPORT: JobKind(run_export),
    EVALUATE: JobKind(run_evaluate, priority=5, needs_user=True, alongside=True),
    LABEL: JobKind(
        run_label, priority=5, needs_user=True, alongside=True, settings=_only(*_PIXELS)
    ),
    MEASURE_SPEED: JobKind(run_measure_speed, needs_user=True),
    # Gives way to trainings, as a folder may take hours, and goes before searches; while the app is
    # closed it waits. It continues where it was, for each answer is kept.
    CLASSIFY: JobKind(run_classify, priority=-3, gives_way=True, needs_user=True),
    SWEEP: JobKind(run_search, priority=-5, gives_way=True, keeps_partial=True),
    AUGMENT_EFFECT: JobKind(
        run_augment_effect,
        priority=-5,  # a user waits for it, so it goes before precomputation
        gives_way=True,
        needs_user=True,
        settings=_only(*_PIXELS, "augment", "seed"),
    ),
    FEATURES: JobKind(
        run_features,
        priority=-10,
        gives_way=True,
        needs_user=True,
        settings=lambda config: config.model_dump(mode="json"),
    ),
    EXPLORE: JobKind(
        run_explore, priority=-20, gives_way=True, needs_user=True, settings=_only(*_PIXELS)
    ),
    CURVE: JobKind(
        run_curve, priority=-20, gives_way=True, needs_user=True, settings=_only(*_PIXELS)
    ),
}


def num_unattended(workspace: Workspace) -> int:
    """Return how many jobs run even while the app is closed: trainings and searches."""
    jobs = JobQueue(workspace).jobs()
    return sum(job.kind in KINDS and not KINDS[job.kind].needs_user for job in jobs)

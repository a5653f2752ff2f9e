"""Has the worker measure what augmentation does, and says how far it is.

The page asks and reads; :func:`measure` is the worker's.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from tl_core.analysis.augment_effect import measure_augment_effect
from tl_core.analysis.effect_cache import KIND, EffectFiles, EffectRecord
from tl_core.backbones.finetuned_weights import split_weights
from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.features.spec import FeatureSpec
from tl_core.head.model import load_weights
from tl_core.jobs import training as training_jobs
from tl_core.jobs.failures import keeping_reason
from tl_core.jobs.queue import Job, JobQueue
from tl_core.progress import SILENT, Monitor
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.run import Run
from tl_core.runs.store import load_run
from tl_core.runs.weights import feature_spec_of
from tl_core.workspace import Workspace

PRIORITY = -5  # someone waits for it, so before what is computed in advance; behind training
_SETTINGS = {"backbone", "image_size", "resize", "pooling", "augment", "seed"}


def request(workspace: Workspace, config: TrainConfig, data_dir: Path, run: Run | None) -> Job:
    """Queue measuring the augmentation of ``config``, with the answers of ``run`` if any."""
    payload = {
        "config": config.model_dump(mode="json", include=_SETTINGS),
        "data_dir": workspace.relative(data_dir),
        "run": None if run is None else workspace.relative(run.run_dir),
    }
    job = JobQueue(workspace).submit(KIND, payload, priority=PRIORITY, unique=True)
    training_jobs.ensure_worker(workspace)
    return job


def job_of(workspace: Workspace, data_dir: Path) -> Job | None:
    """Return the job that measures on that folder, with whatever settings; None without one."""
    wanted = workspace.relative(data_dir)
    return next(
        (
            job
            for job in JobQueue(workspace).jobs()
            if job.kind == KIND and job.payload.get("data_dir") == wanted
        ),
        None,
    )


def is_for(job: Job, config: TrainConfig) -> bool:
    """Whether the job measures these settings."""
    return bool(job.payload.get("config") == config.model_dump(mode="json", include=_SETTINGS))


def measure(
    workspace: Workspace,
    job: Job,
    index: DatasetIndex,
    monitor: Monitor = SILENT,
) -> None:
    """Do the job, and keep what comes out or why nothing does.

    Raises:
        TLError: it cannot be done; the reason is kept for the page.
        Stopped: ``monitor`` was asked to stop.
    """
    config = TrainConfig.create(job.payload["config"])
    files = EffectFiles(workspace.cache_dir, index, config)
    with keeping_reason(partial(files.explore.write_failure, KIND)):
        run, spec, head = None, FeatureSpec.from_config(config), None
        if job.payload["run"] is not None:
            run = load_run(workspace.resolve(job.payload["run"]))
            spec = replace(feature_spec_of(run), augment=config.augment, seed=config.seed)
            head, _ = split_weights(load_weights(run.run_dir / WEIGHTS_FILE))
        effects = measure_augment_effect(
            index,
            spec,
            cache_dir=workspace.cache_dir,
            head=head,
            monitor=monitor,
        )
    record = EffectRecord(config.augment, effects, None if run is None else run.id)
    files.write(record, run)

"""Training from a config and a dataset to a run directory; the single entry point."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import logging
import platform
import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tl_core
from tl_core.backbones.api import resolve_image_size, weights_fingerprint
from tl_core.backbones.blocks import check_settings
from tl_core.config.limits import check_classes
from tl_core.config.training import TrainConfig
from tl_core.data.audit.findings import unreadable_files
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import Split, split_dataset
from tl_core.errors import RunError, Stopped
from tl_core.files import write_json, write_text
from tl_core.metrics.classification import accuracy, log_loss, wilson_interval
from tl_core.processes import BackgroundImport
from tl_core.progress import Monitor, ShouldStop
from tl_core.runs.events import OnEvent, RunResumed
from tl_core.runs.files import CONFIG_FILE, LEFT_OUT_FILE, METRICS_FILE, is_continued
from tl_core.runs.images import images_as_begun, load_images_of, write_images
from tl_core.runs.store import Run, create_run_at, load_run
from tl_core.tables import csv_text
from tl_core.training.checkpoints import Checkpoint, Checkpoints, load_checkpoint
from tl_core.training.fine_tune_phase import FineTunePhase
from tl_core.training.head_phase import HeadPhase
from tl_core.training.memory import check_memory
from tl_core.training.phases import Phase, PhaseContext
from tl_core.training.recorder import RunRecorder
from tl_core.training.reliability import record_reliability
from tl_core.training.resume import check_same_images, queue_again
from tl_core.workspace import default_workspace

PHASES: dict[str, type[Phase]] = {HeadPhase.name: HeadPhase, FineTunePhase.name: FineTunePhase}

_PACKAGES = ("tensorflow", "keras", "ai-edge-litert", "numpy", "pillow")

_log = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    index: DatasetIndex,
    run_dir: Path | str,
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
    *,
    cache_dir: Path | None = None,
    scan_seconds: float = 0.0,
) -> Run:
    """Train on a scanned dataset and return the run, finished or stopped.

    Args:
        config: the settings to train with.
        index: the images, as :func:`~tl_core.data.dataset.scan_dataset` returns them.
        run_dir: a folder that does not exist, is empty, or holds a queued run.
        on_event: called with each event, in this thread.
        should_stop: polled several times a second; after a stop the best weights are kept.
        cache_dir: the cache folder; by default that of the default workspace.
        scan_seconds: how long the scan took, recorded with the other times.

    Raises:
        ConfigError: the backbone is unknown, the image size does not suit it, or training needs
            more memory than is free.
        DatasetError: there are too few images to split.
        RunError: ``run_dir`` is not empty.
        TLError: training failed; the run is in state ``failed``.

    Examples:
        >>> from tl_core import TrainConfig, scan_dataset, train
        >>> config = TrainConfig(backbone="tiny", fc_layers=(8,), epochs=2)
        >>> run = train(config, scan_dataset("photos"), "runs/second")
        >>> run.state, len(run.history())
        ('finished', 2)
    """
    check_settings(config)
    check_memory(config, index)
    split = split_dataset(index, config)
    run = _claim(Path(run_dir).absolute(), config, index.data_dir)
    with RunRecorder(run, on_event) as recorder:
        tensorflow = BackgroundImport()
        _train(recorder, config, index, split, tensorflow, cache_dir, should_stop, scan_seconds)
    return run


def train_queued(
    run: Run,
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
    *,
    cache_dir: Path | None = None,
) -> Run:
    """Train a run created by :func:`~tl_core.runs.store.create_run`, scanning its data first.

    A run that has a checkpoint is resumed from it: see :mod:`tl_core.training.resume`.

    Raises:
        TLError: training failed; the run is in state ``failed``.
    """
    with RunRecorder(run, on_event) as recorder:
        tensorflow = BackgroundImport()
        started = time.monotonic()
        index = load_images_of(
            run,
            cache_dir=cache_dir or default_workspace().cache_dir,
            monitor=Monitor(recorder.report, should_stop),
        )
        scan_seconds = time.monotonic() - started
        resumed = load_checkpoint(run.run_dir)
        if resumed is not None and is_continued(run.run_dir):
            try:
                index, split = images_as_begun(run, index)
            except RunError as error:
                raise Stopped(str(error)) from error
        else:
            split = split_dataset(index, run.config)
            if resumed is not None:
                check_same_images(run, index)
        check_memory(run.config, index)
        _train(
            recorder,
            run.config,
            index,
            split,
            tensorflow,
            cache_dir,
            should_stop,
            scan_seconds,
            resumed,
        )
    return run


def resume_run(
    run_dir: Path | str,
    on_event: OnEvent | None = None,
    should_stop: ShouldStop | None = None,
    *,
    cache_dir: Path | None = None,
) -> Run:
    """Resume a run that was stopped, failed or interrupted, as if it had never ended.

    Weights, optimizer, schedule, random state, history, best values and early stopping continue
    from the last saved epoch. A run without one starts from the beginning.

    Raises:
        RunError: the run is finished, or its images have changed.
        TLError: training failed; the run is in state ``failed``.
    """
    run = load_run(run_dir)
    queue_again(run)
    return train_queued(run, on_event, should_stop, cache_dir=cache_dir)


def phases_of(config: TrainConfig) -> tuple[str, ...]:
    """Return the names of the phases a config asks for, in order."""
    if config.fine_tune_blocks == 0:
        return (HeadPhase.name,)
    return HeadPhase.name, FineTunePhase.name


def _claim(run_dir: Path, config: TrainConfig, data_dir: Path) -> Run:
    run = Run(run_dir)
    if run.state == "queued" and run.config == config:
        return run
    try:
        return create_run_at(run_dir, config, data_dir)
    except FileExistsError as error:
        raise RunError(
            f"Expected a new folder for the run, but '{run_dir}' is not empty. Choose another."
        ) from error


def _train(
    recorder: RunRecorder,
    config: TrainConfig,
    index: DatasetIndex,
    split: Split,
    tensorflow: BackgroundImport,
    cache_dir: Path | None,
    should_stop: ShouldStop | None,
    scan_seconds: float,
    resumed: Checkpoint | None = None,
) -> None:
    check_classes(index.num_classes)
    started = time.monotonic()
    seconds = {"scan": scan_seconds, "features": 0.0}
    if resumed is not None:
        seconds |= resumed.seconds_spent()
        recorder.emit(
            RunResumed(
                resumed.phase,
                resumed.num_epochs,
                [dataclasses.asdict(result) for result in resumed.history],
            )
        )
    if config.tensorboard:
        recorder.write_tensorboard(len(resumed.history) if resumed is not None else 0)
    seconds_before = sum(seconds.values()) - scan_seconds
    _describe(recorder.run, config, index, split)
    context = PhaseContext(
        config=config,
        index=index,
        split=split,
        cache_dir=cache_dir or default_workspace().cache_dir,
        recorder=recorder,
        checkpoints=Checkpoints(
            recorder.run.run_dir,
            len(split.val),
            resumed,
            functools.partial(_write_backbone, config, recorder.run.run_dir),
            seconds,
        ),
        tensorflow=tensorflow,
        monitor=Monitor(recorder.report, should_stop),
        seconds=seconds,
        resumed=resumed,
    )
    names = phases_of(config)
    phases = {name: PHASES[name]() for name in names}
    first = names.index(resumed.phase) if resumed is not None else 0
    state, message = "finished", ""
    try:
        for name in names[first:]:
            context.monitor.check()
            phases[name].run(context)
            context.checkpoints.save()
    except Stopped as stopped:
        state, message = "stopped", str(stopped)
    finally:
        context.checkpoints.save()
    metrics: dict[str, Any] = {}
    if (best := context.checkpoints.best) is not None:
        total_seconds = seconds_before + time.monotonic() - started
        metrics = _final_metrics(context, phases[best.phase], total_seconds)
        write_json(recorder.run.run_dir / METRICS_FILE, metrics)
        record_reliability(context, phases[best.phase])
    recorder.end(state, metrics, message)


def _write_backbone(config: TrainConfig, run_dir: Path, weights: Mapping[str, Any]) -> str:
    """Convert a fine-tuned backbone into the run's folder and return the file's name."""
    from tl_core.backbones.finetuned_weights import build_fine_tuned_base, write_backbone_file

    base_model = build_fine_tuned_base(
        config.backbone, resolve_image_size(config), config.pooling, weights
    )
    return write_backbone_file(base_model, run_dir).name


def _describe(run: Run, config: TrainConfig, index: DatasetIndex, split: Split) -> None:
    """Write the run's classes, split, unreadable files, data origin and package versions."""
    import pandas as pd

    _log.info(
        "%s on %d images in %d classes from %s",
        config.backbone,
        index.num_images,
        index.num_classes,
        index.data_dir,
    )
    _log.info("split: %s", ", ".join(f"{part} {len(rows)}" for part, rows in split.items()))
    if left_out := unreadable_files(index.findings):
        _log.info("%d files could not be read and were left out", len(left_out))
        table = pd.DataFrame(left_out, columns=["file", "reason"])
        write_text(run.run_dir / LEFT_OUT_FILE, csv_text(table))
    command = ("train", run.origin["data_dir"], "--config", f"{run.run_dir.parent.name}/{run.id}/")
    write_images(
        run,
        index,
        split,
        num_images=index.num_images,
        backbone_weights=weights_fingerprint(config.backbone),
        versions=_versions(),
        command=shlex.join(["python", "-m", "tl_core", *command]) + CONFIG_FILE,
    )


def _final_metrics(context: PhaseContext, phase: Phase, train_seconds: float) -> dict[str, Any]:
    """Return the figures of the best weights; the only place where the test part is used."""
    metrics = context.checkpoints.metrics()
    for part in ("val", "test"):
        labels = context.labels(part)
        if len(labels) == 0:
            continue
        probabilities = phase.probabilities(context, part)
        share = accuracy(labels, probabilities)
        metrics[f"{part}_accuracy"] = share
        metrics[f"{part}_interval"] = list(wilson_interval(round(share * len(labels)), len(labels)))
        metrics[f"{part}_loss"] = log_loss(labels, probabilities)
        _log.info("%s accuracy of the best epoch: %.4f", part, share)
    seconds = {**context.seconds, "total": context.seconds["scan"] + train_seconds}
    num_seen = len(context.split.train) * metrics["num_epochs"]
    busy_seconds = sum(seconds.get(name, 0.0) for name in ("features", *PHASES))
    return {
        **metrics,
        "num_images": {part: len(rows) for part, rows in context.split.items()},
        "seconds": seconds,
        "images_per_second": num_seen / max(busy_seconds, 1e-9),
    }


@functools.cache
def _versions() -> dict[str, str]:
    """Return the versions of the packages that influence the results."""
    versions = {"python": platform.python_version(), "tl_core": tl_core.__version__}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions

"""Search for good head settings: dozens of heads, cross-validated on cached features.

The folds are made of the train and val parts; the test part is never used. Heads are trained in
parallel, one fold per core, since a single small head leaves the other cores idle.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np

from tl_core.backbones.api import get_backbone
from tl_core.backbones.blocks import check_settings
from tl_core.config.search import draw_trials
from tl_core.config.training import TrainConfig
from tl_core.data.audit.audit import audit_dataset
from tl_core.data.curation.store import load_dataset
from tl_core.data.dataset import DatasetIndex
from tl_core.data.folds import folds_of
from tl_core.data.split import Split, split_dataset
from tl_core.errors import RunError, Stopped, TLError
from tl_core.features.hardware import num_cores
from tl_core.processes import BackgroundImport
from tl_core.progress import SILENT, Monitor
from tl_core.runs.files import end_run, is_continued, start_run
from tl_core.runs.images import images_as_begun, write_images
from tl_core.search.ranking import Fold, Trial, settings_of
from tl_core.search.store import Sweep
from tl_core.training.feature_stage import load_features
from tl_core.training.head_phase import HeadData, first_weights, fit_head
from tl_core.training.head_steps import borrow_steps
from tl_core.training.memory import check_search_memory

STAGE = "sweep"

OnTrial = Callable[[Trial], None]


class _ImagesGoneError(Exception):
    """A search that made place for others misses images that it began with."""


def run_sweep(sweep: Sweep, *, on_trial: OnTrial | None = None, monitor: Monitor = SILENT) -> None:
    """Train the remaining heads of a search, and save each result as soon as it is known.

    Args:
        sweep: a search, new or partly done.
        on_trial: called with each head, in this thread.
        monitor: reports reading, checking and running the backbone, then the folds of all heads in
            stage ``"sweep"``. After a stop the heads and folds tried so far are kept.

    A search that made place for others goes on with the images that it began with; when one is gone
    it is ``stopped``.

    Raises:
        Stopped: ``monitor`` was asked to stop; the search is ``stopped``.
        TLError: the search failed and is in state ``failed``.
    """
    start_run(sweep.sweep_dir, STAGE)
    state, message = "failed", "Something went wrong."
    try:
        _search(sweep, on_trial, monitor)
        state, message = "finished", ""
    except Stopped:
        state, message = "stopped", "Stopped. The heads tried so far are kept."
        raise
    except _ImagesGoneError as error:
        state, message = "stopped", str(error)
    except TLError as error:
        message = str(error)
        raise
    finally:
        if sweep.sweep_dir.is_dir():
            end_run(sweep.sweep_dir, state, message)  # type: ignore[arg-type]


def _search(sweep: Sweep, on_trial: OnTrial | None, monitor: Monitor) -> None:
    tensorflow = BackgroundImport()
    workspace = sweep.workspace
    configs = draw_trials(sweep.config, sweep.base)
    for config in configs:
        check_settings(config)
    num_folds = sweep.config.folds
    index, split = _images_of(sweep, monitor)
    check_search_memory(configs, num_folds, index)
    audit = audit_dataset(index, cache_dir=workspace.cache_dir, **monitor.callbacks)
    pool, folds = cross_validation(index, split, num_folds, sweep.config.seed, audit.groups)
    _remember_images(sweep, index, split, len(pool))
    tried = {trial.number for trial in sweep.trials()}
    left = [(number, config) for number, config in enumerate(configs) if number not in tried]
    numbers = {number for number, _ in left}
    done = [one for one in sweep.folds() if one.number in numbers and one.fold < num_folds]
    num_left = len(left)
    stage = monitor.stage(STAGE, num_folds * len(configs), num_folds * len(tried) + len(done))
    nothing = np.zeros(0, np.int64)
    for _, group in itertools.groupby(left, key=lambda one: one[1].backbone):
        numbered = list(group)
        features = load_features(
            numbered[0][1],
            index,
            Split(pool, nothing, nothing),
            cache_dir=workspace.cache_dir,
            monitor=monitor,
        )
        tensorflow.wait(monitor)
        data = HeadData.create(features.train, index.labels[pool], index.num_classes)
        stage.restart_clock()
        stage.report()
        for trial in try_heads(
            data, folds, numbered, stage.advance, monitor, done=done, keep=sweep.add_fold
        ):
            sweep.add(trial)
            num_left -= 1
            if on_trial is not None:
                on_trial(trial)
            if num_left:  # report heads in order, as earlier ones finish
                monitor.check()
    sweep.forget_folds()


def cross_validation(
    index: DatasetIndex,
    split: Split,
    num_folds: int,
    seed: int,
    groups: dict[str, str] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of all train and val images (n,), and the fold of each (n,).

    Raises:
        DatasetError: a class has too few images for the folds.
    """
    pool = np.sort(np.concatenate([split.train, split.val]))
    return pool, folds_of(index, pool, num_folds, seed, groups=groups)


def try_heads(
    data: HeadData,
    folds: np.ndarray,
    numbered: list[tuple[int, TrainConfig]],
    on_fold: Callable[[], None],
    monitor: Monitor,
    *,
    done: Iterable[Fold] = (),
    keep: Callable[[Fold], None] | None = None,
) -> Iterator[Trial]:
    """Train heads fold by fold in parallel, and yield their trials in order.

    Args:
        data: the features of one backbone.
        folds: (n,) integer, the fold of each image.
        numbered: number and settings of each head.
        on_fold: called after each fold of each head that is trained.
        monitor: checked several times a second.
        done: folds that were trained before, which are not trained again.
        keep: called with each fold as soon as it is trained, by one thread at a time.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    from threadpoolctl import threadpool_limits

    of_layers = {config.fc_layers: config for _, config in numbered}
    first = {layers: first_weights(data, config) for layers, config in of_layers.items()}
    given_up, keeping = threading.Event(), threading.Lock()
    num_folds = int(folds.max()) + 1
    known = {(one.number, one.fold): one for one in done}
    jobs = [(number, config, fold) for number, config in numbered for fold in range(num_folds)]

    def fit(job: tuple[int, TrainConfig, int]) -> Fold:
        number, config, fold = job
        if (before := known.get((number, fold))) is not None:
            return before
        result = train_fold(number, config, fold)
        if keep is not None:
            with keeping, suppress(OSError):  # on a full disk the search goes on without it
                keep(result)
        return result

    def train_fold(number: int, config: TrainConfig, fold: int) -> Fold:
        started = time.monotonic()
        try:
            with borrow_steps(data.feature_dim, config.fc_layers, data.num_classes) as steps:
                steps.start(first[config.fc_layers])
                best, _ = fit_head(
                    steps,
                    data,
                    config,
                    np.flatnonzero(folds != fold),
                    np.flatnonzero(folds == fold),
                    Monitor(None, lambda: given_up.is_set() or monitor.is_stopped()),
                )
        except Stopped:
            given_up.set()
            raise
        except TLError as error:
            return Fold(number, fold, error=str(error))
        return Fold(
            number,
            fold,
            accuracy=best.val_accuracy,
            loss=best.val_loss,
            best_epoch=best.epoch,
            num_params=steps.num_params,
            seconds=time.monotonic() - started,
        )

    # One core per fold: NumPy's own threads would compete for the cores.
    with (
        threadpool_limits(1, "blas"),
        ThreadPoolExecutor(num_cores(), "sweep") as executor,
    ):
        try:
            results = executor.map(fit, jobs)
            for number, config in numbered:
                of_trial = []
                for fold in range(num_folds):
                    of_trial.append(next(results))
                    if (number, fold) not in known:
                        on_fold()
                yield _trial(number, config, of_trial)
        finally:
            given_up.set()
            executor.shutdown(cancel_futures=True)


def _trial(number: int, config: TrainConfig, folds: list[Fold]) -> Trial:
    settings = settings_of(config)
    for fold in folds:
        if fold.error:
            return Trial(number, settings, error=fold.error)
    return Trial(
        number=number,
        settings=settings,
        accuracies=tuple(fold.accuracy for fold in folds),
        losses=tuple(fold.loss for fold in folds),
        best_epochs=tuple(fold.best_epoch for fold in folds),
        num_params=get_backbone(config.backbone).num_params + folds[0].num_params,
        seconds=sum(fold.seconds for fold in folds),
    )


def _images_of(sweep: Sweep, monitor: Monitor) -> tuple[DatasetIndex, Split]:
    """Return the images of a search with their parts: those that it began with if it goes on.

    Raises:
        _ImagesGoneError: one of these is gone, excluded or has changed.
        DatasetError: there are too few images to split.
    """
    has_begun = is_continued(sweep.sweep_dir) and bool(sweep.split()) and _has_results(sweep)
    layout = sweep.origin.get("layout") if has_begun else None
    index = load_dataset(
        sweep.data_dir, sweep.workspace, layout or sweep.base.layout, monitor=monitor
    )
    if not has_begun:
        return index, split_dataset(index, sweep.base)
    try:
        return images_as_begun(sweep, index)
    except RunError as error:
        raise _ImagesGoneError(str(error)) from error


def _has_results(sweep: Sweep) -> bool:
    return bool(sweep.trials() or sweep.folds())


def _remember_images(sweep: Sweep, index: DatasetIndex, split: Split, num_images: int) -> None:
    """Record the images of the search, or check that they are still the same.

    Raises:
        RunError: earlier heads were trained on other images.
    """
    known = sweep.origin.get("fingerprint")
    if known not in (None, index.fingerprint):
        if sweep.trials():
            raise RunError(
                "The images have changed since this search started, so new heads would not be "
                "comparable with earlier ones. Start a new search."
            )
        sweep.forget_folds()
    write_images(sweep, index, split, num_images=num_images)

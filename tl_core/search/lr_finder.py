"""The learning-rate finder: a range test of the head on cached features.

The rate rises from step to step until the loss diverges; a rate at which the loss falls steadily is
suggested. A head is trained this way several times from different initial weights; only the curve
is kept.

References:
    L. N. Smith (2017), "Cyclical learning rates for training neural networks", WACV, section 3.3
    (first arXiv:1506.01186, 2015); fastai's ``Learner.lr_find``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import Split, split_dataset
from tl_core.processes import BackgroundImport
from tl_core.progress import SILENT, Monitor
from tl_core.training.feature_stage import load_features
from tl_core.training.head_phase import HeadData, first_weights
from tl_core.training.head_steps import HeadSteps, StepSettings, borrow_steps

STAGE = "learning_rate"
LOWEST, HIGHEST = 1e-6, 1.0

_NUM_STEPS = 150
_NUM_REPEATS = 3
_SMOOTHING = 0.8  # weight of a loss relative to that of the step before or after it
_CAP = 2.0  # times the first loss: how far it runs away must not raise the curve before it
_DIVERGED = 4.0  # times the lowest loss so far, as in fastai
_MIN_STEPS = 20  # steps before the smoothed loss is meaningful
_FLAT = 0.95  # of the first loss: a curve that stays above this gives no suggestion


@dataclass(frozen=True, eq=False)
class LearningRateTest:
    """The curve of a range test, and the suggested rate.

    Attributes:
        learning_rates: (n,) rising.
        losses: (n,) of the batch before each update, mean of the repeats, in nats.
        smoothed: (n,) the same, smoothed.
        suggestion: the rate to train with, rounded; None when nothing was learned.
        reason: why, as a message for the user.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float | None
    reason: str


def find_learning_rate(
    config: TrainConfig, index: DatasetIndex, *, cache_dir: Path, monitor: Monitor = SILENT
) -> LearningRateTest:
    """Run the range test of the head on the training images.

    Args:
        config: the settings; learning rate and epochs are ignored.
        index: the images.
        cache_dir: the folder of the feature cache.
        monitor: reports the features, then the steps in stage ``"learning_rate"``.

    Raises:
        DatasetError: there are too few images.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    tensorflow = BackgroundImport()
    split = split_dataset(index, config)
    nothing = np.zeros(0, np.int64)
    features = load_features(
        config, index, Split(split.train, nothing, nothing), cache_dir=cache_dir, monitor=monitor
    )
    tensorflow.wait(monitor)
    data = HeadData.create(features.train, index.labels[split.train], index.num_classes)
    return run_range_test(data, config, monitor=monitor)


def run_range_test(
    data: HeadData, config: TrainConfig, *, monitor: Monitor = SILENT
) -> LearningRateTest:
    """Run the range test on features in memory.

    Raises:
        Stopped: ``monitor`` was asked to stop.
    """
    rates = np.geomspace(LOWEST, HIGHEST, _NUM_STEPS)
    stage = monitor.stage(STAGE, _NUM_REPEATS * _NUM_STEPS)
    curves = []
    with borrow_steps(data.feature_dim, config.fc_layers, data.num_classes) as steps:
        for repeat in range(_NUM_REPEATS):
            stage.update(repeat * _NUM_STEPS)
            seeded = config.updated(seed=config.seed + repeat)
            curves.append(_losses(steps, data, seeded, rates, monitor))
    num_steps = min(map(len, curves))
    losses = np.mean([curve[:num_steps] for curve in curves], axis=0)
    return read_curve(rates[:num_steps], losses)


def read_curve(learning_rates: np.ndarray, losses: np.ndarray) -> LearningRateTest:
    """Smooth a curve and choose the rate at which the loss has fallen halfway.

    That is where it falls fastest, and depends on single batches less than the slope itself.
    A fraction of the rate of lowest loss, the older rule, fails on cached features: a single
    layer memorises a few photos and never diverges.

    Args:
        learning_rates: (n,) rising.
        losses: (n,) in nats; those from the first that is not finite on are ignored.
    """
    (lost,) = np.nonzero(~np.isfinite(losses))
    if len(lost):
        learning_rates, losses = learning_rates[: lost[0]], losses[: lost[0]]
    smoothed = smooth(np.minimum(losses, _CAP * losses[:1]))
    if len(smoothed) < _MIN_STEPS or smoothed.min() > _FLAT * smoothed[0]:
        reason = (
            "The loss did not fall at any rate, so the test says nothing. Keep the rate, and see "
            "whether the classes can be distinguished at all."
        )
        return LearningRateTest(learning_rates, losses, smoothed, None, reason)
    least = int(np.argmin(smoothed))
    fall = smoothed[0] - smoothed[least]
    half = int(np.argmax(smoothed <= smoothed[0] - fall / 2))
    suggestion = _rounded(float(learning_rates[half]))
    reason = (
        f"There the loss falls fastest: by then half of its whole fall, from {smoothed[0]:.2f} to "
        f"{smoothed[least]:.2f}, is done. Much lower wastes epochs, "
        f"{_rounded(float(learning_rates[least])):g} and more brings nothing further."
    )
    return LearningRateTest(learning_rates, losses, smoothed, suggestion, reason)


def smooth(losses: np.ndarray) -> np.ndarray:
    """Return the weighted mean of the losses (n,) around each step: (n,).

    Earlier and later steps weigh the same, so that the curve does not run behind its points.
    """
    steps = np.arange(len(losses))
    weights = _SMOOTHING ** np.abs(steps[:, np.newaxis] - steps)
    return np.asarray(weights @ losses / weights.sum(axis=1))


def _losses(
    steps: HeadSteps, data: HeadData, config: TrainConfig, rates: np.ndarray, monitor: Monitor
) -> np.ndarray:
    """Train one batch at each rate and return its loss before the update, until it diverges."""
    images = np.arange(data.num_images)
    size = config.batch_size
    num_epochs = math.ceil(len(rates) * size / (len(images) // size * size or size))
    epochs = [data.epoch_rows(config, epoch, images) for epoch in range(num_epochs)]
    # The last batch of an epoch may be small and would make the curve jump, so it is left out.
    batches = [
        rows[start : start + size]
        for rows in epochs
        for start in range(0, max(1, len(rows) - size + 1), size)
    ]
    class_weights = data.class_weights(config, images)
    steps.start(first_weights(data, config))
    losses: list[float] = []
    for number, (rate, batch) in enumerate(zip(rates, batches, strict=False)):
        monitor.check()
        settings = StepSettings.from_config(config.updated(learning_rate=float(rate)))
        loss, _ = steps.train(
            data.features, data.label_tensor, class_weights, batch, number, settings
        )
        losses.append(loss / len(batch))
        if has_diverged(np.array(losses)):
            break
    return np.array(losses)


def has_diverged(losses: np.ndarray) -> bool:
    """Whether the last loss is not finite, or the smoothed one is far above its minimum."""
    if not math.isfinite(losses[-1]):
        return True
    smoothed = smooth(losses)
    return len(losses) > _MIN_STEPS and bool(smoothed[-1] > _DIVERGED * smoothed.min())


def _rounded(rate: float) -> float:
    """Return a rate with two significant digits."""
    return float(f"{rate:.1e}")

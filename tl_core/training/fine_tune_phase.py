"""The fine-tuning phase: the top blocks of the backbone and the head, trained on images.

It starts from the best head. An epoch is kept only if its validation loss is lower, so
fine-tuning that does not help leaves the run unchanged.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.backbones.api import resolve_image_size
from tl_core.backbones.cut import depth_of_variables, split_at
from tl_core.backbones.finetuned_weights import build_fine_tuned_base, split_weights, variable_names
from tl_core.data.augmentation.augment import augment_view
from tl_core.features.extract import FeatureSpec, extract_features, load_record
from tl_core.features.frozen_part import open_frozen_part
from tl_core.features.hardware import num_cores
from tl_core.head.model import head_forward
from tl_core.runs.weights import engine_file_of
from tl_core.training.activation_source import ActivationSource, ActivationStore, Sample
from tl_core.training.checkpoints import has_stalled
from tl_core.training.epochs import Curve, class_weights, epoch_rows
from tl_core.training.fine_tune_steps import (
    FineTuneSettings,
    FineTuneSteps,
    choose_strategy,
    use_mixed_precision,
    warmup_cosine,
)
from tl_core.training.mixup import Mix, draw_mix
from tl_core.training.phases import PhaseContext

if TYPE_CHECKING:
    from tl_core.config.training import TrainConfig

_VAL_BATCH_SIZE = 64


class FineTunePhase:
    """Trains the top ``fine_tune_blocks`` blocks with the head, on fresh views of the images."""

    name = "fine_tune"

    def run(self, context: PhaseContext) -> None:
        """Train until all epochs are done, validation stalls, or a stop is requested.

        Raises:
            Stopped: a stop was requested.
            TLError: the loss is not finite.
        """
        config = context.config
        num_steps = math.ceil(len(context.split.train) / config.batch_size)
        context.recorder.start_phase(self.name, config.fine_tune_epochs, num_steps)
        reason = "stopped"
        try:
            context.tensorflow.wait(context.monitor)
            reason = _Training(context).run()
        finally:
            seconds = context.recorder.end_phase(reason)
            context.seconds[self.name] = context.seconds.get(self.name, 0.0) + seconds

    def probabilities(self, context: PhaseContext, part: str) -> np.ndarray:
        """Return the best weights' probabilities (n, num_classes), as a reloaded run gives them."""
        head, _ = split_weights(context.checkpoints.best_weights)
        spec = dataclasses.replace(
            FeatureSpec.from_config(context.config),
            engine_file=engine_file_of(context.recorder.run.run_dir),
        )
        features = extract_features(
            context.index,
            dict(context.split.items())[part],
            spec,
            cache_dir=context.cache_dir,
        )
        return head_forward(head, features[0])


class _Training:
    """The state of one fine-tuning phase."""

    def __init__(self, context: PhaseContext) -> None:
        self._context, self._config = context, context.config
        self._labels = context.labels("train")
        self._num_images = len(self._labels)
        self._num_steps = math.ceil(self._num_images / self._config.batch_size)
        self._class_weights = class_weights(self._config, self._labels, context.index.num_classes)
        stage = context.monitor.stage("backbone", 1)
        stage.report()
        self._build()
        stage.advance()
        self._curve = Curve(
            context, FineTunePhase.name, self._num_images, self._config.fine_tune_epochs
        )

    def _build(self) -> None:
        """Split the backbone, open its frozen part in the pipeline, and compile the other."""
        import contextlib

        context, config = self._context, self._config
        head, self._changed = split_weights(context.checkpoints.best_weights)
        strategy = choose_strategy()
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            base_model = build_fine_tuned_base(
                config.backbone, resolve_image_size(config), config.pooling, self._changed
            )
        frozen_part, trainable_part = split_at(base_model, config.fine_tune_blocks)
        named = variable_names(base_model)
        trainable = {id(variable) for variable in trainable_part.trainable_variables}
        below = {
            name: array for name, array in self._changed.items() if id(named[name]) not in trainable
        }
        num_workers = num_cores()
        pool = open_frozen_part(frozen_part, config.backbone, below, context.cache_dir, num_workers)
        if use_mixed_precision(config.mixed_precision):
            for layer in trainable_part.layers:
                layer.dtype_policy = "mixed_bfloat16"
        depths = depth_of_variables(base_model)
        rates = {
            name: config.fine_tune_layer_decay ** (depths[id(variable)] + 1)
            for name, variable in named.items()
            if id(variable) in trainable
        }
        settings = FineTuneSettings(
            dropout=config.dropout,
            label_smoothing=config.label_smoothing,
            weight_decay=config.weight_decay,
            clip_norm=config.clip_norm,
            seed=config.seed,
            rates=rates,
        )
        names = {id(variable): name for name, variable in named.items()}
        self._steps = FineTuneSteps(trainable_part, names, head, settings, strategy)
        self._num_views = _num_views(config)
        num_kept = self._num_views if not self._mixes else 0
        self._train_source = self._source("train", num_kept, pool, num_workers)
        self._val_source = self._source("val", 1, pool, num_workers)

    @property
    def _mixes(self) -> bool:
        return self._config.mixup > 0 or self._config.cutmix > 0

    def _source(self, part: str, num_views: int, pool: Any, num_workers: int) -> ActivationSource:
        """Return the source of a part's activations; ``num_views`` of each image are cached."""
        context = self._context
        spec = FeatureSpec.from_config(self._config)
        records = [context.index.records[int(i)] for i in dict(context.split.items())[part]]

        def load_pixels(image: int) -> np.ndarray:
            return load_record(context.index, records[image], spec)

        def make_view(image: int, pixels: np.ndarray, view: int) -> np.ndarray:
            return augment_view(pixels, spec.augment, records[image].sha256, view, spec.seed)

        store = None
        if num_views > 0:
            scratch = context.cache_dir / "scratch"
            scratch.mkdir(parents=True, exist_ok=True)
            store = ActivationStore(len(records), num_views, pool.feature_dim, scratch)
        return ActivationSource(load_pixels, make_view, pool, num_workers, store)

    def run(self) -> str:
        """Train and return the reason for the end, ``done`` or ``early_stopping``."""
        first_epoch = 0
        if (resumed := self._context.take_resumed(FineTunePhase.name)) is not None:
            self._steps.restore(resumed.state)
            first_epoch = resumed.num_epochs
        self._curve.skip_epochs(first_epoch)
        for epoch in range(first_epoch, self._config.fine_tune_epochs):
            history = self._context.checkpoints.history_of(FineTunePhase.name)
            if has_stalled(history, self._config.early_stopping):
                return "early_stopping"
            self._curve.begin_epoch()
            learning_rate = self._train_epoch(epoch)
            self._end_epoch(epoch, learning_rate)
        return "done"

    def _train_epoch(self, epoch: int) -> float:
        """Train one epoch and return the last step's learning rate."""
        context, config = self._context, self._config
        samples = self._draw_samples(epoch)
        size = config.batch_size
        learning_rate = 0.0
        batches = self._train_source.batches(samples, size, context.monitor)
        for step, activations in enumerate(batches):
            context.monitor.check()
            batch = samples[step * size : (step + 1) * size]
            number = epoch * self._num_steps + step
            learning_rate = warmup_cosine(
                number,
                config.fine_tune_epochs * self._num_steps,
                config.fine_tune_warmup_epochs * self._num_steps,
                config.fine_tune_learning_rate,
            )
            loss, correct = self._steps.train(
                activations, *self._targets(batch), learning_rate, number
            )
            self._curve.add(epoch, step + 1, loss, correct, len(batch))
        return learning_rate

    def _draw_samples(self, epoch: int) -> list[Sample]:
        """Return the image views of one epoch in order; depends on seed and epoch alone."""
        config = self._config
        # A separate random stream, since the head's epochs have the same numbers.
        rng = np.random.default_rng([config.seed, epoch, 1])
        rows = epoch_rows(
            int(rng.integers(2**31)),
            epoch,
            self._num_images,
            1,
            shuffle=config.shuffle,
            labels=self._labels if config.sampling == "balanced" else None,
        )
        first_views = np.random.default_rng([config.seed, 2]).integers(0, 50, self._num_images)
        views = [self._view_of(first_views, int(row), epoch) for row in rows]
        samples = [Sample(int(row), view) for row, view in zip(rows, views, strict=True)]
        if not self._mixes:
            return samples
        for start in range(0, len(samples), config.batch_size):
            batch = samples[start : start + config.batch_size]
            share, box = draw_mix(config.mixup, config.cutmix, rng)
            others = [batch[other] for other in rng.permutation(len(batch))]
            samples[start : start + len(batch)] = [
                dataclasses.replace(one, mix=Mix(other.image, other.view, share, box))
                for one, other in zip(batch, others, strict=True)
            ]
        return samples

    def _view_of(self, first_views: np.ndarray, image: int, epoch: int) -> int:
        """Return the view of an image in an epoch: a new one, or the cached ones in rotation."""
        if self._num_views == 0:
            return epoch + 1
        return int(first_views[image] + epoch) % self._num_views

    def _targets(self, batch: list[Sample]) -> tuple[np.ndarray, np.ndarray]:
        """Return targets (n, num_classes) and image weights (n,), both float32."""
        one_hot = np.eye(self._context.index.num_classes, dtype=np.float32)
        labels = self._labels[[sample.image for sample in batch]]
        targets, weights = one_hot[labels], self._class_weights[labels]
        if batch[0].mix is not None:
            others = [sample.mix.image for sample in batch if sample.mix is not None]
            shares = [sample.mix.share for sample in batch if sample.mix is not None]
            share = np.asarray(shares, np.float32)
            other = self._labels[others]
            targets = share[:, None] * targets + (1 - share)[:, None] * one_hot[other]
            weights = share * weights + (1 - share) * self._class_weights[other]
        return targets, weights

    def _end_epoch(self, epoch: int, learning_rate: float) -> None:
        context = self._context
        samples = [Sample(image) for image in range(len(context.labels("val")))]
        batches = self._val_source.batches(samples, _VAL_BATCH_SIZE, context.monitor)
        self._curve.end_epoch(
            epoch,
            np.concatenate([self._steps.probabilities(batch) for batch in batches]),
            learning_rate,
            {**self._changed, **self._steps.weights()},
            self._steps.state,
            f"the fine-tuning learning rate, which is {self._config.fine_tune_learning_rate:g}",
        )


def _num_views(config: TrainConfig) -> int:
    """Return how many views of each image are reused in rotation; 0 draws new ones always."""
    if config.augment.is_identity:
        return 1
    views = config.fine_tune_views
    return 0 if views >= config.fine_tune_epochs else views

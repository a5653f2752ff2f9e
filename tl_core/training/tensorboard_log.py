"""The curves of a run as a TensorBoard log. The package tensorboard is not needed to write it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tl_core.training.events import BatchEnd, EpochEnd, Event

LOG_DIR = "tensorboard"


class TensorBoardLog:
    """Writes figures of each epoch and batch below ``tensorboard/`` in the run's folder.

    ``train`` and ``val`` are logs of their own, as Keras writes them, so that TensorBoard lays
    them over each other. Steps count on over the phases.
    """

    def __init__(self, run_dir: Path, epochs_before: int = 0) -> None:
        self._dir = run_dir / LOG_DIR
        self._writers: dict[str, Any] = {}
        self._epoch = epochs_before
        self._batch = 0

    def write(self, event: Event) -> None:
        """Write what the event says, if it has figures and TensorFlow is loaded."""
        if "tensorflow" not in sys.modules:
            return
        if isinstance(event, EpochEnd):
            figures = {"loss": event.loss, "accuracy": event.accuracy}
            self._add("train", self._epoch, {**figures, "learning_rate": event.learning_rate})
            figures = {"loss": event.val_loss, "accuracy": event.val_accuracy}
            self._add("val", self._epoch, figures)
            self._epoch += 1
        elif isinstance(event, BatchEnd):
            figures = {"batch_loss": event.loss, "batch_accuracy": event.accuracy}
            self._add("train", self._batch, figures)
            self._batch += 1

    def close(self) -> None:
        """Write out and close the files."""
        for writer in self._writers.values():
            writer.close()

    def _add(self, part: str, step: int, figures: dict[str, float]) -> None:
        import tensorflow as tf

        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._dir / part))
        # tf.summary.scalar comes with the package tensorboard; this is what it writes.
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        with self._writers[part].as_default():
            for name, value in figures.items():
                tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)
        self._writers[part].flush()

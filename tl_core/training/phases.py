"""The interface of a training phase, and the context it receives.

A phase reads the images or features it needs, trains, and passes each epoch's result and weights to
the checkpoints. :mod:`tl_core.training.trainer` decides which phases a run has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import DatasetIndex
from tl_core.data.split import Split
from tl_core.processes import BackgroundImport
from tl_core.progress import Monitor
from tl_core.training.checkpoints import Checkpoint, Checkpoints
from tl_core.training.feature_stage import Features, load_features, num_images_to_extract
from tl_core.training.recorder import RunRecorder


@dataclass
class PhaseContext:
    """Everything a phase may use; ``seconds`` collects how long each part took."""

    config: TrainConfig
    index: DatasetIndex
    split: Split
    cache_dir: Path
    recorder: RunRecorder
    checkpoints: Checkpoints
    tensorflow: BackgroundImport
    monitor: Monitor
    seconds: dict[str, float] = field(default_factory=dict)
    resumed: Checkpoint | None = None
    _features: Features | None = None

    def take_resumed(self, phase: str) -> Checkpoint | None:
        """Return the state to resume the phase from, on the first call only; else None."""
        if self.resumed is None or self.resumed.phase != phase or not self.resumed.state:
            return None
        resumed, self.resumed = self.resumed, None
        return resumed

    def labels(self, part: str) -> np.ndarray:
        """Return the labels of a part (``train``, ``val`` or ``test``), in the split's order."""
        return self.index.labels[dict(self.split.items())[part]]

    def features(self) -> Features:
        """Return the frozen backbone's features of all parts, computed on the first call."""
        if self._features is None:
            self.recorder.start_phase("features", 0, num_images_to_extract(self.config, self.split))
            self._features = load_features(
                self.config, self.index, self.split, cache_dir=self.cache_dir, monitor=self.monitor
            )
            seconds = self.recorder.end_phase()
            self.seconds["features"] = self.seconds.get("features", 0.0) + seconds
        return self._features


class Phase(Protocol):
    """One part of training with its own rules, such as head or fine_tune."""

    def run(self, context: PhaseContext) -> None:
        """Train, passing each epoch to ``context.checkpoints``.

        Raises:
            Stopped: a stop was requested; epochs passed on so far are kept.
        """

    def probabilities(self, context: PhaseContext, part: str) -> np.ndarray:
        """Return the best weights' probabilities for a part, computed as a reloaded run does."""

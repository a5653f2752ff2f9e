"""Recording a run while it is trained: its state, events and log on disk.

However training ends, the reason is written to the run directory.
"""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tl_core.errors import RunError, Stopped, TLError
from tl_core.files import JsonLines
from tl_core.progress import Progress
from tl_core.runs.events import (
    BatchEnd,
    EpochEnd,
    Event,
    FeatureProgress,
    OnEvent,
    PhaseEnded,
    PhaseStarted,
    RunEnded,
)
from tl_core.runs.files import EVENTS_FILE, LOG_FILE, end_run, start_run, update_status
from tl_core.runs.store import Run

LOG_DIR = "tensorboard"
OUT_OF_MEMORY = (
    "There is not enough memory for these settings. Choose narrower FC layers, fewer fine-tuned "
    "blocks or a smaller batch size."
)


class TensorBoardLog:
    """Writes figures of each epoch and batch below ``tensorboard/`` in the run's folder.

    ``train`` and ``val`` are separate logs, as in Keras, so that TensorBoard draws them in one
    chart. Step numbers continue over the phases.
    """

    def __init__(self, run_dir: Path, epochs_before: int = 0) -> None:
        self._dir = run_dir / LOG_DIR
        self._writers: dict[str, Any] = {}
        self._epoch = epochs_before
        self._batch = 0

    def write(self, event: Event) -> None:
        """Write the figures of an event, if it has any and TensorFlow is loaded."""
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
        """Flush and close the files."""
        for writer in self._writers.values():
            writer.close()

    def _add(self, part: str, step: int, figures: dict[str, float]) -> None:
        import tensorflow as tf

        if part not in self._writers:
            self._writers[part] = tf.summary.create_file_writer(str(self._dir / part))
        # tf.summary.scalar needs the package tensorboard; this writes the same records.
        metadata = tf.compat.v1.SummaryMetadata()
        metadata.plugin_data.plugin_name = "scalars"
        with self._writers[part].as_default():
            for name, value in figures.items():
                tf.summary.write(name, tf.constant(value, tf.float32), step, metadata)
        self._writers[part].flush()


_log = logging.getLogger(__name__)

_recorded: ContextVar[Path | None] = ContextVar("recorded", default=None)  # the run's folder


class RunRecorder:
    """Context manager that marks a run as running, and records its final state at the end.

    :class:`Stopped` is suppressed and recorded as ``stopped``; other errors are recorded as
    ``failed`` and raised. The run's log holds the records of its own thread alone: others of the
    worker may be about the data of another visitor.
    """

    def __init__(self, run: Run, on_event: OnEvent | None = None) -> None:
        self.run = run
        self._on_event = on_event
        self._tensorboard: TensorBoardLog | None = None
        self._ended = False
        self._phase: tuple[str, float] = ("", 0.0)

    def __enter__(self) -> Self:
        start_run(self.run.run_dir, "scan")
        self._events = JsonLines(self.run.run_dir / EVENTS_FILE)
        self._handler = logging.FileHandler(self.run.run_dir / LOG_FILE, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._handler.addFilter(lambda _: _recorded.get() == self.run.run_dir)
        self._token = _recorded.set(self.run.run_dir)
        self._logger = logging.getLogger("tl_core")
        self._logger.addHandler(self._handler)
        self._level_before = self._logger.level
        if not self._logger.isEnabledFor(logging.INFO):
            self._logger.setLevel(logging.INFO)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        try:
            if error is not None and not self._ended:
                with suppress(RunError):  # the folder may have been deleted
                    self._end_by(error)
        finally:
            _recorded.reset(self._token)
            self._logger.setLevel(self._level_before)
            self._logger.removeHandler(self._handler)
            self._handler.close()
            self._events.close()
            if self._tensorboard is not None:
                self._tensorboard.close()
        return isinstance(error, Stopped)

    def emit(self, event: Event) -> None:
        """Write an event to the file, then call the listener."""
        self._events.append(event.to_json())
        if self._tensorboard is not None:
            self._tensorboard.write(event)
        if self._on_event is not None:
            self._on_event(event)

    def write_tensorboard(self, epochs_before: int) -> None:
        """Also write a TensorBoard log, whose epochs continue those of an earlier session."""
        self._tensorboard = TensorBoardLog(self.run.run_dir, epochs_before)

    def report(self, progress: Progress) -> None:
        """Emit the progress of counted work."""
        self.emit(
            FeatureProgress(
                stage=progress.stage,
                done=progress.done,
                total=progress.total,
                images_per_second=progress.rate,
                seconds_left=progress.seconds_left,
            )
        )

    def start_phase(self, phase: str, num_epochs: int, num_steps: int) -> None:
        """Report the start of a phase."""
        _log.info("%s: %d epochs of %d", phase, num_epochs, num_steps)
        self._phase = (phase, time.monotonic())
        update_status(self.run.run_dir, phase=phase, epoch=None)
        self.emit(PhaseStarted(phase, num_epochs, num_steps))

    def end_phase(self, reason: str = "done") -> float:
        """Report the end of the phase, and return the seconds it took."""
        phase, started = self._phase
        seconds = time.monotonic() - started
        _log.info("%s: %s after %.2f s", phase, reason, seconds)
        self.emit(PhaseEnded(phase, seconds, reason))
        return seconds

    def end(self, state: Any, metrics: dict[str, Any], message: str = "") -> None:
        """Mark the run as finished, after everything else was written."""
        _log.info("run %s %s", state, message)
        self._ended = True
        end_run(self.run.run_dir, state, message)
        self.emit(RunEnded(state, metrics, message))

    def _end_by(self, error: BaseException) -> None:
        if isinstance(error, Stopped | KeyboardInterrupt):
            self.end("stopped", self.run.metrics, str(error) or "Stopped from the keyboard.")
        elif isinstance(error, TLError):
            _log.error("%s", error)
            self.end("failed", self.run.metrics, str(error))
        elif isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
            _log.error("out of memory", exc_info=error)
            self.end("failed", self.run.metrics, OUT_OF_MEMORY)
        else:
            _log.error("unexpected error", exc_info=error)
            reason = f"Unexpected error: {type(error).__name__}: {error}. See the log for details."
            self.end("failed", self.run.metrics, reason)

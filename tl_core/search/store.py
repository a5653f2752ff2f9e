"""The folder of a search, in plain files that do not depend on any process or page.

config.json base.json    the values to try, and the settings they are applied to
origin.json              data folder, fingerprint and number of the held-out images
classes.json split.csv   the images that it began with
trials.jsonl             one line per head, appended as they finish
folds.jsonl              one line per fold, while heads are left to try
status.json              state and message, written by the process that searches
"""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tl_core.config.limits import check_search
from tl_core.config.search import SweepConfig, draw_trials
from tl_core.config.training import TrainConfig
from tl_core.errors import RunError
from tl_core.files import JsonLines, new_folder, read_json_lines, write_json, write_text
from tl_core.runs.files import CONFIG_FILE, ORIGIN_FILE, create_status, read_file
from tl_core.runs.state_dir import WorkFolder, list_work
from tl_core.search.ranking import Fold, Ranking, Trial, rank_trials
from tl_core.workspace import Workspace

BASE_FILE = "base.json"
TRIALS_FILE = "trials.jsonl"
FOLDS_FILE = "folds.jsonl"


@dataclass(frozen=True)
class Sweep(WorkFolder):
    """One search, read from disk on each access."""

    sweep_dir: Path

    interrupted_message = (
        "The process that searched ended unexpectedly. The heads tried so far are kept."
    )

    @property
    def folder(self) -> Path:
        """The folder of the search."""
        return self.sweep_dir

    def check(self) -> None:
        """Check that the settings and the origin are readable.

        Raises:
            TLError: one of them cannot be read.
        """
        _ = self.config, self.base, self.num_trials, self.num_images

    @property
    def config(self) -> SweepConfig:
        """The values to try.

        Raises:
            RunError: it cannot be read.
        """
        return SweepConfig.create(read_file(self.sweep_dir, CONFIG_FILE, dict))

    @property
    def base(self) -> TrainConfig:
        """The settings that are not varied.

        Raises:
            RunError: they cannot be read.
        """
        return TrainConfig.create(read_file(self.sweep_dir, BASE_FILE, dict))

    @property
    def num_trials(self) -> int:
        """How many heads there are to try.

        Raises:
            RunError: the folder does not say.
        """
        return self._count("num_trials")

    @property
    def num_images(self) -> int:
        """Number of held-out images in all folds together; 0 before the search started.

        Raises:
            RunError: the folder says something that is no number.
        """
        return self._count("num_images", 0)

    def _count(self, name: str, default: int | None = None) -> int:
        value = self.origin.get(name, default)
        if not isinstance(value, int) or value < 0:
            raise RunError(
                f"Expected a number as {name} in {ORIGIN_FILE} of search '{self.id}', "
                f"received {value!r}."
            )
        return value

    def trials(self) -> list[Trial]:
        """Return the heads tried so far, in order of completion; incomplete lines are skipped."""
        found: dict[int, Trial] = {}
        for values in read_json_lines(self.sweep_dir / TRIALS_FILE)[0]:
            with suppress(ValueError, TypeError, KeyError):
                trial = Trial.from_dict(values)
                found.setdefault(trial.number, trial)
        return list(found.values())

    def ranking(self) -> Ranking:
        """Return the heads tried so far, best first."""
        return rank_trials(self.trials(), self.num_images)

    def add(self, trial: Trial) -> None:
        """Append a trial."""
        with JsonLines(self.sweep_dir / TRIALS_FILE) as lines:
            lines.append(trial.to_json(), flush=True)

    def folds(self) -> list[Fold]:
        """Return the folds trained so far, also of heads that are not finished."""
        found: dict[tuple[int, int], Fold] = {}
        for values in read_json_lines(self.sweep_dir / FOLDS_FILE)[0]:
            with suppress(ValueError, OverflowError, TypeError, KeyError):
                fold = Fold.from_dict(values)
                found.setdefault((fold.number, fold.fold), fold)
        return list(found.values())

    def add_fold(self, fold: Fold) -> None:
        """Append a fold; only one thread at a time."""
        with JsonLines(self.sweep_dir / FOLDS_FILE) as lines:
            lines.append(fold.to_json())

    def forget_folds(self) -> None:
        """Remove the folds, which are part of the trials or were trained on other images."""
        (self.sweep_dir / FOLDS_FILE).unlink(missing_ok=True)


def create_sweep(
    workspace: Workspace, config: SweepConfig, base: TrainConfig, data_dir: Path | str
) -> Sweep:
    """Create a queued search in a new folder of the workspace.

    Raises:
        ConfigError: there are too many combinations.
        LimitError: there are more than a hosted demo allows.
    """
    num_trials = len(draw_trials(config, base))
    check_search(config, num_trials)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}_{uuid.uuid4().hex[:6]}"
    sweep_dir = workspace.sweeps_dir / stem
    with new_folder(sweep_dir) as temporary:
        write_text(temporary / CONFIG_FILE, config.to_json())
        write_text(temporary / BASE_FILE, base.to_json())
        stored = workspace.relative(Path(data_dir))
        write_json(temporary / ORIGIN_FILE, {"data_dir": stored, "num_trials": num_trials})
        create_status(temporary)
    return Sweep(sweep_dir)


def load_sweep(sweep_dir: str | os.PathLike[str]) -> Sweep:
    """Return a search by its folder.

    Raises:
        RunError: there is no search in it, or it cannot be read.
    """
    sweep = Sweep(Path(sweep_dir).absolute())
    if not (sweep.sweep_dir / BASE_FILE).is_file():
        raise RunError(
            f"Expected the folder of a search, one below workspace/sweeps, received '{sweep_dir}'."
        )
    sweep.check()
    return sweep


def list_sweeps(workspace: Workspace) -> list[Sweep]:
    """Return all searches of a workspace, newest first."""
    return list_work(workspace.sweeps_dir, Sweep)

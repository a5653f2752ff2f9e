"""The result of each head of a search, and which one to use."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_core.config.search import VARIED
from tl_core.config.training import TrainConfig

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Fold:
    """One fold of a head, at its best epoch.

    Attributes:
        number: of the head among those of the search, from 0.
        fold: which of the folds was held out, from 0.
        accuracy: on the images that were held out.
        loss: mean cross-entropy on them in nats.
        best_epoch: counted from 0.
        num_params: number of weights of the head alone.
        seconds: how long it took.
        error: why there are no figures; "" if there are.
    """

    number: int
    fold: int
    accuracy: float = 0.0
    loss: float = 0.0
    best_epoch: int = 0
    num_params: int = 0
    seconds: float = 0.0
    error: str = ""

    def to_json(self) -> str:
        """Return the fold as one line, from which exactly these figures are read."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Fold:
        """Read what :meth:`to_json` wrote; raises ``ValueError``, ``TypeError`` or ``KeyError``."""
        return cls(
            number=int(values["number"]),
            fold=int(values["fold"]),
            accuracy=float(values["accuracy"]),
            loss=float(values["loss"]),
            best_epoch=int(values["best_epoch"]),
            num_params=int(values["num_params"]),
            seconds=float(values["seconds"]),
            error=str(values["error"]),
        )


@dataclass(frozen=True)
class Trial:
    """One head, cross-validated. Tuples hold one value a fold, of its best epoch.

    Attributes:
        number: its index among the heads of the search, from 0.
        settings: the settings that a search can vary, by name.
        accuracies: accuracy on the images that a fold held out.
        losses: mean cross-entropy on them in nats.
        best_epochs: counted from 0.
        num_params: number of weights of backbone and head; fewer is simpler.
        seconds: total time of the folds.
        error: why there are no figures; "" if there are.
    """

    number: int
    settings: dict[str, Any]
    accuracies: tuple[float, ...] = ()
    losses: tuple[float, ...] = ()
    best_epochs: tuple[int, ...] = ()
    num_params: int = 0
    seconds: float = 0.0
    error: str = ""

    @property
    def val_accuracy(self) -> float:
        """Mean accuracy over the folds; NaN without figures."""
        return float(np.mean(self.accuracies)) if self.accuracies else math.nan

    @property
    def val_accuracy_spread(self) -> float:
        """Standard deviation of the accuracy from fold to fold."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else math.nan

    @property
    def val_loss(self) -> float:
        """Mean loss over the folds; NaN without figures."""
        return float(np.mean(self.losses)) if self.losses else math.nan

    @property
    def val_loss_spread(self) -> float:
        """Standard deviation of the loss from fold to fold."""
        return float(np.std(self.losses, ddof=1)) if len(self.losses) > 1 else math.nan

    @property
    def best_epoch(self) -> int | None:
        """The median of the folds' best epochs, from 0."""
        return sorted(self.best_epochs)[len(self.best_epochs) // 2] if self.best_epochs else None

    def config(self, base: TrainConfig) -> TrainConfig:
        """Return the settings of the search with those of this head applied."""
        return base.updated(**self.settings)

    def to_json(self) -> str:
        """Return the trial as one line."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Trial:
        """Read what :meth:`to_json` wrote; raises ``ValueError``, ``TypeError`` or ``KeyError``."""
        for name in ("accuracies", "losses", "best_epochs"):
            values[name] = tuple(values[name])
        values["settings"]["fc_layers"] = tuple(values["settings"]["fc_layers"])
        return cls(**values)


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """Return a config's values of the settings that a search can vary, and its patience."""
    return {name: getattr(config, name) for name in (*VARIED, "early_stopping")}


@dataclass(frozen=True)
class Ranking:
    """Trials in order, and which of them are statistically tied.

    Attributes:
        trials: the best first: by mean accuracy, then by mean loss; those without figures last.
        standard_error: of the best trial's mean accuracy.
        tied: numbers of the trials within one standard error of the best, including the best.
        suggested: number of the simplest of these, None without figures.
    """

    trials: tuple[Trial, ...]
    standard_error: float
    tied: frozenset[int]
    suggested: int | None

    @property
    def best(self) -> Trial | None:
        """The first trial, or None without figures."""
        return self.trials[0] if self.trials and self.trials[0].accuracies else None


def rank_trials(trials: Sequence[Trial], num_images: int) -> Ranking:
    """Order trials and choose the simplest one within one standard error of the best.

    The standard error of the best mean accuracy is that over its folds, or that of a proportion of
    ``num_images`` photos if this is larger: a few folds often agree by chance.

    Args:
        trials: the trials of one search.
        num_images: number of held-out images in all folds together.

    References:
        L. Breiman, J. Friedman, R. Olshen, C. Stone (1984), "Classification and Regression Trees",
        section 3.4.3: the one-standard-error rule.
    """
    known = sorted(
        (trial for trial in trials if trial.accuracies),
        key=lambda trial: (-trial.val_accuracy, trial.val_loss, trial.number),
    )
    rest = sorted((trial for trial in trials if not trial.accuracies), key=lambda t: t.number)
    if not known:
        return Ranking(tuple(rest), math.nan, frozenset(), None)
    best = known[0]
    share = best.val_accuracy
    of_folds = best.val_accuracy_spread / math.sqrt(len(best.accuracies))
    of_photos = math.sqrt(share * (1 - share) / max(1, num_images))
    error = max(of_photos, 0.0 if math.isnan(of_folds) else of_folds)
    tied = [trial for trial in known if trial.val_accuracy >= share - error - 1e-12]
    simplest = min(tied, key=lambda trial: (trial.num_params, trial.val_loss, trial.number))
    return Ranking(
        (*known, *rest), error, frozenset(trial.number for trial in tied), simplest.number
    )


def trials_table(ranking: Ranking) -> pd.DataFrame:
    """Return one row per trial in ranking order: settings, figures, ``tied``, ``number``.

    Layers are text, such as ``"256, 128"``; trials without figures have NaN.
    """
    import pandas as pd

    rows = [
        {
            "number": trial.number,
            **{name: trial.settings[name] for name in VARIED},
            "fc_layers": ", ".join(map(str, trial.settings["fc_layers"])) or "none",
            "val_accuracy": trial.val_accuracy,
            "val_accuracy_spread": trial.val_accuracy_spread,
            "val_loss": trial.val_loss,
            "val_loss_spread": trial.val_loss_spread,
            "best_epoch": trial.best_epoch,
            "num_params": trial.num_params,
            "seconds": trial.seconds,
            "tied": trial.number in ranking.tied,
            "suggested": trial.number == ranking.suggested,
            "error": trial.error,
        }
        for trial in ranking.trials
    ]
    return pd.DataFrame(rows)

"""Commands that look for good settings: a learning rate, and a head."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from tl_core.cli.arguments import (
    AsJson,
    ConfigFile,
    DataDir,
    OptionalDataDir,
    Quiet,
    WorkspaceDir,
    expect_data_dir,
    workspace_at,
)
from tl_core.cli.exit_codes import EXIT_STOPPED
from tl_core.cli.options import build_config, parse_numbers, with_settings
from tl_core.cli.terminal import percent, print_json, print_table, say, working
from tl_core.errors import ConfigError, RunError, Stopped

if TYPE_CHECKING:
    from tl_core.config.training import TrainConfig
    from tl_core.search.lr_finder import LearningRateTest
    from tl_core.search.ranking import Trial
    from tl_core.search.store import Sweep
    from tl_core.workspace import Workspace

T = TypeVar("T")

_NUM_SHOWN = 12  # rows of the range test's curve


@with_settings
def find_lr(
    data_dir: DataDir,
    config: ConfigFile = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Suggest a learning rate for the head, by a range test on the training images."""
    from tl_core.data.curation.store import load_dataset
    from tl_core.search.lr_finder import find_learning_rate

    wanted = build_config(config, settings)
    place = workspace_at(workspace)
    with working(quiet, as_json) as (_, monitor):
        index = load_dataset(data_dir, place, wanted.layout, monitor=monitor)
        test = find_learning_rate(wanted, index, cache_dir=place.cache_dir, monitor=monitor)
    if as_json:
        print_json(_test_values(test))
    else:
        _print_test(test)


@with_settings
def sweep(
    context: typer.Context,
    data_dir: OptionalDataDir = None,
    config: ConfigFile = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="SEARCH_DIR", help="Try what a search that ended early has left."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(metavar="N", help="How many heads a random search tries.  [30]")
    ] = None,
    search: Annotated[
        str | None, typer.Option(metavar="random|grid", help="Grid tries all.  [random]")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="N", help="Parts that are judged in turns.  [3]")
    ] = None,
    fc_layers_choices: Annotated[
        str | None,
        typer.Option(metavar="N,N/N/none", help="FC layers to try.  [none/64/128/256/128,64]"),
    ] = None,
    dropout_choices: Annotated[
        str | None, typer.Option(metavar="X,X,...", help="Dropouts to try.  [0,0.25,0.5]")
    ] = None,
    learning_rate_choices: Annotated[
        str | None,
        typer.Option(metavar="X,X,...", help="Rates to try.  [0.0003,0.001,0.003,0.01]"),
    ] = None,
    weight_decay_choices: Annotated[
        str | None, typer.Option(metavar="X,X,...", help="Weight decays to try.")
    ] = None,
    label_smoothing_choices: Annotated[
        str | None, typer.Option(metavar="X,X,...", help="Label smoothings to try.")
    ] = None,
    backbone_choices: Annotated[
        str | None, typer.Option(metavar="NAME,NAME,...", help="Backbones to try.")
    ] = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Search for a good head: many of them, cross-validated on the features of the backbone.

    The test part is not looked at. Settings given apply to all heads, choices are tried. Ctrl-C
    stops and keeps the heads tried so far, --resume tries the others; the search shows on the
    Train page too.
    """
    from tl_core.search.run import run_sweep

    given = {
        "num_trials": trials,
        "search": search,
        "folds": folds,
        "fc_layers": _split(fc_layers_choices, "/", _layers),
        "dropout": _split(dropout_choices, ",", _number),
        "learning_rate": _split(learning_rate_choices, ",", _number),
        "weight_decay": _split(weight_decay_choices, ",", _number),
        "label_smoothing": _split(label_smoothing_choices, ",", _number),
        "backbone": _split(backbone_choices, ",", str),
    }
    choices = {name: value for name, value in given.items() if value is not None}
    if resume is not None:
        base = {name: value for name, value in settings.items() if value is not None}
        if data_dir is not None or config is not None or choices or base:
            raise ConfigError("A search knows its data and settings: give none of them with it.")
        source = context.get_parameter_source("workspace")
        if source is not None and source.name == "COMMANDLINE":
            raise ConfigError("A search goes on in the workspace it lies in: give no --workspace.")
        made = _find_left(resume)
    else:
        if search == "grid" and trials is not None:
            raise ConfigError(
                "A grid tries every combination: give no --trials with it, or --search random."
            )
        wanted = build_config(config, settings)
        made = _begin(expect_data_dir(data_dir), choices, wanted, workspace_at(workspace))
    with working(quiet, as_json) as (progress, monitor):
        try:
            run_sweep(made, monitor=monitor)
        except Stopped:
            progress.note(made.message)
    if as_json:
        print_json(_sweep_values(made))
    else:
        _print_sweep(made)
    if made.state == "stopped":
        raise typer.Exit(EXIT_STOPPED)
    if made.ranking().best is None:
        raise RunError(f"No head could be trained. {_first_error(made)}".rstrip())


def _find_left(sweep_dir: Path) -> Sweep:
    """Return a search that has heads left to try."""
    from tl_core.jobs.search import check_resumable
    from tl_core.search.store import load_sweep

    made = load_sweep(sweep_dir)
    check_resumable(made.workspace, made)
    return made


def _begin(data_dir: Path, choices: dict[str, Any], base: TrainConfig, place: Workspace) -> Sweep:
    """Create a search that can be done."""
    from tl_core.config.search import SweepConfig
    from tl_core.jobs.search import check_sweep
    from tl_core.search.store import create_sweep

    wanted = SweepConfig.create(choices)
    check_sweep(place, wanted, base, data_dir)
    return create_sweep(place, wanted, base, data_dir)


def _split(given: str | None, mark: str, read: Callable[[str], T]) -> tuple[T, ...] | None:
    """Read the values of an option; None when it was not given."""
    return None if given is None else tuple(read(text.strip()) for text in given.split(mark))


def _layers(text: str) -> tuple[int, ...]:
    return parse_numbers("fc_layers_choices", [text])


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ConfigError(f"Expected numbers such as 0.001,0.01, received '{text}'.") from error


def _test_values(test: LearningRateTest) -> dict[str, Any]:
    return {
        "suggestion": test.suggestion,
        "reason": test.reason,
        "learning_rates": test.learning_rates.tolist(),
        "losses": [_known(loss) for loss in test.losses.tolist()],
        "smoothed": [_known(loss) for loss in test.smoothed.tolist()],
    }


def _print_test(test: LearningRateTest) -> None:
    step = max(1, len(test.learning_rates) // _NUM_SHOWN)
    rows = list(zip(test.learning_rates, test.losses, test.smoothed, strict=True))
    shown = [rows[place] for place in range(len(rows) - 1, -1, -step)][::-1]
    print_table(
        ("learning rate", "loss", "smoothed"),
        [(f"{rate:.1e}", f"{loss:.3f}", f"{mean:.3f}") for rate, loss, mean in shown],
    )
    say()
    if test.suggestion is not None:
        say(f"learning rate  {test.suggestion:g}")
    say(test.reason)


def _sweep_values(made: Sweep) -> dict[str, Any]:
    """Return what ``sweep --json`` prints; heads are sorted, the best first."""
    ranking = made.ranking()
    return {
        "sweep_dir": str(made.sweep_dir),
        "state": made.state,
        "num_images": made.num_images,
        "num_trials": made.num_trials,
        "standard_error": ranking.standard_error if ranking.best is not None else None,
        "best": None if ranking.best is None else ranking.best.number,
        "suggested": ranking.suggested,
        "trials": [
            {
                "number": trial.number,
                "settings": trial.settings,
                "accuracies": trial.accuracies,
                "losses": trial.losses,
                "best_epochs": trial.best_epochs,
                "val_accuracy": _known(trial.val_accuracy),
                "val_accuracy_spread": _known(trial.val_accuracy_spread),
                "val_loss": _known(trial.val_loss),
                "val_loss_spread": _known(trial.val_loss_spread),
                "num_params": trial.num_params,
                "seconds": trial.seconds,
                "is_tied": trial.number in ranking.tied,
                "error": trial.error,
            }
            for trial in ranking.trials
        ],
    }


def _print_sweep(made: Sweep) -> None:
    """Print the heads as a table, the best first, and the one to take."""
    ranking = made.ranking()
    varied = [name for name in made.config.varied if name != "fc_layers"]
    rows = [
        (
            _accuracy(trial),
            f"{trial.val_loss:.3f}" if trial.accuracies else "-",
            _layers_text(trial.settings["fc_layers"]),
            *(f"{trial.settings[name]}" for name in varied),
            "suggested" if trial.number == ranking.suggested else _verdict(trial, ranking.tied),
        )
        for trial in ranking.trials
    ]
    headers = ["accuracy", "loss", "FC layers", *(name.replace("_", " ") for name in varied), ""]
    print_table(headers, rows)
    if ranking.best is not None:
        error = f"one standard error ({percent(ranking.standard_error)}) of the best"
        if len(ranking.tied) > 1:
            claim = f"{len(ranking.tied)} heads are within {error}; the simplest of them"
        else:
            claim = f"No other head is within {error}, which"
        say(f"\n{claim} is suggested.")
    say(f"search  {made.sweep_dir}")


def _accuracy(trial: Trial) -> str:
    if not trial.accuracies:
        return "-"
    return f"{percent(trial.val_accuracy)} ±{100 * trial.val_accuracy_spread:.1f}"


def _first_error(made: Sweep) -> str:
    return next((trial.error for trial in made.trials() if trial.error), "")


def _layers_text(layers: Sequence[int]) -> str:
    return ",".join(map(str, layers)) or "none"


def _verdict(trial: Trial, tied: frozenset[int]) -> str:
    return trial.error or ("tie" if trial.number in tied else "")


def _known(value: float) -> float | None:
    """Return a figure as JSON can represent it: None instead of NaN."""
    return value if math.isfinite(value) else None

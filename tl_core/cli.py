"""The command line: the package's functions as commands, for people and, with --json, for programs.

What goes wrong is turned into a message and an exit code here and nowhere else. Everything slow
is imported by the command that needs it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core import cli_reports
from tl_core.cli_options import build_config, with_settings
from tl_core.cli_terminal import print_json, working
from tl_core.errors import ConfigError, Stopped, TLError
from tl_core.workspace import ENVIRONMENT_NAME, Workspace, default_workspace

if TYPE_CHECKING:
    from tl_core.training.runs import Run

EXIT_USER_ERROR = 2
EXIT_STOPPED = 130

app = typer.Typer(
    help="From a folder of class images to a classifier that can be trusted and shared.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

DataDir = Annotated[
    Path, typer.Argument(metavar="DATA_DIR", help="Folder with one folder of images per class.")
]
RunDir = Annotated[Path, typer.Argument(metavar="RUN_DIR", help="Folder of a run, see: runs.")]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", metavar="DIR", help="Where runs are kept.  [workspace/runs]"),
]
WorkspaceDir = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="DIR",
        envvar=ENVIRONMENT_NAME,
        help="Folder of runs and caches.  [workspace/ beside app.py]",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    A mistake of the user's ends with ``Error: ...`` and 2, Ctrl-C with 130, a bug with a traceback.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded
    try:
        app(arguments, prog_name="python -m tl_core")
    except Stopped as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_STOPPED)
    except TLError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)


@app.command()
def sample(
    out_dir: Annotated[
        Path | None,
        typer.Argument(metavar="OUT_DIR", help="New folder to draw into.  [the workspace's]"),
    ] = None,
    num_per_class: Annotated[int, typer.Option(help="Images in each class.")] = 100,
    seed: Annotated[int, typer.Option(help="Another seed draws other images.")] = 0,
    workspace: WorkspaceDir = None,
    quiet: Quiet = False,
) -> None:
    """Draw the sample set: pizza, burgers and tacos with a few planted faults.

    Without OUT_DIR it goes where the app looks for it, unless it is there already.
    """
    from tl_core.data.samples import SAMPLE_NAME, draw_sample_dataset

    own_place = _workspace(workspace).datasets_dir / SAMPLE_NAME
    if out_dir is None and own_place.exists():
        print(own_place)
        return
    with working(quiet) as (progress, should_stop):
        drawn = draw_sample_dataset(
            out_dir or own_place,
            num_per_class=num_per_class,
            seed=seed,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
    print(drawn)


@app.command()
def inspect(
    data_dir: DataDir,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Count the images of each class and tell what is wrong with them."""
    from tl_core.data.audit import audit_dataset
    from tl_core.data.decisions import load_dataset

    place = _workspace(workspace)
    with working(quiet, as_json) as (progress, should_stop):
        index = load_dataset(
            data_dir, place, on_progress=progress.on_progress, should_stop=should_stop
        )
        audit = audit_dataset(
            index,
            cache_dir=place.cache_dir,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
    if as_json:
        print_json(cli_reports.index_values(index, audit.findings))
    else:
        cli_reports.print_index(index, audit.findings)


@app.command()
def backbones(
    measure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Show this one alone, with its images per second on this machine. Repeatable.",
        ),
    ] = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List the pretrained networks to choose from."""
    from tl_core.model import backbones as models

    rates: dict[str, float] = {}
    chosen = [models.get_backbone(name) for name in measure or ()]
    with working(quiet, as_json) as (progress, should_stop):
        for backbone in chosen:
            if should_stop():
                raise Stopped
            progress.note(f"measuring {backbone.name}")
            cache_dir = _workspace(workspace).cache_dir
            rates[backbone.name] = models.measure(backbone.name, cache_dir=cache_dir)
    listed = chosen or models.list_backbones()
    if as_json:
        print_json(cli_reports.backbone_values(listed, rates))
    else:
        cli_reports.print_backbones(listed, rates)


@app.command()
@with_settings
def train(
    data_dir: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DATA_DIR]",
            help="Folder with one folder of images per class; not with --resume or --from-run.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings as JSON, such as a run's config.json."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="A name for the run.")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN_DIR", help="Go on with a run that ended before it was through."),
    ] = None,
    from_run: Annotated[
        Path | None,
        typer.Option(metavar="RUN_DIR", help="Fine-tune from the best weights of a run."),
    ] = None,
    runs_dir: RunsDir = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Train a classifier on a folder of class images.

    Every setting is an option; those given change what --config says, and single transforms change
    what --augment says. Ctrl-C stops and keeps the best weights so far; --resume goes on from
    there as if it had not been stopped.
    """
    from tl_core.cli_train import train_from

    if resume is not None or from_run is not None:
        if data_dir is not None or config is not None:
            raise ConfigError("A run knows its data and settings: give neither of them with it.")
        place = _workspace(workspace)
        with working(quiet, as_json) as (progress, should_stop):
            run = train_from(
                resume, from_run, settings, name, runs_dir, place.cache_dir, progress, should_stop
            )
        _tell(run, as_json)
        return
    if data_dir is None:
        raise ConfigError("Expected DATA_DIR, a folder with one folder of images per class.")
    from tl_core.data.decisions import load_dataset
    from tl_core.data.split import split_dataset
    from tl_core.model.backbones import resolve_image_size
    from tl_core.model.block_table import check_fine_tuning
    from tl_core.training.background_import import BackgroundImport
    from tl_core.training.runs import create_run
    from tl_core.training.trainer import train as train_run

    wanted = build_config(config, settings)
    resolve_image_size(wanted)
    check_fine_tuning(wanted)
    place = _workspace(workspace)
    with working(quiet, as_json) as (progress, should_stop):
        if not (wanted.augment.is_identity or wanted.views > 1 or wanted.fine_tune_blocks):
            progress.note("Note: nothing is augmented with one view of each image; see --views.")
        BackgroundImport()  # takes as long as many scans; the trainer finds it under way
        started = time.monotonic()
        index = load_dataset(
            data_dir,
            place,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
        scan_seconds = time.monotonic() - started
        split_dataset(index, wanted)  # too few images leave no failed run behind
        run = create_run(runs_dir or place.runs_dir, wanted, index.data_dir, name=name)
        run = train_run(
            wanted,
            index,
            run.run_dir,
            on_event=progress.on_event,
            should_stop=should_stop,
            cache_dir=place.cache_dir,
            scan_seconds=scan_seconds,
        )
    _tell(run, as_json)


@app.command()
def runs(runs_dir: RunsDir = None, workspace: WorkspaceDir = None, as_json: AsJson = False) -> None:
    """List the training runs, the newest first."""
    from tl_core.training.runs import list_runs

    listed = list_runs(runs_dir or _workspace(workspace).runs_dir)
    if as_json:
        print_json([cli_reports.run_row(run) for run in listed])
    else:
        cli_reports.print_runs(listed)


@app.command()
def evaluate(
    run_dir: RunDir,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Other images than those the run kept for testing."),
    ] = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Measure a run on the images it kept for testing, or on another folder."""
    from tl_core.results.evaluate import evaluate_run

    with working(quiet, as_json) as (progress, should_stop):
        evaluation = evaluate_run(
            run_dir,
            data_dir,
            cache_dir=_workspace(workspace).cache_dir,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
    if as_json:
        print_json(evaluation.to_dict())
    else:
        cli_reports.print_evaluation(evaluation)


@app.command()
def predict(
    run_dir: RunDir,
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE_OR_DIR...", help="Image files, or folders of them."),
    ],
    top_k: Annotated[int, typer.Option(min=1, help="Classes shown per image.")] = 3,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Classify images with a run. One that cannot be read gets its reason and spoils nothing."""
    from tl_core.results.predict import find_images, load_predictor

    with working(quiet, as_json) as (progress, should_stop):
        paths = find_images(images)
        predictor = load_predictor(run_dir, _workspace(workspace).cache_dir)
        predictions = predictor.predict(
            paths, top_k, on_progress=progress.on_progress, should_stop=should_stop
        )
    if as_json:
        print_json([prediction.to_dict() for prediction in predictions])
    else:
        cli_reports.print_predictions(predictions)


@app.command()
def explain(
    run_dir: RunDir,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the picture with its heat map goes.")
    ] = Path("overlay.png"),
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME", help="What to explain.  [the answer]"),
    ] = None,
    method: Annotated[str, typer.Option(help="grad_cam or grad_cam++.")] = "grad_cam",
    opacity: Annotated[float, typer.Option(help="Of the hottest place, 0 to 1.")] = 0.6,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Show where in a photo a run looked, and which training images are nearest to it."""
    from tl_core.results.explain import explain_with, overlay, save_picture
    from tl_core.results.neighbours import nearest_with
    from tl_core.results.predict import load_predictor

    with working(quiet, as_json) as (progress, should_stop):
        predictor = load_predictor(run_dir, _workspace(workspace).cache_dir)
        explanation = explain_with(
            predictor,
            image,
            class_name,
            method,
            on_progress=progress.on_progress,
            should_stop=should_stop,
        )
        save_picture(overlay(explanation, opacity), out)
        (neighbours,) = nearest_with(predictor, [image])
    values = cli_reports.explanation_values(explanation, neighbours, out)
    if as_json:
        print_json(values)
    else:
        cli_reports.print_explanation(values)


@app.command()
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Drop the stored features.")] = False,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what the caches hold. Everything in them can be computed again."""
    from tl_core.model.cache import open_feature_cache

    cache_dir = _workspace(workspace).cache_dir
    if clear:
        with open_feature_cache(cache_dir) as features:
            features.clear()
    values = cli_reports.cache_values(cache_dir)
    if as_json:
        print_json(values)
    else:
        cli_reports.print_cache(values)


def _tell(run: Run, as_json: bool) -> None:
    """Print how a training went, and leave with its exit code."""
    values = cli_reports.run_values(run)
    if as_json:
        print_json(values)
    else:
        cli_reports.print_run(values)
    if run.state == "stopped":
        raise typer.Exit(EXIT_STOPPED)


def _workspace(root: Path | None) -> Workspace:
    return default_workspace() if root is None else Workspace(root.expanduser().absolute())

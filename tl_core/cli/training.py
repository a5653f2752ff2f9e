"""Commands about runs: train, continue, list."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import (
    AsJson,
    ConfigFile,
    OptionalDataDir,
    Quiet,
    RunsDir,
    WorkspaceDir,
    expect_data_dir,
    folder_at,
    workspace_at,
)
from tl_core.cli.exit_codes import EXIT_STOPPED
from tl_core.cli.options import build_config, with_settings
from tl_core.cli.terminal import (
    COMMANDS,
    ProgressLine,
    interval_text,
    percent,
    percent_cell,
    print_json,
    print_table,
    say,
    working,
)
from tl_core.errors import ConfigError, RunError
from tl_core.installation import program_name

if TYPE_CHECKING:
    from tl_core.config.training import TrainConfig
    from tl_core.progress import Monitor
    from tl_core.runs.store import Run
    from tl_core.workspace import Workspace


@with_settings
def train(
    data_dir: OptionalDataDir = None,
    config: ConfigFile = None,
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
    given = {name for name, value in settings.items() if value is not None}
    if resume is not None and (from_run is not None or given):
        raise ConfigError(
            "A run is resumed with the settings it has. Use --from-run to train a new one "
            "from its weights with others."
        )
    if resume is not None and (name is not None or runs_dir is not None):
        raise ConfigError("A run is resumed in its own folder: give no --name and no --runs-dir.")
    if (resume or from_run) is not None and not (data_dir is None and config is None):
        raise ConfigError("A run knows its data and settings: give neither of them with it.")
    place = workspace_at(workspace)
    runs_dir = None if runs_dir is None else folder_at(runs_dir, "of runs")
    with working(quiet, as_json) as (progress, monitor):
        if resume is not None:
            run = _resume(resume, place, progress, monitor)
        elif from_run is not None:
            run = _go_on(from_run, settings, name, runs_dir, place, progress, monitor)
        else:
            images, wanted = expect_data_dir(data_dir), build_config(config, settings)
            run = _begin(images, wanted, name, runs_dir, place, progress, monitor)
    _report_result(run, as_json)


def runs(
    archived: Annotated[bool, typer.Option("--archived", help="Include archived runs.")] = False,
    runs_dir: RunsDir = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
) -> None:
    """List the training runs, the newest first."""
    from tl_core.runs.store import list_runs

    place = workspace_at(workspace).runs_dir if runs_dir is None else folder_at(runs_dir, "of runs")
    listed = list_runs(place, include_archived=archived)
    if as_json:
        print_json([_run_row(run) for run in listed])
    else:
        _print_runs(listed)


def _begin(
    data_dir: Path,
    config: TrainConfig,
    name: str | None,
    runs_dir: Path | None,
    place: Workspace,
    progress: ProgressLine,
    monitor: Monitor,
) -> Run:
    """Train a new run on a data folder under the decisions about it."""
    from tl_core.backbones.blocks import check_settings
    from tl_core.data.audit.findings import unreadable_files
    from tl_core.data.curation.store import load_dataset, with_kept_layout
    from tl_core.data.split import split_dataset
    from tl_core.processes import BackgroundImport
    from tl_core.runs.files import LEFT_OUT_FILE
    from tl_core.runs.store import create_run
    from tl_core.training.memory import check_memory
    from tl_core.training.trainer import train as train_run

    check_settings(config)
    check_memory(config)
    if not (config.augment.is_identity or config.views > 1 or config.fine_tune_blocks):
        progress.note("Note: nothing is augmented with one view of each image; see --views.")
    BackgroundImport()  # takes as long as many scans; the trainer finds it under way
    started = time.monotonic()
    config = with_kept_layout(config, place, data_dir)
    index = load_dataset(data_dir, place, config.layout, monitor=monitor)
    for finding in index.findings:
        if finding.kind == "layout":
            progress.note(f"Note: read as '{index.layout}'. {finding.message} {COMMANDS['layout']}")
    scan_seconds = time.monotonic() - started
    if left_out := unreadable_files(index.findings):
        files = "1 file" if len(left_out) == 1 else f"{len(left_out):,} files"
        progress.note(f"Note: {files} cannot be read: see {LEFT_OUT_FILE} of the run.")
    check_memory(config, index)
    split_dataset(index, config)  # too few images leave no failed run behind
    run = create_run(runs_dir or place.runs_dir, config, index.data_dir, name=name, workspace=place)
    return train_run(
        config,
        index,
        run.run_dir,
        on_event=progress.on_event,
        should_stop=monitor.is_stopped,
        cache_dir=place.cache_dir,
        scan_seconds=scan_seconds,
    )


def _resume(run_dir: Path, place: Workspace, progress: ProgressLine, monitor: Monitor) -> Run:
    """Resume a run, also one that was killed before its training began."""
    from tl_core.jobs.queue import JobQueue
    from tl_core.runs.state_dir import workspace_of
    from tl_core.runs.store import load_run
    from tl_core.training.trainer import resume_run, train_queued

    run = load_run(run_dir)
    job = JobQueue(workspace_of(run.run_dir)).job_of(run.run_dir)
    how = (progress.on_event, monitor.is_stopped)
    if run.state == "queued" and job is None:
        return train_queued(run, *how, cache_dir=place.cache_dir)
    return resume_run(run.run_dir, *how, cache_dir=place.cache_dir)


def _go_on(
    from_run: Path,
    settings: Mapping[str, Any],
    name: str | None,
    runs_dir: Path | None,
    place: Workspace,
    progress: ProgressLine,
    monitor: Monitor,
) -> Run:
    """Fine-tune a new run that starts from the best weights of another."""
    from tl_core.backbones.blocks import check_settings, recommended_blocks
    from tl_core.runs.files import CONFIG_FILE
    from tl_core.runs.store import load_run
    from tl_core.training.memory import check_memory
    from tl_core.training.resume import continue_run
    from tl_core.training.trainer import train_queued

    source = load_run(from_run)
    config = build_config(source.run_dir / CONFIG_FILE, settings)
    if config.fine_tune_blocks == 0:
        config = config.updated(fine_tune_blocks=recommended_blocks(config.backbone))
    check_settings(config)
    check_memory(config)
    run = continue_run(source, config.model_dump(), runs_dir=runs_dir, name=name)
    return train_queued(run, progress.on_event, monitor.is_stopped, cache_dir=place.cache_dir)


def _report_result(run: Run, as_json: bool) -> None:
    """Print how a training went, and leave with its exit code."""
    values = _run_values(run)
    if as_json:
        print_json(values)
    else:
        _print_run(values)
    if run.state == "stopped":
        raise typer.Exit(EXIT_STOPPED)


def _run_values(run: Run) -> dict[str, Any]:
    """Return what ``train --json`` prints: the run's folder and every figure of it."""
    from tl_core.data.split import PARTS
    from tl_core.evaluation.verdict import verdict_of

    history = run.history().astype(object)
    num_images = Counter(row.part for row in run.split())
    return {
        "run_dir": str(run.run_dir),
        "name": run.name,
        "state": run.state,
        "class_names": list(run.class_names),
        "num_images": {part: num_images[part] for part in PARTS},
        "val_accuracy": None,
        "test_accuracy": None,
        "seconds": {},
        "images_per_second": None,
        **run.metrics,
        "verdict": [{"kind": one.kind, "text": one.text} for one in verdict_of(run)],
        "history": history.where(history.notna(), None).to_dict(orient="records"),
    }


def _print_run(values: dict[str, Any]) -> None:
    """Print how a training run went, from :func:`_run_values`."""
    if values["state"] == "stopped":
        epoch = values.get("best_epoch")
        kept = "no weights yet" if epoch is None else f"the weights of epoch {epoch + 1} are kept"
        say(f"stopped early, {kept}")
    for part in ("val", "test"):
        if (share := values.get(f"{part}_accuracy")) is not None:
            interval = interval_text(values[f"{part}_interval"])
            num_images = values["num_images"][part]
            say(f"{part} accuracy  {percent(share)} {interval} on {num_images:,} images")
    if seconds := values["seconds"]:
        parts = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
        say(f"seconds  {parts}")
    for remark in values["verdict"]:
        say(f"verdict  {remark['text']}")
    say(f"run  {_near(Path(values['run_dir']))}")


def _run_row(run: Run) -> dict[str, Any]:
    """Return what ``runs --json`` prints of one run, also of one that cannot be read."""
    try:
        backbone, metrics = run.config.backbone, run.metrics
    except RunError:
        backbone, metrics = None, {}
    return {
        "run_dir": str(run.run_dir),
        "name": run.name,
        "state": run.state,
        "backbone": backbone,
        "val_accuracy": metrics.get("val_accuracy"),
        "test_accuracy": metrics.get("test_accuracy"),
        "created": run.created.isoformat(timespec="seconds"),
        "message": run.message,
    }


def _print_runs(runs: Sequence[Run]) -> None:
    """Print runs as a table."""
    if not runs:
        say(f"No runs yet. Train one: {program_name()} train DATA_DIR")
        return
    rows = []
    for run in runs:
        row = _run_row(run)
        when = run.created.astimezone().strftime("%Y-%m-%d %H:%M")
        figures = [percent_cell(row["val_accuracy"]), percent_cell(row["test_accuracy"])]
        named = "" if run.name == run.id else run.name
        rows.append((run.id, named, run.state, row["backbone"] or "-", *figures, when))
    print_table(("run", "name", "state", "backbone", "val", "test", "when"), rows)


def _near(path: Path) -> Path:
    """Return the path relative to the current folder if it is inside it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path

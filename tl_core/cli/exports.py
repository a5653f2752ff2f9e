"""Commands about models for other programs: exporting a run, the table of formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, Quiet, RunDir, WorkspaceDir, workspace_at
from tl_core.cli.terminal import percent, print_json, print_table, say, working
from tl_core.errors import ConfigError
from tl_core.files import expand

if TYPE_CHECKING:
    from tl_core.export.exporter import Export


def export(
    run_dir: RunDir,
    out_dir: Annotated[
        Path,
        typer.Option(
            "--out", metavar="DIR", help="New folder; with several formats, their parent."
        ),
    ],
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", metavar="NAME", help="See: formats. Repeatable.  [litert]"),
    ] = None,
    with_examples: Annotated[
        bool,
        typer.Option(
            "--with-examples",
            help="Put test photos into a page for visitors to try; they are public with it.",
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the model; by default the run's.")
    ] = None,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write a run as a model for other programs, and prove that it answers as the app does."""
    from tl_core.export.exporter import export_run
    from tl_core.export.formats import get_format

    names = list(dict.fromkeys(formats or ["litert"]))
    for one in names:
        get_format(one)
    if len(names) < len(formats or names):
        raise ConfigError(f"Expected each format once, received {', '.join(formats or [])}.")
    out, cache_dir = expand(out_dir), workspace_at(workspace).cache_dir
    exports = []
    with working(quiet, as_json) as (progress, monitor):
        for one in names:
            progress.note(f"exporting {one}")
            exports.append(
                export_run(
                    run_dir,
                    one,
                    out if len(names) == 1 else out / one,
                    name=name,
                    with_examples=with_examples,
                    cache_dir=cache_dir,
                    **monitor.callbacks,
                )
            )
    if as_json:
        print_json([one.to_dict() for one in exports])
    else:
        _print_exports(exports)


def formats(as_json: AsJson = False) -> None:
    """List the formats a run can be exported in."""
    from tl_core.export.formats import FORMATS

    if as_json:
        print_json([_format_values(row) for row in FORMATS.values()])
        return
    rows = [
        (row.name, row.runtime, "yes" if row.is_available else row.install_command, row.purpose)
        for row in FORMATS.values()
    ]
    print_table(("format", "opened by", "available", "for"), rows)


def _format_values(row: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "purpose": row.purpose,
        "runtime": row.runtime,
        "files": list(row.files),
        "available": row.is_available,
        "install": row.install_command,
    }


def _print_exports(exports: list[Export]) -> None:
    """Print where each export is and how closely it agrees with the app."""
    rows, notes = [], []
    for one in exports:
        size = sum(info.bytes for info in one.info.files.values())
        parity = one.parity or {}
        is_proven = bool(parity.get("agrees"))
        if reason := parity.get("not_proven"):
            notes.append(f"{one.format.title}: not proven here, because {reason}.")
        rows.append(
            (
                one.format.name,
                f"{size / 1e6:,.1f} MB",
                percent(parity["top1_agreement"]) if is_proven else "not compared",
                f"{parity['max_difference']:.1g}" if is_proven else "",
                f"{parity['images_per_second']:,.0f}" if is_proven else "",
                str(one.folder),
            )
        )
    print_table(("format", "size", "same answer", "difference", "images/s", "folder"), rows)
    for note in notes:
        say(note)
    naive = next(
        (found for one in exports if (found := (one.parity or {}).get("naive_resize"))), None
    )
    if naive is not None:
        say(
            f"\nKeep the resize of predict.py: with a plain bilinear one, as OpenCV does it, the "
            f"answer changes on {percent(1 - naive['top1_agreement'])} of {naive['num_photos']} "
            "photos."
        )

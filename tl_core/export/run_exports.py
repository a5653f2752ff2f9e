"""The exports kept with a run, in its folder as ``exports/<format>``; they go with it."""

from __future__ import annotations

from pathlib import Path

from tl_core.errors import ExportError
from tl_core.export.exporter import Export, load_export
from tl_core.export.formats import get_format
from tl_core.files import delete_folder, read_json, write_json
from tl_core.runs.store import Run

EXPORTS_DIR = "exports"


def export_folder(run: Run, format_name: str) -> Path:
    """Return where a run's export in a format is kept."""
    return run.run_dir / EXPORTS_DIR / get_format(format_name).name


def find_export(run: Run, format_name: str) -> Export | None:
    """Return a run's export in a format; None when there is none that can be read."""
    try:
        return load_export(export_folder(run, format_name), format_name)
    except ExportError:
        return None


def export_failure(run: Run, format_name: str) -> str:
    """Return why the last export in a format failed; empty when it did not."""
    try:
        return str(read_json(_failure_path(run, format_name))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def write_failure(run: Run, format_name: str, reason: str) -> None:
    """Keep why an export failed."""
    write_json(_failure_path(run, format_name), {"reason": reason})


def delete_export(run: Run, format_name: str) -> None:
    """Delete a run's export in a format, and why the last one failed."""
    _failure_path(run, format_name).unlink(missing_ok=True)
    if (folder := export_folder(run, format_name)).exists():
        delete_folder(folder)


def _failure_path(run: Run, format_name: str) -> Path:
    return export_folder(run, format_name).with_suffix(".failed.json")

"""The exports kept with a run, in its folder as ``exports/<format>``; they go with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tl_core.errors import ExportError, TLError
from tl_core.export.exporter import Export, load_export
from tl_core.export.formats import get_format
from tl_core.export.model_info import ModelInfo, describe_run
from tl_core.files import delete_folder, read_json, scratch_folder, write_json
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


def describe_now(run: Run) -> ModelInfo | None:
    """Describe a run as it answers now; None if it cannot be read."""
    try:
        return describe_run(run)
    except TLError:
        return None


def is_outdated(export: Export, now: ModelInfo | None) -> bool:
    """Return whether a run answers differently than when it was exported.

    It was trained further since, or other limits of "none of these" were chosen.

    Args:
        export: of the run.
        now: from :func:`describe_now`.
    """
    if now is None:
        return False
    made = export.info
    has_other_weights = made.weights not in ("", now.weights)
    return has_other_weights or (made.temperature, made.rejection) != (
        now.temperature,
        now.rejection,
    )


@contextmanager
def replacing_export(run: Run, format_name: str) -> Iterator[Path]:
    """Yield where to write an export, which then takes the place of an earlier one.

    The earlier one is kept if the new one fails or is stopped. Of a run that is deleted meanwhile
    nothing is left.
    """
    target = export_folder(run, format_name)
    try:
        with scratch_folder(target) as scratch:
            made = scratch / target.name
            yield made
            if not _is_deleted(run):
                if target.exists():
                    delete_folder(target)
                made.rename(target)
    finally:
        if _is_deleted(run):
            for folder in (target.parent, run.run_dir):  # those that writing made again
                with suppress(OSError):
                    folder.rmdir()


def export_failure(run: Run, format_name: str) -> str:
    """Return why the last export in a format failed; empty when it did not."""
    try:
        return str(read_json(_failure_path(run, format_name))["reason"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def write_failure(run: Run, format_name: str, reason: str) -> None:
    """Keep why an export failed, unless the run was deleted meanwhile."""
    if not _is_deleted(run):
        write_json(_failure_path(run, format_name), {"reason": reason})


def forget_failure(run: Run, format_name: str) -> None:
    """Forget why the last export in a format failed."""
    _failure_path(run, format_name).unlink(missing_ok=True)


def _is_deleted(run: Run) -> bool:
    """Whether there is nothing of a run but what exports wrote."""
    try:
        return all(path.name == EXPORTS_DIR for path in run.run_dir.iterdir())
    except FileNotFoundError:
        return True


def _failure_path(run: Run, format_name: str) -> Path:
    return export_folder(run, format_name).with_suffix(".failed.json")

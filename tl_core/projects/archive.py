"""A project as one zip, to keep or to carry to another machine.

What a zip may not do is checked in :mod:`tl_core.data.ingest.zip_reader`. Of what passes, only
files that an export has are taken: photos and label lists below ``data/``, and the plain files of
runs and searches. One entry of another kind refuses the whole zip.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from tl_core.data.curation.edits import UNREADABLE, Decisions
from tl_core.data.curation.store import kept_layout, load_decisions
from tl_core.data.file_names import UniqueNames, UnsafeName, debris_kind, safe_component
from tl_core.data.images.images import SUFFIXES
from tl_core.data.images.signatures import holds_image
from tl_core.data.ingest.archive import check_room
from tl_core.data.ingest.zip_reader import ZipEntry, read_entries, refusal, stream_entry
from tl_core.errors import ArchiveError, DatasetError, LimitError, TakenError
from tl_core.files import expand, new_folder, read_json, replacing, size_text, write_json
from tl_core.progress import SILENT, Monitor
from tl_core.projects.bundle import (
    BUNDLE_FILE,
    DATA_FOLDER,
    DECISIONS_FILE,
    RUNS_FOLDER,
    SEARCHES_FOLDER,
    manifest_of,
    move_in,
    new_bundle_path,
    read_manifest,
)
from tl_core.projects.registry import Project, runs_of, searches_of
from tl_core.runs.files import ORIGIN_FILE, STATUS_FILE, now
from tl_core.runs.state_dir import WorkFolder
from tl_core.workspace import Workspace

MAX_FILES = 200_000
MAX_BYTES = 64 * 2**30

_LABEL_SUFFIXES = frozenset(
    f".{name}"
    for name in ("csv", "tsv", "txt", "json", "jsonl", "ndjson", "xml", "yaml", "yml", "names")
)
_WORK_SUFFIXES = frozenset((".json", ".jsonl", ".csv", ".txt", ".safetensors"))
_MAX_JSON_BYTES = 64 * 2**20
_HEAD_BYTES = 32
_MAX_DEPTH = 15  # one less than a zip may have, for the folder ``data/``


@dataclass(frozen=True)
class ExportReport:
    """What is in an exported zip.

    Attributes:
        path: of the zip.
        num_files: photos and label lists.
        num_runs: runs; those under way are left out.
        num_searches: likewise.
        skipped: files of the data folder that were left out: neither photos nor lists, or in more
            than 15 folders.
    """

    path: Path
    num_files: int
    num_runs: int
    num_searches: int
    skipped: tuple[str, ...]


def export_project(
    workspace: Workspace,
    project: Project,
    out_path: str | os.PathLike[str],
    *,
    monitor: Monitor = SILENT,
) -> ExportReport:
    """Write a project whole into a zip: photos, decisions, finished runs and searches.

    Nothing is packed smaller, for photos are packed already. The zip appears whole or not at all.

    Args:
        workspace: where the project is.
        project: what to export.
        out_path: the new zip; its name ends in ``.zip``.
        monitor: counts the files, in stage ``"copy"``; checked between them.

    Raises:
        DatasetError: the data folder is missing, ``out_path`` is taken, lies in the data folder or
            cannot be written, or a file has gone.
        Stopped: ``monitor`` was asked to stop; nothing is left behind.
    """
    out = expand(out_path).absolute()
    if project.is_missing:
        raise DatasetError(
            f"The folder of '{project.title}' is missing: '{project.path}'. Re-link it first."
        )
    if out.suffix.lower() != ".zip" or out.is_relative_to(project.path.absolute()):
        raise DatasetError(
            f"Expected a file outside of the photos that ends in '.zip', received '{out}'."
        )
    try:
        _check_is_free(out)
        with replacing(out) as written:
            report = _write_zip(workspace, project, written, monitor)
            _check_is_free(out)
    except TakenError:
        raise
    except OSError as error:
        raise DatasetError(
            f"The project could not be exported to '{out}' ({error.strerror or error}). Nothing of "
            "it was kept: make room, or choose another place."
        ) from error
    return replace(report, path=out)


def import_project(
    workspace: Workspace,
    source: Path | BinaryIO,
    *,
    monitor: Monitor = SILENT,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> Project:
    """Add an exported project to a workspace, beside one of the same name if there is one.

    The photos go to a dataset of the workspace. Runs that were not finished are stopped.

    Args:
        workspace: where to.
        source: path of the zip, or a binary file that can seek.
        monitor: counts the bytes unpacked; checked between pieces of 256 KiB.
        max_files: most files that are taken.
        max_bytes: most bytes that they may unpack to.

    Raises:
        ArchiveError: the zip is refused; the message names the entry and the reason.
        LimitError: the workspace is that of a demo's visitor.
        Stopped: ``monitor`` was asked to stop; nothing is left behind.
    """
    if workspace.host is not None:
        raise LimitError("This demo imports no projects. Add the photos as a zip.")
    with ExitStack() as stack:
        if isinstance(source, Path):
            try:
                file: BinaryIO = stack.enter_context(source.open("rb"))
            except OSError as error:
                raise ArchiveError(f"Cannot open '{source.name}': {error.strerror}.") from error
        else:
            file = source
        bundle = new_bundle_path(workspace)
        try:
            entries = _plan(read_entries(file, max_files), max_bytes)
            with new_folder(bundle) as folder:  # once it is there it can be restored after a kill
                check_room(folder, sum(entry.num_bytes for entry in entries))
                _unpack(file, entries, folder, monitor)
                _check_unpacked(folder)
        except ArchiveError as error:
            raise ArchiveError(f"The project was not imported. {error}") from error
        except DatasetError as error:
            raise ArchiveError(f"The project was not imported: {error}") from error
        except OSError as error:
            raise ArchiveError(
                f"The project was not imported: it could not be unpacked ({error.strerror})."
            ) from error
        return move_in(workspace, bundle)


def _check_is_free(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise TakenError(
            f"Expected the name of a new file, but '{out.name}' exists. Choose another name."
        )


def _write_zip(
    workspace: Workspace, project: Project, path: Path, monitor: Monitor
) -> ExportReport:
    book, skipped = UniqueNames(), []
    files: list[tuple[Path, str]] = []
    renamed: dict[str, str] = {}
    for relative, source in _data_files(project.path):
        parts = PurePosixPath(relative).parts
        if not _is_data(relative, source) or len(parts) > _MAX_DEPTH:
            skipped.append(relative)
            continue
        place = book.place(parts).as_posix()
        if place != relative:
            renamed[relative] = place
        files.append((source, f"{DATA_FOLDER}/{place}"))
    num_files = len(files)
    runs = [run for run in runs_of(workspace, project, include_archived=True) if _is_over(run)]
    searches = [one for one in searches_of(workspace, project) if _is_over(one)]
    for name, work in ((RUNS_FOLDER, runs), (SEARCHES_FOLDER, searches)):
        for one in work:
            files += [
                (path, f"{name}/{safe_component(one.id)}/{path.name}")
                for path in _work_files(one.folder)
            ]
    manifest = manifest_of(workspace, project, kept_layout(workspace, project.path))
    decisions = load_decisions(workspace, project.path)
    stage = monitor.stage("copy", len(files))
    # A zip knows no time before 1980: such a file gets that year.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        exported = replace(manifest, data_dir="").to_dict()
        archive.writestr(BUNDLE_FILE, json.dumps(exported, indent=2, ensure_ascii=False))
        if decisions.steps or decisions.undone:
            text = json.dumps(_with_paths(decisions.to_dict(), renamed), ensure_ascii=False)
            archive.writestr(DECISIONS_FILE, text)
        for source, name in files:
            monitor.check()
            if not source.is_file():
                raise DatasetError(f"Expected the file '{source}', but it has gone. Export again.")
            archive.write(source, name)
            stage.advance()
    return ExportReport(path, num_files, len(runs), len(searches), tuple(skipped))


def _data_files(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the visible files below a data folder with their paths relative to it, sorted.

    A link counts as the file it leads to, if that is in the folder as well.
    """
    inside = Path(os.path.realpath(root))
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if debris_kind([name]) is None)
        for name in sorted(names):
            source = Path(folder, name)
            is_ours = Path(os.path.realpath(source)).is_relative_to(inside)
            if debris_kind([name]) is None and is_ours and source.is_file():
                yield source.relative_to(root).as_posix(), source


def _is_data(name: str, source: Path) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in SUFFIXES or suffix in _LABEL_SUFFIXES:
        return True
    with source.open("rb") as file:
        return holds_image(file.read(_HEAD_BYTES))


def _is_over(work: WorkFolder) -> bool:
    return not work.is_active


def _work_files(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in _WORK_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def _with_paths(decisions: dict[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return decisions about the names that the photos have in the zip."""
    for step in (*decisions["steps"], *decisions["undone"]):
        for decision in step["decisions"]:
            decision["path"] = renamed.get(decision["path"], decision["path"])
    return decisions


def _plan(entries: list[ZipEntry], max_bytes: int) -> list[ZipEntry]:
    """Return the entries to unpack; refuse any that no export has."""
    book = UniqueNames()
    taken = []
    for entry in entries:
        if debris_kind(entry.parts) is not None or entry.is_folder:
            continue  # what a system adds when the zip was unpacked and packed again
        try:
            is_plain = book.place(entry.parts).parts == entry.parts
        except UnsafeName as error:
            raise refusal(entry.name, str(error)) from None
        if not (is_plain and _is_part(entry.parts)):
            raise refusal(entry.name, "is not part of an exported project")
        if entry.parts[-1].endswith(".json") and entry.num_bytes > _MAX_JSON_BYTES:
            raise refusal(entry.name, "is larger than such a file can be")
        taken.append(entry)
    if BUNDLE_FILE not in {entry.parts[0] for entry in taken}:
        raise ArchiveError(
            f"It has no {BUNDLE_FILE}: expected a project that this studio exported. Photos alone "
            "are added on the Data page."
        )
    num_bytes = sum(entry.num_bytes for entry in taken)
    if num_bytes > max_bytes:
        raise ArchiveError(
            f"It unpacks to {size_text(num_bytes)}; the limit is {size_text(max_bytes)}."
        )
    return taken


def _is_part(parts: tuple[str, ...]) -> bool:
    """Return whether an export has a file of that place; below ``data/`` its content decides."""
    if len(parts) == 1:
        return parts[0] in (BUNDLE_FILE, DECISIONS_FILE)
    if parts[0] == DATA_FOLDER:
        return True
    suffix = PurePosixPath(parts[-1]).suffix
    is_work = parts[0] in (RUNS_FOLDER, SEARCHES_FOLDER)
    return is_work and len(parts) == 3 and suffix in _WORK_SUFFIXES


def _unpack(file: BinaryIO, entries: list[ZipEntry], folder: Path, monitor: Monitor) -> None:
    stage = monitor.stage("unpack", sum(entry.num_bytes for entry in entries))
    for entry in entries:
        target = folder.joinpath(*entry.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for piece in stream_entry(file, entry):
                monitor.check()
                out.write(piece)
                stage.advance(len(piece))
        if entry.parts[0] == DATA_FOLDER and not _is_data(entry.parts[-1], target):
            raise refusal(entry.name, "is neither a photo nor a list of labels")
    stage.report()


def _check_unpacked(folder: Path) -> None:
    """Read all that other code will rely on, and make it this workspace's.

    Raises:
        DatasetError: something is not as an export has it.
    """
    manifest = read_manifest(folder)
    replace(manifest, data_dir="", target="", deleted=now()).write(folder)
    (folder / DATA_FOLDER).mkdir(exist_ok=True)
    if (folder / DECISIONS_FILE).exists():
        try:
            Decisions.from_dict(read_json(folder / DECISIONS_FILE))
        except UNREADABLE as error:
            raise DatasetError(f"Its {DECISIONS_FILE} cannot be read: {error}") from error
    for place in (folder / RUNS_FOLDER, folder / SEARCHES_FOLDER):
        for work in sorted(place.iterdir()) if place.is_dir() else ():
            _check_work(work)


def _check_work(work: Path) -> None:
    name = f"{work.parent.name}/{work.name}"
    for path in sorted(work.glob("*.json")):
        try:
            read_json(path)
        except (OSError, ValueError) as error:
            raise DatasetError(f"Its '{name}/{path.name}' cannot be read: {error}") from error
    try:
        origin, status = read_json(work / ORIGIN_FILE), read_json(work / STATUS_FILE)
        # Another workspace's decisions do not come along, and a run is named by its id alone.
        origin = {key: value for key, value in origin.items() if key != "workspace"}
        if not _is_name(origin.get("from_run")):
            origin.pop("from_run", None)
        write_json(work / ORIGIN_FILE, {**origin, "data_dir": ""})
        if status.get("state") in ("queued", "running"):
            reason = "It was not finished when the project was exported."
            write_json(work / STATUS_FILE, {**status, "state": "stopped", "message": reason})
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError(f"Its '{name}' is no run or search: {error}") from error


def _is_name(value: object) -> bool:
    return isinstance(value, str) and PurePosixPath(value).name == value != ".."

"""Models of others in the workspace: bundles that came as a zip, checked before they are kept.

A bundle is hostile input. Of its zip only the files of :mod:`~tl_core.inference.model_bundle` and
the text of the model card are unpacked, and nothing is kept unless all checks there pass.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tl_core.data.ingest.zip_reader import ZipEntry, read_entries, stream_entry
from tl_core.errors import ArchiveError, ExportError
from tl_core.files import delete_folder, is_plain_text, scratch_folder
from tl_core.inference.model_bundle import (
    BACKBONE_FILE,
    DETECTOR_FILE,
    HEAD_FILE,
    MAX_BYTES,
    check_engine,
    read_bundle,
)
from tl_core.inference.model_info import MODEL_FILE, ModelInfo, file_info, read_model_info
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import Workspace

CARD_FILE = "README.md"

_MAX_ENTRIES = 1000
_MAX_TEXT_BYTES = 8 * 2**20
_MAX_CARD_BYTES = 2**18
_LIMITS = {**MAX_BYTES, MODEL_FILE: _MAX_TEXT_BYTES, CARD_FILE: _MAX_CARD_BYTES}
_NEEDED = (MODEL_FILE, BACKBONE_FILE, HEAD_FILE)
_KEPT = (*_NEEDED, DETECTOR_FILE, CARD_FILE)
_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class ImportedModel:
    """A model of the workspace that was not trained in it.

    Attributes:
        id: by its content.
        folder: a bundle, for :func:`~tl_core.inference.predict.load_predictor`.
        info: its description. All text in it comes from a stranger.
    """

    id: str
    folder: Path
    info: ModelInfo

    @property
    def card(self) -> str:
        """The text of its model card, from a stranger; empty if it has none."""
        try:
            text = (self.folder / CARD_FILE).read_text("utf-8", errors="replace")
        except OSError:
            return ""
        return text if is_plain_text(text) else ""


def import_model(
    workspace: Workspace, file: BinaryIO, *, monitor: Monitor = SILENT
) -> ImportedModel:
    """Unpack a bundle's zip into the workspace; one that is there already is returned.

    Args:
        workspace: where it is kept, until :func:`remove_model`.
        file: the zip, as Share downloads it or ``tl export --format bundle`` zipped.
        monitor: counts the bytes in the stage ``"unpack"``; checked between files.

    Raises:
        ExportError: it is no such zip, or some part of it fails a check; nothing was kept.
        StorageError: the disk is full or read-only.
        Stopped: ``monitor`` was asked to stop.
    """
    try:
        entries = _choose(read_entries(file, _MAX_ENTRIES))
        with scratch_folder(workspace.models_dir / "import") as folder:
            bundle = folder / "model"
            bundle.mkdir()
            stage = monitor.stage("unpack", sum(entry.num_bytes for entry in entries.values()))
            for name, entry in entries.items():
                with (bundle / name).open("xb") as target:
                    for piece in stream_entry(file, entry):
                        monitor.check()
                        target.write(piece)
                        stage.advance(len(piece))
            checked = read_bundle(bundle)
            check_engine(checked)
            model_id = file_info(bundle / MODEL_FILE).sha256[:16]
            place = workspace.models_dir / model_id
            if not place.exists():
                bundle.rename(place)
    except (ArchiveError, ExportError) as error:
        raise ExportError(f"The model was not imported. {error}") from error
    return ImportedModel(model_id, place, checked.info)


def list_models(workspace: Workspace) -> list[ImportedModel]:
    """Return the imported models, by name; folders that hold none are passed over."""
    found = []
    with suppress(OSError):
        for folder in workspace.models_dir.iterdir():
            if _ID.fullmatch(folder.name):
                with suppress(ExportError):
                    found.append(ImportedModel(folder.name, folder, read_model_info(folder)))
    return sorted(found, key=lambda model: (model.info.name.casefold(), model.id))


def remove_model(workspace: Workspace, model_id: str) -> None:
    """Delete an imported model; one that is gone already is passed over."""
    if _ID.fullmatch(model_id):
        with suppress(FileNotFoundError):
            delete_folder(workspace.models_dir / model_id)


def _choose(entries: list[ZipEntry]) -> dict[str, ZipEntry]:
    """Return the entries to unpack by file name: those at the top, or in the one folder there."""
    found: dict[str, ZipEntry] = {}
    folders = {entry.parts[:-1] for entry in entries if entry.parts[-1] == MODEL_FILE}
    if len(folders) != 1 or any(len(folder) > 1 for folder in folders):
        raise ExportError(
            f"Expected a bundle with one {MODEL_FILE}, as Share downloads it, received a zip with "
            f"{'none' if not folders else 'another layout'}."
        )
    (folder,) = folders
    for entry in entries:
        name = entry.parts[-1]
        if entry.is_folder or entry.parts[:-1] != folder or name not in _KEPT:
            continue
        if name in found:
            raise ExportError(f"Its entry '{name}' is there twice.")
        if entry.num_bytes > _LIMITS[name]:
            raise ExportError(
                f"'{name}' has {entry.num_bytes / 1e6:,.0f} MB, at most "
                f"{_LIMITS[name] / 1e6:,.0f} are read."
            )
        found[name] = entry
    for name in _NEEDED:
        if name not in found:
            raise ExportError(
                f"Expected '{name}' in the zip. Choose the format 'bundle' on Share: no other "
                "format can be imported."
            )
    return found

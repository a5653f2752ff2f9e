"""Saved augmentation settings: named, stored in the workspace, shared as small JSON files."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig
from tl_core.data.file_names import path_key, safe_component
from tl_core.errors import ConfigError
from tl_core.files import parse_json, write_text
from tl_core.visitors.writing import writing
from tl_core.workspace import Workspace

MAX_NAME = 40
MAX_BYTES = 64 * 1024
MAX_PRESETS = 200  # of a workspace; a page lists all of them
_SUFFIX = ".json"
_FIELDS = {"preset", "augment"}


@dataclass(frozen=True)
class Preset:
    """Named augmentation settings."""

    name: str
    augment: AugmentConfig

    @property
    def file_name(self) -> str:
        """The name of its file, in the workspace and for download."""
        return f"{self.name}{_SUFFIX}"

    def to_json(self) -> str:
        """Return the preset as JSON that :meth:`from_json` can read."""
        values = {"preset": self.name, "augment": self.augment.model_dump(mode="json")}
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, data: str | bytes) -> Preset:
        """Read a preset written by :meth:`to_json`; the input is not trusted.

        Raises:
            ConfigError: it is not a preset, too large, or has an invalid setting.
        """
        if len(data) > MAX_BYTES:
            raise ConfigError(f"Expected a preset of a few lines, received {len(data):,} bytes.")
        try:
            values = parse_json(data if isinstance(data, str) else data.decode("utf-8-sig"))
        except ValueError as error:
            raise ConfigError("Expected a preset as JSON; this file is not JSON.") from error
        if not _is_preset(values):
            raise ConfigError(
                "Expected a preset with 'preset' (its name) and 'augment' (its settings); "
                "this JSON is something else."
            )
        return cls(clean_name(values["preset"]), AugmentConfig.create(values["augment"]))


def clean_name(text: str) -> str:
    """Return a name as stored, valid on every file system and not that of a built-in preset.

    Raises:
        ConfigError: it is empty, too long, or that of a built-in preset.
    """
    name = safe_component(" ".join(text.split()))
    if not name.strip("_ "):
        raise ConfigError("Expected a name for the preset, with at least one letter or digit.")
    if len(name) > MAX_NAME:
        raise ConfigError(
            f"Expected a name of at most {MAX_NAME} characters, received {len(name)}."
        )
    if name.casefold() in AUGMENT_PRESETS:
        raise ConfigError(f"'{name}' is a built-in preset. Choose another name.")
    return name


def list_presets(workspace: Workspace) -> list[Preset]:
    """Return the saved presets by name; invalid files are skipped."""
    try:
        paths = sorted(workspace.presets_dir.iterdir())
    except OSError:
        return []
    found = []
    for path in paths:
        if path.suffix != _SUFFIX or path.name.startswith("."):
            continue
        with suppress(ConfigError):
            if clean_name(path.stem) == path.stem:
                found.append(Preset(path.stem, read_preset(path).augment))
    return sorted(found, key=lambda preset: preset.name.casefold())


def save_preset(workspace: Workspace, name: str, augment: AugmentConfig) -> Preset:
    """Save settings under a name, replacing a preset of that name, ignoring case.

    Raises:
        ConfigError: the name cannot be used, there are as many presets as can be, or the file
            cannot be written.
        LimitError: a visitor of a demo may write no more, or gets no place.
    """
    preset = Preset(clean_name(name), augment)
    replaced = _path_of(workspace, preset.name)
    if replaced is None and len(list_presets(workspace)) >= MAX_PRESETS:
        raise ConfigError(f"There are {MAX_PRESETS} presets, the most that can be. Delete some.")
    text = preset.to_json()
    try:
        with writing(workspace.presets_dir) as written:
            before = None if replaced is None else replaced.stat().st_size
            written.add(0, new=len(text.encode()), old=before)
            write_text(workspace.presets_dir / preset.file_name, text)
        if replaced is not None and replaced.name != preset.file_name:
            replaced.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"Cannot save the preset: {error.strerror or error}.") from error
    return preset


def import_preset(workspace: Workspace, data: bytes) -> Preset:
    """Import a preset file; if the name is used for other settings, it is saved under another.

    Raises:
        ConfigError: it is not a preset, or cannot be saved; nothing was changed.
    """
    preset = Preset.from_json(data)
    taken = {_key(one.name): one for one in list_presets(workspace)}
    name, number = preset.name, 1
    while (held := taken.get(_key(name))) is not None:
        if held.augment == preset.augment:
            return held
        number += 1
        mark = f" {number}"
        name = clean_name(preset.name[: MAX_NAME - len(mark)] + mark)  # as it would be stored
    return save_preset(workspace, name, preset.augment)


def delete_preset(workspace: Workspace, name: str) -> None:
    """Delete a saved preset; a missing one is not an error.

    Raises:
        ConfigError: its file cannot be deleted.
    """
    path = _path_of(workspace, name)
    try:
        if path is not None:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"Cannot delete the preset: {error.strerror or error}.") from error


def read_preset(path: str | Path) -> Preset:
    """Read a preset's file.

    Raises:
        ConfigError: it cannot be read, or is not a preset.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"Cannot read '{path}': {error.strerror or error}.") from error
    try:
        return Preset.from_json(data)
    except ConfigError as error:
        raise ConfigError(f"Cannot use '{path}': {error}") from error


def _is_preset(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and set(values) == _FIELDS
        and isinstance(values["preset"], str)
        and isinstance(values["augment"], dict)
    )


def _key(name: str) -> str:
    """Return a key, equal for names that would be one file on some file system."""
    return path_key(PurePosixPath(name))


def _path_of(workspace: Workspace, name: str) -> Path | None:
    """Return the file of the preset of that name, ignoring case, or None."""
    wanted = _key(name)
    for preset in list_presets(workspace):
        if _key(preset.name) == wanted:
            return workspace.presets_dir / preset.file_name
    return None

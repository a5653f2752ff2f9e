"""Export a run: write it in a format, prove that it agrees with the app, describe it."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_core.data.dataset import DatasetIndex
from tl_core.errors import ConfigError, DatasetError, ExportError
from tl_core.evaluation.evaluate import evaluate_run
from tl_core.export.card import CARD_FILE, model_card
from tl_core.export.formats import FORMATS, Format, get_format
from tl_core.export.model_info import (
    ModelInfo,
    describe_run,
    read_model_info,
    write_model_info,
)
from tl_core.export.parity import PARITY_FILE, check_parity, choose_photos, refusal
from tl_core.export.predict_script import write_predict_script
from tl_core.export.web.parity import check_page
from tl_core.export.write import write_in_child
from tl_core.files import check_is_new, new_folder, read_json, write_json, write_text
from tl_core.inference.predict import load_predictor
from tl_core.progress import Monitor, OnProgress, ShouldStop
from tl_core.runs.images import load_images_of
from tl_core.runs.store import Run, load_run
from tl_core.workspace import default_workspace

__all__ = ["Export", "export_run", "load_export", "zip_export"]

_LEFT_OUT = ("data_dir", "class_names", "skipped", "temperature")


@dataclass(frozen=True, eq=False)
class Export:
    """A finished export.

    Args:
        folder: where it is.
        format: its row of the table of formats.
        info: the content of its ``model.json``.
        parity: the content of its ``parity.json``; None for a format that is not compared.
    """

    folder: Path
    format: Format
    info: ModelInfo
    parity: dict[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """Return values that JSON can say."""
        return {
            "folder": str(self.folder),
            "format": self.format.name,
            "files": {name: one.bytes for name, one in self.info.files.items()},
            "parity": self.parity,
        }


def export_run(
    run_dir: str | os.PathLike[str],
    format_name: str,
    out_dir: str | os.PathLike[str],
    *,
    name: str | None = None,
    with_examples: bool = False,
    cache_dir: Path | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Export:
    """Write a run as a model for other programs, whole or not at all.

    The folder holds the model's files, ``model.json``, ``predict.py`` with ``requirements.txt``,
    ``parity.json`` and ``README.md``, the model card. A model that does not agree with the app is
    not kept. A page is compared in a browser of this machine; where there is none, that is said.

    Args:
        run_dir: a run with weights that is not being trained.
        format_name: a name from :data:`~tl_core.export.formats.FORMATS`.
        out_dir: a folder that does not exist yet, or is empty.
        name: the model's name in ``model.json``, on its card and its page; by default the run's.
        with_examples: put photos of the test part into the export for visitors to try. They are
            then public wherever it is published.
        cache_dir: where scans, features and converted backbones are kept; by default the default
            workspace's.
        on_progress: called with the progress of the scan, the features, and the stages
            ``"export"`` and ``"parity"``.
        should_stop: asked meanwhile.

    Raises:
        ConfigError: there is no such format, or it has no place for examples.
        ExportError: a package is missing, the conversion failed, or the result does not agree.
        RunError: there is no such run, or it has no weights.
        TakenError: ``out_dir`` holds something.
        Stopped: ``should_stop`` returned True.

    Examples:
        >>> from tl_core import export_run
        >>> export = export_run("runs/first", "litert", "exported")
        >>> export.info.class_names
        ('cat', 'dog')
        >>> export.parity["agrees"]
        True
    """
    monitor = Monitor(on_progress, should_stop)
    row, out = get_format(format_name), Path(out_dir).absolute()
    if not row.is_available:
        raise ExportError(
            f"{row.title} needs {', '.join(row.missing)}, which is not installed. "
            f"Install it with: {row.install_command}"
        )
    if with_examples and not row.has_examples:
        known = ", ".join(one.name for one in FORMATS.values() if one.has_examples)
        raise ConfigError(f"Expected examples with one of {known}, received '{row.name}'.")
    run = load_run(Path(run_dir))
    if run.is_active:
        raise ExportError(
            f"Run '{run.name}' is {run.state}, so its weights may still change. "
            "Wait until it ends, or stop it."
        )
    check_is_new(out)
    cache_dir = cache_dir or default_workspace().cache_dir
    # First, for evaluating also computes a temperature that an older run lacks.
    metrics = _evaluate(run, cache_dir, monitor)
    info = describe_run(run, metrics, row.input_dtype, name)
    with new_folder(out) as folder:
        write_model_info(folder, info)
        write_in_child(run, row, folder, cache_dir, monitor, with_examples=with_examples)
        parity = None
        if row.open_code is not None:
            write_predict_script(folder, row.open_code, row.requirements)
            parity = check_parity(
                row,
                folder,
                info,
                load_predictor(run.run_dir, cache_dir),
                choose_photos(run, _own_images(run, cache_dir)),
                monitor=monitor,
            )
        elif row.is_page:
            predictor = load_predictor(run.run_dir, cache_dir)
            photos = choose_photos(run, _own_images(run, cache_dir))
            parity = check_page(row, folder, info, predictor, photos, monitor=monitor)
        if parity is not None:
            if parity["agrees"] is False:
                raise ExportError(refusal(row, parity))
            write_json(folder / PARITY_FILE, parity)
        write_text(folder / CARD_FILE, model_card(run, row, info, parity))
        info = write_model_info(folder, info)
    return Export(out, row, info, parity)


def load_export(folder: Path, format_name: str) -> Export:
    """Open a finished export of a format.

    Raises:
        ConfigError: there is no such format.
        ExportError: the folder holds none, or one that cannot be read.
    """
    row, info = get_format(format_name), read_model_info(folder)
    parity = None
    if PARITY_FILE in info.files or row.open_code is not None:
        try:
            parity = dict(read_json(folder / PARITY_FILE))
        except (OSError, ValueError, TypeError) as error:
            raise ExportError(f"Expected {PARITY_FILE} in '{folder}': {error}.") from error
    return Export(folder, row, info, parity)


def zip_export(export: Export, name: str, out: Path) -> None:
    """Write an export as a zip file that unpacks into one folder of that name."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(export.folder.rglob("*")):
            if path.is_file():
                inside = path.relative_to(export.folder).as_posix()
                archive.write(path, f"{name}/{inside}")


def _evaluate(
    run: Run,
    cache_dir: Path,
    monitor: Monitor,
) -> dict[str, Any]:
    """Return the run's figures on its own test part; empty where its photos are gone."""
    try:
        evaluation = evaluate_run(run.run_dir, cache_dir=cache_dir, **monitor.callbacks)
    except DatasetError:
        return {}
    values = evaluation.to_dict()
    return {name: value for name, value in values.items() if name not in _LEFT_OUT}


def _own_images(run: Run, cache_dir: Path) -> DatasetIndex | None:
    try:
        return load_images_of(run, cache_dir=cache_dir)
    except DatasetError:
        return None

"""Evaluations saved with their run, each valid for one state of its weights and images."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.data.dataset import DatasetIndex
from tl_core.evaluation.report import Evaluation
from tl_core.files import read_json, write_bytes, write_json
from tl_core.head.out_of_distribution import KNOWN_FILE, Thresholds
from tl_core.head.temperature import CALIBRATION_FILE, Calibration
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import Run

_DIR = "evaluations"
_VERSION = 2  # incremented when the same weights and images give another evaluation
_NUM_KEPT = 12


class EvaluationFile:
    """The evaluation of a run on a part of its own data, or on all of another folder."""

    def __init__(self, run: Run, part: str, data_dir: Path | None = None) -> None:
        self._run = run
        source = [part] if data_dir is None else [run.workspace.relative(data_dir)]
        name = hashlib.sha256(json.dumps(source).encode()).hexdigest()[:16]
        self._path = run.run_dir / _DIR / f"{name}.npz"
        self._failure_path = self._path.with_suffix(".failed.json")

    @property
    def exists(self) -> bool:
        """Whether an evaluation is saved, whether it is still valid or not."""
        return self._path.is_file()

    def write(self, evaluation: Evaluation, index: DatasetIndex) -> None:
        """Save an evaluation of images of ``index``, which has the decisions applied."""
        if not self._run.run_dir.is_dir():  # deleted meanwhile; do not create it again
            return
        arrays: dict[str, np.ndarray] = {}
        values: dict[str, Any] = {}
        for field in fields(evaluation):
            value = getattr(evaluation, field.name)
            if isinstance(value, np.ndarray):
                arrays[field.name] = value
            elif field.name in ("calibration", "thresholds"):
                values[field.name] = None if value is None else asdict(value)
            else:
                values[field.name] = str(value) if isinstance(value, Path) else value
        values["made_of"] = self._made_of(index)
        text = json.dumps(values).encode()
        buffer = io.BytesIO()
        np.savez(buffer, values=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]
        write_bytes(self._path, buffer.getvalue())
        with suppress(OSError):
            kept = sorted(self._path.parent.glob("*.npz"), key=lambda path: -path.stat().st_mtime)
            for path in kept[_NUM_KEPT:]:
                path.unlink(missing_ok=True)

    def read(self, index: DatasetIndex) -> Evaluation | None:
        """Return the evaluation if it is valid for the current weights and images of ``index``."""
        try:
            with np.load(self._path, allow_pickle=False) as stored:
                arrays = dict(stored)
            values: dict[str, Any] = json.loads(arrays.pop("values").tobytes())
            if values.pop("made_of") != self._made_of(index):
                return None
            values["data_dir"] = index.data_dir
            values["calibration"] = Calibration(**values["calibration"])
            if values.get("thresholds") is not None:
                values["thresholds"] = Thresholds(**values["thresholds"])
            for name in ("class_names", "paths"):
                values[name] = tuple(values[name])
            return Evaluation(**values, **arrays)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
            return None

    def write_failure(self, message: str) -> None:
        """Save why the evaluation failed, to show it on the page."""
        if self._run.run_dir.is_dir():
            write_json(self._failure_path, {"message": message})

    def take_failure(self) -> str | None:
        """Return and delete the saved reason of a failed evaluation, if any."""
        try:
            message = str(read_json(self._failure_path)["message"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        self._failure_path.unlink(missing_ok=True)
        return message

    def _made_of(self, index: DatasetIndex) -> list[Any]:
        """Return the current key of an evaluation: everything that its result depends on."""
        model = hashlib.sha256()
        for name in (WEIGHTS_FILE, CALIBRATION_FILE, KNOWN_FILE):
            with suppress(OSError):
                model.update((self._run.run_dir / name).read_bytes())
            model.update(b"\0")
        return [_VERSION, model.hexdigest(), index.fingerprint]

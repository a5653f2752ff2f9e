"""Cached results of dataset analysis (audit, maps, learning curve), as small files.

There is one folder per dataset content, with one subfolder per feature spec. Files are written
atomically, so a page can show each as soon as it exists; all can be computed again.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.analysis.learning_curve import CurvePoint, LearningCurve
from tl_core.config.audit import AuditConfig
from tl_core.data.audit.audit import Audit
from tl_core.data.audit.findings import Finding
from tl_core.data.dataset import DatasetIndex
from tl_core.features.spec import FeatureSpec
from tl_core.files import keep_newest, read_json, write_bytes, write_json

AUDIT_VERSION = 2
"""Incremented when the audit's results change for the same images, to discard cached ones."""

CURVE_VERSION = 1
"""Incremented when curves are measured differently; 1 did not keep copies on one side."""

_NUM_KEPT = 24  # contents; each decision makes a new one for the learning curve
_MEASURED = ("brightness", "contrast", "sharpness", "colourfulness")


@dataclass(frozen=True, eq=False)
class Measured:
    """The result of an audit.

    Attributes:
        findings: the most severe first.
        columns: one value per image in the order of the index's records, ``(num_images,)``:
            ``"brightness"``, ``"sharpness"``, ..., with features ``"outlier"``, ``"wrong_label"``
            and ``"suggested"`` (a class index).
        has_features: whether the audit used features.
    """

    findings: tuple[Finding, ...]
    columns: dict[str, np.ndarray]
    has_features: bool


@dataclass(frozen=True, eq=False)
class Map:
    """Images as points, and the nearest neighbours of each.

    Attributes:
        points: (num_images, 2) float32.
        neighbours: (num_images, k) int32, positions of the most similar images, nearest first.
    """

    points: np.ndarray
    neighbours: np.ndarray


class ResultFiles:
    """A folder of results, each a small file that is written atomically, and of failures."""

    def __init__(self, folder: Path) -> None:
        self.dir = folder

    @property
    def stamp(self) -> tuple[int, ...]:
        """A value that changes when a file is added or replaced."""
        with suppress(OSError):
            return tuple(sorted(path.stat().st_mtime_ns for path in self.dir.iterdir()))
        return ()

    def write_failure(self, kind: str, message: str) -> None:
        """Save why a job of that kind failed, so that it is not retried endlessly."""
        write_json(self.dir / f"{kind}_failed.json", {"message": message})

    def read_failure(self, kind: str) -> str | None:
        """Return why a job of that kind failed, or None."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(read_json(self.dir / f"{kind}_failed.json")["message"])
        return None

    def forget_failure(self, kind: str) -> None:
        """Allow a failed job to be tried again."""
        (self.dir / f"{kind}_failed.json").unlink(missing_ok=True)

    def _write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_bytes(self.dir / f"{name}.npz", buffer.getvalue())

    def _read_arrays(self, name: str) -> dict[str, np.ndarray] | None:
        try:
            with np.load(self.dir / f"{name}.npz", allow_pickle=False) as stored:
                return dict(stored)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, json.JSONDecodeError):
            return None


class ExploreFiles(ResultFiles):
    """The files of one index; with ``spec``, also those that depend on features."""

    def __init__(self, cache_dir: Path, index: DatasetIndex, spec: FeatureSpec | None = None):
        self.root = cache_dir / "explore"
        folder = self.root / index.fingerprint[:24]
        super().__init__(folder if spec is None else folder / spec.space(0).replace("/", "-"))

    def write_audit(self, audit: Audit, *, has_features: bool) -> None:
        """Save the result of an audit."""
        columns = {
            name: np.array([getattr(stats, name) for stats in audit.stats], np.float32)
            for name in _MEASURED
        }
        columns |= {name: score.astype(np.float32) for name, score in audit.scores.items()}
        if audit.suggested is not None:
            columns["suggested"] = audit.suggested.astype(np.int32)
        self._write_arrays("measured", columns)
        findings = [asdict(finding) for finding in audit.findings]
        write_json(
            self.dir / "audit.json",
            {"by": _audit_key(), "features": has_features, "findings": findings},
        )

    def read_audit(self) -> Measured | None:
        """Return the saved audit, or None if there is none by the current rules."""
        columns = self._read_arrays("measured")
        try:
            stored = read_json(self.dir / "audit.json")
            if stored["by"] != _audit_key():
                return None
            findings = tuple(_read_finding(values) for values in stored["findings"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return None if columns is None else Measured(findings, columns, bool(stored["features"]))

    def write_means(self, means: np.ndarray) -> None:
        """Save the mean image of each class, (num_classes, side, side, 3) uint8."""
        self._write_arrays("means", {"means": means})

    def read_means(self) -> np.ndarray | None:
        """Return the saved mean image of each class, or None."""
        arrays = self._read_arrays("means")
        return None if arrays is None else arrays["means"]

    def write_map(self, kind: str, points: np.ndarray, neighbours: np.ndarray) -> None:
        """Save a map; ``kind`` is ``"pca"`` or ``"tsne"``."""
        self._write_arrays(kind, {"points": points, "neighbours": neighbours})

    def read_map(self, kind: str) -> Map | None:
        """Return the saved map, or None."""
        arrays = self._read_arrays(kind)
        return None if arrays is None else Map(arrays["points"], arrays["neighbours"])

    def write_curve(self, curve: LearningCurve) -> None:
        """Save a learning curve."""
        write_json(self.dir / "curve.json", {"version": CURVE_VERSION, **asdict(curve)})

    def read_curve(self) -> LearningCurve | None:
        """Return the saved learning curve, or None if there is none of the current version."""
        try:
            stored = read_json(self.dir / "curve.json")
            if stored["version"] != CURVE_VERSION:
                return None
            points = tuple(
                CurvePoint(int(point["num_images"]), tuple(point["accuracies"]))
                for point in stored["points"]
            )
            return LearningCurve(points, stored["floor"], stored["scale"], stored["exponent"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def prune(self) -> None:
        """Remove the results of all but the most recently analysed dataset contents."""
        keep_newest(self.root, "*", _NUM_KEPT)


def _audit_key() -> dict[str, Any]:
    """Return the key of an audit besides the images: code version and thresholds."""
    return {"version": AUDIT_VERSION, "config": AuditConfig().model_dump(mode="json")}


def _read_finding(values: Mapping[str, object]) -> Finding:
    known = dict(values)
    known["groups"] = tuple(tuple(group) for group in known["groups"])  # type: ignore[attr-defined]
    for name in ("paths", "action_paths", "reasons"):  # the last field was added later
        known[name] = tuple(known.get(name, ()))  # type: ignore[arg-type]
    return Finding(**known)  # type: ignore[arg-type]

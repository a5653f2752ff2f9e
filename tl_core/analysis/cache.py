"""What was found out about a dataset for looking at it, as small files in the cache.

One folder a dataset's content, in it one folder a way of computing features. Files appear whole, so
that a page shows each as soon as it is there; all can be computed again.
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
"""Raised when the audit finds other things in the same images, so that kept findings go."""

CURVE_VERSION = 1
"""Raised when curves are measured in another way; before, copies lay on both sides of one."""

_NUM_KEPT = 24  # contents; each decision makes a new one for the learning curve
_MEASURED = ("brightness", "contrast", "sharpness", "colourfulness")


@dataclass(frozen=True, eq=False)
class Measured:
    """What the audit said of an index.

    Attributes:
        findings: the worst first.
        columns: one value an image in the order of the index's records, ``(num_images,)``:
            ``"brightness"``, ``"sharpness"``, ..., with features ``"outlier"``, ``"wrong_label"``
            and ``"suggested"`` (a class index).
        has_features: whether features were looked at too.
    """

    findings: tuple[Finding, ...]
    columns: dict[str, np.ndarray]
    has_features: bool


@dataclass(frozen=True, eq=False)
class Map:
    """Images as points, and the nearest neighbours of each.

    Attributes:
        points: (num_images, 2) float32.
        neighbours: (num_images, k) int32, positions of the most alike, the nearest first.
    """

    points: np.ndarray
    neighbours: np.ndarray


class ExploreFiles:
    """The files about one index, or with ``spec`` those that need features."""

    def __init__(self, cache_dir: Path, index: DatasetIndex, spec: FeatureSpec | None = None):
        self.root = cache_dir / "explore"
        self.dir = self.root / index.fingerprint[:24]
        if spec is not None:
            self.dir /= spec.space(0).replace("/", "-")

    @property
    def stamp(self) -> tuple[int, ...]:
        """What changes when a file comes or is replaced."""
        with suppress(OSError):
            return tuple(sorted(path.stat().st_mtime_ns for path in self.dir.iterdir()))
        return ()

    def write_audit(self, audit: Audit, *, has_features: bool) -> None:
        """Keep what an audit found."""
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
        """Return what an audit found, or None before there was one by today's rules."""
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
        """Keep the mean image of each class, (num_classes, side, side, 3) uint8."""
        self._write_arrays("means", {"means": means})

    def read_means(self) -> np.ndarray | None:
        """Return the mean image of each class."""
        arrays = self._read_arrays("means")
        return None if arrays is None else arrays["means"]

    def write_map(self, kind: str, points: np.ndarray, neighbours: np.ndarray) -> None:
        """Keep a map; ``kind`` is ``"pca"`` or ``"tsne"``."""
        self._write_arrays(kind, {"points": points, "neighbours": neighbours})

    def read_map(self, kind: str) -> Map | None:
        """Return a map, or None before there is one."""
        arrays = self._read_arrays(kind)
        return None if arrays is None else Map(arrays["points"], arrays["neighbours"])

    def write_curve(self, curve: LearningCurve) -> None:
        """Keep a learning curve."""
        write_json(self.dir / "curve.json", {"version": CURVE_VERSION, **asdict(curve)})

    def read_curve(self) -> LearningCurve | None:
        """Return the learning curve, or None before there is one measured as today."""
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

    def write_failure(self, kind: str, message: str) -> None:
        """Keep why a job of that kind cannot be done, so that it is not tried for ever."""
        write_json(self.dir / f"{kind}_failed.json", {"message": message})

    def read_failure(self, kind: str) -> str | None:
        """Return why a job of that kind failed, or None."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(read_json(self.dir / f"{kind}_failed.json")["message"])
        return None

    def forget_failure(self, kind: str) -> None:
        """Let a job that failed be tried again."""
        (self.dir / f"{kind}_failed.json").unlink(missing_ok=True)

    def prune(self) -> None:
        """Remove what was found out about all but the contents last written about."""
        keep_newest(self.root, "*", _NUM_KEPT)

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


def _audit_key() -> dict[str, Any]:
    """Return what decides an audit besides the images: the code and the thresholds."""
    return {"version": AUDIT_VERSION, "config": AuditConfig().model_dump(mode="json")}


def _read_finding(values: Mapping[str, object]) -> Finding:
    known = dict(values)
    known["groups"] = tuple(tuple(group) for group in known["groups"])  # type: ignore[attr-defined]
    for name in ("paths", "action_paths", "reasons"):  # the last came later
        known[name] = tuple(known.get(name, ()))  # type: ignore[arg-type]
    return Finding(**known)  # type: ignore[arg-type]

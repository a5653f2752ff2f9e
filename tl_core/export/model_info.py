"""What ``model.json`` says about a run; the schema is :mod:`tl_core.inference.model_info`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import tl_core
from tl_core.backbones.api import resolve_image_size
from tl_core.head.temperature import weights_digest
from tl_core.inference.model_info import (
    MODEL_FILE,
    FileInfo,
    InputInfo,
    InputType,
    ModelInfo,
    Rejection,
    file_info,
    read_model_info,
    write_model_info,
)
from tl_core.inference.predict import load_head
from tl_core.inference.reliability import load_reliability
from tl_core.runs.store import Run

__all__ = [
    "MODEL_FILE",
    "FileInfo",
    "InputInfo",
    "InputType",
    "ModelInfo",
    "Rejection",
    "describe_run",
    "file_info",
    "read_model_info",
    "write_model_info",
]


def describe_run(
    run: Run,
    metrics: dict[str, Any] | None = None,
    input_dtype: InputType = "uint8",
    name: str | None = None,
) -> ModelInfo:
    """Describe a run; files are added by :func:`write_model_info`.

    Args:
        run: a run with weights.
        metrics: its figures.
        input_dtype: what the exported model takes.
        name: the model's name; by default the run's.

    Raises:
        RunError: it has no weights yet, or is damaged.
    """
    head = load_head(run)
    reliability = load_reliability(run, head)
    return ModelInfo(
        name=name or run.name,
        class_names=run.class_names,
        image_size=resolve_image_size(run.config),
        resize=run.config.resize,
        backbone=run.config.backbone,
        pixel_scale=None
        if run.pixel_scale is None
        else (run.pixel_scale.low, run.pixel_scale.high),
        temperature=reliability.calibration.temperature,
        input=InputInfo(dtype=input_dtype),
        rejection=None
        if reliability.detector is None
        else Rejection.of(reliability.detector.thresholds),
        metrics=metrics or {},
        weights=weights_digest(head),
        tl_core_version=tl_core.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )

"""Transfer learning on folders of class images: the core behind the app and the command line.

The public names below are loaded on first use, so that importing the package stays light: it
loads neither TensorFlow nor Streamlit.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    "AUGMENT_PRESETS": "tl_core.config",
    "AugmentConfig": "tl_core.config",
    "AuditConfig": "tl_core.audit_config",
    "audit_dataset": "tl_core.data.audit",
    "TrainConfig": "tl_core.config",
    "load_config": "tl_core.config",
    "DatasetIndex": "tl_core.data.dataset",
    "scan_dataset": "tl_core.data.dataset",
    "load_image": "tl_core.data.images",
    "Split": "tl_core.data.split",
    "split_dataset": "tl_core.data.split",
    "stratified_split": "tl_core.data.split",
    "augment": "tl_core.data.augment",
    "augment_view": "tl_core.data.augment",
    "draw_sample_dataset": "tl_core.data.samples",
    "BACKBONES": "tl_core.model.backbones",
    "build_base_model": "tl_core.model.backbones",
    "build_finetune_model": "tl_core.model.head",
    "extract_features": "tl_core.model.features",
    "train": "tl_core.training.trainer",
    "Run": "tl_core.training.runs",
    "list_runs": "tl_core.training.runs",
    "load_run": "tl_core.training.runs",
    "load_predictor": "tl_core.results.predict",
    "evaluate_run": "tl_core.results.evaluate",
}

__all__ = sorted([*_HOME_OF, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tl_core' has no attribute '{name}'")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""Transfer learning on folders of class images: the core behind the app and the command line.

The public names below are loaded on first use, so that importing the package stays light: it
loads neither TensorFlow nor Streamlit.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME_OF = {
    "AUGMENT_PRESETS": "tl_core.config.training",
    "AugmentConfig": "tl_core.config.training",
    "AuditConfig": "tl_core.config.audit",
    "audit_dataset": "tl_core.data.audit.audit",
    "TrainConfig": "tl_core.config.training",
    "load_config": "tl_core.config.training",
    "DatasetIndex": "tl_core.data.dataset",
    "scan_dataset": "tl_core.data.dataset",
    "LayoutPlan": "tl_core.data.layout.plan",
    "plan_layout": "tl_core.data.layout.plan",
    "label_photos": "tl_core.data.ingest.labels",
    "load_image": "tl_core.data.images.images",
    "Split": "tl_core.data.split",
    "split_dataset": "tl_core.data.split",
    "stratified_split": "tl_core.data.split",
    "augment": "tl_core.data.augmentation.augment",
    "augment_view": "tl_core.data.augmentation.augment",
    "draw_sample_dataset": "tl_core.data.sample.dataset",
    "BACKBONES": "tl_core.backbones.api",
    "build_base_model": "tl_core.backbones.api",
    "build_finetune_model": "tl_core.head.model",
    "extract_features": "tl_core.features.extract",
    "train": "tl_core.training.trainer",
    "Run": "tl_core.runs.store",
    "list_runs": "tl_core.runs.store",
    "load_run": "tl_core.runs.store",
    "load_predictor": "tl_core.inference.predict",
    "load_keras_model": "tl_core.inference.keras_model",
    "evaluate_run": "tl_core.evaluation.evaluate",
    "export_run": "tl_core.export.exporter",
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

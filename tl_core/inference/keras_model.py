"""A run as one Keras model, from pixels to probabilities. Loads TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tl_core.backbones.api import resolve_image_size
from tl_core.backbones.finetuned_weights import build_fine_tuned_base, split_weights
from tl_core.head.model import build_finetune_model, load_weights, set_head_weights
from tl_core.inference.predict import load_head
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import load_run

if TYPE_CHECKING:
    import keras


def load_keras_model(run_dir: str | os.PathLike[str]) -> keras.Model:
    """Build a run's best model, including its fine-tuned backbone, to train it further in Keras.

    Its layers are those that were trained, dropout among them. For a file that gives the
    probabilities of the app use :func:`~tl_core.export.exporter.export_run` with ``"keras"``.

    Args:
        run_dir: a run with weights.

    Returns:
        A model that takes (batch, height, width, 3) RGB in 0..255 at the run's image size and gives
        (batch, num_classes) probabilities before the run's temperature. It is not compiled, and its
        backbone is frozen.

    Raises:
        RunError: there is no such run, or its weights are missing or do not fit.
        WeightsError: the backbone's pretrained weights are not available.

    Examples:
        >>> from tl_core import load_keras_model
        >>> model = load_keras_model("runs/first")
        >>> model.output_shape
        (None, 2)
    """
    import tensorflow  # noqa: F401  before Keras, which otherwise imports it halfway

    run = load_run(Path(run_dir))
    head = load_head(run)
    config = run.config
    _, backbone = split_weights(load_weights(run.run_dir / WEIGHTS_FILE))
    base_model = build_fine_tuned_base(
        config.backbone, resolve_image_size(config), config.pooling, backbone
    )
    model = build_finetune_model(base_model, config.dropout, config.fc_layers, len(run.class_names))
    set_head_weights(model, head)
    return model

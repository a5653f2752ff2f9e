"""A run made by hand in a moment: a head that answers with the nearest class mean, no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tl_core.config.training import TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.data.split import split_dataset, write_split
from tl_core.features.extract import FeatureSpec, extract_features
from tl_core.files import write_json
from tl_core.head.model import save_weights
from tl_core.runs.files import CLASSES_FILE, SPLIT_FILE, WEIGHTS_FILE, end_run
from tl_core.runs.store import Run, create_run_at

CONFIG = TrainConfig(backbone="tiny", fc_layers=(), val_fraction=0.25, test_fraction=0.25)


def make_run(run_dir: Path, data_dir: Path, cache_dir: Path, config: TrainConfig = CONFIG) -> Run:
    """Return a finished run on the images of ``data_dir``, with its split and its weights."""
    index = scan_dataset(data_dir)
    spec = FeatureSpec.from_config(config)
    features = extract_features(index, range(index.num_images), spec, cache_dir=cache_dir)[0]
    means = np.stack([features[index.labels == k].mean(axis=0) for k in range(index.num_classes)])
    scale = 4 / np.square(means - means.mean(axis=0)).sum(axis=1).mean()
    weights = {
        "predictions/kernel": (scale * means.T).astype(np.float32),
        "predictions/bias": (-scale / 2 * np.square(means).sum(axis=1)).astype(np.float32),
    }
    run = create_run_at(run_dir, config, data_dir)
    write_json(run_dir / CLASSES_FILE, list(index.class_names))
    write_split(run_dir / SPLIT_FILE, index, split_dataset(index, config))
    save_weights(run_dir / WEIGHTS_FILE, weights)
    end_run(run_dir, "finished")
    return run

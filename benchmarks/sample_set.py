"""What augmentation is worth on the sample set: many splits, and photos that no run has seen.

    python -m benchmarks.sample_set [--views 1,3,8] [--seeds 10] [--pizza FOLDER FOLDER]

Draws the sample set and a second one of another seed. For each seed of the split, a head is trained
with each number of views by otherwise default settings, and measured on the test part and on the
whole second set, which is large enough to show a difference of one point. The differences to the
first number of views are given with their 95 % interval over the seeds. ``--pizza`` takes folders
of real photos of pizza: how many of them are called pizza. ``--workspace`` keeps what was drawn and
computed in a folder.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from tl_core.config.training import TrainConfig, augment_preset
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.sample.dataset import draw_sample_dataset
from tl_core.data.split import Split, split_dataset
from tl_core.features.extract import FeatureSpec, extract_features, extract_images
from tl_core.head.model import head_forward
from tl_core.progress import SILENT
from tl_core.training.checkpoints import EpochResult
from tl_core.training.epochs import EpochSums
from tl_core.training.head_phase import HeadData, first_weights, train_epochs
from tl_core.training.head_steps import borrow_steps

_OTHER_SEED = 7


def train_head(
    features: np.ndarray, index: DatasetIndex, split: Split, config: TrainConfig
) -> dict[str, np.ndarray]:
    """Return the weights of the epoch of least validation loss, as a run keeps them.

    Args:
        features: (views, num_images, dim) of the whole set.
        index: the set.
        split: its parts.
        config: how to train.
    """
    rows = np.concatenate([split.train, split.val])
    chosen = np.ascontiguousarray(features[: config.views, rows])
    data = HeadData.create(chosen, index.labels[rows], index.num_classes)
    train, val = np.split(np.arange(len(rows)), [len(split.train)])
    best: tuple[float, dict[str, np.ndarray]] = (np.inf, {})
    with borrow_steps(data.feature_dim, config.fc_layers, data.num_classes) as steps:
        steps.start(first_weights(data, config))
        sums = EpochSums("head")

        def end_epoch(epoch: int) -> EpochResult:
            nonlocal best
            weights = steps.weights()
            probabilities = head_forward(weights, data.first_view[val])
            result = sums.result(epoch, data.labels[val], probabilities, config.learning_rate)
            if result.val_loss < best[0]:
                best = (result.val_loss, {name: one.copy() for name, one in weights.items()})
            return result

        train_epochs(steps, data, config, train, sums, end_epoch, SILENT)
    return best[1]


def share_right(weights: dict[str, np.ndarray], rows: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of rows (n, dim) that get their label (n,); NaN for none."""
    if not len(rows):
        return float("nan")
    return float(np.mean(head_forward(weights, rows).argmax(axis=1) == labels))


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of differences (n,), and the ends of its 95 % interval by Student's t."""
    from scipy.stats import t

    mean = float(differences.mean())
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    reach = float(t.ppf(0.975, len(differences) - 1)) * error
    return mean, mean - reach, mean + reach


def main() -> None:
    """Draw, train and print a line of JSON for each number of views."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--views", default="1,3,8")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--preset", default="photo")
    parser.add_argument("--pizza", type=Path, nargs="*", default=[])
    parser.add_argument("--workspace", type=Path, help="kept; a temporary one when left out")
    options = parser.parse_args()
    numbers = [int(text) for text in options.views.split(",")]
    base = TrainConfig(augment=augment_preset(options.preset))
    spec = FeatureSpec.from_config(base)
    with tempfile.TemporaryDirectory() as temporary:
        work = options.workspace or Path(temporary)
        cache_dir = work / "cache"
        sets = []
        for name, seed in (("food", 0), ("other", _OTHER_SEED)):
            if not (work / name).exists():
                draw_sample_dataset(work / name, seed=seed)
            sets.append(scan_dataset(work / name, cache_dir=cache_dir))
        index, other = sets
        features = extract_features(
            index, range(index.num_images), spec, views=max(numbers), cache_dir=cache_dir
        )
        unseen = extract_features(other, range(other.num_images), spec, cache_dir=cache_dir)[0]
        photos = [path for folder in options.pizza for path in sorted(folder.rglob("*.jpg"))]
        real = extract_images(photos, spec, cache_dir).features
        pizza = index.class_names.index("Pizza")
        accuracies = np.zeros((len(numbers), 3, options.seeds))
        for seed in range(options.seeds):
            config = base.updated(seed=seed)
            split = split_dataset(index, config)
            for row, views in enumerate(numbers):
                weights = train_head(features, index, split, config.updated(views=views))
                accuracies[row, :, seed] = (
                    share_right(weights, features[0, split.test], index.labels[split.test]),
                    share_right(weights, unseen, other.labels),
                    share_right(weights, real, np.full(len(real), pizza)),
                )
        for row, views in enumerate(numbers):
            parts = dict(zip(("test", "other", "pizza"), 100 * accuracies[row], strict=True))
            line: dict[str, object] = {"views": views}
            for part, values in parts.items():
                line[part] = np.round(values, 1).tolist()
                line[f"{part} mean"] = round(float(values.mean()), 2)
            if row:
                gains = 100 * (accuracies[row] - accuracies[0])
                line["gain on test"] = interval(gains[0])
                line["gain on other"] = interval(gains[1])
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()

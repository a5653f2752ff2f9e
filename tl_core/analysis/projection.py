"""Images as points on a map, from their features.

    python -m tl_core.analysis.projection < FEATURES.npy > POINTS.npy

runs t-SNE, which cannot be interrupted, in a process that can be ended.
"""

from __future__ import annotations

import sys

import numpy as np

from tl_core.processes import end_with_parent

_MAX_TSNE_DIM = 50  # reduced first, as t-SNE's authors do (to 30 to 50): less noise and less time


def pca_2d(features: np.ndarray) -> np.ndarray:
    """Project features on their first two principal components.

    Args:
        features: (n, dim) float32.

    Returns:
        (n, 2) float32, centred, zeros where there are fewer directions; the larger coordinate by
        magnitude of each axis is positive, so that the map does not flip between calls.
    """
    points = _principal(np.array(features), 2)
    extreme = points[np.argmax(np.abs(points), axis=0), np.arange(points.shape[1])]
    result = np.zeros((len(features), 2), np.float32)
    result[:, : points.shape[1]] = points * np.where(extreme < 0, -1, 1)
    return result


def tsne_2d(features: np.ndarray, *, seed: int = 0, overwrite: bool = False) -> np.ndarray:
    """Embed features with t-SNE; near points stay near, large distances mean little.

    Args:
        features: (n, dim) float32, n at least 2.
        seed: the same seed gives the same map.
        overwrite: whether the features may be changed, which saves a copy of them.

    Returns:
        (n, 2) float32.

    References:
        L. van der Maaten and G. Hinton (2008), "Visualizing data using t-SNE", JMLR 9.
    """
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    layout = TSNE(perplexity=max(perplexity, 0.5), init="pca", random_state=seed)
    own = features if overwrite else np.array(features)
    return np.asarray(layout.fit_transform(_principal(own, _MAX_TSNE_DIM)), np.float32)


def _principal(features: np.ndarray, num: int) -> np.ndarray:
    """Return the first principal components, at most (n, num); the features are overwritten."""
    from sklearn.decomposition import PCA

    if len(features) < 2:
        return np.zeros((len(features), 0), np.float32)
    pca = PCA(min(num, *features.shape), copy=False, random_state=0)
    with np.errstate(invalid="ignore"):  # PCA divides 0 by 0 if all rows are equal
        return np.asarray(pca.fit_transform(features))


def main() -> None:
    """Read features as ``.npy`` from standard input and write their points as ``.npy``."""
    np.save(sys.stdout.buffer, tsne_2d(np.load(sys.stdin.buffer), overwrite=True))


if __name__ == "__main__":
    end_with_parent()
    main()

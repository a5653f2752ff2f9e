"""Images as points on a map, and the nearest neighbours of one, from their features.

    python -m tl_core.analysis.projection < FEATURES.npy > POINTS.npy

runs t-SNE, which nothing can stop, as a process that can be ended.
"""

from __future__ import annotations

import sys

import numpy as np

_MAX_TSNE_DIM = 50  # t-SNE's authors reduce to 30 to 50 first: it loses noise and saves time


def pca_2d(features: np.ndarray) -> np.ndarray:
    """Project features on their two directions of most variance.

    Args:
        features: (n, dim) float32.

    Returns:
        (n, 2) float32, centred; the larger coordinate by magnitude of each axis is positive, so
        that the map does not flip from one call to the next.
    """
    return _principal(features, 2)


def tsne_2d(features: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Lay features out so that near ones stay near; distances far apart mean little.

    Args:
        features: (n, dim) float32, n at least 2.
        seed: the same seed gives the same map.

    Returns:
        (n, 2) float32.

    References:
        L. van der Maaten and G. Hinton (2008), "Visualizing data using t-SNE", JMLR 9.
    """
    from sklearn.manifold import TSNE

    reduced = _principal(features, min(_MAX_TSNE_DIM, *features.shape))
    perplexity = min(30.0, (len(features) - 1) / 3)
    layout = TSNE(perplexity=max(perplexity, 0.5), init="pca", random_state=seed)
    return np.asarray(layout.fit_transform(reduced), np.float32)


def nearest(features: np.ndarray, row: int, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows most like one row, by the angle between their features.

    Args:
        features: (n, dim) float32.
        row: which to compare with; it is not among the answers.
        num: how many, at most n - 1.

    Returns:
        Rows (num,) int64, the most alike first, and their cosine similarities (num,) in [-1, 1].
    """
    lengths = np.linalg.norm(features, axis=1)
    lengths = np.where(lengths > 0, lengths, 1.0)
    similarity = (features @ features[row]) / (lengths * lengths[row])
    similarity[row] = -np.inf
    order = np.argsort(-similarity, kind="stable")[: min(num, len(features) - 1)]
    return order, similarity[order]


def _principal(features: np.ndarray, num: int) -> np.ndarray:
    """Return the first principal components (n, num) float32, zeros where there are fewer."""
    centred = features.astype(np.float64) - features.mean(axis=0)
    # The smaller of the two Gram matrices gives the same components.
    if centred.shape[0] < centred.shape[1]:
        values, vectors = np.linalg.eigh(centred @ centred.T)
        points = vectors * np.sqrt(np.clip(values, 0, None))
    else:
        values, vectors = np.linalg.eigh(centred.T @ centred)
        points = centred @ vectors
    points = points[:, ::-1][:, :num]
    signs = np.sign(points[np.argmax(np.abs(points), axis=0), np.arange(points.shape[1])])
    result = np.zeros((len(features), num), np.float32)
    result[:, : points.shape[1]] = points * np.where(signs == 0, 1, signs)
    return result


def main() -> None:
    """Lay out the features on the standard input, a ``.npy`` file, and write the points as one."""
    np.save(sys.stdout.buffer, tsne_2d(np.load(sys.stdin.buffer)))


if __name__ == "__main__":
    main()

"""Classify images with a trained run. Needs no TensorFlow, so that it starts quickly.

Images are preprocessed as in training: same decoding, size and resize, by the run's settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.backbones.finetuned_weights import split_weights
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.images import ImageSource
from tl_core.errors import RunError
from tl_core.features.extract import FeatureSpec, image_batches
from tl_core.head.model import head_forward, load_weights
from tl_core.head.temperature import Calibration
from tl_core.inference.model_bundle import check_engine, is_bundle, read_bundle
from tl_core.inference.rejection import why_none_of_these
from tl_core.inference.reliability import Reliability, load_reliability
from tl_core.progress import Monitor, OnProgress, ShouldStop
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import Run, load_run
from tl_core.runs.weights import feature_spec_of
from tl_core.workspace import default_workspace


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction for one image.

    ``name`` is its path or the given name. ``probabilities`` is (num_classes,) float32 in class
    order, calibrated; ``top`` the most probable classes with their probabilities. For an image that
    cannot be read they are None and empty, and ``error`` says why. If ``is_none_of_these``, the
    image was rejected as none of the classes, and ``reasons`` says why; ``top`` still holds the
    most probable classes.
    """

    name: str
    probabilities: np.ndarray | None
    top: tuple[tuple[str, float], ...]
    error: str | None = None
    is_none_of_these: bool = False
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-serialisable values: ``path`` with the prediction, or with ``error``."""
        if self.error is not None:
            return {"path": self.name, "error": self.error}
        return {
            "path": self.name,
            "top": [list(pair) for pair in self.top],
            "none_of_these": self.is_none_of_these,
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True, eq=False)
class Predictor:
    """A run loaded for prediction by :func:`load_predictor`. Threads may share it.

    ``num_workers`` is the number of threads that compute, by default one a core; with a bundle each
    has a process of its own.
    """

    run_dir: Path
    class_names: tuple[str, ...]
    spec: FeatureSpec
    weights: Mapping[str, np.ndarray]
    cache_dir: Path
    reliability: Reliability = field(default_factory=Reliability)
    num_workers: int | None = None

    def predict(
        self,
        images: Sequence[ImageSource],
        top_k: int = 3,
        *,
        names: Sequence[str] | None = None,
        on_progress: OnProgress | None = None,
        should_stop: ShouldStop | None = None,
    ) -> list[Prediction]:
        """Classify images: paths, the bytes of files, or binary files.

        Args:
            images: any number; they are read and computed in batches.
            top_k: number of classes in ``top``, limited to the number of classes.
            names: names of the images; by default their paths, or ``image 1``, ``image 2``.
            on_progress: called with the number of images done.
            should_stop: polled between images.

        Returns:
            One prediction per image, in order. An unreadable image has an ``error`` and does not
            affect the others.

        Raises:
            WeightsError: the backbone's weights are not available.
            RunError: the run's weights do not match its backbone.
            Stopped: ``should_stop`` returned True.
        """
        named = list(names) if names is not None else _names_of(images)
        batches = image_batches(
            images,
            self.spec,
            self.cache_dir,
            monitor=Monitor(on_progress, should_stop),
            num_workers=self.num_workers,
        )
        found = [
            answer if error is None else Prediction("", None, (), error)
            for features, errors in batches
            for error, answer in zip(errors, self.answer(features, top_k), strict=True)
        ]
        return [replace(answer, name=name) for name, answer in zip(named, found, strict=True)]

    def answer(self, features: np.ndarray, top_k: int = 3) -> list[Prediction]:
        """Classify features (n, dim) float32 of the run's backbone; names are empty."""
        probabilities = self.reliability.calibration.apply(head_forward(self.weights, features))
        reasons = why_none_of_these(
            self.reliability.detector, features, probabilities, self.class_names
        )
        return [
            Prediction(
                "",
                probabilities[row],
                self._top(probabilities[row], top_k),
                is_none_of_these=bool(reasons[row]),
                reasons=reasons[row],
            )
            for row in range(len(probabilities))
        ]

    def _top(self, probabilities: np.ndarray, top_k: int) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-probabilities, kind="stable")[:top_k]
        return tuple((self.class_names[label], float(probabilities[label])) for label in order)


def load_predictor(
    run_dir: str | os.PathLike[str], cache_dir: str | os.PathLike[str] | None = None
) -> Predictor:
    """Load a run for prediction; a run still in training uses its best weights so far.

    Args:
        run_dir: the run's folder, or that of an exported bundle, which is not trusted.
        cache_dir: the cache folder; by default that of the default workspace.

    Raises:
        RunError: there is no such run, it has no weights yet, or it is damaged.
        ExportError: the bundle is invalid.

    Examples:
        >>> from tl_core import load_predictor
        >>> predictor = load_predictor("runs/first")
        >>> [prediction] = predictor.predict(["photos/cat/0.png"])
        >>> name, probability = prediction.top[0]
        >>> name in ("cat", "dog"), 0 <= probability <= 1
        (True, True)
    """
    cache = Path(cache_dir) if cache_dir is not None else default_workspace().cache_dir
    if is_bundle(Path(run_dir)):
        return _open_bundle(Path(run_dir).absolute(), cache)
    run = load_run(Path(run_dir))
    weights = load_head(run)
    return Predictor(
        run_dir=run.run_dir,
        class_names=run.class_names,
        spec=feature_spec_of(run),
        weights=weights,
        cache_dir=cache,
        reliability=load_reliability(run, weights),
    )


def _open_bundle(folder: Path, cache_dir: Path) -> Predictor:
    bundle = read_bundle(folder)
    check_engine(bundle)
    info = bundle.info
    return Predictor(
        run_dir=folder,
        class_names=info.class_names,
        spec=FeatureSpec(
            info.backbone,
            info.image_size,
            info.resize,
            engine_file=bundle.engine_file,
            scale=None if info.pixel_scale is None else PixelScale(*info.pixel_scale),
            is_scale_fixed=True,
            is_foreign=True,
        ),
        weights=bundle.weights,
        cache_dir=cache_dir,
        reliability=Reliability(Calibration(temperature=info.temperature), bundle.detector),
    )


def load_head(run: Run) -> dict[str, np.ndarray]:
    """Return the weights of a run's best epoch so far.

    Raises:
        RunError: it has none, or they do not match the run's classes.
    """
    if not run.is_loadable:
        raise RunError(
            f"Run '{run.name}' is {run.state} and has no weights yet, so it cannot classify. "
            "Let its training finish at least one epoch."
        )
    weights, _ = split_weights(load_weights(run.run_dir / WEIGHTS_FILE))
    bias = weights.get("predictions/bias")
    if bias is None or bias.shape != (len(run.class_names),):
        raise RunError(
            f"Run '{run.name}' has {len(run.class_names)} classes, but its weights are for "
            f"{'no' if bias is None else bias.size}. Its folder is damaged; train it again."
        )
    return weights


def _names_of(images: Sequence[ImageSource]) -> list[str]:
    return [
        os.fspath(image) if isinstance(image, str | os.PathLike) else f"image {number}"
        for number, image in enumerate(images, start=1)
    ]

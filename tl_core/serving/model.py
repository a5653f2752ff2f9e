"""The model that is served: opened once, shared by all requests, computed without TensorFlow."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_core.data.images.images import load_image
from tl_core.export.model_info import ModelInfo, describe_run, read_model_info
from tl_core.features.engine import EnginePool
from tl_core.features.extract import open_image_engines
from tl_core.features.hardware import num_cores
from tl_core.inference.model_bundle import is_bundle
from tl_core.inference.predict import Prediction, Predictor, load_predictor
from tl_core.progress import SILENT, Monitor
from tl_core.runs.store import load_run

Image = bytes | np.ndarray
"""The bytes of an image file, or pixels (height, width, 3) uint8 RGB at the model's image size."""

_NOT_IN_A_URL = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model that answers; threads may share it.

    Args:
        name: its name in URLs.
        info: what it is.
        predictor: what answers.
        engines: the open backbones.
        num_workers: number of images that are computed at the same time.
    """

    name: str
    info: ModelInfo
    predictor: Predictor
    engines: EnginePool
    num_workers: int

    @property
    def num_classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.predictor.class_names)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels of what the backbone takes."""
        return self.predictor.spec.image_size

    def features(self, image: Image, max_megapixels: int) -> np.ndarray:
        """Return the features (dim,) float32 of one image.

        Raises:
            ImageError: it cannot be read as an image, or is too large.
            TLError: the backbone failed.
        """
        spec = self.predictor.spec
        if isinstance(image, bytes):
            image = load_image(
                image, spec.image_size, spec.resize, spec.scale, max_megapixels=max_megapixels
            )
        with self.engines.borrow() as engine:
            return engine.run(image[None])[0]

    def answer(self, features: np.ndarray) -> list[Prediction]:
        """Return the predictions for features (n, dim) float32, with every class in ``top``."""
        return self.predictor.answer(features, self.num_classes)

    def warm_up(self) -> None:
        """Open all engines and compute an image with each, since the first is the slowest.

        Raises:
            TLError: the backbone does not work.
        """
        blank = np.zeros((1, *self.image_size, 3), np.uint8)
        with ExitStack() as stack:
            for _ in range(min(self.num_workers, self.engines.limit)):
                engine = stack.enter_context(self.engines.borrow())
                self.answer(engine.run(blank))

    def describe(self) -> dict[str, Any]:
        """Return what clients may know about it; no path of this machine is in it."""
        info, rejection = self.info, self.info.rejection
        return {
            "name": self.name,
            "title": info.name,
            "class_names": list(info.class_names),
            "image_size": list(info.image_size),
            "resize": info.resize,
            "backbone": info.backbone,
            "temperature": info.temperature,
            "none_of_these": None if rejection is None else rejection.model_dump(),
            "metrics": {
                name: info.metrics[name]
                for name in ("part", "num_images", "accuracy", "interval")
                if name in info.metrics
            },
            "tl_core_version": info.tl_core_version,
        }


def open_model(
    folder: Path,
    cache_dir: Path,
    *,
    name: str | None = None,
    num_workers: int | None = None,
    monitor: Monitor = SILENT,
) -> ServedModel:
    """Open a run or an exported bundle for serving.

    Args:
        folder: of a run with weights, or of a bundle, which is not trusted.
        cache_dir: the folder of converted backbones.
        name: its name in URLs; by default made of its own name.
        num_workers: images to compute at the same time; by default one a core.
        monitor: reports the stage ``"backbone"`` when a run's backbone has to be converted.

    Raises:
        RunError: there is no such run, or it has no weights.
        ExportError: the bundle is invalid.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    predictor = load_predictor(folder, cache_dir)
    info = read_model_info(folder) if is_bundle(folder) else describe_run(load_run(folder))
    num_workers = num_workers or num_cores()
    engines = open_image_engines(predictor.spec, cache_dir, num_workers, monitor)
    model = ServedModel(name or url_name(info.name), info, predictor, engines, num_workers)
    model.warm_up()
    return model


def url_name(name: str) -> str:
    """Return a name as it can stand in a URL.

    Example:
        >>> from tl_core.serving.model import url_name
        >>> url_name("pizza, steak & sushi")
        'pizza-steak-sushi'
    """
    return _NOT_IN_A_URL.sub("-", name).strip("-.") or "model"

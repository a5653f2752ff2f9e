"""A run's model as pages use it: opened once, and asked again only for what is new.

Photos are known by their content, so one that was renamed or uploaded twice is computed once.
"""

from __future__ import annotations

from pathlib import Path

from tl_core.data.images.images import ImageSource
from tl_core.head.out_of_distribution import KNOWN_FILE
from tl_core.head.temperature import CALIBRATION_FILE
from tl_core.inference.explain import Explanation, explain_with
from tl_core.inference.nearest_images import Neighbour, nearest_with
from tl_core.inference.predict import Predictor, load_predictor
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.scans import file_stamp
from ui.shared.caches import cache_data, cache_resource

NUM_KEPT = 3
NUM_NEIGHBOURS = 6

Stamp = tuple[int, ...]


def model_stamp(folder: Path) -> Stamp:
    """Return what changes when a model's weights do, its temperature, or its limits."""
    files = (WEIGHTS_FILE, CALIBRATION_FILE, KNOWN_FILE)
    return tuple(number for name in files for number in file_stamp(folder / name))


def open_predictor(workspace: Workspace, folder: Path) -> Predictor:
    """Return the predictor of a run's or a bundle's folder. Any thread may call this.

    Raises:
        RunError: as :func:`~tl_core.inference.predict.load_predictor`.
        ExportError: likewise, for a bundle.
    """
    return _predictor(folder, model_stamp(folder), workspace.cache_dir)


def explained(
    workspace: Workspace, folder: Path, sha256: str, image: ImageSource, class_name: str
) -> Explanation:
    """Return where the model of a run's or a bundle's folder looked in a photo for a class.

    Raises:
        ImageError: the photo cannot be read.
        ExportError: the bundle has no feature map, or does not work.
    """
    place = (folder, model_stamp(folder), workspace.cache_dir)
    return _explained(place, sha256, class_name, image)


def nearest(workspace: Workspace, run: Run, sha256: str, image: ImageSource) -> list[Neighbour]:
    """Return the run's training images that are most like a photo, the most alike first."""
    return _nearest((run.run_dir, model_stamp(run.run_dir), workspace.cache_dir), sha256, image)


@cache_resource(max_entries=NUM_KEPT, show_spinner=False)
def _predictor(run_dir: Path, stamp: Stamp, cache_dir: Path) -> Predictor:
    return load_predictor(run_dir, cache_dir=cache_dir)


@cache_resource(max_entries=12)
def _explained(
    place: tuple[Path, Stamp, Path], sha256: str, class_name: str, _image: ImageSource
) -> Explanation:
    return explain_with(_predictor(*place), _image, class_name)


@cache_data(max_entries=100, show_spinner="Comparing with the training photos")
def _nearest(place: tuple[Path, Stamp, Path], sha256: str, _image: ImageSource) -> list[Neighbour]:
    return nearest_with(_predictor(*place), [_image], NUM_NEIGHBOURS)[0]

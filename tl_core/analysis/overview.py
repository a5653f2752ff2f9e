"""Look at a dataset's files: what the audit finds without features, and mean images.

:func:`look` takes seconds. Results are saved to :class:`ExploreFiles` one by one, and existing
results are not computed again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.group_effect import find_group_effect
from tl_core.data.audit.audit import Audit, audit_dataset
from tl_core.data.dataset import DatasetIndex, ImageRecord, PhotoLabel, scan_dataset
from tl_core.data.images.decode_turns import carried
from tl_core.data.images.images import load_image
from tl_core.errors import DatasetError, ImageError, TLError
from tl_core.metrics.nearest import spread_rows
from tl_core.processes import (
    child_environment,
    exit_reason,
    lower_own_priority,
    module_command,
    parse_error,
    print_error,
)
from tl_core.progress import SILENT, Monitor, Progress

_MEAN_SIDE = 64
_MAX_IN_MEAN = 60  # images per class: with more, the mean hardly changes
_MAX_IN_MEANS = 1200


def look(
    index: DatasetIndex,
    cache_dir: Path,
    *,
    monitor: Monitor = SILENT,
) -> None:
    """Audit a dataset without features and compute the mean image of each class.

    Raises:
        DatasetError: a file is missing or has changed since the scan.
        Stopped: ``monitor`` was asked to stop.
    """
    files = ExploreFiles(cache_dir, index)
    if files.read_audit() is None:
        write_audit(files, index, None, cache_dir, monitor)
        files.prune()
    if files.read_means() is None:
        files.write_means(mean_images(index))


def look_apart(index: DatasetIndex, cache_dir: Path, *, monitor: Monitor = SILENT) -> None:
    """Run :func:`look` in a separate low-priority process and wait for it.

    A web server that analysed many thousands of images itself could not respond meanwhile.

    Raises:
        TLError: the process failed with this error.
        RuntimeError: the process failed unexpectedly; the message is its traceback.
    """
    said = None
    with subprocess.Popen(
        module_command(
            "tl_core.analysis.overview", str(index.data_dir), str(cache_dir), index.layout
        ),
        env=child_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        if child.stdin is not None:
            json.dump(index.labels_given, child.stdin)
            child.stdin.close()
        for line in child.stdout or ():
            said = parse_error(line)
            if said is None:
                monitor.report(Progress(**json.loads(line)))
        complaint = child.stderr.read() if child.stderr else ""
    if said is not None:
        raise said
    if reason := exit_reason(child.returncode):
        raise DatasetError(f"The photos could not be looked at: {reason}.")
    if child.returncode:
        raise RuntimeError(complaint)


def mean_images(index: DatasetIndex) -> np.ndarray:
    """Return the mean image of each class, (num_classes, side, side, 3) uint8.

    Large classes are sampled evenly; images that can no longer be read are skipped.
    """
    most = max(1, min(_MAX_IN_MEAN, _MAX_IN_MEANS // index.num_classes))

    @carried
    def read(record: ImageRecord) -> np.ndarray | None:
        try:
            return load_image(
                index.path_of(record), (_MEAN_SIDE, _MEAN_SIDE), scale=index.scale_of(record)
            )
        except (ImageError, OSError):
            return None

    means = np.zeros((index.num_classes, _MEAN_SIDE, _MEAN_SIDE, 3), np.uint8)
    with ThreadPoolExecutor(2, "means") as pool:
        for label in range(index.num_classes):
            places = np.flatnonzero(index.labels == label)
            chosen = places[spread_rows(len(places), most)]
            images = list(pool.map(read, [index.records[i] for i in chosen]))
            known = [image for image in images if image is not None]
            if known:
                means[label] = np.mean(known, axis=0).round()
    return means


def write_audit(
    files: ExploreFiles,
    index: DatasetIndex,
    features: np.ndarray | None,
    cache_dir: Path,
    monitor: Monitor,
) -> None:
    """Audit a dataset, with its features if there are any, and save what was found.

    Args:
        files: where the result is saved.
        index: the dataset.
        features: ``(num_images, dim)`` float32 in the order of its records, or None.
        cache_dir: the cache of the statistics of images.
        monitor: progress and cancellation.

    Raises:
        DatasetError: a file is missing or has changed since the scan.
        Stopped: ``monitor`` was asked to stop.
    """
    audit = audit_all(index, features, cache_dir, monitor)
    files.write_audit(audit, has_features=features is not None)


def audit_all(
    index: DatasetIndex, features: np.ndarray | None, cache_dir: Path, monitor: Monitor
) -> Audit:
    """Audit a dataset as :func:`write_audit` does, and return what was found."""
    audit = audit_dataset(
        index,
        cache_dir=cache_dir,
        features=features,
        **monitor.callbacks,
    )
    if features is None:
        return audit
    effect = find_group_effect(index, features, monitor)
    return replace(audit, findings=(*audit.findings, *effect))


def main() -> None:
    """Analyse a data folder; the arguments are its path, the cache folder and the layout.

    Labels of photos without a class are read from standard input, as JSON.
    """
    data_dir, cache_dir, layout = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    lower_own_priority()

    def send(progress: Progress) -> None:
        print(json.dumps(asdict(progress)), flush=True)

    try:
        labels = {path: PhotoLabel(*label) for path, label in json.load(sys.stdin).items()}
        index = scan_dataset(data_dir, layout, labels=labels, cache_dir=cache_dir)
        look(index, cache_dir, monitor=Monitor(send))
    except TLError as error:
        print_error(error)
        sys.exit(2)


if __name__ == "__main__":
    main()

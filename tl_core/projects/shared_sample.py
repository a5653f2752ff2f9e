"""The sample set of a hosted demo: drawn once, linked into the workspace of each visitor.

Links cost no space. A visitor who deletes or moves a photo changes links alone; the files may only
be read. What was found out about the set is given to each visitor, and its features are read from
the demo's cache, so that the first visitor's wait is the only one.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tl_core.analysis.cache import ExploreFiles
from tl_core.analysis.overview import look
from tl_core.data.audit.image_stats import copy_measurements
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.data.scan_cache import ScanCache
from tl_core.errors import TLError
from tl_core.files import new_folder
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import Workspace

_READ_ONLY = 0o444


def share_sample(host: Workspace, visitor: Workspace) -> None:
    """Give a visitor the sample set of the demo, which has been drawn.

    Raises:
        DatasetError: the visitor has a folder of that name that is not empty.
        StorageError: the disk is full or read-only, or writing is not allowed.
    """
    source, target = host.datasets_dir / SAMPLE_NAME, visitor.datasets_dir / SAMPLE_NAME
    target.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(target) as folder:
        _link_files(source, folder)
    with suppress(TLError), ScanCache(host.cache_dir, source) as scanned:
        if not (entries := scanned.load()):
            scan_dataset(source, cache_dir=host.cache_dir)
            entries = scanned.load()
        with ScanCache(visitor.cache_dir, target) as cache:
            cache.put(entries)


def look_at_shared_sample(
    visitor: Workspace, index: DatasetIndex, monitor: Monitor = SILENT
) -> bool:
    """Look at the sample set unless another visitor has, and give this visitor the result.

    Args:
        visitor: the visitor's workspace.
        index: a dataset of the visitor's.
        monitor: as of :func:`~tl_core.analysis.overview.look`.

    Returns:
        False if the dataset is not the sample set as the demo drew it; nothing was done then, and
        nothing about the visitor's own photos is kept for others.

    Raises:
        DatasetError: a file of the demo's sample set is missing or has changed.
        Stopped: ``monitor`` was asked to stop; the next visitor goes on from there.
    """
    host = visitor.host
    if host is None or index.data_dir != visitor.datasets_dir / SAMPLE_NAME:
        return False
    shared = scan_dataset(host.datasets_dir / SAMPLE_NAME, cache_dir=host.cache_dir)
    if shared.fingerprint != index.fingerprint:
        return False
    look(shared, host.cache_dir, monitor=monitor)
    monitor.check()
    copy_measurements(shared, host.cache_dir, visitor.cache_dir)
    target = ExploreFiles(visitor.cache_dir, index).dir
    target.mkdir(parents=True, exist_ok=True)
    _link_files(ExploreFiles(host.cache_dir, shared).dir, target)
    return True


def _link_files(source: Path, target: Path) -> None:
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(exist_ok=True)
        for name in names:
            path = Path(folder) / name
            with suppress(PermissionError):  # of files that another user drew
                path.chmod(_READ_ONLY)
            (place / name).unlink(missing_ok=True)  # what an older version found out
            try:
                (place / name).hardlink_to(path)
            except OSError:  # a file system without links
                shutil.copy2(path, place / name)

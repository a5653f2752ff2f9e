"""The sample set of a hosted demo: drawn once, linked into the workspace of each visitor.

Links cost no space. A visitor who deletes or moves a photo changes links alone; the files may only
be read. What was found out about the set is linked as well, and its features are read from the
demo's cache, so that the first visitor's wait is the only one.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tl_core.data.dataset import scan_dataset
from tl_core.data.sample.dataset import SAMPLE_NAME
from tl_core.data.scan_cache import ScanCache
from tl_core.errors import TLError
from tl_core.files import new_folder
from tl_core.workspace import Workspace

_READ_ONLY = 0o444
_EXPLORED = "explore"


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
    explored = visitor.cache_dir / _EXPLORED
    if not explored.exists() and (host.cache_dir / _EXPLORED).is_dir():
        explored.parent.mkdir(parents=True, exist_ok=True)
        _link_files(host.cache_dir / _EXPLORED, explored)
    with suppress(TLError), ScanCache(host.cache_dir, source) as scanned:
        if not (entries := scanned.load()):
            scan_dataset(source, cache_dir=host.cache_dir)
            entries = scanned.load()
        with ScanCache(visitor.cache_dir, target) as cache:
            cache.put(entries)


def _link_files(source: Path, target: Path) -> None:
    for folder, _, names in os.walk(source):
        place = target / Path(folder).relative_to(source)
        place.mkdir(exist_ok=True)
        for name in names:
            path = Path(folder) / name
            with suppress(PermissionError):  # of files that another user drew
                path.chmod(_READ_ONLY)
            try:
                (place / name).hardlink_to(path)
            except OSError:  # a file system without links
                shutil.copy2(path, place / name)

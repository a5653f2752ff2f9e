"""Cached results of labelling: the photos with their features and groups, and the last ranking.

There is one folder per data folder, layout and feature spec. The labels themselves are decisions;
what is here can be computed again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import astuple
from pathlib import Path

import numpy as np

from tl_core.analysis.cache import ResultFiles
from tl_core.analysis.labelling import LabelState, PhotoPool, Ranking, make_pool, rank
from tl_core.data.curation.store import kept_layout, load_decisions
from tl_core.data.dataset import DatasetIndex, ImageRecord, scan_photos
from tl_core.data.images.decode import PixelScale
from tl_core.features.spec import FeatureSpec
from tl_core.files import keep_newest, read_json, write_json
from tl_core.progress import SILENT, Monitor
from tl_core.workspace import Workspace

KIND = "label"
"""The kind of the worker's jobs that sort photos, under which a failure is kept."""

_VERSION = 1  # incremented when pools or rankings are computed differently
_NUM_KEPT = 12
_POOL, _PHOTOS, _RANKING = "pool", "photos.json", "ranking"


class LabellingFiles(ResultFiles):
    """The results about the photos of one data folder with one backbone and preprocessing.

    Raises:
        WeightsError: the backbone's weights are in a package that is not installed.
    """

    def __init__(self, workspace: Workspace, data_dir: Path, spec: FeatureSpec) -> None:
        self.root = workspace.cache_dir / "labelling"
        layout = kept_layout(workspace, data_dir) or ""
        identity = f"{os.path.realpath(data_dir)}\0{layout}\0{spec.space(0)}"
        super().__init__(self.root / hashlib.sha256(os.fsencode(identity)).hexdigest()[:24])

    def write_pool(self, pool: PhotoPool) -> None:
        """Save photos with their features."""
        index, scale = pool.index, pool.index.pixel_scale
        self._write_arrays(
            _POOL,
            {
                "features": pool.features,
                "components": pool.components,
                "group_of": pool.group_of,
                "spread": pool.spread,
            },
        )
        write_json(
            self.dir / _PHOTOS,
            {
                "version": _VERSION,
                "data_dir": str(index.data_dir),
                "class_names": index.class_names,
                "layout": index.layout,
                "unreadable": pool.unreadable,
                "scale": None if scale is None else astuple(scale),
                "photos": [astuple(record) for record in index.records],
            },
        )
        keep_newest(self.root, "*", _NUM_KEPT)

    def read_pool(self) -> PhotoPool | None:
        """Return the saved photos, or None."""
        arrays = self._read_arrays(_POOL)
        try:
            stored = read_json(self.dir / _PHOTOS)
            if arrays is None or stored["version"] != _VERSION:
                return None
            index = DatasetIndex(
                Path(stored["data_dir"]),
                tuple(stored["class_names"]),
                tuple(ImageRecord(*values) for values in stored["photos"]),
                (),
                {},
                layout=stored["layout"],
                pixel_scale=None if stored["scale"] is None else PixelScale(*stored["scale"]),
            )
            pool = PhotoPool(index, **arrays, unreadable=tuple(stored["unreadable"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return pool if len(pool.group_of) == index.num_images else None

    def write_ranking(self, ranking: Ranking) -> None:
        """Save the last ranking."""
        self._write_arrays(
            _RANKING,
            {
                "class_names": np.array(ranking.class_names),
                "probabilities": ranking.probabilities,
                "num_labels": np.array(ranking.num_labels),
            },
        )

    def read_ranking(self, pool: PhotoPool) -> Ranking | None:
        """Return the last ranking of these photos, or None."""
        arrays = self._read_arrays(_RANKING)
        if arrays is None or len(arrays["probabilities"]) != pool.index.num_images:
            return None
        return Ranking(
            tuple(map(str, arrays["class_names"])),
            arrays["probabilities"],
            int(arrays["num_labels"]),
        )


def sort_photos(
    workspace: Workspace, data_dir: Path, spec: FeatureSpec, *, monitor: Monitor = SILENT
) -> LabelState:
    """Bring the photos of a data folder, their groups and their ranking up to date.

    Raises:
        DatasetError: the folder is missing, or a file has changed meanwhile.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    index = scan_photos(
        data_dir,
        kept_layout(workspace, data_dir),
        cache_dir=workspace.cache_dir,
        **monitor.callbacks,
    )
    files = LabellingFiles(workspace, data_dir, spec)
    pool = files.read_pool()
    if pool is None or pool.index.fingerprint != index.fingerprint:
        pool = make_pool(index, spec, workspace.cache_dir, monitor=monitor)
        files.write_pool(pool)
    state = LabelState.create(pool, load_decisions(workspace, data_dir))
    ranking = rank(pool, state.class_of)
    if ranking is not None:
        files.write_ranking(ranking)
    files.forget_failure(KIND)
    return LabelState(pool, state.class_of, state.left_out, ranking)

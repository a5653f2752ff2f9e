"""Help a person label photos: group them by their features, and rank them by what was labelled.

A :class:`PhotoPool` holds the photos of a folder with their features. A :class:`Ranking` is a
classifier's opinion about each, trained on the labels so far. :class:`LabelState` makes sheets of
photos of them: groups to label at once, and photos to label one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from tl_core.analysis.learning_curve import standardise
from tl_core.data.curation.store import Decisions
from tl_core.data.dataset import DatasetIndex
from tl_core.features.spec import FeatureSpec
from tl_core.metrics.nearest import highest, unit_rows
from tl_core.progress import SILENT, Monitor

SHEET = 24
"""Most photos of a group that are shown at once."""

ROUND = 20
"""Photos to label one by one before the rest is sorted again."""

_LEAST_GROUP = 3  # photos
_GROUP = 8  # photos of a group, on average
_MAX_GROUPS = 250
_MIN_AGREEMENT = 0.9  # of a group's photos on the most probable class
_ROWS = 256  # that are converted at once
_SURE = 0.7  # probability from which a photo may be labelled together with others

SheetKind = Literal["group", "sure", "single", "similar"]


@dataclass(frozen=True, eq=False)
class PhotoPool:
    """The photos of a folder, those with a class among them, and their features.

    Attributes:
        index: as :func:`~tl_core.data.dataset.scan_photos` returns it.
        features: ``(n, dim)`` float16 of length 1.
        components: ``(n, num_components)`` float32, principal components of the features.
        group_of: ``(n,)`` int32, the group of each photo; group 0 is the most uniform.
        spread: ``(n,)`` float32, the distance of each photo to its group's centre.
        unreadable: paths of the files that cannot be read.
    """

    index: DatasetIndex
    features: np.ndarray
    components: np.ndarray
    group_of: np.ndarray
    spread: np.ndarray
    unreadable: tuple[str, ...] = ()

    @cached_property
    def place_of(self) -> dict[str, int]:
        """Position by path."""
        return {record.path: place for place, record in enumerate(self.index.records)}

    def sha256_of(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the SHA-256 of photos by path."""
        return {path: self.index.records[self.place_of[path]].sha256 for path in paths}


@dataclass(frozen=True, eq=False)
class Ranking:
    """What a classifier trained on the labels so far says about each photo.

    Attributes:
        class_names: the classes that had a photo.
        probabilities: ``(n, num_classes)`` float32.
        num_labels: photos that it was trained on.
    """

    class_names: tuple[str, ...]
    probabilities: np.ndarray
    num_labels: int


@dataclass(frozen=True)
class Sheet:
    """Photos to label: together (``"group"``, ``"sure"``, ``"similar"``) or one by one.

    ``suggestion`` is the class that they probably show, None where nothing is known.
    """

    kind: SheetKind
    paths: tuple[str, ...]
    suggestion: str | None = None


def classes_of_photos(index: DatasetIndex, decisions: Decisions) -> tuple[dict[str, str], set[str]]:
    """Return the class of each photo that has one, by path, and the paths of those left out.

    Args:
        index: as :func:`~tl_core.data.dataset.scan_photos` returns it.
        decisions: about them; those about files that have changed do not count.
    """
    class_of: dict[str, str] = {}
    left_out: set[str] = set()
    for record in index.records:
        label = decisions.labels.get(record.path)
        decision = decisions.current.get(record.path)
        if decision is not None and decision.sha256 == record.sha256:
            if decision.action == "exclude":
                left_out.add(record.path)
                continue
            if decision.class_name:
                class_of[record.path] = decision.class_name
                continue
        if record.label >= 0:
            class_of[record.path] = index.class_names[record.label]
        elif label is not None and label.sha256 == record.sha256 and label.class_name:
            class_of[record.path] = label.class_name
    return class_of, left_out


def make_pool(
    index: DatasetIndex, spec: FeatureSpec, cache_dir: Path, *, monitor: Monitor = SILENT
) -> PhotoPool:
    """Compute the features of photos and group them.

    Raises:
        DatasetError: a photo is missing or has changed since the scan.
        WeightsError: the backbone's weights are not available.
        Stopped: ``monitor`` was asked to stop.
    """
    from tl_core.features.extract import extract_features

    numbers = range(index.num_images)
    features = extract_features(index, numbers, spec, cache_dir=cache_dir, **monitor.callbacks)[0]
    monitor.stage("groups", 1).report()
    return group_photos(index, features)


def group_photos(index: DatasetIndex, features: np.ndarray) -> PhotoPool:
    """Group photos by their features.

    Args:
        index: the photos.
        features: ``(n, dim)`` float32; overwritten, as they may be large: there are never more than
            two arrays of their size.
    """
    group_of, spread = _groups(_principal_components(unit_rows(features), 64))
    directions = np.empty(features.shape, np.float16)
    for start in range(0, len(features), _ROWS):
        directions[start : start + _ROWS] = unit_rows(features[start : start + _ROWS])
    standardise(features)
    components = _principal_components(features, 128)
    unreadable = [path for one in index.findings if one.kind == "unreadable" for path in one.paths]
    return PhotoPool(index, directions, components, group_of, spread, tuple(unreadable))


def rank(pool: PhotoPool, class_of: Mapping[str, str]) -> Ranking | None:
    """Train a logistic regression on the photos with a class and apply it to all.

    Args:
        pool: the photos.
        class_of: class by path.

    Returns:
        None with fewer than two classes.
    """
    from sklearn.linear_model import LogisticRegression

    places = np.array([pool.place_of[path] for path in class_of], np.int64)
    names = np.array(list(class_of.values()))
    if len(np.unique(names)) < 2:
        return None
    probe = LogisticRegression(C=0.01, max_iter=200, tol=1e-3)
    probe.fit(pool.components[places], names)
    probabilities = probe.predict_proba(pool.components).astype(np.float32)
    return Ranking(tuple(map(str, probe.classes_)), probabilities, len(class_of))


@dataclass(frozen=True, eq=False)
class LabelState:
    """How far labelling is, and what to label next.

    Attributes:
        pool: the photos.
        class_of: the class of each that has one, by path.
        left_out: paths of those that were excluded.
        ranking: the last one, if any; it may be some labels behind.
    """

    pool: PhotoPool
    class_of: Mapping[str, str]
    left_out: frozenset[str]
    ranking: Ranking | None = None

    @classmethod
    def create(
        cls, pool: PhotoPool, decisions: Decisions, ranking: Ranking | None = None
    ) -> LabelState:
        """Apply decisions to the photos; those about files that have changed do not count."""
        class_of, left_out = classes_of_photos(pool.index, decisions)
        return cls(pool, class_of, frozenset(left_out), ranking)

    @cached_property
    def open(self) -> np.ndarray:
        """Positions of the photos that have no class and were not left out, ``(n,)``."""
        return np.array(
            [
                place
                for place, record in enumerate(self.pool.index.records)
                if record.path not in self.class_of and record.path not in self.left_out
            ],
            np.int64,
        )

    @property
    def num_photos(self) -> int:
        """Photos that have a class or may get one."""
        return self.pool.index.num_images - len(self.left_out)

    @property
    def is_due(self) -> bool:
        """Whether the photos are to be sorted again: ``ROUND`` labels came or went, or the first.

        There must be two classes for it.
        """
        if len(set(self.class_of.values())) < 2 or not len(self.open):
            return False
        done = 0 if self.ranking is None else self.ranking.num_labels
        return self.ranking is None or abs(len(self.class_of) - done) >= ROUND

    def groups(self) -> list[Sheet]:
        """Return the groups that can be labelled at once, the most uniform first.

        First those by features, without those in which the ranking sees several classes; then what
        the ranking is sure of, by class.
        """
        sheets, covered = [], set()
        groups = self.pool.group_of[self.open]
        for group in np.unique(groups):
            places = self.open[groups == group]
            places = places[np.argsort(self.pool.spread[places], kind="stable")]
            if len(places) < _LEAST_GROUP or not self._agrees(places):
                continue
            covered.update(places.tolist())
            sheets += self._sheets("group", places)
        if self.ranking is not None:
            rest = np.array([place for place in self.open if place not in covered], np.int64)
            sheets += self._sure_sheets(rest)
        return sheets

    def one_by_one(self, num: int = ROUND) -> Sheet:
        """Return the photos to label one by one: those the ranking is least sure of.

        Without a ranking they are the middle photos of the groups, largest group first.
        """
        if self.ranking is not None:
            probabilities = self.ranking.probabilities[self.open]
            top = np.sort(probabilities, axis=1)
            order = np.argsort(top[:, -1] - top[:, -2], kind="stable")
        else:
            groups = self.pool.group_of[self.open]
            by_spread = np.argsort(self.pool.spread[self.open], kind="stable")
            turn = np.zeros(len(groups), np.int64)  # how many of its group come before a photo
            seen: dict[int, int] = {}
            for place in by_spread:
                turn[place] = seen.get(int(groups[place]), 0)
                seen[int(groups[place])] = int(turn[place]) + 1
            sizes = np.array([seen[int(group)] for group in groups])
            order = np.lexsort((self.pool.spread[self.open], -sizes, turn))
        return Sheet("single", self._paths(self.open[order[:num]]))

    def more_like(self, paths: Sequence[str], num: int = SHEET) -> Sheet:
        """Return the open photos most similar to one of ``paths``, the most similar first."""
        own = [self.pool.place_of[path] for path in paths if path in self.pool.place_of]
        others = np.setdiff1d(self.open, own)
        if not own or not len(others):
            return Sheet("similar", ())
        nearest = self._similarity(own, others).max(axis=0)
        places = others[highest(nearest[np.newaxis], num)[0][0]]
        names = {self.class_of[path] for path in paths if path in self.class_of}
        suggestion = names.pop() if len(names) == 1 else self._suggestion(places)
        return Sheet("similar", self._paths(places), suggestion)

    def suggestion_for(self, path: str) -> tuple[str, float] | None:
        """Return the most probable class of a photo with its probability, None without ranking."""
        if self.ranking is None or path not in self.pool.place_of:
            return None
        row = self.ranking.probabilities[self.pool.place_of[path]]
        return self.ranking.class_names[int(row.argmax())], float(row.max())

    def _similarity(self, places: Sequence[int], others: np.ndarray) -> np.ndarray:
        """Return the cosines of photos with others, ``(num_places, num_others)``.

        A block at a time: pages ask for it, and all features as float32 would take twice as much
        memory as the pool itself.
        """
        features, own = self.pool.features, self.pool.features[places].astype(np.float32)
        cosines = np.empty((len(own), len(others)), np.float32)
        for start in range(0, len(others), _ROWS):
            block = features[others[start : start + _ROWS]].astype(np.float32)
            cosines[:, start : start + _ROWS] = own @ block.T
        return cosines

    def _agrees(self, places: np.ndarray) -> bool:
        if self.ranking is None:
            return True
        best = self.ranking.probabilities[places].argmax(axis=1)
        return bool(np.bincount(best).max() >= _MIN_AGREEMENT * len(places))

    def _suggestion(self, places: np.ndarray) -> str | None:
        if self.ranking is None:
            return None
        mean = self.ranking.probabilities[places].mean(axis=0)
        return self.ranking.class_names[int(mean.argmax())]

    def _sure_sheets(self, places: np.ndarray) -> list[Sheet]:
        if self.ranking is None or not len(places):
            return []
        probabilities = self.ranking.probabilities[places]
        best, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
        sheets = []
        for label in range(len(self.ranking.class_names)):
            own = np.flatnonzero((best == label) & (sure >= _SURE))
            if len(own) >= _LEAST_GROUP:
                own = own[np.argsort(-sure[own], kind="stable")]
                sheets += self._sheets("sure", places[own])
        return sheets

    def _sheets(self, kind: SheetKind, places: np.ndarray) -> list[Sheet]:
        """Return photos in sheets of nearly equal size."""
        parts = np.array_split(places, -(-len(places) // SHEET))
        return [Sheet(kind, self._paths(part), self._suggestion(part)) for part in parts]

    def _paths(self, places: np.ndarray) -> tuple[str, ...]:
        return tuple(self.pool.index.records[int(place)].path for place in places)


def _principal_components(features: np.ndarray, num: int) -> np.ndarray:
    """Return at most ``num`` principal components, ``(n, num)`` float32; overwrite features."""
    from sklearn.decomposition import PCA

    if len(features) < 2:
        return np.zeros((len(features), 1), np.float32)
    pca = PCA(min(num, *features.shape), copy=False, random_state=0)
    components = pca.fit_transform(features)
    return np.asarray(components, np.float32)


def _groups(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each row and its distance to the centre; group 0 is the tightest."""
    from sklearn.cluster import KMeans

    num_groups = int(np.clip(round(len(rows) / _GROUP), 1, _MAX_GROUPS))
    means = KMeans(num_groups, n_init=2, random_state=0).fit(rows)
    spread = np.linalg.norm(rows - means.cluster_centers_[means.labels_], axis=1)
    mean_spread = [spread[means.labels_ == group].mean() for group in range(num_groups)]
    order_of = np.argsort(np.argsort(mean_spread, kind="stable"), kind="stable")
    return order_of[means.labels_].astype(np.int32), spread.astype(np.float32)

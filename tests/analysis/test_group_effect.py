"""How much better figures look when images of one group lie on both sides of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import draw_image

from tl_core.analysis.group_effect import find_group_effect, measure_group_effect
from tl_core.data.dataset import scan_dataset


def group_features(num_groups: int, size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features that tell the group and nothing of the class, and the groups."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_groups, 24))
    groups = np.repeat(np.arange(num_groups), size)
    return centres[groups] + 0.05 * rng.normal(size=(len(groups), 24)), groups


def test_a_class_that_is_only_known_by_its_groups_is_guessed_with_groups_apart() -> None:
    features, groups = group_features(24, 8)
    labels = groups % 2

    apart, mixed = measure_group_effect(features, labels, groups)

    assert mixed > 0.95
    assert apart < 0.7


def test_a_true_difference_does_not_depend_on_groups() -> None:
    features, groups = group_features(24, 8)
    labels = groups % 2
    features[:, :8] += 8 * labels[:, None]

    apart, mixed = measure_group_effect(features, labels, groups)

    assert mixed - apart < 0.02


def test_the_finding_tells_both_figures_for_groups_that_names_show(tmp_path: Path) -> None:
    for clip in range(16):
        for frame in range(4):
            path = tmp_path / ("on", "off")[clip % 2] / f"clip{clip}_frame{frame}.png"
            path.parent.mkdir(exist_ok=True)
            draw_image(clip % 2, 10 * clip + frame, (24, 20)).save(path)
    index = scan_dataset(tmp_path)
    features, _ = group_features(16, 4)
    order = np.argsort(
        [int(r.path.split("clip")[1].split("_")[0]) for r in index.records], kind="stable"
    )
    by_record = np.empty_like(features)
    by_record[order] = features

    (found,) = find_group_effect(index, by_record)

    assert found.severity == "warning"
    assert found.message.startswith("The images come in 16 groups.")
    by_record[:, :8] += 8 * index.labels[:, None]
    assert find_group_effect(index, by_record) == []

"""The memory of a training is estimated before it starts, and one that cannot fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tl_core.backbones.blocks import block_table
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import ConfigError
from tl_core.jobs.training import start_training
from tl_core.runs.store import list_runs
from tl_core.training import memory, trainer
from tl_core.training.memory import check_memory, estimate_memory
from tl_core.workspace import Workspace

WIDE = TrainConfig(backbone="tiny", fc_layers=(8192,) * 8)


def test_each_weight_counts_with_its_gradient_moments_and_saved_copies() -> None:
    # 32 features into 10 units into 3 classes, each with an offset
    need = estimate_memory(TrainConfig(backbone="tiny", fc_layers=(10,)), num_classes=3)
    assert need.fc_layers == 4 * 14 * (32 * 10 + 10 + 10 * 3 + 3)
    assert need.features == need.blocks == 0


def test_features_count_all_images_in_every_augmented_view() -> None:
    config = TrainConfig(backbone="tiny", views=5, augment=AugmentConfig(rotation=10))
    assert estimate_memory(config, 2, 100).features == 2 * 5 * 100 * 32 * 4
    plain = config.updated(augment=AugmentConfig())
    assert estimate_memory(plain, 2, 100).features == 2 * 100 * 32 * 4


def test_a_flattened_map_has_a_place_for_each_32_pixels_of_a_side() -> None:
    config = TrainConfig(backbone="MobileNetV2", pooling="flatten", image_size=(224, 160))
    assert estimate_memory(config, 2, 1).features == 2 * 7 * 5 * 1280 * 4


def test_fine_tuning_grows_with_blocks_batch_and_pixels() -> None:
    rows = block_table("EfficientNetLite0")
    # The widest layer of block 1a has 32 channels at half the side: at least 8 numbers a pixel.
    assert [row.name for row in rows if row.num_values < row.num_inputs] == []
    assert next(row for row in rows if row.name == "block1a").num_values >= 8
    config = TrainConfig(fine_tune_blocks=18)
    small = estimate_memory(config).blocks
    assert 3e9 < small < 4e9  # 3.4 GB were measured
    assert estimate_memory(config.updated(batch_size=64)).blocks > 1.6 * small
    assert estimate_memory(config.updated(image_size=(448, 448))).blocks > 3 * small
    assert estimate_memory(config.updated(fine_tune_blocks=5)).blocks < small / 2


def test_what_cannot_fit_is_refused_with_the_figure_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 10**9)
    with pytest.raises(ConfigError, match=r"about 26\.3 GB .*; 8\.0 GB are available.*FC layers"):
        check_memory(WIDE)
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 10**6)
    with pytest.raises(ConfigError, match=r"3 MB are available.*smaller batch size"):
        check_memory(TrainConfig(fine_tune_blocks=5))
    check_memory(TrainConfig(backbone="tiny"))


def test_a_training_that_cannot_fit_leaves_no_run(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 10**9)
    workspace = Workspace(tmp_path / "workspace")
    with pytest.raises(ConfigError, match="GB of memory"):
        start_training(workspace, WIDE, dataset)
    with pytest.raises(ConfigError, match="GB of memory"):
        trainer.train(WIDE, scan_dataset(dataset), tmp_path / "run")
    assert list_runs(workspace.runs_dir) == []
    assert not (tmp_path / "run").exists()

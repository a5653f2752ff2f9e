"""The memory of a training is estimated before it starts, and one that cannot fit is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from demo_helpers import start_demo

from tl_core.backbones.blocks import block_table
from tl_core.config.training import AugmentConfig, TrainConfig
from tl_core.data.dataset import scan_dataset
from tl_core.errors import ConfigError
from tl_core.jobs.training import start_training
from tl_core.runs.store import list_runs
from tl_core.training import memory, trainer
from tl_core.training.memory import check_memory, check_search_memory, estimate_memory
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


def test_what_a_fine_tuning_keeps_is_counted_in_a_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it is at most 300 MB; else a share of what is free."""
    config = TrainConfig(fine_tune_blocks=5)
    alone = estimate_memory(config).blocks
    monkeypatch.setenv("TL_MODE", "demo")
    assert estimate_memory(config).blocks == alone + 300_000_000
    assert estimate_memory(TrainConfig()).blocks == 0


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


# 32 features into 2,000 units, those into 2,000 and those into 2 classes, each with an offset
TWICE_2000 = TrainConfig(backbone="tiny", fc_layers=(2000, 2000))
TWICE_2000_WEIGHTS = 66_000 + 4_002_000 + 4_002


@pytest.mark.parametrize(("job_memory_mb", "fits"), [(1229, True), (1228, False)])
def test_a_demo_gives_a_training_its_limit_less_what_the_worker_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_memory_mb: int, fits: bool
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 10**9)
    assert 4 * 14 * TWICE_2000_WEIGHTS == 228_032_112  # and 1,229 - 1,000 is 229
    start_demo(monkeypatch, tmp_path / "demo", job_memory_mb=job_memory_mb)
    if fits:
        check_memory(TWICE_2000)
        return
    with pytest.raises(ConfigError) as caught:
        check_memory(TWICE_2000)
    assert str(caught.value) == (
        "Training with these settings needs about 229 MB of memory; 228 MB are available of the "
        "1,228 MB that this demo allows a job. 229 MB of it are for the FC layers. Choose fewer or "
        "narrower ones."
    )


@pytest.mark.parametrize(
    ("job_memory_mb", "config"),
    [
        (900, TrainConfig()),
        (2300, TrainConfig(fc_layers=(2048,) * 5)),
        (2300, TrainConfig(fc_layers=(4096, 4096))),
        (2300, TrainConfig(fine_tune_blocks=5)),
    ],
    ids=["default", "five of 2,048", "two of 4,096", "fine-tuning"],
)
def test_a_demo_refuses_nothing_that_was_seen_to_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job_memory_mb: int, config: TrainConfig
) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 8 * 10**9)
    start_demo(monkeypatch, tmp_path / "demo", job_memory_mb=job_memory_mb)
    check_memory(config)


def test_a_machine_with_less_than_a_demo_allows_is_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_demo(monkeypatch, tmp_path / "demo")
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 10**6)
    with pytest.raises(ConfigError, match=r"3 MB are available\. "):
        check_memory(TWICE_2000)


@pytest.mark.parametrize(
    ("num_cores", "num_bytes"),
    [
        (1, 4 * 8 * TWICE_2000_WEIGHTS),
        (2, 2 * 4 * 8 * TWICE_2000_WEIGHTS),
        (6, 3 * 4 * 8 * (TWICE_2000_WEIGHTS + 66)),  # 32 features into 2 classes: 66 weights
        (64, 3 * 4 * 8 * (TWICE_2000_WEIGHTS + 66)),
    ],
)
def test_a_search_needs_memory_for_as_many_of_its_largest_heads_as_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, num_cores: int, num_bytes: int
) -> None:
    trials = [TrainConfig(backbone="tiny", fc_layers=()), TWICE_2000]
    monkeypatch.setattr(memory, "num_cores", lambda: num_cores)
    monkeypatch.setattr(memory, "available_bytes", lambda: num_bytes)
    check_search_memory(trials, 3)
    monkeypatch.setattr(memory, "available_bytes", lambda: num_bytes - 1)
    with pytest.raises(ConfigError, match=r"A search with these settings .* FC layers\. Choose"):
        check_search_memory(trials, 3)

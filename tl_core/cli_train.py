"""The two ways of ``train`` that begin with a run: going on with it, and making it better."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_core.cli_options import build_config
from tl_core.errors import ConfigError

if TYPE_CHECKING:
    from tl_core.cli_terminal import ProgressLine
    from tl_core.data.progress import ShouldStop
    from tl_core.training.runs import Run


def train_from(
    resume: Path | None,
    from_run: Path | None,
    settings: Mapping[str, Any],
    name: str | None,
    runs_dir: Path | None,
    cache_dir: Path,
    progress: ProgressLine,
    should_stop: ShouldStop,
) -> Run:
    """Resume a run, or train a new one that starts from its weights.

    Raises:
        ConfigError: both were given, or settings that do not fit.
        TLError: training failed.
    """
    from tl_core.model.block_table import check_fine_tuning, recommended_blocks
    from tl_core.training.continuing import continue_run
    from tl_core.training.run_files import CONFIG_FILE
    from tl_core.training.runs import load_run
    from tl_core.training.trainer import resume_run, train_queued

    if resume is not None:
        if from_run is not None or any(value is not None for value in settings.values()):
            raise ConfigError(
                "A run is resumed with the settings it has. Use --from-run to train a new one "
                "from its weights with others."
            )
        return resume_run(resume, progress.on_event, should_stop, cache_dir=cache_dir)
    if from_run is None:
        raise ConfigError("Expected a run to begin with.")
    source = load_run(from_run)
    config = build_config(source.run_dir / CONFIG_FILE, settings)
    if config.fine_tune_blocks == 0:
        config = config.updated(fine_tune_blocks=recommended_blocks(config.backbone))
    check_fine_tuning(config)
    run = continue_run(source, config.model_dump(), runs_dir=runs_dir, name=name)
    return train_queued(run, progress.on_event, should_stop, cache_dir=cache_dir)

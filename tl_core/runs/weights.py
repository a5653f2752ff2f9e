"""The weights of a run: its head, and the backbone that the head was trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from tl_core.errors import RunError
from tl_core.features.spec import FeatureSpec
from tl_core.head.model import METADATA_KEY, load_weights_metadata
from tl_core.runs.files import WEIGHTS_FILE
from tl_core.runs.run import Run


def feature_spec_of(run: Run) -> FeatureSpec:
    """Return the feature spec of a run, including its fine-tuned backbone if it has one.

    Use it wherever a run classifies; the settings alone do not name a fine-tuned backbone.

    Raises:
        RunError: the run's weights or its converted backbone cannot be read.
    """
    spec = FeatureSpec.from_config(run.config)
    return dataclasses.replace(
        spec,
        engine_file=engine_file_of(run.run_dir),
        scale=run.pixel_scale,
        is_scale_fixed=True,
    )


def engine_file_of(run_dir: Path) -> Path | None:
    """Return the converted backbone of a fine-tuned run; None if the pretrained one is used.

    Raises:
        RunError: its file is missing.
    """
    if not (run_dir / WEIGHTS_FILE).exists():
        return None
    name = weights_facts(run_dir).get("backbone")
    if name is None:
        return None
    path = run_dir / Path(str(name)).name
    if not path.exists():
        raise RunError(
            f"Run '{run_dir.name}' was fine-tuned, but its backbone '{path.name}' is missing. "
            "Copy the whole folder, or train it again."
        )
    return path


def weights_facts(run_dir: Path) -> dict[str, Any]:
    """Return the metadata of a run's weights: phase, epoch, the backbone's file if any."""
    text = load_weights_metadata(run_dir / WEIGHTS_FILE).get(METADATA_KEY, "{}")
    facts = json.loads(text)
    return facts if isinstance(facts, dict) else {}

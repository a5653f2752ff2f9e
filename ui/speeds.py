"""How fast backbones are on this machine: measured when asked for, and remembered."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tl_core.child import child_environment, module_command
from tl_core.errors import WeightsError
from tl_core.files import read_json, write_json
from tl_core.workspace import Workspace


def known_speeds(workspace: Workspace) -> dict[str, float]:
    """Return photos a second by backbone, as far as they were measured here."""
    try:
        speeds = read_json(_path(workspace))
    except (OSError, ValueError):
        return {}
    return {name: float(speed) for name, speed in speeds.items()}


def measure_here(workspace: Workspace, backbone: str) -> float:
    """Measure a backbone and remember the result.

    By the command line, so that neither a large backbone nor TensorFlow, which converts it the
    first time, stays in the memory of the web server.

    Raises:
        WeightsError: its weights cannot be had, or it does not fit into memory.
    """
    arguments = ("backbones", "--measure", backbone, "--json", "--workspace", str(workspace.root))
    done = subprocess.run(
        module_command("tl_core", *arguments),
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        reason = done.stderr.strip().rpartition("Error: ")[2].strip()
        raise WeightsError(reason or f"Measuring {backbone} ended early; memory may be short.")
    speed = float(json.loads(done.stdout)[0]["images_per_second"])
    write_json(_path(workspace), {**known_speeds(workspace), backbone: round(speed, 1)})
    return speed


def _path(workspace: Workspace) -> Path:
    return workspace.cache_dir / "speeds.json"

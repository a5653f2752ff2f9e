"""How fast backbones are on this machine: measured when asked for, and remembered."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from tl_core.cli.exit_codes import EXIT_USER_ERROR
from tl_core.errors import WeightsError
from tl_core.files import read_json, write_json
from tl_core.processes import child_environment, exit_reason, module_command
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
        RuntimeError: there is a bug in it; the message is its traceback.
    """
    arguments = ("backbones", "--measure", backbone, "--json", "--workspace", str(workspace.root))
    done = subprocess.run(
        module_command("tl_core", *arguments),
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    if done.returncode == EXIT_USER_ERROR:
        raise WeightsError(re.split(r"^Error: ", done.stderr, flags=re.MULTILINE)[-1].strip())
    if reason := exit_reason(done.returncode):
        raise WeightsError(f"{backbone} could not be measured: {reason}.")
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    speed = float(json.loads(done.stdout)[0]["images_per_second"])
    write_json(_path(workspace), {**known_speeds(workspace), backbone: round(speed, 1)})
    return speed


def _path(workspace: Workspace) -> Path:
    return workspace.cache_dir / "speeds.json"

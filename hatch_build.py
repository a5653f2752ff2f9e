"""What the build adds to pyproject.toml: the requirements, and the app inside the package.

The app's files go below ``tl_core/_studio``, so that a wheel installs one package and none called
``ui`` or ``pages``. An editable installation opens the app of the checkout instead.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from hatchling.metadata.plugin.interface import MetadataHookInterface

APP_FILES = ("app.py", "hosted.py", "pages", "ui", ".streamlit/config.toml")


class Requirements(MetadataHookInterface):
    """Takes the dependencies from requirements.txt, which is also what a checkout installs."""

    def update(self, metadata: dict[str, Any]) -> None:
        lines = Path(self.root, "requirements.txt").read_text(encoding="utf-8").splitlines()
        metadata["dependencies"] = [line for line in lines if line and not line.startswith("#")]


class Studio(BuildHookInterface[BuilderConfig]):
    """Puts the app's files into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name == "wheel" and version == "standard":
            for name in APP_FILES:
                build_data["force_include"][name] = f"tl_core/_studio/{name}"

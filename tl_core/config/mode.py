"""What a server of the app is for, from the environment variable ``TL_MODE``."""

from __future__ import annotations

import os
from typing import Literal, cast, get_args

from tl_core.errors import ConfigError

MODE_ENVIRONMENT_NAME = "TL_MODE"

Mode = Literal["studio", "demo", "viewer"]
"""``studio``: one person's own app, the default. ``demo``: a hosted app in which each visitor has
a workspace and limits. ``viewer``: one finished model that answers, without training."""


def current_mode() -> Mode:
    """Return the mode of this process.

    Raises:
        ConfigError: ``TL_MODE`` names no mode.

    Example:
        >>> from tl_core.config.mode import current_mode
        >>> current_mode()
        'studio'
    """
    name = os.environ.get(MODE_ENVIRONMENT_NAME, "").strip().lower() or "studio"
    if name not in get_args(Mode):
        raise ConfigError(
            f"Expected {MODE_ENVIRONMENT_NAME} to be one of {', '.join(get_args(Mode))}, "
            f"received '{name}'. Change the environment variable or remove it."
        )
    return cast(Mode, name)

"""The health check of a container: whether the server of this machine answers.

``python -m tl_core.visitors.health`` exits with 0 when it does and 1 when it does not.
"""

from __future__ import annotations

import os
import sys
import urllib.request

_SECONDS = 4.0


def health_address() -> str:
    """Return the address that answers, from the variables that set port and sub-path.

    Example:
        >>> health_address()
        'http://127.0.0.1:8501/_stcore/health'
    """
    port = os.environ.get("PORT") or os.environ.get("STREAMLIT_SERVER_PORT") or "8501"
    base = os.environ.get("STREAMLIT_SERVER_BASE_URL_PATH", "").strip("/")
    return f"http://127.0.0.1:{port}/{base}/_stcore/health".replace(f"{port}//", f"{port}/")


def is_healthy() -> bool:
    """Return whether the server answers."""
    try:
        with urllib.request.urlopen(health_address(), timeout=_SECONDS) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_healthy() else 1)

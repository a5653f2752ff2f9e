"""How this package is installed: the path of the app, the program's name, the data folder.

In a checkout ``app.py`` lies beside the package. A wheel has it inside, below ``_studio``, where
``hatch_build.py`` puts it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tl_core.errors import ConfigError

_PACKAGE_DIR = Path(__file__).resolve().parent
_STUDIO_DIR = _PACKAGE_DIR / "_studio"
_DATA_NAME = "tl-core"


def is_checkout() -> bool:
    """Whether the package runs from a checkout, also one that is installed as editable."""
    return not _STUDIO_DIR.is_dir()


def app_path() -> Path:
    """Return the path of the app that Streamlit runs."""
    return (_PACKAGE_DIR.parent if is_checkout() else _STUDIO_DIR) / "app.py"


def hosted_path() -> Path:
    """Return the path of the app as a hosted demo, which Streamlit runs with ``TL_MODE=demo``."""
    return app_path().with_name("hosted.py")


def check_encoding() -> None:
    """Check that names of files are read as UTF-8, as on every usual system.

    With ``LC_ALL=C`` and ``PYTHONUTF8=0`` together Python takes them for ASCII, and folders with
    other letters in their names would not be found.

    Raises:
        ConfigError: they are read otherwise.
    """
    encoding = sys.getfilesystemencoding()
    if encoding.casefold().replace("-", "") != "utf8":
        raise ConfigError(
            f"Expected an environment that reads names of files as UTF-8, found {encoding}: "
            "folders with other letters in their names would not be found. Set PYTHONUTF8=1 (or "
            "LC_ALL=C.UTF-8) and start again."
        )


def program_name() -> str:
    """Return the name of the command line program: ``tl`` if it is installed."""
    started_as_tl = Path(sys.argv[0]).stem == "tl" if sys.argv else False
    return "tl" if started_as_tl or not is_checkout() else "python -m tl_core"


def install_command(extra: str) -> str:
    """Return the command that installs an optional extra beside this package.

    Example:
        >>> from tl_core.installation import install_command
        >>> install_command("onnx")
        "pip install -e '.[onnx]'"
    """
    return f"pip install -e '.[{extra}]'" if is_checkout() else f"pip install 'tl-core[{extra}]'"


def user_data_dir() -> Path:
    """Return the folder in which the system keeps this program's data for the current user.

    That is ``$XDG_DATA_HOME/tl-core`` or ``~/.local/share/tl-core`` on Linux,
    ``~/Library/Application Support/tl-core`` on macOS and ``%LOCALAPPDATA%/tl-core`` on Windows.
    """
    home = Path.home()
    if sys.platform == "win32":
        named, usual = os.environ.get("LOCALAPPDATA"), home / "AppData" / "Local"
    elif sys.platform == "darwin":
        named, usual = None, home / "Library" / "Application Support"
    else:
        named, usual = os.environ.get("XDG_DATA_HOME"), home / ".local" / "share"
    return (Path(named) if named else usual) / _DATA_NAME

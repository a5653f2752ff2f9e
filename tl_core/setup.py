"""Set the studio up and open it, or set it up and pass its tests; needs a bare Python, no package.

``python3.11 -m tl_core.setup run`` opens the app, ``python3.11 -m tl_core.setup test`` runs ruff,
mypy and the tests. Both build ``.venv`` beside ``app.py`` when it is missing or out of date.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)  # TensorFlow 2.21 has wheels for these
LOCAL_HOST = "127.0.0.1"
# One test process more than processors, as those that drive a browser often wait; at most four, of
# which each may take 1.5 GB.
TEST_PROCESSES = min((os.cpu_count() or 1) + 1, 4)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")


class SetupError(Exception):
    """Something is missing on this machine; the message says how to get it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    given = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:given])
    try:
        check_checkout()
        check_python(sys.version_info[:2])
        if options.command == "run":
            return run_app(
                host=options.host, port=options.port, open_browser=not options.no_browser
            )
        return run_tests(arguments[given + 1 :])
    except SetupError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def check_checkout() -> None:
    """Check that this is a checkout, not an installed package without requirements and tests.

    Raises:
        SetupError: this is no checkout.
    """
    if not (ROOT / "requirements.txt").is_file():
        raise SetupError(
            f"Expected a checkout of the project, but '{ROOT}' has no requirements.txt. In an "
            "installed package there is nothing to set up: open the studio with 'tl app'."
        )


def check_python(version: tuple[int, ...]) -> None:
    """Check that the requirements have packages for this Python.

    Raises:
        SetupError: it is older or newer than those supported.
    """
    if not OLDEST <= tuple(version) <= NEWEST:
        raise SetupError(
            "Expected Python {}.{} to {}.{}, this is {}.{}. Start the command with one of those, "
            "for example: python3.11 -m tl_core.setup run".format(*OLDEST, *NEWEST, *version)
        )


def run_app(*, host: str = LOCAL_HOST, port: int | None = None, open_browser: bool = True) -> int:
    """Install what the app needs, draw the sample set and serve the app until it is stopped.

    Args:
        host: address to listen on. The app has no login: an address that other machines reach
            lets everyone on the network use it, which is printed.
        port: port to listen on; Streamlit's own choice by default.
        open_browser: whether to open the app in a browser.
    """
    python = prepare(dev=False)
    sample = subprocess.run([python, "-m", "tl_core", "sample"], cwd=ROOT)
    if sample.returncode != 0:
        return sample.returncode
    command = [str(python), "-m", "tl_core", "app", f"--host={host}"]
    if port is not None:
        command.append(f"--port={port}")
    if not open_browser:
        command.append("--no-browser")
    return _exec(command)


def run_tests(pytest_arguments: Sequence[str] = ()) -> int:
    """Install what the tests need, run every check and return 1 when one of them failed.

    The tests come last, so that pytest's own summary closes the output of a run that passed.
    """
    python = str(prepare(dev=True))
    browser_reason = prepare_chromium()
    npm_reason = prepare_npm()
    checks = {
        "ruff check": [python, "-m", "ruff", "check", "."],
        "ruff format": [python, "-m", "ruff", "format", "--check", "."],
        "mypy": [python, "-m", "mypy"],
        "pytest": [python, "-m", "pytest", "-rs", "-n", f"{TEST_PROCESSES}", *pytest_arguments],
    }
    if browser_reason:
        say(f"The browser test is left out: {browser_reason}")
        checks["pytest"] += ["-m", "not browser"]
    elif npm_reason:
        say(f"The browser tests of exported web pages are skipped: {npm_reason}")
    # Tests start hundreds of processes; without bytecode files each compiles all sources again.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    failed = []
    for name, command in checks.items():
        say(f"== {name}")
        if subprocess.run(command, cwd=ROOT, env=environment).returncode != 0:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def prepare(*, dev: bool) -> Path:
    """Create or update ``.venv`` and return its Python; fast if it is up to date.

    Args:
        dev: also install what the checks and tests need.

    Raises:
        SetupError: the environment cannot be made or a package cannot be installed.
    """
    venv_dir = ROOT / ".venv"
    python = venv_dir / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = requirements_hash()
    stamps = [venv_dir / "installed-app", venv_dir / "installed-dev"]
    if _works(python) and _read(stamps[1] if dev else stamps[0]) == wanted:
        return python
    if not _works(python):
        _make_venv(venv_dir)
    say("Installing the packages of requirements.txt; the first time takes a few minutes.")
    names = ["-r", str(ROOT / "requirements.txt"), *(_dev_requirements() if dev else [])]
    pip_install = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *names]
    installed = subprocess.run(pip_install, cwd=ROOT)
    if installed.returncode != 0:
        raise SetupError(
            "pip could not install the packages; see its message above. Without access to "
            "PyPI, point pip at your mirror with PIP_INDEX_URL or at a folder of wheels with "
            "PIP_FIND_LINKS, then run this command again: it continues where it stopped."
        )
    for stamp in stamps if dev else stamps[:1]:
        stamp.write_text(wanted, encoding="utf-8")
    return python


def requirements_hash() -> str:
    """Return a hash that changes whenever the packages to install may have changed."""
    digest = hashlib.sha256()
    for name in ("requirements.txt", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def prepare_chromium() -> str | None:
    """Find or install the browser of the browser tests; return why there is none, or None."""
    return _prepare_program(find_chromium, ["chromium"], "for the browser tests")


def prepare_npm() -> str | None:
    """Find or install npm, which fetches the runtime of exported web pages, if possible."""
    packages = ["npm", "--no-install-recommends"]  # it recommends compilers
    return _prepare_program(lambda: shutil.which("npm"), packages, "for exported web pages")


def _prepare_program(
    find: Callable[[], str | None], packages: list[str], purpose: str
) -> str | None:
    """Install a program if no confirmation is needed: as root on a Debian-like system."""
    if find():
        return None
    words = " ".join(packages)
    advice = f"no {packages[0]} was found; on Debian install it with: sudo apt-get install {words}"
    if not shutil.which("apt-get") or not _is_root():
        return advice
    say(f"Installing {packages[0]} {purpose}.")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", *packages]
    for command in (["apt-get", "update", "-q"], install):
        if subprocess.run(command, env=quiet, stdin=subprocess.DEVNULL).returncode != 0:
            return f"'{' '.join(command)}' failed, see its message above"
    return None if find() else advice


def find_chromium() -> str | None:
    """Return the path of an installed chromium, or None."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name))), None)


def say(message: str) -> None:
    """Print a line at once, in order with the output of the programs started."""
    print(message, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tl_core.setup", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="set everything up and open the app")
    run.add_argument(
        "--host",
        default=LOCAL_HOST,
        help=f"address to listen on; by default {LOCAL_HOST}, which this machine alone reaches",
    )
    run.add_argument("--port", type=int, help="port to serve on (Streamlit's own choice: 8501)")
    run.add_argument("--no-browser", action="store_true", help="serve without opening a browser")
    commands.add_parser(
        "test",
        help="set everything up and run ruff, mypy and the tests",
        epilog="What follows -- goes to pytest, for example: test -- tests/test_files.py -x",
    )
    return parser


def _exec(command: list[str]) -> int:
    """Run ``command`` in place of this process, so that a signal sent to it reaches the app."""
    if os.name == "posix":
        os.chdir(ROOT)
        os.execv(command[0], command)
    return subprocess.run(command, cwd=ROOT).returncode


def _make_venv(venv_dir: Path) -> None:
    """Create a new virtual environment with this Python."""
    try:
        import ensurepip
        import venv
    except ImportError as error:
        name = "python{}.{}-venv".format(*sys.version_info)
        raise SetupError(
            f"This Python lacks the module '{error.name}'. On Debian install it with: "
            f"sudo apt-get install {name}"
        ) from error
    say(f"Creating {venv_dir} with Python {sys.version.split()[0]} and pip {ensurepip.version()}.")
    try:
        venv.create(venv_dir, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"Cannot create the environment '{venv_dir}': {error}") from error


def _dev_requirements() -> list[str]:
    """Return the requirements of pyproject's ``dev`` extra."""
    import tomllib  # from Python 3.11 on: the version was checked by now

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return list(project["optional-dependencies"]["dev"])


def _works(python: Path) -> bool:
    """Whether the environment's Python starts and is of a supported version."""
    try:
        check = "import sys, pip; print(*sys.version_info[:2])"
        shown = subprocess.run([python, "-c", check], capture_output=True, text=True)
    except OSError:
        return False
    version = tuple(int(part) for part in shown.stdout.split())
    return shown.returncode == 0 and OLDEST <= version <= NEWEST


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


if __name__ == "__main__":
    sys.exit(main())

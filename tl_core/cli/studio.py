"""The commands that open the app, with Streamlit in place of this process, and check it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from tl_core.cli.arguments import AsJson, WorkspaceDir, workspace_at
from tl_core.cli.exit_codes import EXIT_PROBLEMS
from tl_core.cli.terminal import print_json, say
from tl_core.config.mode import current_mode
from tl_core.errors import TLError
from tl_core.installation import app_path, hosted_path, is_checkout
from tl_core.workspace import ENVIRONMENT_NAME

LOCAL_HOST = "127.0.0.1"
_MARKS = {"ok": "ok", "warning": "warning", "error": "ERROR"}
THIS_MACHINE = ("localhost", LOCAL_HOST, "::1")


def app(
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. 0.0.0.0 opens the studio to the network, without a login."
        ),
    ] = LOCAL_HOST,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port to listen on.  [8501, or the next free one]"),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the studio in a browser.")
    ] = True,
    workspace: WorkspaceDir = None,
) -> None:
    """Open the studio. Ctrl-C closes it; a training or a search that runs goes on.

    It works on the datasets and runs of one workspace, which is printed.
    """
    root = workspace_at(workspace).root
    if not app_path().is_file():
        raise TLError(f"Expected the app at '{app_path()}'. Install the package again.")
    say(f"Workspace: {root}")
    if host not in THIS_MACHINE:
        say(
            f"The studio listens on {host} without a login: everyone who reaches this machine over "
            "the network can use it and see its photos. Leave out --host to keep it to yourself."
        )
    say_insecure_packages()
    sys.stdout.flush()
    environment = {
        **os.environ,
        ENVIRONMENT_NAME: str(root),
        "PYTHONSAFEPATH": "1",  # modules in the folder it is started from must not hide others
    }
    sys.exit(_exec(_command(host, port, browser), environment))


def doctor(workspace: WorkspaceDir = None, as_json: AsJson = False) -> None:
    """Check versions, weights, caches, disk, permissions, memory and locks; say what to do.

    Ends with 1 when something is an error, with 0 when there are warnings at most. Nothing is
    changed.
    """
    from tl_core.jobs.doctor import examine

    place = workspace_at(workspace)
    checks = examine(place)
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        say(f"Workspace: {place.root}")
        for check in checks:
            say(f"{_MARKS[check.state].ljust(8)}{check.name.ljust(12)}{check.message}")
            if check.advice:
                say(f"{' ' * 20}{check.advice}")
    if any(check.state == "error" for check in checks):
        raise typer.Exit(EXIT_PROBLEMS)


def say_insecure_packages() -> None:
    """Print which installed packages have a known security fault, and what to do."""
    from tl_core.jobs.doctor import insecure_packages

    for check in insecure_packages():
        say(f"Warning: {check.message} {check.advice}", stream=sys.stderr)


def _command(host: str, port: int | None, browser: bool) -> list[str]:
    path = hosted_path() if current_mode() == "demo" else app_path()
    command = [sys.executable, "-m", "streamlit", "run", str(path)]
    command += [f"--server.address={host}", "--server.showEmailPrompt=false"]
    if port is not None:
        command.append(f"--server.port={port}")
    if not browser:
        command.append("--server.headless=true")
    if not is_checkout():
        command.append("--server.fileWatcherType=none")
    return command


def _exec(command: list[str], environment: Mapping[str, str]) -> int:
    """Run ``command`` in place of this process, so that a signal sent to it reaches the app."""
    if os.name == "posix":
        os.execve(command[0], command, environment)
    return subprocess.run(command, env=environment).returncode

"""Errors and findings name neither options nor buttons: each interface has words of its own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tl_core.cli.terminal import COMMANDS, exit_on_error
from tl_core.errors import REMEDIES, DatasetError, TLError
from ui.shared.errors import STEPS, error_words

ROOT = Path(__file__).resolve().parents[1]
OF_THE_COMMAND_LINE = re.compile(r"(?<![\w-])--[a-z]|\btl [a-z]|'table:")
# What writes files with commands in them, starts processes, or is for who runs a server.
WITH_COMMANDS = (
    "tl_core/cli/",
    "tl_core/export/",
    "tl_core/jobs/__main__.py",
    "tl_core/jobs/worker_client.py",
    "tl_core/runs/run.py",
    "tl_core/serving/server.py",
    "tl_core/setup.py",
    "tl_core/training/trainer.py",
    "ui/viewer/page.py",
)
NO_OTHER_WAY = ("tl projects export",)  # what a browser cannot do


def _texts(source: str) -> Iterator[ast.Constant]:
    """Yield the texts of a module, without its docstrings."""
    tree = ast.parse(source)
    docs = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node


def test_what_a_page_can_show_names_no_option_of_the_command_line() -> None:
    paths = [*ROOT.glob("tl_core/**/*.py"), *ROOT.glob("ui/**/*.py"), *ROOT.glob("pages/*.py")]
    found = [
        f"{name}:{text.lineno}: {text.value}"
        for name, path in sorted((path.relative_to(ROOT).as_posix(), path) for path in paths)
        if not name.startswith(WITH_COMMANDS)
        for text in _texts(path.read_text())
        if OF_THE_COMMAND_LINE.search(text.value)
        and not any(command in text.value for command in NO_OTHER_WAY)
    ]
    assert found == []


def test_each_interface_has_words_for_each_remedy() -> None:
    assert set(COMMANDS) == set(STEPS) == set(REMEDIES)
    assert not [step for step in STEPS.values() if OF_THE_COMMAND_LINE.search(step)]


@pytest.mark.parametrize("remedy", REMEDIES)
def test_the_command_line_says_which_command_helps(
    remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit), exit_on_error():
        raise DatasetError("Expected this.", remedy=remedy)
    assert capsys.readouterr().err == f"Error: Expected this.\n{COMMANDS[remedy]}\n"


@pytest.mark.parametrize("remedy", REMEDIES)
def test_a_page_says_what_to_click(remedy: str) -> None:
    assert (
        error_words(TLError("Expected this.", remedy=remedy)) == f"Expected this. {STEPS[remedy]}"
    )
    assert error_words(TLError("Expected this.")) == "Expected this."

"""What README.md and CONTRIBUTING.md name is there: files, commands, options."""

import re
from pathlib import Path

import pytest
import typer

from tl_core.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
DOCS = ["README.md", "CONTRIBUTING.md"]
COMMANDS = typer.main.get_command(app).commands


def code_of(name: str) -> list[str]:
    """Return the indented lines and the words in backticks of a document."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(r"^ {4}(?:\$ )?(\S.*)$", text, re.M) + re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("name", DOCS)
def test_every_file_a_document_names_is_there(name):
    pattern = r"(?:tl_core|ui|pages|tests|docs|benchmarks)/[\w./-]*|\w+\.(?:py|txt|toml|md)"
    named = {match for code in code_of(name) for match in re.findall(pattern, code)}
    named |= set(re.findall(r"\]\(([\w./-]+)\)", (ROOT / name).read_text(encoding="utf-8")))
    written_by_exports = {"predict.py"}
    assert [path for path in named - written_by_exports if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", DOCS)
def test_every_command_and_option_a_document_names_is_there(name):
    calls = [
        match.group(1).split("#")[0].split()
        for code in code_of(name)
        if (match := re.match(r"(?:tl|\S*python\S* -m tl_core) (\S.*)", code))
    ]
    for command, *words in calls:
        if command == "--help":
            continue
        known = {option for one in COMMANDS[command].params for option in one.opts}
        assert {word for word in words if word.startswith("--")} <= known, (command, words)

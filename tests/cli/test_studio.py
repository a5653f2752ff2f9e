"""The command that opens the app; Streamlit itself is not started here."""

import sys
from pathlib import Path

import pytest

from tl_core.cli import studio

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def started(monkeypatch):
    """Return the list of (command, environment) that would have been started."""
    calls = []
    monkeypatch.setattr(studio, "_exec", lambda *call: calls.append(call) or 0)
    return calls


def test_it_starts_streamlit_on_this_machine_alone(cli, started, tmp_path):
    code, out, _ = cli("app", "--workspace", tmp_path)
    [(command, environment)] = started
    assert code == 0
    assert command[:5] == [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py")]
    assert "--server.address=127.0.0.1" in command
    assert not [word for word in command if "port" in word or "headless" in word]
    assert environment["TL_WORKSPACE"] == str(tmp_path)
    assert out == f"Workspace: {tmp_path}\n"


def test_port_and_no_browser_are_passed_on(cli, started):
    cli("app", "--port", 8600, "--no-browser")
    assert {"--server.port=8600", "--server.headless=true"} <= set(started[0][0])


def test_an_address_that_others_reach_is_warned_about(cli, started):
    code, out, _ = cli("app", "--host", "0.0.0.0")
    assert code == 0
    assert "--server.address=0.0.0.0" in started[0][0]
    assert "listens on 0.0.0.0 without a login" in out


def test_an_installed_app_is_not_watched_for_changes(cli, started, installed):
    (installed / "app.py").touch()
    cli("app")
    command = started[0][0]
    assert command[4] == str(installed / "app.py")
    assert "--server.fileWatcherType=none" in command


def test_a_missing_app_is_an_error(cli, started, installed):
    code, _, err = cli("app")
    assert (code, started) == (2, [])
    assert err.startswith(f"Error: Expected the app at '{installed / 'app.py'}'")

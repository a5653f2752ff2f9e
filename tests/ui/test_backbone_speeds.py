import subprocess
from types import SimpleNamespace

import pytest

from tl_core.errors import WeightsError
from ui.train import backbone_speeds


@pytest.mark.parametrize(
    ("returncode", "stderr", "error", "message"),
    [
        (
            2,
            "a note\nError: No weights: OSError: Error: gone.\n",
            WeightsError,
            "^No weights.*gone.$",
        ),
        (-9, "measuring\n", WeightsError, "tiny could not be measured: .* lack of memory"),
        (1, "Traceback ...\nValueError: no\n", RuntimeError, "Traceback ...\nValueError: no"),
    ],
    ids=["said", "ended", "bug"],
)
def test_what_the_command_could_not_do_is_told_apart_from_a_bug(
    workspace, monkeypatch, returncode, stderr, error, message
):
    done = SimpleNamespace(returncode=returncode, stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    with pytest.raises(error, match=message):
        backbone_speeds.measure_here(workspace, "tiny")
    assert backbone_speeds.known_speeds(workspace) == {}

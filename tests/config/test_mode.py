import pytest

from tl_core.config.mode import current_mode
from tl_core.errors import ConfigError


@pytest.mark.parametrize(
    ("value", "mode"),
    [(None, "studio"), ("", "studio"), (" ", "studio"), ("Demo", "demo"), ("viewer ", "viewer")],
)
def test_the_mode_comes_from_the_environment(value, mode, monkeypatch):
    monkeypatch.delenv("TL_MODE", raising=False)
    if value is not None:
        monkeypatch.setenv("TL_MODE", value)
    assert current_mode() == mode


def test_an_unknown_mode_is_refused_with_those_known(monkeypatch):
    monkeypatch.setenv("TL_MODE", "kiosk")
    with pytest.raises(ConfigError, match=r"studio, demo, viewer, received 'kiosk'"):
        current_mode()

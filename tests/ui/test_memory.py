import ctypes
import sys

import pytest

from ui.shared import memory


@pytest.mark.parametrize("system", ["win32", "darwin"])
@pytest.mark.parametrize("act", [memory.keep_small, memory.give_back])
def test_nothing_is_asked_of_the_c_library_of_other_systems(monkeypatch, system, act):
    def refuse(name):
        raise TypeError("bad argument type for built-in operation")  # as on Windows

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(sys, "platform", system)
    act()

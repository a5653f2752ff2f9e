import ctypes
import gc
import sys
import tomllib
import weakref
from types import SimpleNamespace

import pytest
from browser_helpers import ROOT
from conftest import FakeClock

from ui.shared import memory
from ui.shared.errors import guarded


@pytest.mark.parametrize("system", ["win32", "darwin"])
@pytest.mark.parametrize("act", [memory.keep_small, memory.give_back])
def test_nothing_is_asked_of_the_c_library_of_other_systems(monkeypatch, system, act):
    def refuse(name):
        raise TypeError("bad argument type for built-in operation")  # as on Windows

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    monkeypatch.setattr(sys, "platform", system)
    act()


class Cycle:
    """Refers to itself, so that only a collection of garbage frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def clock(monkeypatch) -> FakeClock:
    """The clock of the collections; Python collects nothing by itself."""
    clock = FakeClock()
    monkeypatch.setattr(memory, "time", clock)
    monkeypatch.setattr(memory, "_Collected", SimpleNamespace(at=-1000.0, num_modules=0))
    gc.disable()
    yield clock
    gc.enable()
    gc.unfreeze()


def test_garbage_of_pages_and_fragments_is_collected_once_in_five_seconds(clock):
    left: list[weakref.ref[Cycle]] = []
    fragment = guarded(lambda: left.append(weakref.ref(Cycle())))
    alive = []
    for _ in range(12):
        fragment()
        alive.append(sum(one() is not None for one in left))
        clock.sleep(1)
    assert alive == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]


def test_streamlit_does_not_collect_it_as_well_after_each_run():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    assert config["runner"]["postScriptGC"] is False

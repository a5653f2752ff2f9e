"""Properties of untrusted input, with fewer cases than ``benchmarks/reliability.py`` takes."""

from __future__ import annotations

import pytest

from benchmarks import fuzzing

SLOW = {"archives": 40, "manifests": 40, "resizes": 60, "decisions": 60, "splits": 60}


@pytest.mark.parametrize("name", fuzzing.PROPERTIES)
def test_any_input_is_answered(name: str) -> None:
    fuzzing.check(name, SLOW.get(name, 200))

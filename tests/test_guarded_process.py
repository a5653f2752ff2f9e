"""A child process that ended says so, whenever it ended and whatever it had not read yet."""

from __future__ import annotations

import pytest

from tl_core.guarded_process import ChildEndedError, GuardedProcess


@pytest.mark.parametrize("num_bytes", [1, 1_000, 10_000_000])
def test_writing_to_a_child_that_ended_says_so(num_bytes: int) -> None:
    child = GuardedProcess("tl_core.no_such_module")  # ends at once
    child.start()
    assert child._child is not None
    child._child.wait()
    with pytest.raises(ChildEndedError):
        child.write(b"F", bytes(num_bytes))
    child.close()
    assert not child.is_running

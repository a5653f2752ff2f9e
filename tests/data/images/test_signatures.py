"""What a file is by its first bytes: what it costs to tell; the kinds are in ``test_decode``."""

import sys

import pytest

from tl_core.data.images.signatures import DAMAGED, DEEP_JPEG, explain_unknown

DEEP = b"\xc1\0\x11\x0c" + bytes(20)  # the header of a frame of 12 bits


@pytest.mark.parametrize(
    ("end", "reason"), [(b"", DAMAGED), (DEEP, DEEP_JPEG.format(bits=12))], ids=["no frame", "deep"]
)
def test_bytes_that_fill_up_before_a_marker_are_passed_at_once(end, reason):
    num_lines = 0

    def count(*_):
        nonlocal num_lines
        num_lines += 1
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        said = explain_unknown(b"\xff\xd8" + b"\xff" * 50_000 + end)
    finally:
        sys.settrace(before)
    assert said == reason
    assert num_lines < 500  # two for each byte, if they are gone through

"""Which pictures are decoded in turn, and how long a turn lasts."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import FakeClock
from PIL import Image

from tl_core.data.images import decode as decode_module
from tl_core.data.images import decode_turns, images
from tl_core.data.images.decode_turns import (
    carried,
    current_asker,
    look_up_asker,
    photo_turns,
    working_for,
)
from tl_core.data.images.images import inspect_image, load_image, open_image
from tl_core.errors import ImageError
from tl_core.fair_turns import NOBODY, Asker, FairTurns

VISITOR, OTHER = Asker("visitor", "x"), Asker("other", "y")


class Waits(Exception):
    """Somebody would have to wait."""


@pytest.fixture(autouse=True)
def turns(monkeypatch):
    """Return the turns of this test, in which 16 MP are 1,600 pixels and 1 MP are 100."""
    monkeypatch.setattr(decode_turns, "_turns", turns := FairTurns())
    monkeypatch.setattr(decode_turns, "_look_up", [])
    monkeypatch.setattr(decode_turns, "LARGE_PIXELS", 1600)
    monkeypatch.setattr(decode_turns, "SOME_PIXELS", 100)
    monkeypatch.setattr(decode_turns, "BULKY_WEBP_PIXELS", 400)
    monkeypatch.setattr("tl_core.fair_turns.LOOK_SECONDS", 0.0)
    return turns


def encode(side, kind="PNG", **options):
    pixels = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def may_take(turns, asker, **options):
    """Whether somebody would get a turn at once."""

    def look():
        raise Waits

    try:
        turns.give_back(turns.take(asker, look, **options))
    except Waits:
        return False
    return True


@pytest.fixture
def seen(monkeypatch, turns):
    """Return a list: as each picture is made small, whether NOBODY and VISITOR had no turn."""
    seen = []
    fit, resample = images.fit_image, images._resample

    def note(*_):
        seen.append((may_take(turns, NOBODY), may_take(turns, VISITOR)))

    monkeypatch.setattr(images, "fit_image", lambda *given: note() or fit(*given))
    monkeypatch.setattr(images, "_resample", lambda *given: note() or resample(*given))
    return seen


@pytest.mark.parametrize(
    ("side", "asker", "free"),
    [
        (41, None, (False, True)),  # 1,681 pixels
        (40, None, (True, True)),
        (41, VISITOR, (True, False)),
        (11, VISITOR, (True, False)),  # 121 pixels
        (10, VISITOR, (True, True)),
    ],
)
@pytest.mark.parametrize(
    "read", [lambda data: load_image(data, (8, 8)), lambda d: open_image(d, 8)]
)
def test_a_picture_has_a_turn_until_it_is_small(turns, seen, read, side, asker, free):
    with working_for(asker):
        read(encode(side))
    assert set(seen) == {free}
    assert may_take(turns, NOBODY)
    assert may_take(turns, VISITOR)


def test_a_turn_ends_after_an_error_too(monkeypatch, turns):
    def refuse(*_):
        raise RuntimeError

    monkeypatch.setattr(images, "fit_image", refuse)
    with pytest.raises(ImageError, match="could not be resized"):
        load_image(encode(41), (8, 8))
    assert may_take(turns, NOBODY)


def test_a_progressive_jpeg_has_a_turn_at_a_reduced_scale_too(monkeypatch, turns):
    taken = []
    take = turns.take
    monkeypatch.setattr(turns, "take", lambda *given, **how: taken.append(1) or take(*given, **how))
    inspect_image(encode(64, "JPEG"))  # decoded as 8 x 8
    assert taken == []
    inspect_image(encode(64, "JPEG", progressive=True))
    assert taken == [1]


def test_webp_pictures_that_take_much_memory_come_one_at_a_time(monkeypatch, turns):
    seen = []
    to_rgb = decode_module._to_rgb

    def note(*given):
        seen.append((may_take(turns, OTHER, is_bulky=True), may_take(turns, OTHER)))
        return to_rgb(*given)

    monkeypatch.setattr(decode_module, "_to_rgb", note)
    with working_for(VISITOR):
        for side in (20, 21):  # 400 and 441 pixels
            load_image(encode(side, "WEBP"), (8, 8))
        load_image(encode(21), (8, 8))
    assert seen == [(True, True), (False, True), (True, True)]


def test_a_thread_of_a_pool_works_for_whom_its_maker_does():
    with ThreadPoolExecutor(1) as pool:
        look_up_asker(lambda: VISITOR)
        assert pool.submit(current_asker).result() == VISITOR
        look_up_asker(lambda: None)
        with working_for(OTHER):
            asked = carried(current_asker)
        assert pool.submit(asked).result() == OTHER
        assert pool.submit(current_asker).result() is None
    assert carried(current_asker) is current_asker


def test_small_photos_share_a_turn_of_a_second(monkeypatch, turns):
    monkeypatch.setattr(decode_turns, "time", clock := FakeClock())
    had_turn = []

    def look():
        """Have the other page give its turn back, as this one waits."""
        had_turn.append(turns.has_come(waiting))
        turns.give_back(waiting)

    with photo_turns(VISITOR, look) as next_photo:
        next_photo(False)
        waiting = turns.line_up(Asker("visitor", "another page"))
        clock.now = 0.9
        next_photo(False)
        assert had_turn == []
        clock.now = 1.0
        next_photo(False)
        assert had_turn == [True]
        assert not may_take(turns, VISITOR)
    assert may_take(turns, VISITOR)


def test_a_bulky_photo_among_others_waits_for_a_bulky_turn(turns):
    with photo_turns(VISITOR) as next_photo:
        next_photo(False)
        next_photo(True)
        assert not may_take(turns, OTHER, is_bulky=True)
        next_photo(False)  # it keeps the turn that it has
        assert not may_take(turns, OTHER, is_bulky=True)


def test_who_may_wait_no_longer_gives_up(turns):
    def look():
        raise Waits

    held = [turns.line_up(OTHER), turns.line_up(Asker("third"))]
    with pytest.raises(Waits), photo_turns(VISITOR, look) as next_photo:
        next_photo(False)
    for turn in held:
        turns.give_back(turn)
    assert may_take(turns, VISITOR)
    assert load_image(encode(41), (8, 8)).shape == (8, 8, 3)

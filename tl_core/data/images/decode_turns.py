"""Who may decode now: large pictures one at a time, in a hosted demo fairly between its visitors.

A large picture takes a hundred megabytes and more, several times, and up to two seconds of a core,
whatever its file's size. Outside of a demo one thread at a time decodes one. In the web process of
a demo each thread works for a visitor: they take turns, and smaller pictures need one too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from tl_core.fair_turns import NOBODY, Asker, FairTurns, Turn

P = ParamSpec("P")
Result = TypeVar("Result")

LARGE_PIXELS = 16_000_000
SOME_PIXELS = 1_000_000  # from which on pictures of a demo's visitors need a turn
BULKY_WEBP_PIXELS = 4_000_000  # the decoder of WebP takes 18 bytes a pixel
SLICE_SECONDS = 1.0  # for which photos are decoded one after the other before others come


class _Here(threading.local):
    """What a thread does now."""

    asker: Asker | None = None  # that was carried into it
    is_inside = False  # a function at whose end its turn ends
    turn: Turn | None = None


_turns = FairTurns()
_here = _Here()
_look_up: list[Callable[[], Asker | None]] = []


def look_up_asker(function: Callable[[], Asker | None]) -> None:
    """Have a function called that says for whom the thread that calls it works, if it knows."""
    _look_up[:] = [function]


def current_asker() -> Asker | None:
    """Return for whom this thread works; None outside of a demo's web process."""
    if _here.asker is not None or not _look_up:
        return _here.asker
    return _look_up[0]()


def carried(function: Callable[P, Result]) -> Callable[P, Result]:
    """Return a function that works for whom this thread works, in whichever thread it is called."""
    if (asker := current_asker()) is None:
        return function

    @wraps(function)
    def for_asker(*args: P.args, **kwargs: P.kwargs) -> Result:
        with working_for(asker):
            return function(*args, **kwargs)

    return for_asker


@contextmanager
def working_for(asker: Asker | None) -> Iterator[None]:
    """Context manager within which this thread works for a visitor of a demo, if it is for one."""
    before, _here.asker = _here.asker, asker
    try:
        yield
    finally:
        _here.asker = before


def large_pictures_in_turn(function: Callable[P, Result]) -> Callable[P, Result]:
    """Decorate a function that decodes a picture: a turn taken in it lasts until it returns.

    So one that makes a smaller picture keeps its turn as long as it holds the large one.
    """

    @wraps(function)
    def in_turn(*args: P.args, **kwargs: P.kwargs) -> Result:
        if _here.is_inside:
            return function(*args, **kwargs)
        with _inside():
            return function(*args, **kwargs)

    return in_turn


def take_turn(num_pixels: int | None, *, bulky: bool = False) -> None:
    """Wait for a turn to decode a picture, unless it needs none or this thread has one.

    To be called in a function decorated with :func:`large_pictures_in_turn`.

    Args:
        num_pixels: of what is decoded; None if that is not known.
        bulky: whether it :func:`is_bulky`.
    """
    if _here.turn is not None:
        return
    is_large = num_pixels is not None and num_pixels > LARGE_PIXELS
    if not is_large and num_pixels is not None and num_pixels <= SOME_PIXELS:
        return
    asker = current_asker()
    if asker is not None or is_large:
        _here.turn = _turns.take(asker or NOBODY, is_bulky=bulky)


@contextmanager
def photo_turns(
    asker: Asker | None, look: Callable[[], object] | None = None
) -> Iterator[Callable[[bool], None]]:
    """Context manager for decoding photos of whatever size, one after the other.

    It yields a function to be called before each photo, which waits for a turn if another has used
    up its time; its argument is whether the photo :func:`is_bulky`.

    Args:
        asker: for whom they are decoded; None if for no visitor.
        look: called now and then while waiting; when it raises, nobody waits any more.
    """
    began_at = 0.0

    def next_photo(bulky: bool) -> None:
        nonlocal began_at
        turn = _here.turn
        if turn is not None:
            is_over = time.monotonic() - began_at >= SLICE_SECONDS
            if not is_over and (turn.is_bulky or not bulky):
                return
            _here.turn = None
            _turns.give_back(turn)
        _here.turn = _turns.take(asker or NOBODY, look, is_bulky=bulky)
        began_at = time.monotonic()

    with _inside():
        yield next_photo


def is_bulky(webp_size: tuple[int, int] | None) -> bool:
    """Whether a picture takes so much memory that only one such is decoded at once.

    Args:
        webp_size: (width, height) of a WebP file; None for others.
    """
    return webp_size is not None and webp_size[0] * webp_size[1] > BULKY_WEBP_PIXELS


@contextmanager
def _inside() -> Iterator[None]:
    _here.is_inside = True
    try:
        yield
    finally:
        _here.is_inside = False
        turn, _here.turn = _here.turn, None
        if turn is not None:
            _turns.give_back(turn)

"""Turns of the visitors of a hosted demo at what takes long, by how much each has used of late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

AT_ONCE = 2
BURST_SECONDS = 5.0  # of turns, after which a visitor or an address has used much
HALF_LIFE_SECONDS = 20.0  # in which half of that is forgotten
LOOK_SECONDS = 0.25  # between two looks at whether to stop waiting
_FORGOTTEN_SECONDS = 0.01


@dataclass(frozen=True)
class Asker:
    """For whom a thread of a demo's web process works.

    ``address`` stands for the network address that the visitor comes from; empty if unknown.
    """

    visitor: str
    address: str = ""


NOBODY = Asker("")
"""For whom a thread works outside of a demo."""


@dataclass(eq=False)
class Turn:
    """A turn that somebody waits for or has; bulky ones take hundreds of megabytes."""

    asker: Asker
    is_bulky: bool = False


class FairTurns:
    """Which threads have a turn: at most two, of two visitors, at most one of who used much.

    Whose address and visitor have used least of late comes first, then who came first. So whoever
    used little waits for nobody who used much, unless both turns are bulky: these come one at a
    time.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Turn] = []
        self._held: list[Turn] = []
        self._used: dict[tuple[str, str], float] = {}  # seconds, forgotten with time
        self._noted_at = time.monotonic()

    def take(
        self,
        asker: Asker,
        look: Callable[[], object] | None = None,
        *,
        is_bulky: bool = False,
    ) -> Turn:
        """Wait for a turn and return it, for :meth:`give_back`.

        Args:
            asker: for whom it is.
            look: called now and then meanwhile; when it raises, nobody waits any more.
            is_bulky: whether it takes so much memory that only one such turn may be had at once.
        """
        turn = self.line_up(asker, is_bulky=is_bulky)
        try:
            while not self._wait(turn):
                if look is not None:
                    look()
        except BaseException:
            self.give_back(turn)
            raise
        return turn

    def line_up(self, asker: Asker, *, is_bulky: bool = False) -> Turn:
        """Return a turn that may have come or is waited for, for :meth:`give_back`."""
        turn = Turn(asker, is_bulky)
        with self._changed:
            self._waiting.append(turn)
            self._settle()
        return turn

    def has_come(self, turn: Turn) -> bool:
        """Whether somebody has a turn now."""
        with self._changed:
            return turn in self._held

    @contextmanager
    def turn(self, asker: Asker, look: Callable[[], object] | None = None) -> Iterator[None]:
        """Context manager that waits for a turn as :meth:`take` and has it."""
        turn = self.take(asker, look)
        try:
            yield
        finally:
            self.give_back(turn)

    def give_back(self, turn: Turn) -> None:
        """End a turn, or the wait for it."""
        with self._changed:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self._pass_time()
                self._held.remove(turn)
            self._settle()

    def _wait(self, turn: Turn) -> bool:
        """Wait for a turn for a moment; return whether it has come."""
        with self._changed:
            if turn in self._waiting:
                self._changed.wait(LOOK_SECONDS)
                self._settle()  # somebody may have used much no longer
            return turn in self._held

    def _settle(self) -> None:
        """Give turns to those who may have one."""
        self._pass_time()
        while found := [turn for turn in self._waiting if self._may(turn)]:
            turn = min(found, key=lambda one: self._order(one.asker))  # the first of equal ones
            self._waiting.remove(turn)
            self._held.append(turn)
            self._changed.notify_all()

    def _may(self, turn: Turn) -> bool:
        if len(self._held) >= AT_ONCE:
            return False
        if any(one.asker.visitor == turn.asker.visitor for one in self._held):
            return False
        if turn.is_bulky and any(one.is_bulky for one in self._held):
            return False
        used_much = self._used_much(turn.asker)
        return not used_much or not any(self._used_much(one.asker) for one in self._held)

    def _used_much(self, asker: Asker) -> bool:
        return max(self._order(asker)) > BURST_SECONDS

    def _order(self, asker: Asker) -> tuple[float, ...]:
        """Return what orders those who wait: the use of the address, then of the visitor."""
        return tuple(self._used.get(key, 0.0) for key in _keys(asker))

    def _pass_time(self) -> None:
        """Count what is used, and forget part of what was."""
        now = time.monotonic()
        seconds, self._noted_at = now - self._noted_at, now
        left = 0.5 ** (seconds / HALF_LIFE_SECONDS)
        used = {key: value * left for key, value in self._used.items()}
        self._used = {key: value for key, value in used.items() if value > _FORGOTTEN_SECONDS}
        for turn in self._held:
            for key in set(_keys(turn.asker)):
                self._used[key] = self._used.get(key, 0.0) + seconds


def _keys(asker: Asker) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return under what the use is noted: the address or, if that is not known, the visitor."""
    visitor = ("visitor", asker.visitor)
    return (("address", asker.address) if asker.address else visitor, visitor)

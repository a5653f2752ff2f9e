"""How often a connection, or all of one network address, may ask for something."""

from __future__ import annotations

import asyncio
import time
from collections import deque

NUM_ADDRESSES = 5_000  # whose paces are known


class Pace:
    """How often something may be asked for: at a rate, after a burst.

    Args:
        burst: how much may be asked for at once.
        a_second: how much more in each second.
    """

    def __init__(self, burst: float, a_second: float) -> None:
        self._burst, self._a_second = burst, a_second
        self._allowed, self._noted_at = burst, time.monotonic()

    @property
    def seconds_behind(self) -> float:
        """How long the next to ask has to wait."""
        self._refill()
        return max(0.0, -self._allowed / self._a_second)

    @property
    def used(self) -> float:
        """How much was asked for that is not allowed again yet."""
        self._refill()
        return self._burst - self._allowed

    async def wait(self, number: float = 1) -> None:
        """Wait until as much more may be asked for."""
        self.spend(number)
        if (seconds := self.seconds_behind) > 0:
            await asyncio.sleep(seconds)

    def spend(self, number: float) -> None:
        """Count what was asked for without waiting; whoever asks next may have to."""
        self._refill()
        self._allowed -= number

    def take(self) -> bool:
        """Whether one more may be asked for now, which is counted then."""
        self._refill()
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def _refill(self) -> None:
        now = time.monotonic()
        passed, self._noted_at = now - self._noted_at, now
        self._allowed = min(self._burst, self._allowed + passed * self._a_second)


class Paces:
    """The pace of each network address, as of :class:`Pace`."""

    def __init__(self, burst: float, a_second: float) -> None:
        self._burst, self._a_second = burst, a_second
        self._paces: dict[str, Pace] = {}

    def of(self, address: str) -> Pace:
        """Return the pace of an address; that of the one not asked for longest is forgotten."""
        pace = self._paces.pop(address, None) or Pace(self._burst, self._a_second)
        self._paces[address] = pace
        if len(self._paces) > NUM_ADDRESSES:
            del self._paces[next(iter(self._paces))]
        return pace


class FairSemaphore:
    """A semaphore for which addresses wait in turns, whatever number of waiters each has.

    Args:
        number: of those who may have it at once.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def acquire(self, address: str) -> None:
        """Wait until it may be had, for :meth:`release`."""
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Give it to the next address that waits; it then comes last."""
        while self._waiting:
            address = next(iter(self._waiting))
            turns = self._waiting.pop(address)
            turn = turns.popleft()
            if turns:
                self._waiting[address] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

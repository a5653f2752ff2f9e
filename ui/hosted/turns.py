"""Pages run in turn: a visitor who has used much of the server waits for those who have not.

Scripts of all sessions share one interpreter, so that each that runs slows down all others. A
visitor, and the address that a visitor comes from, are charged for the time during which pages run.
Nobody waits who stays below a fair share, or who is alone.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

SHARE = 0.25  # of one core, that a visitor may use all the time
BURST_SECONDS = 5.0  # beyond that, before having to wait for others
RUNS_EACH = 3  # of a visitor at once
SHARE_OF_ADDRESS = 0.5  # these three while other addresses are active
BURST_OF_ADDRESS = 10.0
RUNS_OF_ADDRESS = 6  # young ones
RUNS_IN_ALL = 4  # more at once are charged as if there were so many: each may claim to take long
HEAVY_RUNS = 2  # at once of all who used more than a share, one of them young
YOUNG_SECONDS = 2.0
LONGEST_SECONDS = 30.0  # that a run counts for and is charged: its end may not be seen
ACTIVE_SECONDS = 3.0  # after a run has ended
POLL_SECONDS = 0.05
NUM_KNOWN = 5_000  # visitors, and addresses


@dataclass(eq=False)
class Page:
    """An open connection of a page: whose it is, and the address that it comes from."""

    visitor: str
    address: str


@dataclass
class _Run:
    """What a page's script is doing, as far as its messages tell."""

    began_at: float
    is_heavy: bool
    ends_by: float  # as its end may not be seen


class _Use:
    """What each visitor, or each address, has used beyond a share, and when it was active last."""

    def __init__(self, share: float, burst: float) -> None:
        self._share, self._burst = share, burst
        self._debts: dict[str, float] = {}
        self._active: dict[str, float] = {}

    def began(self, name: str, now: float) -> None:
        self._active.pop(name, None)
        self._active[name] = now
        if len(self._active) > NUM_KNOWN:
            oldest = next(iter(self._active))
            del self._active[oldest]
            self._debts.pop(oldest, None)

    def charge(self, name: str, seconds: float) -> None:
        self._debts[name] = self._debts.get(name, 0.0) + seconds

    def pass_time(self, seconds: float) -> None:
        for name, debt in list(self._debts.items()):
            self._debts[name] = debt - self._share * seconds
            if self._debts[name] <= 0:
                del self._debts[name]

    def weight(self, name: str, now: float) -> float:
        """Return the debt as a fraction of what is allowed; 0 while no other is active."""
        return self._debts.get(name, 0.0) / self._burst if self.has_others(name, now) else 0.0

    def is_here(self, name: str, now: float) -> None:
        """Note that a page runs or waits: a slow server makes nobody one who has left."""
        if name in self._active:
            self.began(name, now)

    def has_others(self, name: str, now: float) -> bool:
        for other, began_at in reversed(self._active.items()):
            if now - began_at >= ACTIVE_SECONDS:
                return False
            if other != name:
                return True
        return False


class Turns:
    """Which pages run, what visitors have used, and who may run now."""

    def __init__(self) -> None:
        self._runs: dict[Page, _Run] = {}
        self._waiting: set[Page] = set()
        self._visitors = _Use(SHARE, BURST_SECONDS)
        self._addresses = _Use(SHARE_OF_ADDRESS, BURST_OF_ADDRESS)
        self._noted_at = self._seen_at = time.monotonic()
        self._free_at = 0.0  # when the next run of who used too much may begin

    async def wait(self, page: Page) -> None:
        """Wait until a page may run; it counts as running from then on."""
        self._waiting.add(page)
        try:
            while not self.may_run(page):
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._waiting.discard(page)
        self.began(page)

    def began(self, page: Page) -> None:
        """Note that a page's script begins."""
        now = self._charge()
        self._runs[page] = _Run(now, self._weight(page, now) > 1, now + LONGEST_SECONDS)
        self._visitors.began(page.visitor, now)
        self._addresses.began(page.address, now)

    def ended(self, page: Page) -> None:
        """Note that a page's script has ended."""
        now = self._charge()
        run = self._runs.pop(page, None)
        if run is not None and run.is_heavy:
            self._free_at = max(self._free_at, now + now - run.began_at)

    def closed(self, page: Page) -> None:
        """Note that a page's connection has closed; its script may go on unseen."""
        run = self._runs.get(page)
        if run is not None:
            run.ends_by = min(run.ends_by, self._noted_at + YOUNG_SECONDS)

    def may_run(self, page: Page) -> bool:
        """Return whether a page may run now, or has to wait for others."""
        now = self._charge()
        others = [one for one in self._runs if one is not page]
        young = [one for one in others if now - self._runs[one].began_at < YOUNG_SECONDS]
        if sum(one.visitor == page.visitor for one in others) >= RUNS_EACH:
            return False
        if sum(
            one.address == page.address for one in young
        ) >= RUNS_OF_ADDRESS and self._addresses.has_others(page.address, now):
            return False
        weight = self._weight(page, now)
        if weight <= 1:
            return True
        return (
            now >= self._free_at
            and not any(
                run.is_heavy and now - run.began_at < YOUNG_SECONDS for run in self._runs.values()
            )
            and sum(self._runs[one].is_heavy for one in others) < HEAVY_RUNS
            and weight <= min((self._weight(one, now) for one in self._waiting), default=weight)
        )

    def _weight(self, page: Page, now: float) -> float:
        return max(
            self._visitors.weight(page.visitor, now), self._addresses.weight(page.address, now)
        )

    def _charge(self) -> float:
        """Charge for what has run since the last time, and return the time."""
        now = time.monotonic()
        before, self._noted_at = self._noted_at, now
        self._visitors.pass_time(now - before)
        self._addresses.pass_time(now - before)
        if now - self._seen_at >= ACTIVE_SECONDS / 6:  # not at each look of each page that waits
            self._seen_at = now
            for page in (*self._runs, *self._waiting):
                self._visitors.is_here(page.visitor, now)
                self._addresses.is_here(page.address, now)
        number = min(RUNS_IN_ALL, len(self._runs))
        for page, run in list(self._runs.items()):
            seconds = min(now, run.ends_by) - before
            if seconds > 0:
                self._visitors.charge(page.visitor, seconds / number)
                self._addresses.charge(page.address, seconds / number)
            if now >= run.ends_by:
                del self._runs[page]
        return now

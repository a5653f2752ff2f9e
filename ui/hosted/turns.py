"""Pages run in turn: a visitor who has used much of the server waits for those who have not.

Scripts of all sessions share one interpreter, so that each that runs slows down all others. A
visitor, and the address that a visitor comes from, are charged for the time during which pages run.
Who stays below a fair share waits only while as many pages run as the interpreter serves well; then
the address goes first that used least of late, of those that used about as much the one whose turn
was longest ago, and so do the visitors of one address.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from streamlit.runtime.scriptrunner_utils.script_run_context_attr import (
    SCRIPT_RUN_CONTEXT_ATTR_NAME as _CONTEXT,
)

SHARE = 0.25  # of one core, that a visitor may use all the time
BURST_SECONDS = 5.0  # beyond that, before having to wait for others
RUNS_EACH = 3  # of a visitor at once
SHARE_OF_ADDRESS = 0.5  # these three while other addresses are active
BURST_OF_ADDRESS = 10.0
RUNS_OF_ADDRESS = 2  # young ones
RUNS_AT_ONCE = 4  # young ones of all
RUNS_IN_ALL = 4  # more at once are charged as if there were so many: each may claim to take long
HEAVY_RUNS = 2  # at once of all who used more than a share, one of them young
YOUNG_SECONDS = 2.0
UNSEEN_SECONDS = 0.5  # within which a script begins, if a message makes one begin at all
LONGEST_SECONDS = 30.0  # that a run is charged; then it counts while its script is seen to run
LOOK_SECONDS = 1.0  # between two looks at which scripts run
ACTIVE_SECONDS = 3.0  # after a run has ended
POLL_SECONDS = 0.05
HALF_LIFE_SECONDS = 10.0  # in which half of what was used is forgotten, for the order of turns
ABOUT_SECONDS = 0.2  # of what was used of late; less makes no difference
NUM_KNOWN = 5_000  # visitors, and addresses

_SCRIPT_THREAD = "ScriptRunner.scriptThread"


@dataclass(eq=False)
class Page:
    """An open connection of a page: whose it is, and the address that it comes from."""

    visitor: str
    address: str
    session_id: str = ""  # once it has begun


@dataclass
class _Run:
    """What a page's script is doing, as far as its messages tell."""

    began_at: float
    is_heavy: bool
    charged_until: float
    is_closed: bool = False
    looked_at: float = -math.inf

    def is_over_time(self, now: float) -> bool:
        """Whether it is not charged any more: it goes on, or its end was not seen."""
        return now >= self.charged_until


class _Running:
    """Which pages run, and how many of each visitor and address."""

    def __init__(self, pages: Collection[Page], young: set[Page]) -> None:
        self.pages, self.young = pages, young
        self.of_visitor = Counter(one.visitor for one in pages)
        self.young_of_address = Counter(one.address for one in young)


class _Use:
    """What each visitor, or each address, has used beyond a share, and when it was active last."""

    def __init__(self, share: float, burst: float) -> None:
        self._share, self._burst = share, burst
        self._debts: dict[str, float] = {}
        self._active: dict[str, float] = {}
        self._served: dict[str, float] = {}
        self._of_late: dict[str, tuple[float, float]] = {}  # seconds, and when that was noted

    def used(self, name: str, now: float) -> int:
        """Return how much a visitor or address counts as having used, of ABOUT_SECONDS each."""
        return round(self._seconds(name, now) / ABOUT_SECONDS)

    def _seconds(self, name: str, now: float) -> float:
        seconds, noted_at = self._of_late.get(name, (0.0, now))
        return seconds * 0.5 ** ((now - noted_at) / HALF_LIFE_SECONDS)

    def served(self, name: str, came_at: float) -> float:
        """Return when a page of a visitor or address began last; if none has, when this one came.

        So whoever is new goes behind all who wait.
        """
        return self._served.get(name, came_at)

    def comes(self, name: str, now: float) -> None:
        """Note that a page waits: whoever was away counts as having used as much as who used least.

        Else many newcomers would go before those who are there, until they have used as much.
        """
        least = min((self._seconds(one, now) for one in self._present(now)), default=0.0)
        self._of_late[name] = (max(self._seconds(name, now), least), now)

    def serve(self, name: str, now: float) -> None:
        """Note that a page begins."""
        self._served[name] = now
        self.began(name, now)

    def began(self, name: str, now: float) -> None:
        self._active.pop(name, None)
        self._active[name] = now
        if len(self._active) > NUM_KNOWN:
            oldest = next(iter(self._active))
            del self._active[oldest]
            self._debts.pop(oldest, None)
            self._served.pop(oldest, None)
            self._of_late.pop(oldest, None)

    def charge(self, name: str, seconds: float, now: float) -> None:
        self._debts[name] = self._debts.get(name, 0.0) + seconds
        self._of_late[name] = (self._seconds(name, now) + seconds, now)

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
        return any(other != name for other in self._present(now))

    def _present(self, now: float) -> Iterator[str]:
        """Yield who is active."""
        for name, began_at in reversed(self._active.items()):
            if now - began_at >= ACTIVE_SECONDS:
                return
            yield name


def has_script(session_id: str) -> bool:
    """Whether the script of a session runs."""
    return any(
        thread.name == _SCRIPT_THREAD
        and getattr(getattr(thread, _CONTEXT, None), "session_id", None) == session_id
        for thread in threading.enumerate()
    )


class Turns:
    """Which pages run, what visitors have used, and who may run now.

    Args:
        has_script: whether the script of a session runs.
    """

    def __init__(self, has_script: Callable[[str], bool] = has_script) -> None:
        self._has_script = has_script
        self._runs: dict[Page, _Run] = {}
        self._waiting: dict[Page, tuple[float, int]] = {}  # when and in which order they came
        self._num_waited = 0
        self._visitors = _Use(SHARE, BURST_SECONDS)
        self._addresses = _Use(SHARE_OF_ADDRESS, BURST_OF_ADDRESS)
        self._noted_at = self._seen_at = time.monotonic()
        self._free_at = 0.0  # when the next run of who used too much may begin

    async def wait(self, page: Page) -> None:
        """Wait until a page may run, and reserve its turn."""
        self.line_up(page)
        try:
            while not self.may_run(page):
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self.step_out(page)
        self.reserve(page)

    def line_up(self, page: Page) -> None:
        """Note that a page waits from now on."""
        now = time.monotonic()
        self._num_waited += 1
        self._waiting[page] = (now, self._num_waited)
        self._visitors.comes(page.visitor, now)
        self._addresses.comes(page.address, now)

    def step_out(self, page: Page) -> None:
        """Note that a page waits no longer."""
        self._waiting.pop(page, None)

    def reserve(self, page: Page) -> None:
        """Count a page as running for the moment, until its script begins.

        Not each message makes one begin: it may be for a part that the page no longer has.
        """
        now = self._charge()
        until = now + UNSEEN_SECONDS
        if (run := self._runs.get(page)) is None:
            self._runs[page] = _Run(now, self._weight(page, now) > 1, until)
        else:
            run.charged_until = max(run.charged_until, until)
        self._visitors.serve(page.visitor, now)
        self._addresses.serve(page.address, now)

    def began(self, page: Page) -> None:
        """Note that a page's script begins."""
        now = self._charge()
        self._runs[page] = _Run(now, self._weight(page, now) > 1, now + LONGEST_SECONDS)
        self._visitors.serve(page.visitor, now)
        self._addresses.serve(page.address, now)

    def ended(self, page: Page) -> None:
        """Note that a page's script has ended."""
        now = self._charge()
        run = self._runs.pop(page, None)
        if run is not None and run.is_heavy:
            self._free_at = max(self._free_at, now + now - run.began_at)

    def closed(self, page: Page) -> None:
        """Note that a page's connection has closed; its script may go on, and its end is unseen."""
        run = self._runs.get(page)
        if run is not None:
            run.is_closed = True

    def may_run(self, page: Page) -> bool:
        """Return whether a page may run now, or has to wait for others."""
        now = self._charge()
        young = {one for one, run in self._runs.items() if now - run.began_at < YOUNG_SECONDS}
        num_free = RUNS_AT_ONCE - len(young - {page})
        weight = self._weight(page, now)
        if num_free <= 0 or (weight > 1 and not self._may_be_heavy(page, young, now)):
            return False
        running = _Running(self._runs, young)
        if self._has_enough(page, running, now):
            return False
        own_turn = self._turn(page, now)
        for one in self._waiting:
            if (
                self._turn(one, now) < own_turn
                and self._weight(one, now) <= 1
                and not self._has_enough(one, running, now)
            ):
                num_free -= 1
                if num_free == 0:
                    return False
        if weight <= 1:
            return True
        return weight <= min((self._weight(one, now) for one in self._waiting), default=weight)

    def _may_be_heavy(self, page: Page, young: set[Page], now: float) -> bool:
        """Whether another page may run of those who used too much."""
        counted = {one: run for one, run in self._runs.items() if not run.is_over_time(now)}
        heavy = {one for one, run in counted.items() if run.is_heavy}
        return now >= self._free_at and not heavy & young and len(heavy - {page}) < HEAVY_RUNS

    def _has_enough(self, page: Page, running: _Running, now: float) -> bool:
        """Whether as many other pages of the visitor or the address run as may at once."""
        if running.of_visitor[page.visitor] - (page in running.pages) >= RUNS_EACH:
            return True
        of_address = running.young_of_address[page.address] - (page in running.young)
        return of_address >= RUNS_OF_ADDRESS and self._addresses.has_others(page.address, now)

    def _turn(self, page: Page, now: float) -> tuple[float, ...]:
        """Return what orders the pages that wait: who used least, whose turn was longest ago."""
        came_at, number = self._waiting.get(page, (now, math.inf))
        return (
            self._addresses.used(page.address, now),
            self._addresses.served(page.address, came_at),
            self._visitors.used(page.visitor, now),
            self._visitors.served(page.visitor, came_at),
            number,
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
        charged = [(page, min(now, run.charged_until) - before) for page, run in self._runs.items()]
        charged = [(page, seconds) for page, seconds in charged if seconds > 0]
        number = min(RUNS_IN_ALL, len(charged))
        for page, seconds in charged:
            self._visitors.charge(page.visitor, seconds / number, now)
            self._addresses.charge(page.address, seconds / number, now)
        for page, run in list(self._runs.items()):
            is_unseen = run.is_closed and now - run.began_at >= YOUNG_SECONDS
            if (run.is_over_time(now) or is_unseen) and not self._goes_on(page, run, now):
                del self._runs[page]
        return now

    def _goes_on(self, page: Page, run: _Run, now: float) -> bool:
        """Whether a run counts whose script may have ended unseen, or not begun at all."""
        if now - run.looked_at < LOOK_SECONDS:
            return True
        run.looked_at = now
        return self._has_script(page.session_id)

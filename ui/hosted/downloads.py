"""Files that are made when a visitor asks for them, such as a project's zip: one at a time.

Streamlit makes each in a thread, as often as a browser asks, and keeps it in memory until pages
have run. In a demo a visitor who asks for many waits, and others go first.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from streamlit.runtime.media_file_manager import MediaFileManager

from tl_core.fair_turns import Asker, FairTurns, Turn
from ui.hosted.internals import streamlit_function
from ui.hosted.turns import Page

POLL_SECONDS = 0.05
START_SECONDS = 2.0  # after which what was asked for is not made any more
_FUNCTION = "execute_deferred"


@dataclass
class _Asked:
    """A file that was asked for, from when the message is let through until it is made."""

    page: Page
    turn: Turn
    at: float
    has_begun: bool = False


class Downloads:
    """Which file is being made, and which visitors wait for one."""

    def __init__(self) -> None:
        self._now: dict[str, _Asked] = {}
        self._turns = FairTurns()

    async def wait(self, page: Page, file_id: str) -> None:
        """Wait until no other file is made.

        Those for whose address, and then for whom, it has taken least time of late go first, so
        that many requests of one address keep nobody else waiting, even with a new cookie each
        time.
        """
        turn = self._turns.line_up(Asker(page.visitor, page.address), is_bulky=True)
        try:
            while not self._turns.has_come(turn):
                await asyncio.sleep(POLL_SECONDS)
                self._end_unbegun()
        except BaseException:
            self._turns.give_back(turn)
            raise
        self._now[file_id] = _Asked(page, turn, time.monotonic())

    def answered(self, page: Page) -> None:
        """Note that a page has its answer, or is closed; only a file that is made goes on."""
        for file_id, asked in list(self._now.items()):
            if asked.page is page and not asked.has_begun:
                self.ended(file_id)

    def began(self, file_id: str) -> None:
        """Note that a file is being made; called in its thread."""
        asked = self._now.get(file_id)
        if asked is not None:
            asked.has_begun = True

    def ended(self, file_id: str) -> None:
        """Note that a file has been made, or could not be; called in its thread."""
        asked = self._now.pop(file_id, None)
        if asked is not None:
            self._turns.give_back(asked.turn)

    def _end_unbegun(self) -> None:
        for file_id, asked in list(self._now.items()):
            if not asked.has_begun and time.monotonic() - asked.at > START_SECONDS:
                self.ended(file_id)


def watch(downloads: Downloads) -> None:
    """Have Streamlit say when a file is made, and forget those that were fetched before it.

    Raises:
        RuntimeError: this version of Streamlit makes them in another place.
    """
    make = streamlit_function(
        MediaFileManager, _FUNCTION, "that makes downloads when they are asked for"
    )
    original = getattr(make, "original", make)

    def make_and_tell(manager: MediaFileManager, file_id: str) -> str:
        downloads.began(file_id)
        try:
            manager.remove_orphaned_files()
            return str(original(manager, file_id))
        finally:
            downloads.ended(file_id)

    make_and_tell.original = original  # type: ignore[attr-defined]
    setattr(MediaFileManager, _FUNCTION, make_and_tell)

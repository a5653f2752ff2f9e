"""How tests are dealt out to the processes that run them, and what happens if one of these ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xdist.scheduler import LoadScopeScheduling


class PieceScheduling(LoadScopeScheduling):
    """Gives a process the tests of one piece at a time, in the order of collection.

    Args:
        config: pytest's own.
        log: where xdist writes what it does.
        piece_of: returns the name of the piece that a test belongs to.
    """

    def __init__(self, config: Any, log: Any, piece_of: Callable[[str], str]) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self._piece_of = piece_of

    def _split_scope(self, nodeid: str) -> str:
        return self._piece_of(nodeid)

    def remove_node(self, node: Any) -> str | None:
        """Return the test during which a process ended: it failed, and is not run again.

        xdist itself runs that test again, and deals out finished pieces again, for which it waits
        forever.
        """
        pieces = self.assigned_work[node]
        unfinished = (test for piece in pieces.values() for test in piece if not piece[test])
        running = next(unfinished, None)
        for name, piece in list(pieces.items()):
            if running in piece:
                piece[running] = True
            if all(piece.values()):
                del pieces[name]
        super().remove_node(node)
        return running

    def _assign_work_unit(self, node: Any) -> None:
        if not self.workqueue:  # the others were given all there is
            return
        super()._assign_work_unit(node)
        if self._pending_of(self.assigned_work[node]) < 2:  # a process keeps its last test waiting
            self._reschedule(node)

"""How many requests each network address, and all of them, may send: more wait for their turn.

All visitors are answered within one loop, in turns: a few connections that always have a request
there take one of each turn, and a page needs many. What a request costs the loop is counted in
units of about 0.7 ms, of one core as it was measured.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from starlette.types import Message, Scope, Send

from tl_core.connections import network_address
from ui.datasets.downloads import CHUNK_BYTES, PATIENCE_SECONDS, READY
from ui.hosted.paces import FairSemaphore, Pace, Paces

BURST_UNITS = 2_000  # an app that no browser has loaded before takes some 150
UNITS_A_SECOND = 150.0
LIGHT_UNITS = 1_000  # of the burst; who used no more never waits for others,
LIGHT_A_SECOND = 25.0  # nor who asks for so few: what a page or two in use ask for
ALL_BURST_UNITS = 4_000  # of all addresses
ALL_UNITS_A_SECOND = 450.0
LONGEST_WAIT = 10.0  # seconds that a request waits for its turn; others are refused
REFUSED_AFTER = 5.0  # seconds, so that asking again at once costs little
PAGE_UNITS = 4  # of a document, and of the connection of a page
LOGIN_UNITS = 30  # of a step of the login, which asks the provider
UPLOAD_UNITS = 3  # of a file that a page uploads
HEAD_BYTES = 500  # of the request, a unit
BODY_BYTES = 256_000  # of the answer, a unit
LONG_ANSWERS = 32  # of an address that are under way at once: of more than one piece, of media
SMALL_PIECE_BYTES = 50_000  # that wait for no other piece
PIECES_AT_ONCE = 4  # that are read, and written in one turn of the loop

BUSY = "Too many requests come from your network. Wait a moment and load the page again."


class Requests:
    """The pace of the requests of each network address, and of those that send many together."""

    def __init__(self) -> None:
        self._paces = Paces(BURST_UNITS, UNITS_A_SECOND)
        self._light = Paces(LIGHT_UNITS, LIGHT_A_SECOND)
        self._all = Pace(ALL_BURST_UNITS, ALL_UNITS_A_SECOND)
        self._long_answers: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self.pieces = FairSemaphore(PIECES_AT_ONCE)

    async def wait(self, scope: Scope, *, is_page: bool, is_login: bool = False) -> bool:
        """Wait for the turn of a request; False if it would be too long.

        Args:
            scope: the request.
            is_page: whether it asks for a document or for the connection of a page.
            is_login: whether it is a step of the login.
        """
        address = network_address(scope)
        pace, light = self._paces.of(address), self._light.of(address)
        is_heavy = light.used > LIGHT_UNITS
        if max(pace.seconds_behind, self._all.seconds_behind if is_heavy else 0) > LONGEST_WAIT:
            await asyncio.sleep(REFUSED_AFTER)
            return False
        units = PAGE_UNITS if is_page else UPLOAD_UNITS if scope.get("method") == "PUT" else 1
        units = LOGIN_UNITS if is_login else units
        units += _head_bytes(scope) // HEAD_BYTES
        self._all.spend(units)
        if not is_heavy:
            light.spend(units)
        await pace.wait(units)
        if is_heavy:
            await self._all.wait(0)
        return True

    def pace_of_answers(self, address: str, units: float) -> Pace:
        """Return the pace of an address, of which the units are not counted yet as those of all."""
        self._all.spend(units)
        return self._paces.of(address)

    @asynccontextmanager
    async def answering(self, scope: Scope, send: Send) -> AsyncIterator[tuple[Scope, Send]]:
        """Context manager with what sends the answer to a request in pieces, as paces allow.

        Its value is the request and what sends, which raises ``TimeoutError`` if nobody took a
        piece for half a minute.
        """
        address = network_address(scope)
        answers = None
        if "/media/" in scope["path"]:  # who reads slowly holds up no files of the app itself
            answers = self._long_answers.get(address) or asyncio.Semaphore(LONG_ANSWERS)
            self._long_answers[address] = answers
        answer = _Answer(self, address, answers, send)
        try:
            yield {**scope, READY: answer.ready}, answer.send
        finally:
            answer.end()


class _Answer:
    """The answer to one request, in pieces.

    Buffers of the system take megabytes of each connection before its client has read anything:
    hundreds of connections that ask at once would be written to in one turn of the loop. So what
    does not fit into one piece is counted before it is sent, and pieces are written in turns.
    """

    def __init__(
        self, requests: Requests, address: str, answers: asyncio.Semaphore | None, send: Send
    ) -> None:
        self._requests, self._address, self._answers = requests, address, answers
        self._send = send
        self._num_bytes = 0
        self._is_long = self._is_ready = self._has_turn = False

    async def ready(self, num_bytes: int) -> None:
        """Wait until a piece may be read and sent."""
        units = num_bytes / BODY_BYTES
        pace = self._requests.pace_of_answers(self._address, units)
        self._num_bytes += num_bytes
        if num_bytes > 0 and self._num_bytes > CHUNK_BYTES:
            if self._answers is not None and not self._is_long:
                await self._answers.acquire()
                self._is_long = True
            await pace.wait(units)
        else:
            pace.spend(units)
        if num_bytes > SMALL_PIECE_BYTES:
            await self._requests.pieces.acquire(self._address)
            self._has_turn = True
        self._is_ready = True

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        body = message.get("body", b"")
        for start in range(0, max(1, len(body)), CHUNK_BYTES):
            has_more = start + CHUNK_BYTES < len(body) or message.get("more_body", False)
            piece = {"body": body[start : start + CHUNK_BYTES], "more_body": has_more}
            if not self._is_ready:
                await self.ready(len(piece["body"]))
            self._is_ready = False
            if self._has_turn:  # up to the next turn of the loop, however long the client takes
                self._has_turn = False
                asyncio.get_running_loop().call_soon(self._requests.pieces.release)
            await asyncio.wait_for(self._send({**message, **piece}), PATIENCE_SECONDS)

    def end(self) -> None:
        """Let others go on, also if it broke off."""
        if self._has_turn:
            self._requests.pieces.release()
        if self._answers is not None and self._is_long:
            self._answers.release()
        self._has_turn = self._is_long = False


def _head_bytes(scope: Scope) -> int:
    given = sum(len(name) + len(value) for name, value in scope["headers"])
    return given + len(scope.get("query_string", b"")) + len(scope.get("path", ""))

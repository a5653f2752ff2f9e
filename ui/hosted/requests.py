"""How many requests each network address, and all of them, may send: more wait for their turn.

All visitors are answered within one loop, in turns: a few connections that always have a request
there take one of each turn, and a page needs many. What a request costs the loop is counted in
units of about 0.7 ms, of one core as it was measured.
"""

from __future__ import annotations

import asyncio

from starlette.types import Message, Scope, Send

from tl_core.connections import network_address
from ui.datasets.downloads import CHUNK_BYTES, PATIENCE_SECONDS
from ui.hosted.paces import Pace, Paces

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

BUSY = "Too many requests come from your network. Wait a moment and load the page again."


class Requests:
    """The pace of the requests of each network address, and of those that send many together."""

    def __init__(self) -> None:
        self._paces = Paces(BURST_UNITS, UNITS_A_SECOND)
        self._light = Paces(LIGHT_UNITS, LIGHT_A_SECOND)
        self._all = Pace(ALL_BURST_UNITS, ALL_UNITS_A_SECOND)

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

    def counting(self, scope: Scope, send: Send) -> Send:
        """Return what sends the answer to a request, in pieces, and counts its bytes.

        Raises:
            TimeoutError: from what it returns: nobody took a piece for half a minute.
        """
        pace = self._paces.of(network_address(scope))

        async def send_counted(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            body = message.get("body", b"")
            pace.spend(len(body) / BODY_BYTES)
            self._all.spend(len(body) / BODY_BYTES)
            for start in range(0, max(1, len(body)), CHUNK_BYTES):
                has_more = start + CHUNK_BYTES < len(body) or message.get("more_body", False)
                piece = {"body": body[start : start + CHUNK_BYTES], "more_body": has_more}
                await asyncio.wait_for(send({**message, **piece}), PATIENCE_SECONDS)

        return send_counted


def _head_bytes(scope: Scope) -> int:
    given = sum(len(name) + len(value) for name, value in scope["headers"])
    return given + len(scope.get("query_string", b"")) + len(scope.get("path", ""))

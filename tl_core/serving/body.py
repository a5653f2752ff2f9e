"""Read the body of a request within limits on size, time and the memory of all requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from tl_core.connections import network_address
from tl_core.serving.refusal import Refusal
from tl_core.serving.settings import ServiceSettings

PARSED_AT_ONCE = 100_000  # bytes; what takes longer would keep all other requests waiting
_Parsed = TypeVar("_Parsed")


class BodyReader:
    """Reads bodies; all that are held at one time share one limit.

    When it is reached, the address with most bytes of bodies that have not come whole gives one up,
    the oldest.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._reading: dict[Body, None] = {}
        self._parsing = asyncio.Lock()
        self.num_bytes = 0

    @contextmanager
    def read_later(self) -> Iterator[Body]:
        """Yield a body to read; its bytes count as held until the end of the block."""
        body = Body(self, self._settings)
        try:
            yield body
        finally:
            self.num_bytes -= body.num_bytes

    async def parse(self, data: bytes, parse: Callable[[bytes], _Parsed]) -> _Parsed:
        """Return what a body holds; large ones are parsed one after the other, in a thread."""
        if len(data) <= PARSED_AT_ONCE:
            return parse(data)
        async with self._parsing:
            return await asyncio.to_thread(parse, data)

    @contextmanager
    def reading(self, body: Body) -> Iterator[None]:
        """Count a body as one that has not come whole."""
        self._reading[body] = None
        try:
            yield
        finally:
            del self._reading[body]

    def reserve(self, body: Body, num_bytes: int) -> None:
        """Count bytes of a body as held.

        Raises:
            Refusal: all requests together would hold too many.
        """
        while self.num_bytes + num_bytes > self._settings.max_buffered_bytes:
            if (greedy := self._greedy(body, num_bytes)) is None:
                raise _busy()
            self.num_bytes -= greedy.num_bytes
            greedy.give_up()
        self.num_bytes += num_bytes
        body.num_bytes += num_bytes

    def _greedy(self, body: Body, num_bytes: int) -> Body | None:
        """Return the body that gives place to a part of another; None if no address has more."""
        held = Counter[str]()
        for one in self._reading:
            held[one.address] += one.num_bytes
        (address, most), *_ = held.most_common(1)
        if address == body.address or most <= held[body.address] + num_bytes:
            return None
        return next(one for one in self._reading if one.address == address and one.num_bytes)


class Body:
    """The body of one request; see :meth:`BodyReader.read_later`."""

    def __init__(self, reader: BodyReader, settings: ServiceSettings) -> None:
        self._reader = reader
        self._settings = settings
        self._timeout: asyncio.Timeout | None = None
        self._is_given_up = False
        self.address = ""
        self.num_bytes = 0

    def give_up(self) -> None:
        """Hold nothing any more; the request is refused."""
        self.num_bytes, self._is_given_up = 0, True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def read(self, request: Request) -> bytes:
        """Return the whole body.

        Raises:
            Refusal: it has no length, is too long, comes too slowly, or ends early.
        """
        self._check_headers(request)
        self.address = network_address(request.scope)
        data = bytearray()
        try:
            async with asyncio.timeout(self._settings.read_seconds) as self._timeout:
                with self._reader.reading(self):
                    async for chunk in request.stream():
                        if self._is_given_up:
                            raise _busy()
                        if len(data) + len(chunk) > self._settings.max_bytes:
                            raise self._too_long()
                        self._reader.reserve(self, len(chunk))
                        data += chunk
        except TimeoutError as error:
            if self._is_given_up:
                raise _busy() from error
            raise Refusal(
                408,
                "too_slow",
                f"The body did not arrive within {self._settings.read_seconds} s.",
            ) from error
        except ClientDisconnect as error:
            raise Refusal(400, "disconnected", "The client went away.") from error
        return bytes(data)

    def _check_headers(self, request: Request) -> None:
        """Refuse by its headers what need not be read."""
        if encoding := request.headers.get("content-encoding", ""):
            raise Refusal(
                415,
                "content_encoding",
                f"Expected a body without content encoding, received '{encoding[:40]}'. "
                "Send it uncompressed; image files are compressed already.",
            )
        length = request.headers.get("content-length")
        if length is None:
            if "transfer-encoding" not in request.headers:
                raise Refusal(411, "no_length", "Expected a body with a Content-Length header.")
        elif not length.isdecimal() or int(length[:20]) > self._settings.max_bytes:
            raise self._too_long()

    def _too_long(self) -> Refusal:
        return Refusal(
            413,
            "body_too_large",
            f"The body is larger than {self._settings.max_bytes:,} bytes, the limit. "
            "Send fewer or smaller images in a request.",
        )


def _busy() -> Refusal:
    """Return why a body is refused when all together hold too many bytes."""
    return Refusal(503, "busy", "Too many requests are being received. Try again later.", 1)

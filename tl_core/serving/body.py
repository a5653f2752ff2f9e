"""Read the body of a request within limits on size, time and the memory of all requests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import ClientDisconnect, Request

from tl_core.serving.refusal import Refusal
from tl_core.serving.settings import ServiceSettings


class BodyReader:
    """Reads bodies; all that are held at one time share one limit.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self.num_bytes = 0

    @contextmanager
    def read_later(self) -> Iterator[Body]:
        """Yield a body to read; its bytes count as held until the end of the block."""
        body = Body(self, self._settings)
        try:
            yield body
        finally:
            self.num_bytes -= body.num_bytes

    def reserve(self, num_bytes: int) -> None:
        """Count bytes as held.

        Raises:
            Refusal: all requests together would hold too many.
        """
        if self.num_bytes + num_bytes > self._settings.max_buffered_bytes:
            raise Refusal(503, "busy", "Too many requests are being received. Try again later.", 1)
        self.num_bytes += num_bytes


class Body:
    """The body of one request; see :meth:`BodyReader.read_later`."""

    def __init__(self, reader: BodyReader, settings: ServiceSettings) -> None:
        self._reader = reader
        self._settings = settings
        self.num_bytes = 0

    async def read(self, request: Request) -> bytes:
        """Return the whole body.

        Raises:
            Refusal: it has no length, is too long, comes too slowly, or ends early.
        """
        self._check_headers(request)
        data = bytearray()
        try:
            async with asyncio.timeout(self._settings.read_seconds):
                async for chunk in request.stream():
                    if len(data) + len(chunk) > self._settings.max_bytes:
                        raise self._too_long()
                    self._reader.reserve(len(chunk))
                    self.num_bytes += len(chunk)
                    data += chunk
        except TimeoutError as error:
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

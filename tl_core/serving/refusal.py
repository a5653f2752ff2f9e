"""Why a request is refused: a status, a word for programs and a sentence for people."""

from __future__ import annotations

from http import HTTPStatus

from tl_core.errors import TLError


class Refusal(TLError):
    """A request that is not answered.

    Args:
        status: of HTTP, 400 to 599.
        code: one word for programs, such as ``"queue_full"``.
        message: what was expected, what was received, what to do.
        retry_seconds: when to try again; None if that would not help.
    """

    def __init__(
        self, status: int, code: str, message: str, retry_seconds: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_seconds = retry_seconds

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to it; a client that is too slow is not listened to further."""
        if self.status == HTTPStatus.REQUEST_TIMEOUT:
            return {"Connection": "close"}
        return {} if self.retry_seconds is None else {"Retry-After": str(self.retry_seconds)}

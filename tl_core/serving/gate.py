"""What every request passes: its id, the API key, the log, the metrics, errors as JSON."""

from __future__ import annotations

import hmac
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tl_core.serving.logs import FIELDS
from tl_core.serving.metrics import Metrics
from tl_core.serving.refusal import Refusal

_log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
V2_PREFIX = "/v2"
OPEN_PATHS = frozenset(
    ("/", "/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json")
)
"""Paths that need no key: for probes, and the description of the interface."""

_OWN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNKNOWN_ROUTE = "unknown"  # in place of a path, which may hold anything


class Gate:
    """An ASGI application around the service.

    Args:
        app: the service.
        metrics: counts the requests.
        key: what clients have to send; None asks for no key.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, key: str | None) -> None:
        self._app = app
        self._metrics = metrics
        self._key = None if key is None else key.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        own_id = headers.get(REQUEST_ID, "")
        request_id = own_id if _OWN_ID.fullmatch(own_id) else uuid.uuid4().hex
        fields: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, fields=fields)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode("ascii")),
                ]
            await send(message)

        try:
            if self._key is not None and not self._may_pass(scope["path"], headers, self._key):
                refusal = Refusal(
                    401,
                    "no_key",
                    "Expected the service's API key as 'Authorization: Bearer KEY' or "
                    "'X-API-Key: KEY'.",
                )
                response = error_response(scope["path"], refusal, request_id)
                response.headers["WWW-Authenticate"] = "Bearer"
                await response(scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except Exception:  # answered already, by the service's own handler
            _log.exception("A request failed", extra={FIELDS: {"request_id": request_id}})
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", _UNKNOWN_ROUTE)
            self._metrics.count_request(route, status, seconds)
            _log.info(
                "request",
                extra={
                    FIELDS: {
                        "request_id": request_id,
                        "method": scope["method"],
                        "route": route,
                        "status": status,
                        "seconds": round(seconds, 4),
                        **fields,
                    }
                },
            )

    def _may_pass(self, path: str, headers: Headers, key: bytes) -> bool:
        if path in OPEN_PATHS:
            return True
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        return hmac.compare_digest(given.encode("utf-8", "replace"), key)


def error_response(path: str, refusal: Refusal, request_id: str) -> JSONResponse:
    """Return a refusal as the answer to a request; the v2 protocol has a form of its own."""
    content: dict[str, Any] = {
        "error": {"code": refusal.code, "message": str(refusal)},
        "request_id": request_id,
    }
    if path.startswith(V2_PREFIX):
        content = {"error": str(refusal)}
    return JSONResponse(content, refusal.status, refusal.headers)

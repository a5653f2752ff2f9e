"""What stands between strangers and Streamlit's server: cookies, endpoints, uploads, pages.

An ASGI middleware, put around the app by ``hosted.py``. Everything else about visitors is decided
in the page's own process, see ``visitor.py``; the guard adds what only a server can do:

* It gives a browser its cookie before the page connects; scripts cannot read it.
* It refuses endpoints that a visitor does not need, such as the server's metrics.
* It bounds uploads, open pages and what a browser may ask for, see ``uploads.py`` and
  ``traffic.py``.
* It shows an exported web page only to the visitor who exported it.
* It answers whoever looks after the server: ``<address>/demo/counters`` with its token.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config, runtime
from streamlit.web.server.component_file_utils import build_safe_abspath, guess_content_type

from tl_core.config.limits import Limits, current_limits
from tl_core.connections import allow_files, network_address
from tl_core.visitors.counters import count, read_counters
from tl_core.visitors.store import has_ended, num_active
from tl_core.visitors.tokens import is_token, issue_token, keyed_hash, visitor_id
from tl_core.visitors.usage import total_usage
from tl_core.workspace import Workspace, default_workspace
from ui.datasets.downloads import serve_in_pieces
from ui.hosted.connections import Connections, watch_connections
from ui.hosted.downloads import Downloads, watch
from ui.hosted.frames import Frames, Unsent, watch_frames, watch_unsent
from ui.hosted.internals import ask_for_no_address, keep_login_clients
from ui.hosted.paces import Paces
from ui.hosted.requests import BUSY, Requests
from ui.hosted.traffic import (
    BURST_FILES,
    FILES_A_SECOND,
    TRY_LATER,
    Sessions,
    Tabs,
    messages_of_pages,
    messages_to_pages,
    refused,
    watch_kept,
)
from ui.hosted.turns import Page, Turns
from ui.hosted.uploads import Uploads, uploading_session

COOKIE = "tl_visitor"
LINK = "visitor"
ENTER = "enter"
OPERATOR_ENVIRONMENT_NAME = "TL_DEMO_OPERATOR_TOKEN"
FRAMES_ENVIRONMENT_NAME = "TL_DEMO_FRAMES"
LOGIN_ENVIRONMENT_NAME = "TL_DEMO_LOGIN"
PAGE_PREFIX = "page_"
ADDRESS_HEADER = "X-Visitor-Address"  # from the guard to the page
COUNTERS_PATH = "demo/counters"

MOST_FIELDS = 100  # of an address
MOST_COOKIES = 200  # that are looked at; browsers keep no more for a site
MOST_DIGITS = 15  # of the length of an upload
LONGEST_ID = 64  # of an upload; Streamlit's have 36 characters, and it keeps any

OTHER_BROWSER = "This page belongs to another browser or workspace. Load it again."

_CORE = "_stcore/"
_CORE_ALLOWED = ("health", "host-config", "stream", "upload_file/", "bidi-components/")
_OF_LOGIN = ("auth/", "oauth2callback")
_FOR_FILES = ("static/", "media/", "component/", "app/static/", "favicon")


class _Installed:
    """Whether the server of this process is guarded."""

    guard: VisitorGuard | None = None


def is_installed() -> bool:
    """Whether this process serves its pages through the guard."""
    return _Installed.guard is not None


def is_logged_in_demo() -> bool:
    """Whether visitors have to log in, so that the cookie says nothing about their workspace."""
    return os.environ.get(LOGIN_ENVIRONMENT_NAME) == "1"


def enter_proof(host: Workspace, own_token: str, link_token: str) -> str:
    """Return what proves that the visitor with ``own_token`` agreed to open a link's workspace.

    Nobody else can compute it, so that no link makes a browser change its workspace by itself.
    """
    return keyed_hash(host, "enter", own_token, link_token).hex()[:32]


def page_name(host: Workspace, folder_id: str, version: str) -> str:
    """Return the name under which the page exported by a visitor is served, which no other knows.

    Args:
        host: the demo's workspace.
        folder_id: the name of the visitor's workspace's folder.
        version: changes with the page's content.
    """
    return f"{PAGE_PREFIX}{version}_{keyed_hash(host, 'page', folder_id, version).hex()[:32]}"


class VisitorGuard:
    """The middleware; one instance serves all requests of a process."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._uploads = Uploads()
        self._tabs = Tabs()
        self._sessions = Sessions()
        self._unsent = Unsent()
        self._turns = Turns()
        self._downloads = Downloads()
        self._requests = Requests()
        self._names = Paces(BURST_FILES, FILES_A_SECOND)
        watch(self._downloads)
        watch_connections(Connections(allow_files()))
        watch_frames(Frames())
        watch_unsent(self._unsent)
        watch_kept(self._sessions)
        ask_for_no_address()
        serve_in_pieces()
        if is_logged_in_demo():
            keep_login_clients()
        _Installed.guard = self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path = _relative(scope["path"])
        is_stream = scope["type"] == "websocket"
        is_page = is_stream or _is_document(scope, path)
        is_login = path.startswith(_OF_LOGIN)
        if await self._requests.wait(scope, is_page=is_page, is_login=is_login):
            scope = _plain(scope)
            if is_stream:
                await self._stream(path, scope, receive, send)
            else:
                async with self._requests.answering(scope, send) as (scope, send):
                    await self._answer(path, scope, receive, send)
        elif is_stream:
            await send({"type": "websocket.close", "code": TRY_LATER})
        else:
            await _last(429, BUSY)(scope, receive, send)

    async def _answer(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer an HTTP request, or pass it on."""
        if "transfer-encoding" in Headers(scope=scope):
            await _without_length()(scope, receive, send)
        elif path.startswith(_CORE):
            await self._core(path.removeprefix(_CORE), scope, receive, send)
        elif (page := _exported_page(path)) is not None:
            await self._page(page, path, scope, receive, send)
        elif path == COUNTERS_PATH:
            await _counters(scope)(scope, receive, send)
        elif _is_document(scope, path):
            await self._document(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _core(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        if not path.startswith(_CORE_ALLOWED):
            await _not_found()(scope, receive, send)
        elif path.startswith("upload_file/") and scope["method"] in ("PUT", "DELETE"):
            await self._upload(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _stream(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Connect a page with its session, unless too many are open."""
        if path != f"{_CORE}stream" or not _has_origin(scope):
            await send({"type": "websocket.close", "code": 1008})
            return
        token, address = _cookie(scope) or "", network_address(scope)
        if self._tabs.refusal(token, address) is not None:
            await send({"type": "websocket.close", "code": TRY_LATER})
            return
        is_known = is_token(default_workspace(), token)
        page = Page(token if is_known else address, address)
        with self._tabs.opened(token, address) as tab:
            closing = asyncio.create_task(tab.close_when_given_up(send))
            receive, send = tab.messages(receive, send)
            try:
                scope = self._unsent.of_tab(self._sessions.without_foreign(scope, token), tab)
                await self._app(
                    _with_address(scope, address),
                    messages_of_pages(receive, self._turns, self._downloads, self._names, page),
                    messages_to_pages(
                        send, self._sessions, self._turns, self._downloads, page, token
                    ),
                )
            finally:
                closing.cancel()
                self._turns.closed(page)
                self._downloads.answered(page)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on if it is of the session's browser and fits into the memory for them."""
        if self._sessions.is_of_another(uploading_session(scope), _cookie(scope) or ""):
            await refused(403, OTHER_BROWSER)(scope, receive, send)
            return
        if scope["method"] == "DELETE":
            await self._app(scope, receive, send)
            return
        if len(scope["path"].rstrip("/").rpartition("/")[2]) > LONGEST_ID:
            await _not_found()(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if not length.isdecimal() or len(length) > MOST_DIGITS:
            await _without_length()(scope, receive, send)
            return
        reason = await self._uploads.take(
            self._app, scope, receive, send, int(length), network_address(scope)
        )
        if reason is not None:
            count(default_workspace(), "limits_reached")
            await refused(413, reason)(scope, receive, send)

    async def _page(self, name: str, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Show an exported page to its owner, or to who knows its name where no cookie tells."""
        host, token = default_workspace(), _cookie(scope)
        if token is not None and is_token(host, token) and not is_logged_in_demo():
            version = name.removeprefix(PAGE_PREFIX).partition("_")[0]
            wanted = page_name(host, visitor_id(token), version)
            if not hmac.compare_digest(wanted.encode(), name.encode()):
                await _not_found()(scope, receive, send)
                return
        await _file_of_page(path)(scope, receive, send)

    async def _document(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a page, and make sure that its browser has the cookie of a workspace."""
        host, own = default_workspace(), _cookie(scope)
        if not is_token(host, own) or has_ended(host, str(own)):
            own = None
        query = _query(scope)
        link, proof = (query.get(name, [""])[0] for name in (LINK, ENTER))
        if link and own is not None and is_token(host, link):
            is_agreed = hmac.compare_digest(
                enter_proof(host, own, link).encode(), proof.encode("utf-8", "replace")
            )
            if link == own or is_agreed:
                response: Response = RedirectResponse(_without_link(scope, query), 303)
                response.headers["set-cookie"] = _set_cookie(scope, link)
                await response(scope, receive, send)
                return
        reason = self._tabs.refusal(own or "", network_address(scope))
        if reason is not None:
            count(host, "limits_reached")
            await refused(429, reason)(scope, receive, send)
            return
        token = own or issue_token(host)

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.append("set-cookie", _set_cookie(scope, token))
                headers["referrer-policy"] = "same-origin"  # a link's token stays here
                headers["x-content-type-options"] = "nosniff"
                headers["cache-control"] = "no-store"
            await send(message)

        await self._app(scope, receive, with_cookie)


def _with_address(scope: Scope, address: str) -> Scope:
    """Return a request with a header that says where it comes from, whatever it said itself."""
    name = ADDRESS_HEADER.lower().encode()
    headers = [one for one in scope["headers"] if one[0].lower() != name]
    return {**scope, "headers": [*headers, (name, address.encode("latin-1", "replace"))]}


def _exported_page(path: str) -> str | None:
    """Return the name of the exported page that a file belongs to, None for other files."""
    folder, _, rest = path.partition("/")
    name = rest.partition("/")[0].rpartition(".")[2]  # after that of the module that shows it
    return name if folder == "component" and name.startswith(PAGE_PREFIX) else None


def _file_of_page(path: str) -> Response:
    """Return a file of an exported page in pieces: Streamlit reads it whole for each request."""
    component, _, name = path.removeprefix("component/").partition("/")
    registry = runtime.get_instance().component_registry if runtime.exists() else None
    root = None if registry is None else registry.get_component_path(component)
    file = None if root is None else build_safe_abspath(root, name)
    if file is None or not Path(file).is_file():
        return _not_found()
    kept = "no-cache" if name.endswith(".html") else "public"
    return FileResponse(file, media_type=guess_content_type(file), headers={"cache-control": kept})


def _relative(path: str) -> str:
    """Return a path below the address of the app, without a slash at its start."""
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    path = path.lstrip("/")
    return path.removeprefix(f"{base}/") if base else path


def _plain(scope: Scope) -> Scope:
    """Return a request without what would take long: odd cookies, compression, many ranges.

    Nothing here sets cookies in quotes. Reading the escapes within them took a minute for 60 kB, in
    which nobody was answered (CVE-2024-7592, mended in Python 3.11.10 and 3.12.6). Starlette
    compresses a model's file again for each request, which takes half a second, and reads a file
    again for each of many ranges, of which browsers ask for one.
    """
    rest = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"cookie", b"accept-encoding") and not (name == b"range" and b"," in value)
    ]
    plain = [one for one in _cookies(scope) if '"' not in one and "\\" not in one]
    if plain:
        rest.append((b"cookie", "; ".join(plain).encode("latin-1")))
    return {**scope, "headers": rest}


def _cookies(scope: Scope) -> list[str]:
    """Return the cookies of a request as they came, each ``name=value``; at most 200 of them."""
    given = ";".join(Headers(scope=scope).getlist("cookie"))
    return [one.strip() for one in given.split(";", MOST_COOKIES)[:MOST_COOKIES] if "=" in one]


def _cookie(scope: Scope) -> str | None:
    """Return the token that the browser has; of several the last."""
    for one in reversed(_cookies(scope)):
        name, _, value = one.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return None


def _has_origin(scope: Scope) -> bool:
    """Whether Streamlit can read where a page is asked from and to."""
    headers = Headers(scope=scope)
    try:
        hosts = [urlsplit(headers.get("origin", "")), urlsplit(f"//{headers.get('host', '')}")]
        return all(one.port is None or one.port >= 0 for one in hosts)
    except ValueError:
        return False


def _is_document(scope: Scope, path: str) -> bool:
    """Whether a request is for a page, wherever in the app."""
    is_other = path.startswith((_CORE, *_FOR_FILES)) or path == COUNTERS_PATH
    return not is_other and scope["method"] in ("GET", "HEAD")


def _query(scope: Scope) -> dict[str, list[str]]:
    """Return what the address of a request says, nothing if that is too much."""
    try:
        return parse_qs(
            scope.get("query_string", b"").decode("latin-1"), max_num_fields=MOST_FIELDS
        )
    except ValueError:
        return {}


def _set_cookie(scope: Scope, token: str) -> str:
    """Return the header that keeps a token in the browser as long as its data are kept."""
    limits = current_limits() or Limits()
    base = str(config.get_option("server.baseUrlPath") or "").strip("/")
    parts = [f"{COOKIE}={token}", f"Path=/{base}", f"Max-Age={int(limits.hours * 3600)}"]
    proto = Headers(scope=scope).get("x-forwarded-proto", scope.get("scheme", "http"))
    is_secure = proto.split(",")[0].strip() == "https"
    if os.environ.get(FRAMES_ENVIRONMENT_NAME) == "1" and is_secure:
        return "; ".join([*parts, "HttpOnly", "Secure", "SameSite=None", "Partitioned"])
    return "; ".join([*parts, "HttpOnly", *(["Secure"] if is_secure else []), "SameSite=Lax"])


def _without_link(scope: Scope, query: dict[str, list[str]]) -> str:
    """Return the address of a request without its link, relative to the folder it is in."""
    rest = {name: values for name, values in query.items() if name not in (LINK, ENTER)}
    page = scope.get("path", "").rpartition("/")[2]
    return f"./{page}" + (f"?{urlencode(rest, doseq=True)}" if rest else "")


def _counters(scope: Scope) -> Response:
    """Return what whoever looks after the server may know, or that there is nothing."""
    wanted = os.environ.get(OPERATOR_ENVIRONMENT_NAME, "")
    given = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
    if len(wanted) < 16 or not hmac.compare_digest(wanted.encode(), given.encode()):
        return _not_found()
    host = default_workspace()
    total = total_usage(host)
    return JSONResponse(
        {
            "visitors_now": num_active(host),
            "photos": total.num_photos,
            "bytes": total.num_bytes,
            "days": read_counters(host),
        }
    )


def _last(status: int, reason: str) -> Response:
    """Return a refusal after which the connection is closed, whatever else has come on it."""
    response = refused(status, reason)
    response.headers["connection"] = "close"
    return response


def _without_length() -> Response:
    """Return the answer to a body of unknown length, which may come in any number of parts."""
    return _last(411, "The size of an upload has to be given.")


def _not_found() -> Response:
    return refused(404, "Not found")

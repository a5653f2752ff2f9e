"""How much the guard lets through: the memory of uploads, open tabs, and messages of browsers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from google.protobuf import message as protobuf  # type: ignore[import-untyped]
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.memory_session_storage import MemorySessionStorage

from tl_core.config.limits import Limits, current_limits, over
from ui.hosted.downloads import Downloads
from ui.hosted.internals import Method, put_around
from ui.hosted.paces import Pace, Paces
from ui.hosted.turns import Page, Turns

TRY_LATER = 1013  # close code of a WebSocket
TABS_EACH = 4  # of all visitors, on average
IDLE_SECONDS = 5 * 60.0  # after which a page gives way when all are taken
MOST_FILES = 3_000  # for which one message may ask addresses; each costs time and memory of all
FILES_A_SECOND = 200.0  # for which one network address may ask, after a burst
BURST_FILES = MOST_FILES
MOST_WIDGETS = 2_000  # of which one message may tell the values
MOST_CHARS = 10_000  # of the address of a page
MOST_PLAIN_BYTES = 20_000  # of a message, which cannot hold too many entries
MOST_ENTRIES = 10_000  # of all lists of a message
MOST_ID_CHARS = 1_000  # of what the server's answer repeats: a page and its part, a download
MESSAGE_BYTES = 500  # of a message beside its content
MOST_AHEAD_BYTES = 50_000  # that are read after a message that waits for its turn
MESSAGES_A_SECOND = 4.0  # of one page, after a burst
BURST = 40
BYTES_A_MESSAGE = 50_000  # count as one more: what a message says of each widget takes time
NUM_SESSIONS = 50_000  # whose cookies are known
MOST_KEPT = 100  # sessions for browsers that come back; Streamlit keeps 128, whosever they are
LIFECYCLE_BYTES = 50_000  # of a message that says that a script begins or ends

_MESSAGES = ("stop_script", "app_heartbeat")


@dataclass(eq=False)
class Tab:
    """An open connection of a page: its cookie, where it comes from, and when it last asked."""

    token: str
    address: str
    used_at: float
    is_given_up: asyncio.Event = field(default_factory=asyncio.Event)

    def messages(self, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """Return what receives and sends, notes when the page was used, and ends with the tab."""

        async def receive_and_note() -> Message:
            message = await receive()
            self.used_at = time.monotonic()
            return message

        async def send_unless_over(message: Message) -> None:
            if not self.is_given_up.is_set():
                await send(message)

        return receive_and_note, send_unless_over

    async def close_when_given_up(self, send: Send) -> None:
        """Wait until another page takes the place, and close the connection."""
        await self.is_given_up.wait()
        await send({"type": "websocket.close", "code": TRY_LATER})


class Tabs:
    """The open connections of pages.

    When there are as many as the demo can serve, a new one takes the place of one of the network
    address that has most of them, or else of one that nobody has used for five minutes. That one
    connects again when its visitor comes back to it.
    """

    def __init__(self) -> None:
        self._open: list[Tab] = []

    def refusal(self, token: str, address: str = "") -> str | None:
        """Return why a page is not opened; None if it may be.

        One tab more than the limit is let in, because a page that is loaded again connects before
        its old connection is closed.
        """
        limits = current_limits() or Limits()
        own = sum(tab.token == token for tab in self._open)
        if token and own > limits.tabs:
            return str(over("tabs", own + 1, "Close one, then load this page again."))
        if self._is_full() and self._to_give_up(address) is None:
            return "This demo has as many open pages as it can serve. Try again in a few minutes."
        return None

    @contextmanager
    def opened(self, token: str, address: str = "") -> Iterator[Tab]:
        """Count a connection as long as it is open."""
        if self._is_full() and (other := self._to_give_up(address)) is not None:
            self._open.remove(other)
            other.is_given_up.set()
        tab = Tab(token, address, time.monotonic())
        self._open.append(tab)
        try:
            yield tab
        finally:
            if tab in self._open:
                self._open.remove(tab)

    def _is_full(self) -> bool:
        limits = current_limits() or Limits()
        return len(self._open) > TABS_EACH * limits.visitors

    def _to_give_up(self, address: str) -> Tab | None:
        """Return the connection that gives way to a new one from an address."""
        numbers = Counter(tab.address for tab in self._open)
        ((greedy, most),) = numbers.most_common(1)
        found = [tab for tab in self._open if tab.address == greedy]
        if most <= numbers[address] + 1:
            now = time.monotonic()
            found = [tab for tab in self._open if now - tab.used_at > IDLE_SECONDS]
        return min(found, key=lambda tab: tab.used_at, default=None)


@dataclass(frozen=True)
class _Begun:
    """The cookie and the address of the browser for which a session began."""

    token: str
    address: str


class Sessions:
    """With which cookie each session of a page began; no other browser may go on with it.

    After a lost connection a browser asks for its session by its id. The id stands in the addresses
    of uploads, and so in the logs of proxies: it is no secret that may open a workspace.
    """

    def __init__(self) -> None:
        self._begun: dict[str, _Begun] = {}

    def keep(self, original: Method, storage: Any, session: Any) -> None:
        """Have the address with most of the sessions that wait for their browsers give some up.

        Streamlit keeps those whose connection broke for two minutes, and drops the oldest of all
        when there are too many: a stranger's would push out those of others. Room is made before
        each is kept, as many pages may close at once.
        """
        with suppress(AttributeError, KeyError, RuntimeError):
            kept = storage._cache
            while len(kept) >= MOST_KEPT:
                ((greedy, _),) = Counter(map(self._address_of, kept)).most_common(1)
                del kept[next(one for one in kept if self._address_of(one) == greedy)]
        original(storage, session)

    def _address_of(self, session_id: str) -> str:
        return self._begun[session_id].address if session_id in self._begun else ""

    def without_foreign(self, scope: Scope, token: str) -> Scope:
        """Return a websocket's request, which asks for no session begun with another cookie."""
        headers = []
        for name, value in scope["headers"]:
            if name == b"sec-websocket-protocol":
                parts = [part.strip() for part in value.decode("latin-1").split(",")]
                begun = self._begun.get(parts[2]) if len(parts) > 2 else None
                if len(parts) > 2 and (begun is None or begun.token != token):
                    value = ", ".join(parts[:2]).encode("latin-1")
            headers.append((name, value))
        return {**scope, "headers": headers}

    def is_of_another(self, session_id: str, token: str) -> bool:
        """Whether a session began with another cookie; False for one that is not known any more."""
        begun = self._begun.get(session_id)
        return begun is not None and begun.token != token

    def note(self, session_id: str, token: str, address: str = "") -> None:
        """Note the cookie and address of the browser for which the server began a session."""
        self._begun.pop(session_id, None)
        self._begun[session_id] = _Begun(token, address)
        if len(self._begun) > NUM_SESSIONS:
            del self._begun[next(iter(self._begun))]


def watch_kept(sessions: Sessions) -> None:
    """Have Streamlit make room for the sessions that it keeps for browsers, from now on.

    Raises:
        RuntimeError: this version of Streamlit keeps them in another way.
    """
    put_around(MemorySessionStorage, "save", sessions.keep, "whose kept sessions can be shared out")


def messages_to_pages(
    send: Send, sessions: Sessions, turns: Turns, downloads: Downloads, page: Page, token: str
) -> Send:
    """Return what sends, and notes which session begins, and when its script and downloads end."""

    async def send_and_note(message: Message) -> None:
        data = message.get("bytes") if message["type"] == "websocket.send" else None
        if data and len(data) <= LIFECYCLE_BYTES:
            answer = ForwardMsg.FromString(data)
            kind = answer.WhichOneof("type")
            if kind == "new_session":
                page.session_id = answer.new_session.initialize.session_id
                sessions.note(page.session_id, token, page.address)
                turns.began(page)
                script = PurePath(answer.new_session.main_script_path)
                answer.new_session.main_script_path = script.name  # no folder of the server
                message = {**message, "bytes": answer.SerializeToString()}
            elif kind == "script_finished" and (
                answer.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN
            ):
                turns.ended(page)
            elif kind == "backend_operation_response":
                downloads.answered(page)
        await send(message)

    return send_and_note


def messages_of_pages(
    receive: Receive, turns: Turns, downloads: Downloads, names: Paces, page: Page
) -> Receive:
    """Return what receives the messages of a browser that concern its own session, at a pace.

    Streamlit also takes messages that empty the caches of all sessions, that ask for the names of
    changed files in the app's repository, and that install files; no page of this app sends them.
    Each message may run a page again, on the cores of all: who sends many waits between them, and
    who used much of the server waits for others (``turns.py``).
    """
    pace = Pace(BURST, MESSAGES_A_SECOND)
    ahead: deque[Message] = deque()  # what came after a message that waits
    reading: asyncio.Task[Message] | None = None

    async def has_ended(turn: Coroutine[Any, Any, None]) -> bool:
        """Wait for a turn; return whether the connection ended before, which gives it up.

        A closed page would keep its messages in memory until it was the turn of each.
        """
        nonlocal reading
        waiting = asyncio.ensure_future(turn)
        try:
            while not waiting.done():
                if reading is None and _size(ahead) < MOST_AHEAD_BYTES:
                    reading = asyncio.ensure_future(receive())
                both = {waiting} if reading is None else {waiting, reading}
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                if reading is not None and reading.done():
                    ahead.append(reading.result())
                    reading = None
                    if ahead[-1]["type"] == "websocket.disconnect" and not waiting.done():
                        while len(ahead) > 1:
                            ahead.popleft()
                        return True
            await waiting
        finally:
            waiting.cancel()
        return False

    async def next_message() -> Message:
        nonlocal reading
        if ahead:
            return ahead.popleft()
        if reading is None:
            return await receive()
        message, reading = await reading, None
        return message

    async def receive_allowed() -> Message:
        while True:
            message = await next_message()
            if message["type"] != "websocket.receive":
                return message
            data = message.get("bytes") or b""
            await pace.wait(1 + len(data) // BYTES_A_MESSAGE)
            asked = _asked(data)
            if asked is None:
                continue
            kind = asked.WhichOneof("type")
            if kind == "rerun_script" and _runs_nothing(page.session_id, asked.rerun_script):
                continue
            if kind == "rerun_script":
                if turns.may_run(page):
                    turns.reserve(page)
                elif await has_ended(turns.wait(page)):
                    continue  # what comes next is that the connection has ended
            elif kind == "file_urls_request":
                number = len(asked.file_urls_request.file_names)
                await names.of(page.address).wait(number)
            elif kind == "backend_operation_request":
                operation = asked.backend_operation_request
                if operation.session_id != page.session_id:
                    continue  # Streamlit would refuse it, and make no file
                file_id = operation.deferred_file.file_id
                if await has_ended(downloads.wait(page, file_id)):
                    continue
            return message

    return receive_allowed


def _runs_nothing(session_id: str, rerun: Any) -> bool:
    """Whether a message is for a part that its page does not have, so that no script begins."""
    if not rerun.fragment_id or not runtime.exists():
        return False
    server: Any = runtime.get_instance()
    with suppress(AttributeError):
        found = server._session_mgr.get_session_info(session_id)
        return found is not None and not found.session.has_fragment(rerun.fragment_id)
    return False


def _size(messages: Iterable[Message]) -> int:
    return sum(len(one.get("bytes") or b"") + MESSAGE_BYTES for one in messages)


def _asked(data: bytes) -> BackMsg | None:
    """Return a message that concerns the sender's own session alone; else None."""
    message = BackMsg()
    try:
        message.ParseFromString(data)
    except protobuf.DecodeError:
        return BackMsg()  # Streamlit closes the connection
    if len(data) > MOST_PLAIN_BYTES and _num_entries(message) > MOST_ENTRIES:
        return None
    kind = message.WhichOneof("type")
    is_own = kind in _MESSAGES
    if kind == "rerun_script":
        rerun = message.rerun_script
        is_own = (
            len(rerun.widget_states.widgets) <= MOST_WIDGETS
            and len(rerun.query_string) + len(rerun.page_name) <= MOST_CHARS
            and len(rerun.page_script_hash) + len(rerun.fragment_id) <= MOST_ID_CHARS
        )
    elif kind == "file_urls_request":
        is_own = len(message.file_urls_request.file_names) <= MOST_FILES
    elif kind == "backend_operation_request":
        operation = message.backend_operation_request
        is_own = (
            operation.WhichOneof("payload") == "deferred_file"
            and len(operation.request_id) + len(operation.deferred_file.file_id) <= MOST_ID_CHARS
        )
    return message if is_own else None


def _num_entries(message: protobuf.Message, so_far: int = 0) -> int:
    """Return how many entries the lists of a message have; of too many only that.

    Each takes many times the two bytes that it may be sent in.
    """
    for field_of, value in message.ListFields():
        if field_of.is_repeated:
            so_far += len(value)
        if so_far > MOST_ENTRIES:
            break
        if field_of.message_type is not None:
            for one in value if field_of.is_repeated else [value]:
                so_far = _num_entries(one, so_far)
    return so_far


def refused(status: int, reason: str) -> PlainTextResponse:
    """Return the answer to what is not let through."""
    return PlainTextResponse(reason, status)

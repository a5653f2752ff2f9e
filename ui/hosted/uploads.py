"""The memory of uploads: those on their way, those that wait for a page, those that pages keep."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import runtime
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tl_core.config.limits import MEGABYTE, Limits, current_limits
from ui.hosted import kept
from ui.hosted.traffic import NUM_SESSIONS

SLOWEST_BYTES = 50_000  # a second, of an upload
PATIENCE_SECONDS = 30.0  # beyond that
FILE_BYTES = 5_000  # that an upload holds beside its content: its name, ids and address
UPLOADS_A_PHOTO = 2  # that a session may hold for each photo that a visitor may have
FEW_UPLOADS = 1_000  # which are counted for each new one
COUNTING_SECONDS = 50e-6  # between two counts for each of more uploads; one takes 1 to 2e-6
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")
MOST_BOUNDARIES = 8  # in the body of an upload; one file has one before it and one after
LEAST_DROPPED = 200_000  # bytes that are given up at once, as what is oldest has to be found
_lost: deque[str] = deque(maxlen=NUM_SESSIONS)  # sessions of which an upload was given up


@dataclass(eq=False)
class _Incoming:
    """An upload whose body is on its way."""

    session_id: str
    address: str
    num_bytes: int
    timeout: asyncio.Timeout


def _boundary_of(scope: Scope) -> bytes | None:
    """Return the boundary of a body in parts; None if it is none, or not a boundary of RFC 2046."""
    kind, options = parse_options_header(Headers(scope=scope).get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not _BOUNDARY.fullmatch(boundary):
        return None
    return boundary


def _with_plain_type(scope: Scope, boundary: bytes) -> Scope:
    """Return an upload whose type says its boundary alone.

    Starlette decodes names and fields of a body by any codec that its type names, of which some
    take time that grows with the square.
    """
    kept = [one for one in scope["headers"] if one[0] != b"content-type"]
    kind = b'multipart/form-data; boundary="%s"' % boundary
    return {**scope, "headers": [*kept, (b"content-type", kind)]}


class _Occurrences:
    """Counts where a text stands in a body, which comes in pieces."""

    def __init__(self, text: bytes) -> None:
        self._text, self._end = text, b""

    def count(self, piece: bytes) -> int:
        """Return how many times it is in the body with this piece that it was not without."""
        data = self._end + piece
        self._end = data[max(0, len(data) - len(self._text) + 1) :]
        return data.count(self._text)


class _Boundaries:
    """Counts the boundaries of a body.

    The server does something for each of them, be there a part or not, and for each space behind
    one: a body of 10 MB can hold two million boundaries of a letter each.
    """

    def __init__(self, boundary: bytes) -> None:
        boundary = b"--" + boundary
        self._all = _Occurrences(boundary)
        self._padded = [_Occurrences(boundary + space) for space in (b" ", b"\t")]
        self._number = 0

    @property
    def are_too_many(self) -> bool:
        """Whether there were more than a file has, or one with what no browser sends."""
        return self._number > MOST_BOUNDARIES

    def count(self, piece: bytes) -> None:
        """Count what is in the next piece of the body."""
        self._number += self._all.count(piece)
        if sum(one.count(piece) for one in self._padded):
            self._number += MOST_BOUNDARIES


class _Held:
    """The number and the bytes of uploads of each session."""

    def __init__(self) -> None:
        self.numbers: Counter[str] = Counter()
        self.num_bytes: Counter[str] = Counter()

    def add(self, session_id: str, num_bytes: int) -> None:
        self.numbers[session_id] += 1
        self.num_bytes[session_id] += num_bytes + FILE_BYTES

    def remove(self, session_id: str, num_bytes: int) -> None:
        self.numbers[session_id] -= 1
        self.num_bytes[session_id] -= num_bytes + FILE_BYTES


class Uploads:
    """The uploads on their way, and the memory of those that wait for a page or that it keeps.

    When it is full, the oldest of the network address that holds most is dropped, or of the session
    that holds most at one address. :func:`has_lost_upload` tells whether a page has lost one.
    """

    def __init__(self) -> None:
        self._incoming: list[_Incoming] = []
        self._addresses: dict[str, str] = {}  # of sessions that have uploaded
        self._counted = _Held()
        self._count_at = 0.0  # when to count again

    async def take(
        self,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        num_bytes: int,
        address: str = "",
    ) -> str | None:
        """Pass an upload on to the app; return why it was refused, or None.

        Args:
            app: what stores it.
            scope: the request, ``.../upload_file/<session>/<file>``.
            receive: its body.
            send: takes the answer.
            num_bytes: the length of the body.
            address: the network address that it comes from.
        """
        session_id = uploading_session(scope)
        if not _is_active(session_id):
            await app(scope, receive, send)  # refuses it
            return None
        self._addresses[session_id] = address
        if len(self._addresses) > NUM_SESSIONS:
            self._addresses = {
                one: known for one, known in self._addresses.items() if _is_active(one)
            }
        if (reason := self._refusal(session_id, num_bytes)) is not None:
            return reason
        if (boundary := _boundary_of(scope)) is None:
            return "Expected one file as multipart/form-data. Upload it on the page."
        scope, boundaries = _with_plain_type(scope, boundary), _Boundaries(boundary)
        is_answered = False

        async def counted() -> Message:
            message = await receive()
            boundaries.count(message.get("body", b""))
            if boundaries.are_too_many:
                timeout.reschedule(asyncio.get_running_loop().time())
                await asyncio.Event().wait()
            return message

        async def noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            async with asyncio.timeout(PATIENCE_SECONDS + num_bytes / SLOWEST_BYTES) as timeout:
                one = _Incoming(session_id, address, num_bytes, timeout)
                self._incoming.append(one)
                self._counted.add(session_id, num_bytes)
                try:
                    await app(scope, counted, noted)
                finally:
                    if one in self._incoming:
                        self._incoming.remove(one)
        except TimeoutError:
            if is_answered:
                return None
            if boundaries.are_too_many:
                return "Expected one file, received a body of many parts. Upload one at a time."
            return "This upload took too long, or others needed its memory. Try again."
        return None

    def _refusal(self, session_id: str, num_bytes: int) -> str | None:
        """Return why an upload has no place, after making one where that is fair."""
        limits = current_limits() or Limits()
        most = int(limits.upload_mb * MEGABYTE * 1.05)
        if num_bytes > most:
            return f"This demo allows {limits.upload_mb} MB of one upload."
        held = self._held()
        used = held.num_bytes
        own = used[session_id] + num_bytes
        if held.numbers[session_id] >= limits.photos * UPLOADS_A_PHOTO:
            return (
                f"This demo holds {limits.photos * UPLOADS_A_PHOTO:,} uploads of one visitor at "
                "once. Add these first, or put the photos into a zip."
            )
        if own > 3 * most:
            return (
                f"This demo holds {3 * limits.upload_mb} MB of uploads of one visitor at once, "
                "those on Classify among them. Remove some first."
            )
        while used.total() + num_bytes > limits.upload_memory_mb * MEGABYTE:
            greedy = self._to_give_up(used, session_id, num_bytes)
            too_much = used.total() + num_bytes - limits.upload_memory_mb * MEGABYTE
            too_much = min(max(too_much, LEAST_DROPPED), MEGABYTE)
            if greedy is None or not self._drop(greedy, too_much):
                return (
                    f"This demo holds {limits.upload_memory_mb} MB of uploads at once. Try again."
                )
            used = self._held().num_bytes
        return None

    def _to_give_up(self, used: Counter[str], session_id: str, num_bytes: int) -> str | None:
        """Return the session that gives place to an upload of another; None if none has more."""
        own_address = self._addresses[session_id]
        of_addresses: Counter[str] = Counter()
        for one, held in used.items():
            of_addresses[self._addresses.get(one, one)] += held
        address, most = max(of_addresses.items(), key=lambda item: item[1], default=("", 0))
        if most <= of_addresses[own_address] + num_bytes:
            address = own_address
        held, greedy = max(
            ((held, one) for one, held in used.items() if self._addresses.get(one, one) == address),
            default=(0, None),
        )
        is_own = address == own_address
        return None if is_own and held <= used[session_id] + num_bytes else greedy

    def _held(self) -> _Held:
        """Return what is held; of many uploads as it was counted last, and what came since.

        An upload that counted thousands of others would keep the loop busy that serves everyone.
        """
        now = time.monotonic()
        if now >= self._count_at:
            self._counted = self._count()
            number = self._counted.numbers.total()
            self._count_at = now + (number * COUNTING_SECONDS if number > FEW_UPLOADS else 0.0)
        return self._counted

    def _count(self) -> _Held:
        """Count the uploads of each session: held, on their way, or kept by its pages."""
        counted = _Held()
        seen: dict[int, bytes] = {}  # what several objects share counts once

        def add(session_id: str, data: bytes) -> None:
            counted.add(session_id, 0 if id(data) in seen else len(data))
            seen[id(data)] = data

        for session_id, files in list(held_files().items()):
            for file in list(files.values()):
                add(session_id, file.data)
        for (session_id, _), photo in kept.photos():
            add(session_id, photo.content)
        for (session_id, _), value in _removed_values():
            add(session_id, kept.content_of(value))
        for one in self._incoming:
            counted.add(one.session_id, one.num_bytes)
        return counted

    def _drop(self, session_id: str, num_bytes: int) -> bool:
        """Give up the oldest uploads of a session, of so many bytes; whether there was one."""
        dropped = 0
        for size, give_up in self._oldest(session_id):
            give_up()
            self._counted.remove(session_id, size)
            dropped += size + FILE_BYTES
            if dropped >= num_bytes:
                break
        return dropped > 0

    def _oldest(self, session_id: str) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield the bytes of each upload of a session and what gives it up, as they are to go."""

        def lose(forget: Callable[..., None], *of: object) -> None:
            _lost.append(session_id)
            forget(*of)

        for one in list(self._incoming):
            if one.session_id == session_id:
                yield one.num_bytes, functools.partial(self._give_up_incoming, one)
        for key, value in _removed_values():
            if key[0] == session_id:
                yield len(kept.content_of(value)), functools.partial(kept.give_up_value, key)
        for key, photo in kept.photos():
            if key[0] == session_id:
                yield len(photo.content), functools.partial(lose, kept.give_up_photo, key)
        for file_id, file in list(held_files().get(session_id, {}).items()):
            forget = functools.partial(lose, _manager().remove_file, session_id, file_id)
            yield len(file.data), forget

    def _give_up_incoming(self, one: _Incoming) -> None:
        self._incoming.remove(one)
        one.timeout.reschedule(asyncio.get_running_loop().time())


def _removed_values() -> Iterator[tuple[kept.Key, UploadedFile]]:
    """Return the values of uploaders whose files are not in the store any more."""
    storage = held_files()
    for key, file in kept.values():
        if file.file_id not in storage.get(key[0], {}):
            yield key, file


def uploading_session(scope: Scope) -> str:
    """Return the id of the session for which a file is stored or removed."""
    return str(scope["path"].rstrip("/").split("/")[-2])


def has_lost_upload(session_id: str) -> bool:
    """Whether an upload of a session was given up since this was last asked."""
    has_lost = session_id in _lost
    while session_id in _lost:
        _lost.remove(session_id)
    return has_lost


def _is_active(session_id: str) -> bool:
    """Whether a page of this session is connected; who uploads may write any id in the address."""
    return not runtime.exists() or runtime.get_instance().is_active_session(session_id)


def held_files() -> dict[str, dict[str, Any]]:
    """Return the uploads that Streamlit holds in memory: by session, then by file."""
    return _manager().file_storage if runtime.exists() else {}


def _manager() -> Any:
    return runtime.get_instance().uploaded_file_mgr

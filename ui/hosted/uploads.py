"""The memory of uploads: those on their way, those that wait for a page, those that pages keep."""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
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
PACE_SECONDS = 1.0  # after which an upload slower than that gives way to others
AHEAD_BYTES = 1_000_000  # of an upload that count before they have come
FILE_BYTES = 5_000  # that an upload holds beside its content: its name, ids and address
UPLOADS_A_PHOTO = 2  # that a session may hold for each photo that a visitor may have
FEW_UPLOADS = 1_000  # which are counted for each new one
COUNTING_SECONDS = 50e-6  # between two counts for each of more uploads; one takes 1 to 2e-6
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{1,70}")
MOST_BOUNDARIES = 8  # in the body of an upload; one file has one before it and one after
LEAST_DROPPED = 200_000  # bytes that are given up at once, as what gives way has to be found
_lost: deque[str] = deque(maxlen=NUM_SESSIONS)  # sessions of which an upload was given up
_ran_at: dict[str, float] = {}  # when a page of a session ran last


@dataclass(eq=False)
class _Incoming:
    """An upload whose body is on its way."""

    session_id: str
    num_bytes: int  # of the whole body
    timeout: asyncio.Timeout
    begun_at: float = field(default_factory=lambda: time.monotonic())
    come: int = 0
    counted: int = 0  # bytes: what has come, and a little ahead

    def is_behind(self) -> bool:
        """Whether it comes slower than any network, as one that is only announced."""
        seconds = time.monotonic() - self.begun_at
        return seconds > PACE_SECONDS and self.come < SLOWEST_BYTES * seconds


@dataclass(frozen=True, eq=False)
class _Upload:
    """What is held of an upload, and how it is given up."""

    session_id: str
    num_bytes: int
    give_up: Callable[[], None]
    used_at: float = 0.0  # by a run of its page; when it came if by none
    is_in_use: bool = True  # by a run of its page, or on its way
    is_behind: bool = False


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
        self.num_bytes[session_id] += num_bytes

    def remove(self, session_id: str, num_bytes: int) -> None:
        self.numbers[session_id] -= 1
        self.num_bytes[session_id] -= num_bytes


class Uploads:
    """The uploads on their way, and the memory of those that wait for a page or that it keeps.

    :meth:`_giving_way` says what is given up when it is full, and :func:`has_lost_upload` whether a
    page has lost one. Of a body on its way counts what has come and a little ahead, so that none
    holds a place by being announced.
    """

    def __init__(self) -> None:
        self._incoming: list[_Incoming] = []
        self._addresses: dict[str, str] = {}  # of sessions that have uploaded
        self._came_at: dict[tuple[str, str], float] = {}  # of files in Streamlit's store
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
            if boundaries.are_too_many or not self._has_come(one, len(message.get("body", b""))):
                timeout.reschedule(asyncio.get_running_loop().time())
                await asyncio.Event().wait()
            return message

        async def noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            async with asyncio.timeout(PATIENCE_SECONDS + num_bytes / SLOWEST_BYTES) as timeout:
                one = _Incoming(session_id, num_bytes, timeout)
                one.counted = min(num_bytes, AHEAD_BYTES) + FILE_BYTES
                self._incoming.append(one)
                self._note_file(session_id, scope["path"].rstrip("/").rpartition("/")[2])
                self._counted.add(session_id, one.counted)
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

    def _has_come(self, one: _Incoming, num_bytes: int) -> bool:
        """Count the next bytes of a body; whether there is room for them."""
        one.come += num_bytes
        if one in self._incoming and one.come + FILE_BYTES > one.counted:
            ahead = min(one.num_bytes, one.come + AHEAD_BYTES) + FILE_BYTES - one.counted
            if not self._make_room(one.session_id, ahead) or one not in self._incoming:
                return False
            one.counted += ahead
            self._counted.num_bytes[one.session_id] += ahead
        return one in self._incoming

    def _note_file(self, session_id: str, file_id: str) -> None:
        self._came_at[session_id, file_id] = time.monotonic()
        if len(self._came_at) > NUM_SESSIONS:
            storage = held_files()
            self._came_at = {
                key: at for key, at in self._came_at.items() if key[1] in storage.get(key[0], {})
            }

    def _refusal(self, session_id: str, num_bytes: int) -> str | None:
        """Return why an upload has no place, after making one where that is fair."""
        limits = current_limits() or Limits()
        most = _largest_body(limits)
        if num_bytes > most:
            return f"This demo allows {limits.upload_mb} MB of one upload."
        held = self._held()
        coming = [one for one in self._incoming if one.session_id == session_id]
        announced = sum(one.num_bytes + FILE_BYTES - one.counted for one in coming)
        if held.numbers[session_id] >= limits.photos * UPLOADS_A_PHOTO:
            return (
                f"This demo holds {limits.photos * UPLOADS_A_PHOTO:,} uploads of one visitor at "
                "once. Add these first, or put the photos into a zip."
            )
        if held.num_bytes[session_id] + announced + num_bytes > 3 * most:
            return (
                f"This demo holds {3 * limits.upload_mb} MB of uploads of one visitor at once, "
                "those on Classify among them. Remove some first."
            )
        if not self._make_room(session_id, num_bytes):
            return f"This demo holds {limits.upload_memory_mb} MB of uploads at once. Try again."
        return None

    def _make_room(self, session_id: str, num_bytes: int) -> bool:
        """Give up what gives way to so many more bytes of a session; whether they have a place."""
        memory = (current_limits() or Limits()).upload_memory_mb * MEGABYTE
        while (too_much := self._held().num_bytes.total() + num_bytes - memory) > 0:
            dropped = 0
            for one in self._giving_way(session_id, num_bytes):
                one.give_up()
                self._counted.remove(one.session_id, one.num_bytes)
                dropped += one.num_bytes
                if dropped >= max(too_much, LEAST_DROPPED):
                    break
            if not dropped:
                return False
        return True

    def _giving_way(self, session_id: str, num_bytes: int) -> Iterator[_Upload]:
        """Yield what gives way to more bytes of a session, in this order.

        1. What sessions hold whose page has gone, of the one that ran longest ago first.
        2. Bodies that come slower than any network, such as those that are only announced.
        3. Of the network address that holds most, while that is more than one largest upload, and
           there of the session that holds most: what no run of its page uses, then the oldest.
        4. What no run of a page uses, the oldest first.
        5. Of the network address that holds most of what pages use, or is on its way, while that
           is more than an equal share of the memory, the oldest of its session that holds most.
        6. The rest of that: what was used longest ago first.

        An upload with which its address would hold more than a largest upload, and more than an
        equal share of the memory, takes nothing from other addresses. There 1 and 2 give way, then
        sessions that hold more than its own would.
        """
        limits = current_limits() or Limits()
        largest = _largest_body(limits) + FILE_BYTES
        of_sessions = +self._held().num_bytes
        of_addresses: Counter[str] = Counter()
        for name, held in of_sessions.items():
            of_addresses[self._address_of(name)] += held
        address = self._address_of(session_id)
        share = limits.upload_memory_mb * MEGABYTE // len({*of_addresses, address})
        is_fair = of_addresses[address] + num_bytes <= max(largest, share)
        own = of_sessions.pop(session_id, 0) + num_bytes
        gone = {name for name in of_sessions if not _is_active(name)}
        found = set(of_sessions)
        if not is_fair:  # only what may give way is listed, which takes a while
            may = gone | {one.session_id for one in self._incoming if one.is_behind()}
            may |= {name for name, held in of_sessions.items() if held > own}
            found = {name for name in found & may if self._address_of(name) == address}
        uploads = self._uploads(found) if found else []
        of_gone = [one for one in uploads if one.session_id in gone]
        yield from sorted(of_gone, key=lambda one: _ran_at.get(one.session_id, 0.0))
        uploads = [one for one in uploads if one.session_id not in gone]
        yield from (one for one in uploads if one.is_behind)
        uploads = [one for one in uploads if not one.is_behind]
        if not is_fair:
            yield from _of_most(uploads, lambda name: name, own)
            return
        taken: set[_Upload] = set()
        for one in _of_most(uploads, self._address_of, largest):
            taken.add(one)
            yield one
        uploads = [one for one in uploads if one not in taken]
        uploads.sort(key=lambda one: one.used_at)
        yield from (one for one in uploads if not one.is_in_use)
        uploads = [one for one in uploads if one.is_in_use]
        taken = set()
        for one in _of_most(uploads, self._address_of, share):
            taken.add(one)
            yield one
        yield from (one for one in uploads if one not in taken)

    def _address_of(self, session_id: str) -> str:
        return self._addresses.get(session_id, session_id)

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
            counted.add(session_id, FILE_BYTES + (0 if id(data) in seen else len(data)))
            seen[id(data)] = data

        for session_id, files in list(held_files().items()):
            for file in list(files.values()):
                add(session_id, file.data)
        for (session_id, _), photo in kept.photos():
            add(session_id, photo.content)
        for (session_id, _), value in _removed_values():
            add(session_id, kept.content_of(value))
        for one in self._incoming:
            counted.add(one.session_id, one.counted)
        return counted

    def _uploads(self, sessions: set[str]) -> list[_Upload]:
        """Return what sessions hold: bodies on their way, values and photos of pages, files."""
        found = []
        for one in self._incoming:
            if one.session_id in sessions:
                forget = functools.partial(self._give_up_incoming, one)
                behind = one.is_behind()
                found.append(
                    _Upload(one.session_id, one.counted, forget, one.begun_at, is_behind=behind)
                )
        photos = [(key, photo.content) for key, photo in kept.photos() if key[0] in sessions]
        shared = {id(content) for _, content in photos}
        for key, value in _removed_values():
            content = kept.content_of(value)
            if key[0] in sessions and id(content) not in shared:  # else it goes after its photo
                forget = functools.partial(kept.give_up_value, key)
                found.append(_Upload(key[0], len(content) + FILE_BYTES, forget, is_in_use=False))
        for key, content in photos:
            forget = functools.partial(_lose, key[0], kept.give_up_photo, key)
            used_at = _ran_at.get(key[0], 0.0)
            found.append(_Upload(key[0], len(content) + FILE_BYTES, forget, used_at))
        values: dict[tuple[str, str], list[kept.Key]] = {}
        for key, value in kept.values():
            values.setdefault((key[0], value.file_id), []).append(key)
        for name, files in list(held_files().items()):
            for file_id, file in list(files.items()) if name in sessions else ():
                keys = values.get((name, file_id), [])
                forget = functools.partial(_lose, name, _forget_file, name, file_id, keys)
                came_at = self._came_at.get((name, file_id), 0.0)
                used_at = _ran_at.get(name, 0.0) if keys else came_at
                size = len(file.data) + FILE_BYTES
                found.append(_Upload(name, size, forget, used_at, is_in_use=bool(keys)))
        return found

    def _give_up_incoming(self, one: _Incoming) -> None:
        self._incoming.remove(one)
        one.timeout.reschedule(asyncio.get_running_loop().time())


def _of_most(
    uploads: list[_Upload], group_of: Callable[[str], str], bound: int
) -> Iterator[_Upload]:
    """Yield what goes until no group of sessions holds more than a bound, of the largest first."""
    held: Counter[str] = Counter()
    of_sessions: Counter[str] = Counter()
    groups: dict[str, dict[str, deque[_Upload]]] = {}
    for one in sorted(uploads, key=lambda one: one.is_in_use):
        group = group_of(one.session_id)
        held[group] += one.num_bytes
        of_sessions[one.session_id] += one.num_bytes
        groups.setdefault(group, {}).setdefault(one.session_id, deque()).append(one)
    while held:
        group = max(held, key=held.__getitem__)
        if held[group] <= bound:
            return
        name = max(groups[group], key=of_sessions.__getitem__)
        one = groups[group][name].popleft()
        held[group] -= one.num_bytes
        of_sessions[name] -= one.num_bytes
        yield one


def _lose(session_id: str, forget: Callable[..., None], *of: object) -> None:
    """Give up an upload of which its page says that it was lost."""
    _lost.append(session_id)
    forget(*of)


def _forget_file(session_id: str, file_id: str, keys: list[kept.Key]) -> None:
    _manager().remove_file(session_id, file_id)
    for key in keys:
        kept.give_up_value(key)  # else it keeps the bytes until its page runs again


def _removed_values() -> Iterator[tuple[kept.Key, UploadedFile]]:
    """Return the values of uploaders whose files are not in the store any more."""
    storage = held_files()
    for key, file in kept.values():
        if file.file_id not in storage.get(key[0], {}):
            yield key, file


def uploading_session(scope: Scope) -> str:
    """Return the id of the session for which a file is stored or removed."""
    return str(scope["path"].rstrip("/").split("/")[-2])


def note_run(session_id: str) -> None:
    """Note that a page of a session runs, so that what it uses gives way to others late."""
    _ran_at.pop(session_id, None)
    _ran_at[session_id] = time.monotonic()
    if len(_ran_at) > NUM_SESSIONS:
        del _ran_at[next(iter(_ran_at))]


def has_lost_upload(session_id: str) -> bool:
    """Whether an upload of a session was given up since this was last asked."""
    has_lost = session_id in _lost
    while session_id in _lost:
        _lost.remove(session_id)
    return has_lost


def _largest_body(limits: Limits) -> int:
    return int(limits.upload_mb * MEGABYTE * 1.05)


def _is_active(session_id: str) -> bool:
    """Whether a page of this session is connected; who uploads may write any id in the address."""
    return not runtime.exists() or runtime.get_instance().is_active_session(session_id)


def held_files() -> dict[str, dict[str, Any]]:
    """Return the uploads that Streamlit holds in memory: by session, then by file."""
    return _manager().file_storage if runtime.exists() else {}


def _manager() -> Any:
    return runtime.get_instance().uploaded_file_mgr

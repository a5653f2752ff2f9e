"""Files that pages offer for download: made when they are asked for, and sent from the disk.

Streamlit keeps what it offers in memory, and its server writes it to the connection in one piece: a
zip of 300 MB would take that several times. A :class:`FileOnDisk` is kept in a file that has no
name any more, so that it goes with the last who refers to it, and is sent in pieces. So is a part
of one that a browser asks for; of what Streamlit keeps in memory no part is copied either.
"""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

import pandas as pd
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.memory_media_file_storage import MemoryFile, MemoryMediaFileStorage

from tl_core.config.limits import MEGABYTE, current_limits
from tl_core.errors import TLError
from tl_core.tables import csv_text
from tl_core.workspace import Workspace
from ui.shared.errors import logger

SMALL_BYTES = 2**20  # up to here bytes are read at once; Streamlit names larger files by samples
CHUNK_BYTES = 2**18
PATIENCE_SECONDS = 30.0  # for a browser to take a piece
READY = "ready_for_a_piece"  # of a request's scope: waits until as many bytes may be sent
Ready = Callable[[int], Awaitable[None]]


class Content:
    """Bytes in a file, with what Starlette asks of bytes: a length, slices, which are not read."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self.file = file
        self._start, self._stop = start, stop

    def __len__(self) -> int:
        return self._stop - self._start

    def __getitem__(self, part: slice) -> bytes | Content:
        return self.part(part)

    def part(self, part: slice) -> Content:
        """Return a slice."""
        start, stop, _ = part.indices(len(self))
        return Content(self.file, self._start + start, self._start + max(start, stop))

    def encode(self, _: str) -> Content:
        """Return this; Starlette calls it for the content of an answer that is not bytes."""
        return self

    def read(self, start: int, num_bytes: int) -> bytes:
        """Return bytes from ``start`` on; fewer at the end.

        Raises:
            ValueError: the file was closed, because its visitor's data were deleted.
        """
        place = self._start + start
        wanted = min(num_bytes, self._stop - place)
        parts = []
        while wanted > 0 and (part := os.pread(self.file.fileno(), wanted, place)):
            parts.append(part)
            place, wanted = place + len(part), wanted - len(part)
        return b"".join(parts)

    async def send(self, send: Send, ready: Ready | None = None) -> None:
        """Send all bytes as the body of an answer, no more than a piece at a time.

        Args:
            send: sends a message.
            ready: is waited for before a piece is read.

        Raises:
            TimeoutError: the browser did not take a piece for half a minute.
        """
        if len(self) == 0:
            await send({"type": "http.response.body", "body": b""})
        for start in range(0, len(self), CHUNK_BYTES):
            if ready is not None:
                await ready(min(CHUNK_BYTES, len(self) - start))
            data = await asyncio.to_thread(self.read, start, CHUNK_BYTES)
            is_last = start + CHUNK_BYTES >= len(self)
            message = {"type": "http.response.body", "body": data, "more_body": not is_last}
            await asyncio.wait_for(send(message), PATIENCE_SECONDS)


class _Kept(Content):
    """What Streamlit keeps of a large file; the samples by which it names it are read."""

    def __getitem__(self, part: slice) -> bytes | Content:
        cut = self.part(part)
        return cut if len(cut) > SMALL_BYTES else cut.read(0, len(cut))


class FileOnDisk(io.RawIOBase):
    """A file for ``st.download_button``; it never is in memory as a whole if it is large."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._content = _Kept(file, 0, os.fstat(file.fileno()).st_size)

    def seek(self, *_: int) -> int:
        """Do nothing: it is always read from its start."""
        return 0

    def read(self, _: int = -1) -> Any:
        """Return all of it."""
        size = len(self._content)
        return self._content if size > SMALL_BYTES else self._content.read(0, size)


class _Held:
    """The files of each workspace that somebody still refers to, the oldest first."""

    files: ClassVar[dict[Path, list[weakref.ref[BinaryIO]]]] = {}
    lock = threading.Lock()


def file_for_download(
    workspace: Workspace, name: str, write: Callable[[Path], object]
) -> FileOnDisk | io.BytesIO:
    """Return the file that ``write`` makes.

    Streamlit says of any error that there is no file; why is in the log.

    Args:
        workspace: on whose disk it is kept, without being seen there.
        name: of the file that is made, for those who go by its ending.
        write: makes the file at the path that it is given.

    Raises:
        TLError: from ``write``.
        OSError: likewise.
    """
    try:
        workspace.cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=workspace.cache_dir) as folder:
            path = Path(folder) / name
            write(path)
            if not hasattr(os, "pread"):  # Windows, where an open file keeps its name, too
                return io.BytesIO(path.read_bytes())
            file = path.open("rb")
        _hold(workspace, file)
        serve_in_pieces()
        return FileOnDisk(file)
    except (TLError, OSError):
        logger.exception("A file could not be made for download")
        raise


def forget_downloads(root: Path) -> None:
    """Close the files of a workspace; a download that is under way breaks off."""
    with _Held.lock:
        for reference in _Held.files.pop(root, []):
            if (file := reference()) is not None:
                file.close()


def _hold(workspace: Workspace, file: BinaryIO) -> None:
    """Note a file; in a demo the oldest of a visitor give way to it."""
    limits = current_limits()
    with _Held.lock:
        references = _Held.files.pop(workspace.root, [])
        held = [one for reference in references if (one := reference()) and not one.closed]
        held.append(file)
        if limits is not None:
            while len(held) > 1 and sum(map(_size, held)) > limits.visitor_mb * MEGABYTE:
                held.pop(0).close()
        _Held.files[workspace.root] = [weakref.ref(one) for one in held]


def _size(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_size


def serve_in_pieces() -> None:
    """Have the server send a :class:`Content` in pieces, and copy no part of any file, from now on.

    Streamlit cuts what a browser asks for out of what it keeps, and holds that until it is taken.
    """
    _send_contents()
    _cut_without_copies()


def _send_contents() -> None:
    original = Response.__call__
    if hasattr(original, "original"):
        return

    async def answer(self: Response, scope: Scope, receive: Receive, send: Send) -> None:
        content: Any = self.body
        if not isinstance(content, Content):
            await original(self, scope, receive, send)
            return
        if content.file.closed:
            await original(Response(status_code=404), scope, receive, send)
            return

        async def send_in_pieces(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif scope["method"] == "HEAD":
                await send({**message, "body": b""})
            else:
                await content.send(send, scope.get(READY))

        with suppress(TimeoutError, ValueError):  # nobody takes it, or it was closed: it breaks off
            await original(self, scope, receive, send_in_pieces)

    answer.original = original  # type: ignore[attr-defined]
    Response.__call__ = answer  # type: ignore[method-assign]


def _cut_without_copies() -> None:
    original = MemoryMediaFileStorage.get_file
    if hasattr(original, "original"):
        return

    def get_file(self: MemoryMediaFileStorage, filename: str) -> MemoryFile:
        found = original(self, filename)
        content: Any = found.content
        if isinstance(content, Content):
            uncopied: Any = content.part(slice(None))
        else:
            uncopied = memoryview(content)
        return found._replace(content=cast(bytes, uncopied))

    get_file.original = original  # type: ignore[attr-defined]
    MemoryMediaFileStorage.get_file = get_file  # type: ignore[method-assign]


def draw_files_download(
    place: DeltaGenerator, files: Sequence[tuple[str, str]], file_name: str, key: str
) -> None:
    """Draw the download of files with the reason why each cannot be read, as one CSV."""
    table = pd.DataFrame(files, columns=["file", "reason"])
    place.download_button(
        "Download list",
        lambda: csv_text(table).encode("utf-8", "backslashreplace"),
        file_name=file_name,
        mime="text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
        help="The files that cannot be read, each with the reason.",
    )

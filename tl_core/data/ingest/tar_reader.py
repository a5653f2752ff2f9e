"""Read an untrusted tar archive, compressed or not; headers are checked before any content.

It is read twice from start to end: for the list of entries, then for their content.
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tl_core.data.file_names import UnsafeName, name_parts
from tl_core.data.ingest.zip_reader import ArchiveEntry, refusal
from tl_core.errors import ArchiveError
from tl_core.files import size_text

_CHUNK = 256 * 1024
_MAX_HEADER_BYTES = 2**20  # of one read; a long name needs a few hundred
_MAX_RATIO = 100
_SMALL = 64 * 2**20  # below this many bytes any ratio is accepted

_PACKINGS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(memlimit=256 * 2**20)),
)
_TAR_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


@dataclass(frozen=True)
class TarEntry(ArchiveEntry):
    """One entry of a tar archive; ``place`` is its index."""

    place: int


def is_tar(file: BinaryIO) -> bool:
    """Return whether a file is a tar archive, or compressed like one."""
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    return head[257:262] == b"ustar" or any(head.startswith(mark) for mark, _ in _PACKINGS)


class TarReader:
    """A tar archive: its entries, and their content in sequence.

    Raises:
        ArchiveError: this is not a tar archive, it unpacks to more than ``max_bytes``, or an entry
            is unsafe.
    """

    encoding = ""

    def __init__(self, file: BinaryIO, max_entries: int, max_bytes: int) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self.entries: list[ArchiveEntry] = []
        for place, (info, _) in enumerate(self._members()):
            if place >= max_entries:
                raise ArchiveError(f"It lists more than {max_entries:,} entries, the limit.")
            self.entries.append(_check_entry(info, place))

    def contents(
        self, wanted: Sequence[ArchiveEntry]
    ) -> Iterator[tuple[ArchiveEntry, Iterator[bytes]]]:
        """Yield each of these entries with its content, in the archive's order.

        Raises:
            ArchiveError: the data is damaged.
        """
        by_place = {entry.place: entry for entry in wanted if isinstance(entry, TarEntry)}
        for place, (_, stream) in enumerate(self._members()):
            if place in by_place:
                entry = by_place.pop(place)
                yield entry, _pieces(stream, entry)
            if not by_place:
                return

    def _members(self) -> Iterator[tuple[tarfile.TarInfo, _Unpacked]]:
        stream = _Unpacked(self._file, self._max_bytes)
        try:
            with tarfile.TarFile(fileobj=stream, errorlevel=2) as archive:  # type: ignore[arg-type]
                while (info := archive.next()) is not None:
                    stream.begin(info)
                    yield info, stream
                    archive.members.clear()  # type: ignore[attr-defined]
        except _TAR_ERRORS as error:
            raise ArchiveError(
                f"It cannot be read as a tar archive: it is damaged or cut off ({error}). Copy or "
                "download it again."
            ) from error


def _check_entry(info: tarfile.TarInfo, place: int) -> TarEntry:
    try:
        parts = name_parts(info.name) if info.name not in (".", "./") else (".",)
    except UnsafeName as error:
        raise refusal(info.name, str(error)) from None
    if info.issym() or info.islnk():
        raise refusal(info.name, "is a link")
    if not (info.isreg() or info.isdir()) or info.issparse():
        raise refusal(info.name, "is a device or another special file")
    return TarEntry(info.name, parts, info.isdir(), 0 if info.isdir() else info.size, place)


def _pieces(stream: _Unpacked, entry: ArchiveEntry) -> Iterator[bytes]:
    left = entry.num_bytes
    stream.seek(stream.data_start)
    while left:
        try:
            piece = stream.read(min(_CHUNK, left))
        except _TAR_ERRORS as error:
            raise refusal(entry.name, f"is damaged ({error})") from error
        if not piece:
            raise refusal(entry.name, "ends early")
        left -= len(piece)
        yield piece


class _Unpacked:
    """The decompressed content of a file, forward only, with limits on the amount read."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        file.seek(0, 2)
        packed = file.tell()
        file.seek(0)
        head = file.read(8)
        file.seek(0)
        self._file = file
        self._make = next((make for mark, make in _PACKINGS if head.startswith(mark)), None)
        self._unpacker = None if self._make is None else self._make()
        self._limit = min(2 * max_bytes + _SMALL, max(_SMALL, _MAX_RATIO * packed))
        self._ready = b""
        self._position = 0
        self.data_start = 0

    def begin(self, info: tarfile.TarInfo) -> None:
        """Record where the content of an entry starts."""
        self.data_start = info.offset_data

    def tell(self) -> int:
        return self._position

    def seek(self, target: int) -> int:
        if target < self._position:
            raise ArchiveError("It cannot be read as a tar archive: it leads backwards.")
        while self._position < target:
            if not self.read(min(_CHUNK, target - self._position)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        if size > _MAX_HEADER_BYTES:
            raise ArchiveError("It has a header of more than a megabyte, as no archive of photos.")
        while len(self._ready) < size:
            more = self._more()
            if not more:
                break
            self._ready += more
        data, self._ready = self._ready[:size], self._ready[size:]
        self._position += len(data)
        if self._position > self._limit:
            raise ArchiveError(
                f"It would grow to more than {size_text(self._limit)} or {_MAX_RATIO} times "
                "its packed size, the limits."
            )
        return data

    def _more(self) -> bytes:
        """Return the next piece, b"" at the end."""
        unpacker: Any = self._unpacker
        if unpacker is None:
            return self._file.read(_CHUNK)
        while True:
            if unpacker.eof:  # there may be several compressed streams in sequence
                rest = unpacker.unused_data or self._file.read(_CHUNK)
                if not rest.strip(b"\0") or self._make is None:
                    return b""
                unpacker = self._unpacker = self._make()
                piece = unpacker.decompress(rest, _CHUNK)
            elif isinstance(unpacker, bz2.BZ2Decompressor | lzma.LZMADecompressor):
                packed = self._file.read(_CHUNK) if unpacker.needs_input else b""
                if not packed and unpacker.needs_input:
                    raise EOFError("it ends early")
                piece = unpacker.decompress(packed, _CHUNK)
            else:
                packed = unpacker.unconsumed_tail or self._file.read(_CHUNK)
                if not packed:
                    raise EOFError("it ends early")
                piece = unpacker.decompress(packed, _CHUNK)
            if piece:
                return bytes(piece)

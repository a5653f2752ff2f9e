"""Read an untrusted tar archive, compressed or not; headers are checked before any content.

It is read twice from start to end: for the list of entries, then for their content. What lies
before an entry is parsed here: the standard library takes a name or a field of any length, keeps
the fields of all entries, and takes hours for some headers.
"""

from __future__ import annotations

import bz2
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from tl_core.config.limits import current_limits
from tl_core.data.file_names import UnsafeName, name_parts
from tl_core.data.ingest.intake_budget import Budget
from tl_core.data.ingest.zip_reader import ArchiveEntry, refusal
from tl_core.errors import ArchiveError, TLError

_CHUNK = 256 * 1024
_PACKED_CHUNK = 64 * 1024
_BLOCK = tarfile.BLOCKSIZE
_MAX_HEADER_BYTES = 2**20  # of all before an entry; a long name needs a few hundred
_MAX_HEADERS = 10  # before an entry, as for its name
_MAX_FIELDS = 200  # of all before an entry; each takes time
_XZ_BYTES = 256 * 2**20  # of memory for one archive,
_XZ_BYTES_IN_DEMO = 80 * 2**20  # where many may be read at once; xz -9 takes 65 MiB
_STREAM_BYTES = 4096  # for which each of several compressed streams counts: it may hold nothing

_PACKINGS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", lambda: zlib.decompressobj(31)),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", lambda: lzma.LZMADecompressor(memlimit=_xz_memory())),
)
_TAR_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_SPARSE = b"GNU.sparse"  # stands for all fields of a file with holes
_PAX = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


def _xz_memory() -> int:
    return _XZ_BYTES if current_limits() is None else _XZ_BYTES_IN_DEMO


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
        ArchiveError: this is not a tar archive, it takes more than the budget has, or an entry is
            unsafe.
    """

    encoding = ""

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self.entries: list[ArchiveEntry] = []
        for place, (info, _) in enumerate(self._members(budget.take_unpacked)):
            budget.take_entry()
            self.entries.append(_check_entry(info, place))

    def contents(
        self, wanted: Sequence[ArchiveEntry]
    ) -> Iterator[tuple[ArchiveEntry, Iterator[bytes]]]:
        """Yield each of these entries with its content, in the archive's order.

        Raises:
            ArchiveError: the data is damaged.
        """
        by_place = {entry.place: entry for entry in wanted if isinstance(entry, TarEntry)}
        if not by_place:
            return
        for place, (_, stream) in enumerate(self._members(lambda _: self._budget.look())):
            if place in by_place:
                entry = by_place.pop(place)
                yield entry, _pieces(stream, entry)
            if not by_place:
                return

    def _members(self, take: Callable[[int], None]) -> Iterator[tuple[tarfile.TarInfo, _Unpacked]]:
        """Yield the header of each entry, and the stream, which is at its content."""
        stream = _Unpacked(self._file, take)
        shared: dict[bytes, bytes] = {}
        try:
            while (info := _next_entry(stream, shared)) is not None:
                end = stream.tell() + (_whole_blocks(info.size) if info.isreg() else 0)
                yield info, stream
                if stream.seek(end) < end:
                    raise tarfile.ReadError("unexpected end of data")
        except TLError:  # some are ValueErrors or OSErrors
            raise
        except _TAR_ERRORS as error:
            raise ArchiveError(
                f"It cannot be read as a tar archive: it is damaged or cut off ({error}). Copy or "
                "download it again."
            ) from error


def _next_entry(stream: _Unpacked, shared: dict[bytes, bytes]) -> tarfile.TarInfo | None:
    """Return the next entry with its whole name, None at the end.

    Args:
        stream: at a header.
        shared: fields for all entries that follow; some may be added.
    """
    name, own = b"", dict[bytes, bytes]()
    start, num_bytes, num_fields = stream.tell(), 0, 0
    for number in range(_MAX_HEADERS):
        block = stream.read(_BLOCK)
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            # Zeros end an archive; after an entry, so does anything else that is no header.
            if number == 0 and (start > 0 or block == bytes(_BLOCK)):
                return None
            raise
        if info.size < 0:
            raise tarfile.ReadError("a negative size")
        if info.type not in (*_LONG_NAMES, *_PAX):
            return _with_fields(info, name, shared | own)
        num_bytes += _whole_blocks(info.size)
        if num_bytes > _MAX_HEADER_BYTES:
            raise ArchiveError("It has a header of more than a megabyte, as no archive of photos.")
        body = stream.read(_whole_blocks(info.size))[: info.size]
        if len(body) < info.size:
            raise tarfile.ReadError("a header ends early")
        if info.type in _PAX:
            fields = list(_fields(body, _MAX_FIELDS - num_fields))
            num_fields += len(fields)
            (shared if info.type == tarfile.XGLTYPE else own).update(_used(fields))
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            name = body.partition(b"\0")[0]
    raise ArchiveError(f"It has more than {_MAX_HEADERS} headers before an entry, the limit.")


def _fields(body: bytes, most: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the fields of a pax header: records such as ``18 path=cats/1.jpg`` and a line end."""
    body, position = body.rstrip(b"\0"), 0
    for _ in range(most):
        if position == len(body):
            return
        space = body.find(b" ", position, position + 10)
        length = body[position : max(space, 0)]
        end = position + int(length) if length.isdigit() else 0
        key, equals, value = body[space + 1 : max(end - 1, 0)].partition(b"=")
        if not equals or body[end - 1 : end] != b"\n":
            raise tarfile.ReadError("a damaged field")
        yield key, value
        position = end
    if position < len(body):
        raise ArchiveError(f"It has a header of more than {_MAX_FIELDS} fields, the limit.")


def _used(fields: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return the fields that change what an entry is; others say who owned it, and when."""
    used = {key: value for key, value in fields if key in (b"path", b"size")}
    if any(key.startswith(b"GNU.sparse.") for key, _ in fields):
        used[_SPARSE] = b""
    return used


def _with_fields(
    info: tarfile.TarInfo, long_name: bytes, fields: dict[bytes, bytes]
) -> tarfile.TarInfo:
    if name := fields.get(b"path", long_name):
        info.name = name.decode("utf-8", "surrogateescape")
    if b"size" in fields:
        size = fields[b"size"]
        if not size.isdigit() or len(size) > 20:
            raise tarfile.ReadError("a size that is no number")
        info.size = int(size)
    if _SPARSE in fields:
        info.type = tarfile.GNUTYPE_SPARSE
    return info


def _check_entry(info: tarfile.TarInfo, place: int) -> TarEntry:
    try:
        parts = name_parts(info.name) if info.name not in (".", "./") else (".",)
    except UnsafeName as error:
        raise refusal(info.name, str(error)) from None
    if info.issym() or info.islnk():
        raise refusal(info.name, "is a link")
    if not (info.isreg() or info.isdir()) or info.type == tarfile.GNUTYPE_SPARSE:
        raise refusal(info.name, "is a device or another special file")
    return TarEntry(info.name, parts, info.isdir(), 0 if info.isdir() else info.size, place)


def _pieces(stream: _Unpacked, entry: ArchiveEntry) -> Iterator[bytes]:
    left = entry.num_bytes
    while left:
        try:
            piece = stream.read(min(_CHUNK, left))
        except TLError:
            raise
        except _TAR_ERRORS as error:
            raise refusal(entry.name, f"is damaged ({error})") from error
        if not piece:
            raise refusal(entry.name, "ends early")
        left -= len(piece)
        yield piece


def _whole_blocks(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


class _Unpacked:
    """The decompressed content of a file, forward only.

    Args:
        file: the packed file.
        take: called with the size of each piece, and again and again while there is none.
    """

    def __init__(self, file: BinaryIO, take: Callable[[int], None]) -> None:
        file.seek(0)
        head = file.read(8)
        file.seek(0)
        make = next((make for mark, make in _PACKINGS if head.startswith(mark)), None)
        self._more = _plain(file) if make is None else _decompressed(file, make)
        self._take = take
        self._ready, self._start = b"", 0  # a piece, and how much of it was read
        self._position = 0

    def tell(self) -> int:
        return self._position

    def seek(self, target: int) -> int:
        """Read on to a position; return the one that was reached."""
        while self._position < target and self.read(min(_CHUNK, target - self._position)):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        found, num_found = [], 0
        while num_found < size:
            if self._start == len(self._ready):
                piece, num_counted = next(self._more, (None, 0))
                if piece is None:
                    break
                self._take(len(piece) + num_counted)
                self._ready, self._start = piece, 0
            found.append(self._ready[self._start : self._start + size - num_found])
            num_found += len(found[-1])
            self._start += len(found[-1])
        self._position += num_found
        return b"".join(found)


def _plain(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    while piece := file.read(_CHUNK):
        yield piece, 0


def _decompressed(file: BinaryIO, make: Any) -> Iterator[tuple[bytes, int]]:
    """Yield pieces, empty ones too, each with the bytes for which it counts beside its own."""
    unpacker, num_counted = make(), 0
    while True:
        if unpacker.eof:  # there may be several compressed streams in sequence
            packed = unpacker.unused_data or file.read(_PACKED_CHUNK)
            if not packed.strip(b"\0"):
                return
            unpacker, num_counted = make(), _STREAM_BYTES
        elif isinstance(unpacker, bz2.BZ2Decompressor | lzma.LZMADecompressor):
            packed = file.read(_PACKED_CHUNK) if unpacker.needs_input else b""
            if not packed and unpacker.needs_input:
                raise EOFError("it ends early")
        else:
            packed = unpacker.unconsumed_tail or file.read(_PACKED_CHUNK)
            if not packed:
                raise EOFError("it ends early")
        yield unpacker.decompress(packed, _CHUNK), num_counted
        num_counted = 0

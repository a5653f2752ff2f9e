"""Read an untrusted zip archive; every entry is checked before anything is extracted.

The standard library only parses the list of entries. It would extract overlapping entries, trust
declared sizes and not limit the memory of bzip2, so the data is streamed here.
"""

from __future__ import annotations

import bz2
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from tl_core.data.file_names import UnsafeName, name_parts, show_name
from tl_core.data.ingest.intake_budget import MAX_BYTES, Budget
from tl_core.data.ingest.name_encoding import guess_encoding
from tl_core.errors import ArchiveError
from tl_core.files import size_text

_MAX_DIRECTORY_BYTES = 64 * 2**20
_MAX_EXTRA_BYTES = 4096  # of an entry; the standard library takes time for each four of them
_MAX_RATIO = 100
_SMALL = 10**6  # below this many bytes any ratio is accepted
_CHUNK = 256 * 1024

_LOCAL_HEADER = struct.Struct("<4s22xHH")
_ENTRY = struct.Struct("<28x3H12x")
_ENTRY_MARK = b"PK\x01\x02"
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_PATCH = 0x20
_UTF8 = 0x800
_DOS_FOLDER = 0x10
_DOS_SYSTEMS = (0, 10, 11, 14)  # these may have written "\" between folders

_OTHER_FORMATS = (
    (0, b"\x1f\x8b", "a gzip or tar.gz archive"),
    (0, b"BZh", "a bzip2 or tar.bz2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz or tar.xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x89HDF", "a Keras model or other HDF5 file, not photos"),
    (4, b"TFL3", "a LiteRT model, not photos"),
)


@dataclass(frozen=True)
class ArchiveEntry:
    """One entry of an archive that passed all checks."""

    name: str  # for display, never a path
    parts: tuple[str, ...]
    is_folder: bool
    num_bytes: int


@dataclass(frozen=True)
class ZipEntry(ArchiveEntry):
    """One entry of a zip archive that passed all checks."""

    method: int
    offset: int  # of its data in the archive
    compressed_bytes: int
    crc: int


class ZipReader:
    """A zip archive: its entries, and their content in sequence.

    ``encoding`` is the guessed encoding of names; "" if it is declared.
    """

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file = file
        self.entries: list[ArchiveEntry] = []
        found, self.encoding = _read(file, budget)
        self.entries.extend(found)

    def contents(
        self, wanted: Sequence[ArchiveEntry]
    ) -> Iterator[tuple[ArchiveEntry, Iterator[bytes]]]:
        """Yield each of these entries with its unpacked content, see :func:`stream_entry`."""
        for entry in wanted:
            if isinstance(entry, ZipEntry):
                yield entry, stream_entry(self._file, entry)


def read_entries(file: BinaryIO, max_entries: int) -> list[ZipEntry]:
    """Check the whole list of entries and return it in the archive's order.

    Raises:
        ArchiveError: this is not a zip archive, or an entry is unsafe.
    """
    return _read(file, Budget(0, max_entries, MAX_BYTES))[0]


def _read(file: BinaryIO, budget: Budget) -> tuple[list[ZipEntry], str]:
    """Return the entries, and the guessed encoding of their names."""
    try:
        archive = zipfile.ZipFile(_Guarded(file, budget))
        infos, end = archive.infolist(), archive.start_dir
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        ValueError,
        OverflowError,
        EOFError,
        struct.error,
        OSError,
    ) as error:
        raise ArchiveError(f"It cannot be read as a zip archive{_hint(file, error)}.") from error
    budget.check_entries(len(infos))
    encoding = guess_encoding(
        [info.orig_filename.encode("cp437") for info in infos if not info.flag_bits & _UTF8]
    )
    entries = []
    for info in infos:
        budget.take_entry()
        entries.append(_check_entry(file, info, end, encoding))
    _check_overlap(entries, infos, end)
    return entries, encoding


def stream_entry(file: BinaryIO, entry: ZipEntry) -> Iterator[bytes]:
    """Yield the unpacked content of an entry in pieces of at most 256 KiB.

    Raises:
        ArchiveError: the data is damaged, or its size differs from the list of entries.
    """
    num_left, crc = entry.num_bytes, 0
    try:
        for piece in _UNPACK[entry.method](_packed(file, entry)):
            num_left -= len(piece)
            if num_left < 0:
                raise refusal(entry.name, "holds more data than it declares")
            crc = zlib.crc32(piece, crc)
            yield piece
    except (zlib.error, ValueError, EOFError) as error:
        raise refusal(entry.name, f"is damaged ({error})") from error
    if num_left:
        raise refusal(entry.name, "ends early")
    if crc != entry.crc:
        raise refusal(entry.name, "is damaged (its checksum differs)")


def refusal(name: str, reason: str) -> ArchiveError:
    """Return the error that names an entry and what is wrong with it."""
    return ArchiveError(f"Its entry {show_name(name)} {reason}.")


class _Guarded:
    """Limits what the standard library reads, since it loads the list of entries at once.

    A list that is too long is refused before it is parsed into objects.
    """

    def __init__(self, file: BinaryIO, budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY_BYTES:
            raise ArchiveError(
                f"Its list of entries has more than {size_text(_MAX_DIRECTORY_BYTES)}, the limit."
            )
        data = self._file.read(size if size >= 0 else _MAX_DIRECTORY_BYTES)
        self._budget.check_entries(data.count(_ENTRY_MARK))
        _check_extra(data)
        return data


def _check_extra(directory: bytes) -> None:
    """Check the extra fields of a list of entries; what is none has no entry at its start."""
    position = 0
    while directory.startswith(_ENTRY_MARK, position) and position + _ENTRY.size < len(directory):
        name_length, extra_length, comment_length = _ENTRY.unpack_from(directory, position)
        if extra_length > _MAX_EXTRA_BYTES:
            raise ArchiveError(
                f"An entry has {extra_length:,} bytes of extra fields; the limit is "
                f"{_MAX_EXTRA_BYTES:,}. Pack the class folders as a .zip again."
            )
        position += _ENTRY.size + name_length + extra_length + comment_length


def _check_entry(file: BinaryIO, info: zipfile.ZipInfo, end: int, encoding: str) -> ZipEntry:
    label = _label(info, encoding)
    mode = info.external_attr >> 16
    try:
        parts = name_parts(label)
    except UnsafeName as error:
        raise refusal(label, str(error)) from None
    if stat.S_ISLNK(mode):
        raise refusal(label, "is a symbolic link")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refusal(label, "is a device or another special file")
    if info.flag_bits & _ENCRYPTED:
        raise refusal(label, "is encrypted; pack it without a password")
    if info.compress_type not in _UNPACK or info.flag_bits & _PATCH:
        raise refusal(
            label,
            f"is packed by a method that is not read here ({info.compress_type}); pack with the "
            f"usual one, deflate",
        )
    if info.file_size > max(_SMALL, _MAX_RATIO * info.compress_size):
        raise refusal(
            label,
            f"would grow to more than {_MAX_RATIO} times its packed size, as no photo does",
        )
    return ZipEntry(
        name=label,
        parts=parts,
        is_folder=label.endswith("/") or bool(info.external_attr & _DOS_FOLDER),
        method=info.compress_type,
        offset=_data_offset(file, info, label, end),
        compressed_bytes=info.compress_size,
        num_bytes=info.file_size,
        crc=info.CRC,
    )


def _label(info: zipfile.ZipInfo, encoding: str) -> str:
    """Return the full stored name, decoded with the right encoding."""
    name = info.orig_filename
    if not info.flag_bits & _UTF8:
        raw = name.encode("cp437")
        # macOS and others write UTF-8 without declaring it.
        for tried in ("utf-8", encoding):
            if tried:
                with suppress(UnicodeError):
                    name = raw.decode(tried)
                    break
    if info.create_system in _DOS_SYSTEMS:
        name = name.replace("\\", "/")
    return name


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo, label: str, end: int) -> int:
    """Return the offset of an entry's data by its own header in the archive."""
    header = b""
    if 0 <= info.header_offset < end:
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise refusal(label, "is not where the list of entries says; the archive is damaged")
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return int(info.header_offset + _LOCAL_HEADER.size + name_length + extra_length)


def _check_overlap(entries: list[ZipEntry], infos: list[zipfile.ZipInfo], end: int) -> None:
    by_start = sorted(
        zip((info.header_offset for info in infos), entries, strict=True), key=lambda pair: pair[0]
    )
    limits = [*(start for start, _ in by_start[1:]), end]
    for (_, entry), limit in zip(by_start, limits, strict=False):
        if entry.offset + entry.compressed_bytes > limit:
            raise refusal(entry.name, "overlaps the next one or the archive's end")


def _packed(file: BinaryIO, entry: ZipEntry) -> Iterator[bytes]:
    position, end = entry.offset, entry.offset + entry.compressed_bytes
    while position < end:
        file.seek(position)
        data = file.read(min(_CHUNK, end - position))
        if not data:
            return
        position += len(data)
        yield data


def _inflate(packed: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = zlib.decompressobj(-zlib.MAX_WBITS)
    for data in packed:
        while not decompressor.eof:
            piece = decompressor.decompress(data, _CHUNK)
            yield piece
            data = decompressor.unconsumed_tail
            if not data and len(piece) < _CHUNK:
                break


def _unpack_bzip2(packed: Iterator[bytes]) -> Iterator[bytes]:
    decompressor = bz2.BZ2Decompressor()
    for data in packed:
        while not decompressor.eof:
            try:
                piece = decompressor.decompress(data, _CHUNK)
            except OSError as error:  # as this module reports wrong data
                raise ValueError(str(error)) from error
            yield piece
            data = b""
            if decompressor.needs_input:
                break


_UNPACK: dict[int, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    zipfile.ZIP_STORED: iter,
    zipfile.ZIP_DEFLATED: _inflate,
    zipfile.ZIP_BZIP2: _unpack_bzip2,
}


def _hint(file: BinaryIO, error: Exception) -> str:
    file.seek(0)
    head = file.read(512)
    for offset, mark, name in _OTHER_FORMATS:
        if head.startswith(mark, offset):
            return f": it is {name}. Pack the class folders as a .zip"
    if not head:
        return ": it is empty"
    if not head.startswith(b"PK"):
        return ": it is another kind of file. Pack the class folders as a .zip"
    return f": it is damaged or cut off ({error}). Copy or download it again"

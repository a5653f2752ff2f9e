"""Headers of tar archives: read as the standard library does, refused where it takes hours."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zlib

import pytest
from demo_helpers import start_demo

from tl_core.data.ingest.intake_budget import Budget
from tl_core.data.ingest.tar_reader import TarReader
from tl_core.errors import ArchiveError, LimitError

END = bytes(1024)
MIB = 2**20


def block(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return the 512 bytes of a header."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def header(kind: bytes, data: bytes) -> bytes:
    """Return a header that says something about the next entry."""
    return block("header", len(data), kind) + padded(data)


def field(key: str, value: str) -> bytes:
    """Return a field of a pax header, which begins with its own length."""
    rest = f" {key}={value}\n".encode()
    length = next(n for n in range(len(rest) + 1, len(rest) + 9) if len(f"{n}") + len(rest) == n)
    return f"{length}".encode() + rest


def read(raw: bytes, max_entries: int = 100) -> dict[str, bytes]:
    reader = TarReader(io.BytesIO(raw), Budget(len(raw), max_entries, MIB))
    return {entry.name: b"".join(pieces) for entry, pieces in reader.contents(reader.entries)}


LENGTHS = (1, 95, 101, 150, 250, 800)


@pytest.mark.parametrize(
    ("tar_format", "lengths"),
    [
        (tarfile.USTAR_FORMAT, LENGTHS[:2]),
        (tarfile.GNU_FORMAT, LENGTHS),
        (tarfile.PAX_FORMAT, LENGTHS),
    ],
    ids=["ustar", "gnu", "pax"],
)
def test_names_of_any_length_are_read_as_the_standard_library_wrote_them(
    tar_format: int, lengths: tuple[int, ...]
) -> None:
    files = {f"é/{'a' * 90}/{'b' * length}": b"x" * length for length in lengths}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tar_format) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.mtime = len(data), 2**40, 1.5
            info.uid = 1 if tar_format == tarfile.USTAR_FORMAT else info.uid
            archive.addfile(info, io.BytesIO(data))
        folder = tarfile.TarInfo("c" * 90)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    assert read(raw.getvalue()) == {**files, "c" * 90: b""}


def test_fields_of_the_next_entry_and_of_all_are_read() -> None:
    raw = (
        header(tarfile.XGLTYPE, field("comment", "the commit"))
        + header(tarfile.XHDTYPE, field("path", "a/1.png") + field("size", "2"))
        + block("short", 0)
        + padded(b"hi")
        + block("a/2.png", 3)
        + padded(b"you")
        + END
    )
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        assert [(one.name, one.size) for one in archive] == [("a/1.png", 2), ("a/2.png", 3)]
    assert read(raw) == {"a/1.png": b"hi", "a/2.png": b"you"}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (header(b"x", b"1" * 20_000), "a damaged field"),
        (header(b"x", b"1 " * 10_000), "a damaged field"),
        (header(b"x", b"0 a=b\n"), "a damaged field"),
        (header(b"x", b"9 a=b\n"), "a damaged field"),
        (header(b"x", b"6 size=" + b"9" * 5_000), "a damaged field"),
        (header(b"x", field("size", "x")), "a size that is no number"),
        (header(b"x", b"6 a=b\n" * 201), "more than 200 fields"),
        (header(b"g", b"6 a=b\n" * 100) * 3, "more than 200 fields"),
        (header(b"L", b"a/1.png\0") * 11, "more than 10 headers before an entry"),
        (header(b"L", b"a" * 600_000) * 2, "header of more than a megabyte"),
        (header(b"L", b"a" * 1_025), "a name of more than 1,024 characters"),
        (header(b"x", field("GNU.sparse.size", "10")), "a special file"),
        (block("a/1.png", 0, tarfile.GNUTYPE_SPARSE), "a special file"),
        (header(b"L", b"a/1.png")[:515], "a header ends early"),
        (header(b"L", b"a/1.png\0") + bytes(512), "end of file header"),
        (block("a/1.png", 5_000), "unexpected end of data"),
    ],
)
def test_headers_that_no_program_writes_are_refused(raw: bytes, message: str) -> None:
    raw += b"" if "early" in message or "unexpected" in message else block("a/1.png") + END
    message = message.replace("a special file", "a device or another special file")
    for data in (raw, block("a/0.png") + raw):
        with pytest.raises(ArchiveError, match=message):
            read(gzip.compress(data))


@pytest.mark.parametrize("end", [END, b"", bytes(512), b"anything" * 100])
def test_an_archive_ends_with_zeros_or_with_what_is_no_header(end: bytes) -> None:
    assert read(block("a/1.png", 1) + padded(b"x") + end) == {"a/1.png": b"x"}
    assert read(gzip.compress(END)) == {}
    with pytest.raises(ArchiveError, match="cannot be read as a tar archive"):
        read(gzip.compress(b"no archive" * 100))


def test_a_folder_has_no_content_whatever_size_it_has() -> None:
    raw = block("a", 100, tarfile.DIRTYPE) + block("a/1.png", 1) + padded(b"x") + END
    assert read(raw) == {"a": b"", "a/1.png": b"x"}


def test_a_limit_that_is_reached_while_content_is_read_is_told() -> None:
    """It is a ValueError, as damaged data raises."""
    raw = gzip.compress(block("a/1.png", MIB) + bytes(MIB) + END)
    budget = Budget(len(raw), 100, MIB)
    reader = TarReader(io.BytesIO(raw), budget)
    looks = iter([False, False, True])

    def look() -> None:
        if next(looks):
            raise LimitError("so many seconds")

    with budget.looking(look), pytest.raises(LimitError, match="so many seconds"):
        [b"".join(pieces) for _, pieces in reader.contents(reader.entries)]


def test_content_in_streams_of_a_byte_each_is_read() -> None:
    data = bytes(range(256)) * 2
    streams = [gzip.compress(block("a/1.png", 512)), *(gzip.compress(bytes([one])) for one in data)]
    assert read(b"".join(streams) + gzip.compress(END)) == {"a/1.png": data}


def test_streams_that_hold_nothing_count() -> None:
    """Of the 64 MiB that may be unpacked, each counts for 4,096 bytes: 16,384 are too many."""
    entry, empty = gzip.compress(block("a/1.png", 512)), gzip.compress(b"")
    rest = gzip.compress(bytes(512) + END)
    assert len(read(entry + empty * 16_000 + rest)) == 1
    with pytest.raises(ArchiveError, match="more than 68 MB or 100 times"):
        read(entry + empty * 16_400 + rest)


def xz_with_dictionary(data: bytes, size_code: int) -> bytes:
    """Return an xz archive whose header asks for a dictionary of 2 << (size_code / 2 + 11)."""
    raw = bytearray(lzma.compress(data))
    size = (raw[12] + 1) * 4  # of the first block's header, which ends in its checksum
    place = 12 + raw[12:24].index(b"\x21\x01") + 2
    raw[place] = size_code
    raw[12 + size - 4 : 12 + size] = zlib.crc32(raw[12 : 12 + size - 4]).to_bytes(4, "little")
    return bytes(raw)


def test_a_demo_gives_an_archive_less_memory(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    raw = block("a/1.png") + END
    large, usual = (xz_with_dictionary(raw, code) for code in (30, 28))  # 128 and 64 MiB
    assert read(large) == read(usual) == {"a/1.png": b""}
    start_demo(monkeypatch, tmp_path)
    assert read(usual) == {"a/1.png": b""}  # as xz -9 asks for
    with pytest.raises(ArchiveError, match="Memory usage limit"):
        read(large)

"""Hostile zips, made here byte by byte: each is refused before anything of it is unpacked."""

from __future__ import annotations

import bz2
import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from dataclasses import dataclass

import pytest

from tl_core.data.ingest.zip_reader import read_entries, stream_entry
from tl_core.errors import ArchiveError


@dataclass
class Entry:
    """One entry as it is to be written; what is None is written as it truly is."""

    name: bytes = b"cats/1.jpg"
    data: bytes = b"some pixels"
    method: int = zipfile.ZIP_STORED
    flags: int = 0x800
    mode: int = stat.S_IFREG | 0o644
    system: int = 3
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    header_mark: bytes = b"PK\x03\x04"

    def packed(self) -> bytes:
        if self.method == zipfile.ZIP_DEFLATED:
            packer = zlib.compressobj(9, wbits=-15)
            return packer.compress(self.data) + packer.flush()
        return bz2.compress(self.data) if self.method == zipfile.ZIP_BZIP2 else self.data


def make_zip(*entries: Entry, before: bytes = b"") -> io.BytesIO:
    body, directory = before, b""
    for entry in entries:
        packed = entry.packed()
        start = len(body) if entry.offset is None else entry.offset
        fields = (
            entry.flags,
            entry.method,
            0,
            0x21,
            zlib.crc32(entry.data) if entry.crc is None else entry.crc,
            len(packed) if entry.packed_size is None else entry.packed_size,
            len(entry.data) if entry.size is None else entry.size,
            len(entry.name),
            0,
        )
        body += struct.pack("<4sH4H3L2H", entry.header_mark, 20, *fields)
        body += entry.name + packed
        directory += struct.pack("<4sBBH4H3L2H", b"PK\x01\x02", 20, entry.system, 20, *fields)
        directory += struct.pack("<3HLL", 0, 0, 0, entry.mode << 16, start) + entry.name
    count = len(entries)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return io.BytesIO(body + directory + end)


def unpack(file: io.BytesIO) -> dict[str, bytes]:
    return {entry.name: b"".join(stream_entry(file, entry)) for entry in read_entries(file, 1000)}


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2], ids=str
)
@pytest.mark.parametrize("size", [0, 1, 300_000, 256 * 1024, 256 * 1024 + 1], ids=str)
def test_content_is_unpacked_as_the_standard_library_does(method: int, size: int) -> None:
    data = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    file = make_zip(Entry(data=data, method=method), Entry(name=b"dogs/1.jpg", method=method))
    with zipfile.ZipFile(file) as archive:
        assert archive.read("cats/1.jpg") == data
    assert unpack(file) == {"cats/1.jpg": data, "dogs/1.jpg": b"some pixels"}


def test_what_is_written_as_a_stream_is_read() -> None:
    class Pipe(io.BytesIO):
        """Sizes then come after the data, since the writer cannot go back."""

        def seek(self, *_: int) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cats/1.jpg", b"pixels" * 50)
        with archive.open("dogs/1.jpg", "w", force_zip64=True) as out:
            out.write(b"others")
    file = io.BytesIO(pipe.getvalue())
    assert unpack(file) == {"cats/1.jpg": b"pixels" * 50, "dogs/1.jpg": b"others"}


def test_bytes_before_the_archive_do_no_harm() -> None:
    assert unpack(make_zip(Entry(), before=b"#!self-extractor")) == {"cats/1.jpg": b"some pixels"}


@pytest.mark.parametrize(
    ("name", "flags", "expected"),
    [
        ("Äpfel/1.jpg".encode(), 0x800, "Äpfel/1.jpg"),
        ("Äpfel/1.jpg".encode(), 0, "Äpfel/1.jpg"),
        ("Äpfel/1.jpg".encode("cp437"), 0, "Äpfel/1.jpg"),
    ],
    ids=["marked UTF-8", "unmarked UTF-8, as a Mac writes", "code page 437"],
)
def test_names_are_decoded_as_they_were_meant(name: bytes, flags: int, expected: str) -> None:
    [entry] = read_entries(make_zip(Entry(name=name, flags=flags)), 10)
    assert entry.name == expected
    assert entry.parts == ("Äpfel", "1.jpg")


def test_backslashes_of_old_windows_programs_part_folders() -> None:
    [entry] = read_entries(make_zip(Entry(name=b"pets\\cats\\1.jpg", system=0)), 10)
    assert entry.parts == ("pets", "cats", "1.jpg")
    with pytest.raises(ArchiveError, match="leads out"):
        read_entries(make_zip(Entry(name=b"..\\..\\1.jpg", system=0)), 10)


@pytest.mark.parametrize("name", [b"cats/", b"cats"], ids=["slash", "attribute"])
def test_folders_are_told_from_files(name: bytes) -> None:
    entry = Entry(name=name, data=b"", mode=stat.S_IFDIR | 0o755)
    file = make_zip(entry)
    if not name.endswith(b"/"):
        raw = file.getvalue()
        place = raw.index(b"PK\x01\x02") + 38
        file = io.BytesIO(raw[:place] + b"\x10" + raw[place + 1 :])
    assert [entry.is_folder for entry in read_entries(file, 10)] == [True]


GOOD = Entry(name=b"dogs/1.jpg")
BIG = 2_000_000


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry(name=b"../1.jpg"), "'../1.jpg' leads out of the folder"),
        (Entry(name=b"a/../../1.jpg"), "'a/../../1.jpg' leads out of the folder"),
        (Entry(name=b"/etc/1.jpg"), "'/etc/1.jpg' has an absolute path"),
        (Entry(name=b"C:/1.jpg"), "'C:/1.jpg' names a drive"),
        (Entry(name=b"~/1.jpg"), "'~/1.jpg' names a home folder"),
        (Entry(name=b"cats\\1.jpg"), "has a backslash in its name"),
        (Entry(name=b"cats/1.jpg\0.exe"), r"'cats/1.jpg\\x00.exe' has control characters"),
        (Entry(name=b"a" * 1_025), "has a name of more than 1,024 characters"),
        (Entry(mode=stat.S_IFLNK | 0o777), "'cats/1.jpg' is a symbolic link"),
        (Entry(mode=stat.S_IFIFO | 0o644), "'cats/1.jpg' is a device"),
        (Entry(mode=stat.S_IFCHR | 0o644), "'cats/1.jpg' is a device"),
        (Entry(flags=0x801), "'cats/1.jpg' is encrypted; pack it without a password"),
        (Entry(flags=0x840), "is encrypted"),
        (Entry(method=9), r"is packed by a method that is not read here \(9\)"),
        (Entry(method=zipfile.ZIP_LZMA), r"not read here \(14\)"),
        (Entry(method=99), r"not read here \(99\)"),
        (Entry(data=b"\0" * BIG, method=zipfile.ZIP_DEFLATED), "grow to more than 100 times"),
        (Entry(size=BIG), "grow to more than 100 times"),
        (Entry(packed_size=5_000, size=5_000), "overlaps"),
        (Entry(header_mark=b"PK\x07\x08"), "is not where the list of entries says"),
        (Entry(offset=10**6), "is not where the list of entries says"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_archive_is_refused_by_its_list_naming_the_entry(entry: Entry, message: str) -> None:
    for file in (make_zip(entry, GOOD), make_zip(GOOD, entry)):
        with pytest.raises(ArchiveError, match=message):
            read_entries(file, 10)


def test_an_offset_before_the_file_begins_is_refused() -> None:
    raw = bytearray(make_zip(Entry()).getvalue())
    (start,) = struct.unpack_from("<L", raw, len(raw) - 6)
    struct.pack_into("<L", raw, len(raw) - 6, start + 10)
    with pytest.raises(ArchiveError, match="is not where the list of entries says"):
        read_entries(io.BytesIO(bytes(raw)), 10)


def test_entries_that_share_data_are_refused() -> None:
    with pytest.raises(ArchiveError, match="overlaps"):
        read_entries(make_zip(Entry(), Entry(name=b"cats/2.jpg", offset=0)), 10)


def test_a_kernel_that_many_entries_quote_is_refused() -> None:
    """The overlap bomb: each entry's data runs over the headers and data of the next ones."""
    inner = make_zip(*(Entry(name=b"%d.jpg" % number) for number in range(5))).getvalue()
    directory = inner.index(b"PK\x01\x02")
    first = directory
    raw = bytearray(inner)
    struct.pack_into("<L", raw, first + 20, directory - 40)
    struct.pack_into("<L", raw, first + 24, directory - 40)
    with pytest.raises(ArchiveError, match=r"'0\.jpg' overlaps"):
        read_entries(io.BytesIO(bytes(raw)), 10)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry(crc=1), "its checksum differs"),
        (Entry(data=b"a" * 100, method=zipfile.ZIP_DEFLATED, size=90), "more data than"),
        (Entry(data=b"a" * 100, method=zipfile.ZIP_DEFLATED, size=110), "ends early"),
        (Entry(data=b"a" * 100, method=zipfile.ZIP_BZIP2, size=90), "more data than"),
    ],
    ids=["checksum", "deflate too long", "deflate too short", "bzip2 too long"],
)
def test_lies_about_the_content_are_found_while_it_streams(entry: Entry, message: str) -> None:
    file = make_zip(entry)
    with pytest.raises(ArchiveError, match=message):
        unpack(file)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2], ids=str)
def test_damaged_data_is_refused(method: int) -> None:
    entry = Entry(data=bytes(range(256)) * 4, method=method)
    raw = bytearray(make_zip(entry).getvalue())
    place = raw.index(b"cats/1.jpg") + 10
    raw[place : place + 20] = b"\xff" * 20
    with pytest.raises(ArchiveError, match=r"'cats/1\.jpg' is damaged"):
        unpack(io.BytesIO(bytes(raw)))


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2], ids=str)
def test_a_bomb_that_lies_about_its_size_takes_little_memory(method: int) -> None:
    file = make_zip(Entry(data=b"\0" * 40_000_000, method=method, size=900_000))
    [entry] = read_entries(file, 10)
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="more data than it declares"):
            b"".join(stream_entry(file, entry))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000


def test_too_many_entries_are_refused_before_they_are_parsed() -> None:
    file = make_zip(*(Entry(name=b"%d.jpg" % number, data=b"") for number in range(3000)))
    assert len(read_entries(file, 3000)) == 3000
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="more than 2,999 entries"):
            read_entries(file, 2999)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\x1f\x8b\x08" + b"\0" * 50, r"tar\.gz archive\. Pack the class folders as a \.zip"),
        (b"cats/".ljust(257, b"\0") + b"ustar" + b"\0" * 300, "a tar archive"),
        (b"7z\xbc\xaf\x27\x1c" + b"\0" * 50, "a 7z archive"),
        (b"Rar!\x1a\x07\x01\x00" + b"\0" * 50, "a RAR archive"),
        (b"\xff\xd8\xff\xe0 a photo", "another kind of file"),
        (make_zip(Entry()).getvalue()[:-30], "damaged or cut off"),
        (make_zip(Entry(name=b"\xff\xfe.jpg")).getvalue(), "damaged or cut off"),
    ],
    ids=["empty", "gzip", "tar", "7z", "rar", "jpeg", "cut off", "name is no UTF-8"],
)
def test_what_is_no_zip_is_named_for_what_it_is(content: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        read_entries(io.BytesIO(content), 10)

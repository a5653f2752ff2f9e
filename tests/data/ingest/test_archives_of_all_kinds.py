"""Tar archives, several archives at once, archives inside archives, and names in old encodings."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from archive_helpers import extract_archive
from conftest import draw_image

from tl_core.data.dataset import scan_dataset
from tl_core.data.ingest.archive import (
    ArchiveSource,
    extract_archives,
    look_into,
)
from tl_core.data.ingest.archive_entries import propose_class
from tl_core.data.ingest.name_encoding import guess_encoding
from tl_core.data.ingest.uploads import add_archives
from tl_core.errors import ArchiveError


def photo(kind: int, seed: int) -> bytes:
    out = io.BytesIO()
    draw_image(kind, seed, (24, 20)).save(out, "PNG")
    return out.getvalue()


PETS = {
    f"pets/{name}/{n}.png": photo(k, n) for k, name in enumerate(("cat", "dog")) for n in (1, 2)
}


def zip_of(contents: Mapping[str, bytes]) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in contents.items():
            archive.writestr(name, data)
    return file


def tar_of(contents: Mapping[str, bytes], pack: Callable[[bytes], bytes] = bytes) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return io.BytesIO(pack(file.getvalue()))


def two_streams(data: bytes) -> bytes:
    return gzip.compress(data[:700]) + gzip.compress(data[700:])


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, two_streams])
def test_tar_archives_are_taken_packed_or_not(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    others = {"pets/notes.md": b"hello", "pets/._x.png": b"mac"}

    report = extract_archive(tar_of(PETS | others, pack), tmp_path / "out")

    assert files_below(tmp_path / "out") == PETS
    assert (report.num_files, report.ignored) == (4, {"._*": 1})
    assert report.refused == [("pets/notes.md", "It is not an image file.")]


def tar_with(change: Callable[[tarfile.TarInfo], None]) -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("pets/cat/1.png")
        change(info)
        archive.addfile(info)
    return file


def as_link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"


def as_hard_link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname = tarfile.LNKTYPE, "pets/dog/1.png"


def as_device(info: tarfile.TarInfo) -> None:
    info.type = tarfile.CHRTYPE


def outside(info: tarfile.TarInfo) -> None:
    info.name = "pets/../../1.png"


def absolute(info: tarfile.TarInfo) -> None:
    info.name = "/pets/1.png"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (as_link, "is a link"),
        (as_hard_link, "is a link"),
        (as_device, "is a device"),
        (outside, "leads out of the folder"),
        (absolute, "has an absolute path"),
    ],
)
def test_a_tar_has_the_guards_of_a_zip(
    tmp_path: Path, change: Callable[[tarfile.TarInfo], None], message: str
) -> None:
    with pytest.raises(ArchiveError, match=message):
        extract_archive(tar_with(change), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_packed_tar_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    bomb = tar_of({"pets/cat/1.png": bytes(200 * 2**20)}, lambda data: gzip.compress(data, 1))

    with pytest.raises(ArchiveError, match="100 times its packed size"):
        extract_archive(bomb, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_tar_with_an_endless_name_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 40 * 2**20
    raw = info.tobuf(tarfile.GNU_FORMAT) + b"a" * (40 * 2**20)

    with pytest.raises(ArchiveError, match="header of more than a megabyte"):
        extract_archive(io.BytesIO(raw), tmp_path / "out")


@pytest.mark.parametrize("cut", [100, 1500])
def test_a_tar_that_is_cut_off_leaves_nothing(tmp_path: Path, cut: int) -> None:
    whole = tar_of(PETS, gzip.compress).getvalue()

    with pytest.raises(ArchiveError, match=r"damaged or cut off|ends early"):
        extract_archive(
            io.BytesIO(whole[:-cut] if cut < len(whole) else whole[:100]), tmp_path / "out"
        )
    assert list(tmp_path.iterdir()) == []


def test_the_parts_of_one_folder_are_joined_and_copies_taken_once(tmp_path: Path) -> None:
    names = list(PETS)
    other = photo(0, 9)
    parts = [
        zip_of({name: PETS[name] for name in names[:3]}),
        zip_of({name: PETS[name] for name in names[2:]} | {"pets/cat/1.png": other}),
    ]

    report = extract_archives([ArchiveSource(part) for part in parts], tmp_path / "out")

    assert report.num_files == 5
    assert sorted(files_below(tmp_path / "out").values()) == sorted([*PETS.values(), other])
    assert scan_dataset(tmp_path / "out").class_counts() == {"cat": 3, "dog": 2}


def test_a_part_can_be_added_later(tmp_path: Path) -> None:
    names = list(PETS)
    extract_archive(zip_of({name: PETS[name] for name in names[:3]}), tmp_path / "out")

    outcomes = add_archives(
        [ArchiveSource(zip_of({name: PETS[name] for name in names[2:]}))], tmp_path / "out"
    )

    assert files_below(tmp_path / "out") == PETS
    assert [one.is_stored for one in outcomes] == [False, True]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_flat_archives_become_one_class_each(tmp_path: Path) -> None:
    sources = []
    for kind, name in enumerate(("Class 1", "Class 2")):
        file = zip_of({f"{n}.png": photo(kind, n) for n in range(3)})
        contents = look_into(file, f"{name}-samples.zip")
        assert (contents.is_flat, contents.class_name, contents.num_images) == (True, name, 3)
        sources.append(ArchiveSource(file, class_name=contents.class_name))

    extract_archives(sources, tmp_path / "out")
    add_archives(
        [ArchiveSource(zip_of({"0.png": photo(4, 4)}), class_name="Class 3")], tmp_path / "out"
    )

    counts = {"Class 1": 3, "Class 2": 3, "Class 3": 1}
    assert scan_dataset(tmp_path / "out").class_counts() == counts


def test_an_archive_of_class_folders_or_with_a_table_is_not_flat() -> None:
    assert not look_into(zip_of(PETS)).is_flat
    assert not look_into(zip_of({"1.png": b"", "labels.csv": b""})).is_flat


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("Class 1-samples.zip", "Class 1"),
        ("dogs.tar.gz", "dogs"),
        ("my photos-20250101T000000Z-1-001.zip", "my photos"),
        ("cats (1).zip", "cats"),
        ("samples.zip", "samples"),
    ],
)
def test_a_class_is_proposed_from_the_archives_name(name: str, proposed: str) -> None:
    assert propose_class(name) == proposed


def test_archives_inside_are_unpacked_on_request_one_level_deep(tmp_path: Path) -> None:
    deeper = zip_of({"more.zip": zip_of(PETS).getvalue(), "a/1.png": photo(0, 1)}).getvalue()
    inner = {
        "train.zip": zip_of({f"train/{name[5:]}": data for name, data in PETS.items()}).getvalue(),
        "test.tar.gz": tar_of(
            {f"{name[5:]}": data for name, data in PETS.items()}, gzip.compress
        ).getvalue(),
        "deep.zip": deeper,
    }
    file = zip_of(inner)

    assert look_into(file).nested == tuple(inner)
    with pytest.raises(ArchiveError, match="or have the archives in it unpacked too"):
        extract_archive(file, tmp_path / "no")
    report = extract_archives([ArchiveSource(file, unpack_nested=True)], tmp_path / "out")

    index = scan_dataset(tmp_path / "out")
    assert index.class_counts() == {"cat": 4, "dog": 4}
    assert index.has_given_split
    assert [name for name, _ in report.refused] == ["deep.zip"]
    assert not list((tmp_path / "out").rglob(".*"))


def test_label_files_come_with_the_photos(tmp_path: Path) -> None:
    files = {f"train/{n * 7919 % 9973:04x}.png": photo(n % 2, n) for n in range(6)}
    rows = [f"{Path(name).stem},{'ab'[n % 2]}" for n, name in enumerate(files)]
    table = "\n".join(["id,label", *rows]).encode()

    report = extract_archive(zip_of({"labels.csv": table, **files}), tmp_path / "out")

    assert report.tables == ("labels.csv",)
    assert report.num_files == 6
    assert scan_dataset(tmp_path / "out").class_counts() == {"a": 3, "b": 3}


def test_images_with_odd_endings_are_taken_by_their_bytes(tmp_path: Path) -> None:
    odd = {"cat/1.png_large": photo(0, 1), "cat/image": photo(0, 2), "dog/1.png": photo(1, 1)}
    not_images = {"dog/page.jpg!d": b"<html>", "dog/LICENSE": b"free"}

    report = extract_archive(zip_of(odd | not_images), tmp_path / "out")

    assert files_below(tmp_path / "out") == odd
    assert {name for name, _ in report.refused} == set(not_images)


@pytest.mark.parametrize("name", ["converted/keras_model.h5", "model.tflite", "saved_model.pb"])
def test_a_model_is_named_as_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="is a model, not photos"):
        extract_archive(zip_of({name: b"x", "labels.txt": b"0 a"}), tmp_path / "out")


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("cp932", ["犬/柴犬の写真.jpg", "猫/ねこ1.jpg"]),
        ("cp932", ["写真/山田太郎.jpg"]),
        ("gbk", ["猫咪/图片一.jpg", "狗/照片2.jpg"]),
        ("gbk", ["动物/老虎.jpg"]),
        ("cp949", ["고양이/사진.jpg"]),
        ("cp866", ["кошки/фото 1.jpg", "собаки/щенок.jpg"]),
        ("", ["café/naïve.jpg", "Äpfel/Öl.jpg"]),
        ("", ["plain/1.jpg"]),
    ],
)
def test_the_encoding_of_names_is_guessed(encoding: str, names: list[str]) -> None:
    assert guess_encoding([name.encode(encoding or "cp437") for name in names]) == encoding


def test_names_in_an_old_encoding_are_read_and_the_guess_reported(tmp_path: Path) -> None:
    raw = zip_of({"ABCD/1.png": photo(0, 1), "EFGH/1.png": photo(1, 1)}).getvalue()
    raw = raw.replace(b"ABCD", "柴犬".encode("cp932")).replace(b"EFGH", "三毛".encode("cp932"))

    assert look_into(io.BytesIO(raw)).encoding == "cp932"
    report = extract_archive(io.BytesIO(raw), tmp_path / "out")

    assert report.encodings == ("cp932",)
    assert scan_dataset(tmp_path / "out").class_names == ("三毛", "柴犬")

"""Archives as people have them, unpacked by the command line into a data folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from conftest import png

from tl_core.cli.app import app, main
from tl_core.cli.terminal import COMMANDS
from tl_core.data.dataset import scan_dataset


def pack(path: Path, names: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, png(len(path.name) % 7, number))
    return path


def run(*words: object) -> None:
    app([*map(str, words), "--quiet"], standalone_mode=False)


def test_flat_archives_are_classes_called_like_them(tmp_path: Path) -> None:
    one = pack(tmp_path / "Class 1-samples.zip", ["1.png", "2.png"])
    two = pack(tmp_path / "Second class-samples.zip", ["1.png", "2.png"])
    run("unpack", one, two, "--out", tmp_path / "out")
    assert scan_dataset(tmp_path / "out").class_counts() == {"Class 1": 2, "Second class": 2}


def test_parts_of_one_folder_are_joined_and_the_rest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = pack(tmp_path / "p-001.zip", ["pets/cat/1.png", "pets/dog/1.png", "pets/notes.docx"])
    two = pack(tmp_path / "part-002.zip", ["pets/cat/2.png", "pets/dog/2.png", ".git/config"])
    run("unpack", one, two, "--out", tmp_path / "out")
    assert scan_dataset(tmp_path / "out").class_counts() == {"cat": 2, "dog": 2}
    out = capsys.readouterr().out
    assert out.startswith(f"4 files in {tmp_path / 'out'}\n")
    assert "Left out: hidden (1)" in out
    assert "Left out: pets/notes.docx: It is not an image file." in out


def test_an_archive_of_archives_alone_is_unpacked_with_them(tmp_path: Path) -> None:
    inner = pack(tmp_path / "train.zip", ["cat/1.png", "dog/1.png"])
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(inner, "train.zip")
    run("unpack", tmp_path / "all.zip", "--out", tmp_path / "out")
    assert scan_dataset(tmp_path / "out").class_counts() == {"cat": 1, "dog": 1}


@pytest.mark.parametrize("is_folder", [False, True], ids=["the archive", "its folder"])
def test_inspecting_an_archive_names_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_folder: bool
) -> None:
    path = pack(tmp_path / "pets.zip", ["cat/1.png", "dog/1.png"])
    with pytest.raises(SystemExit):
        main(["inspect", str(tmp_path if is_folder else path), "--workspace", str(tmp_path / "w")])
    assert capsys.readouterr().err.endswith(f"{COMMANDS['archive']}\n")

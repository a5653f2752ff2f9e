"""Names from outside: which are refused, and what is written to disk of the others."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tl_core.data.file_names import (
    UniqueNames,
    UnsafeName,
    debris_kind,
    mark_name,
    name_parts,
    safe_component,
    show_name,
)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../moo.jpg", "'..'"),
        ("a/../../moo.jpg", "'..'"),
        ("a/b/..", "'..'"),
        ("/etc/moo.jpg", "absolute"),
        ("//server/moo.jpg", "absolute"),
        ("C:/moo.jpg", "drive"),
        ("c:moo.jpg", "drive"),
        ("~/moo.jpg", "home"),
        ("~root/moo.jpg", "home"),
        ("a\\moo.jpg", "backslash"),
        ("a/mo\0o.jpg", "control"),
        ("a/mo\no.jpg", "control"),
        ("a/mo\x1b[31mo.jpg", "control"),
        ("a/mo\x85o.jpg", "control"),
        ("a/mo\u2028o.jpg", "control"),
        ("", "no name"),
        ("./", "no name"),
        ("a/" * 16 + "moo.jpg", "deep"),
        ("é" * 1_025, "more than 1,024 characters"),
    ],
)
def test_a_name_is_refused_that_leads_out_or_deceives(name: str, reason: str) -> None:
    with pytest.raises(UnsafeName, match=reason):
        name_parts(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("pets/cats/1.jpg", ("pets", "cats", "1.jpg")),
        ("./pets//cats/1.jpg", ("pets", "cats", "1.jpg")),
        ("cats/", ("cats",)),
        ("cats/..jpg", ("cats", "..jpg")),
        ("cats/a~b/日本.jpg", ("cats", "a~b", "日本.jpg")),
        ("é" * 1_024, ("é" * 1_024,)),
    ],
)
def test_an_ordinary_name_is_taken_apart(name: str, parts: tuple[str, ...]) -> None:
    assert name_parts(name) == parts


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("1.jpg", "1.jpg"),
        ("Äpfel & Birnen (2)", "Äpfel & Birnen (2)"),
        ("A\u0308pfel", "Äpfel"),
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("con", "_con"),
        ("NUL.tar.jpg", "_NUL.tar.jpg"),
        ("Com1 .jpg", "_Com1 .jpg"),
        ("console.jpg", "console.jpg"),
        ("cats. . ", "cats"),
        (" cats", "cats"),
        (". .cats", "cats"),
        ("\u200b.cats", "cats"),
        ("...", "_"),
        ("..", "_"),
        ("gpj.\u202egnp.exe", "gpj.gnp.exe"),
        ("\udcff.jpg", "_.jpg"),
        ("👩\u200d🔬.jpg", "👩\u200d🔬.jpg"),
    ],
)
def test_a_component_is_one_that_every_file_system_takes(part: str, expected: str) -> None:
    assert safe_component(part) == expected


def test_long_names_are_cut_with_a_hash_and_keep_their_suffix() -> None:
    first, second = (safe_component("ä" * 200 + end + ".jpeg") for end in "12")
    assert first != second
    for name in (first, second):
        assert name.startswith("äää")
        assert name.endswith(".jpeg")
        assert len(name.encode()) <= 120
    assert len(safe_component("." * 3 + "x" * 300 + "." + "y" * 300).encode()) <= 120


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(codec=None), min_size=1, max_size=300))
def test_any_text_becomes_one_plain_component(text: str) -> None:
    name = safe_component(text)
    assert name not in ("", ".", "..")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert 0 < len(name.encode("utf-8")) <= 121
    assert unicodedata.is_normalized("NFC", name)
    assert safe_component(name) == name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("__MACOSX/cats/._1.jpg", "__MACOSX"),
        ("cats/._1.jpg", "._*"),
        ("cats/.DS_Store", ".DS_Store"),
        ("cats/thumbs.DB", "Thumbs.db"),
        ("Desktop.ini", "desktop.ini"),
        ("cats/.ipynb_checkpoints/1.jpg", ".ipynb_checkpoints"),
        (".git/1.jpg", "hidden"),
        ("cats/1.jpg", None),
    ],
)
def test_system_and_hidden_files_are_known_by_kind(name: str, kind: str | None) -> None:
    assert debris_kind(name.split("/")) == kind


def test_a_shown_name_is_short_and_has_nothing_unprintable() -> None:
    assert show_name("a\x1b[31m\u202eb\n.jpg") == r"'a\x1b[31m\u202eb\n.jpg'"
    shown = show_name("x" * 5000 + ".jpg")
    assert len(shown) < 90
    assert shown.endswith(".jpg'")


def place(*names: str) -> list[str]:
    book = UniqueNames()
    return [str(book.place(name_parts(name))) for name in names]


def test_twins_by_case_unicode_or_forbidden_characters_all_find_a_place() -> None:
    names = ("Cats/1.jpg", "cats/1.JPG", "cats/é.jpg", "cats/e\u0301.jpg", "c/a?.jpg", "c/a*.jpg")
    places = place(*names)
    assert len({unicodedata.normalize("NFC", path.casefold()) for path in places}) == len(names)
    assert places[0] == "Cats/1.jpg"
    assert places[1].startswith("cats/1~")
    assert places[2] == "cats/é.jpg"
    assert places[4] == "c/a_.jpg"


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("cats/1.jpg", "cats/1.jpg"), "listed twice"),
        (("cats/1.jpg", "./cats//1.jpg"), "listed twice"),
        (("cats/1.jpg", "cats/1.jpg/2.jpg"), "both a file and a folder"),
        (("cats/1.jpg/2.jpg", "cats/1.jpg"), "both a file and a folder"),
    ],
)
def test_one_place_cannot_be_had_twice(names: tuple[str, str], reason: str) -> None:
    with pytest.raises(UnsafeName, match=reason):
        place(*names)


def test_marking_keeps_folder_and_suffix() -> None:
    assert str(mark_name(PurePosixPath("cats/1.jpg"), "0123456789")) == "cats/1~01234567.jpg"

"""Saved augmentation presets: kept, passed on, and nothing changed by what is no preset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tl_core.config.training import AugmentConfig
from tl_core.data.augmentation import presets
from tl_core.data.augmentation.presets import (
    MAX_BYTES,
    MAX_NAME,
    Preset,
    delete_preset,
    import_preset,
    list_presets,
    read_preset,
    save_preset,
)
from tl_core.errors import ConfigError
from tl_core.workspace import Workspace

OAK = AugmentConfig(rotation=20, fill="edge")
ELM = AugmentConfig(hue=0.1)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace")


def names(workspace: Workspace) -> list[str]:
    return [preset.name for preset in list_presets(workspace)]


def as_file(name: object = "Oak", augment: object = None, **more: object) -> bytes:
    return json.dumps({"preset": name, "augment": augment or {}, **more}).encode()


def test_what_was_saved_is_listed_by_name_and_reads_back_equal(workspace) -> None:
    assert list_presets(workspace) == []
    save_preset(workspace, "oak", OAK)
    save_preset(workspace, "  Elm   bark ", ELM)
    assert list_presets(workspace) == [Preset("Elm bark", ELM), Preset("oak", OAK)]
    assert read_preset(workspace.presets_dir / "oak.json") == Preset("oak", OAK)


def test_a_name_in_another_case_replaces_what_had_it(workspace) -> None:
    save_preset(workspace, "oak", OAK)
    save_preset(workspace, "Oak", ELM)
    assert list_presets(workspace) == [Preset("Oak", ELM)]


def test_a_deleted_preset_is_gone_and_deleting_it_again_is_no_error(workspace) -> None:
    save_preset(workspace, "oak", OAK)
    for _ in range(2):
        delete_preset(workspace, "oak")
    assert names(workspace) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [("../../etc/passwd", "_.._etc_passwd"), ("a/b\\c:d", "a_b_c_d"), (".hidden", "hidden")],
)
def test_a_name_never_leads_out_of_the_folder(workspace, given, kept) -> None:
    assert save_preset(workspace, given, OAK).name == kept
    assert [path.name for path in workspace.presets_dir.iterdir()] == [f"{kept}.json"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("  ", "Expected a name"),
        ("/", "Expected a name"),
        ("photo", "'photo' is a built-in preset"),
        ("Tutorial", "'Tutorial' is a built-in preset"),
        ("x" * (MAX_NAME + 1), f"at most {MAX_NAME} characters"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(workspace, name, message) -> None:
    with pytest.raises(ConfigError, match=message):
        save_preset(workspace, name, OAK)
    assert names(workspace) == []


def test_a_preset_passed_on_arrives_as_it_was(workspace, tmp_path) -> None:
    sent = save_preset(Workspace(tmp_path / "theirs"), "Eiche", OAK)
    assert import_preset(workspace, sent.to_json().encode()) == sent
    assert list_presets(workspace) == [sent]


def test_an_arriving_preset_does_not_replace_one_of_its_name(workspace) -> None:
    save_preset(workspace, "oak", OAK)
    assert import_preset(workspace, as_file("Oak", {"hue": 0.1})) == Preset("Oak 2", ELM)
    assert import_preset(workspace, as_file("Oak", {"hue": 0.2})).name == "Oak 3"
    again = import_preset(workspace, as_file("oak", OAK.model_dump()))
    assert again == Preset("oak", OAK)
    assert names(workspace) == ["oak", "Oak 2", "Oak 3"]


def test_an_arriving_preset_whose_name_is_cut_at_a_space_replaces_none(workspace) -> None:
    head = "x" * (MAX_NAME - 3)
    save_preset(workspace, f"{head} ab", OAK)
    save_preset(workspace, f"{head} 2", OAK)
    assert import_preset(workspace, as_file(f"{head} ab", {"hue": 0.1})).name == f"{head} 3"
    assert names(workspace) == [f"{head} 2", f"{head} 3", f"{head} ab"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89PNG\r\n\x1a\n", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[" * 50_000, "is not JSON"),
        (b"[1, 2]", "something else"),
        (b'{"rotation": 3}', "something else"),
        (as_file(name=3), "something else"),
        (as_file(more="x"), "something else"),
        (as_file(augment={"rotation": 400}), "Setting 'rotation'"),
        (as_file(augment={"rotaton": 4}), "Did you mean 'rotation'"),
        (as_file(augment={"rotation": "much"}), "Setting 'rotation'"),
        (as_file(name="photo"), "built-in"),
        (as_file(name="x" * MAX_BYTES), "a few lines"),
    ],
    ids=range(12),
)
def test_a_broken_or_foreign_file_is_explained_and_changes_nothing(
    workspace, data, message
) -> None:
    save_preset(workspace, "oak", OAK)
    before = (workspace.presets_dir / "oak.json").read_bytes()
    with pytest.raises(ConfigError, match=message):
        import_preset(workspace, data)
    assert [path.name for path in workspace.presets_dir.iterdir()] == ["oak.json"]
    assert (workspace.presets_dir / "oak.json").read_bytes() == before


def test_files_that_are_no_presets_are_passed_over(workspace) -> None:
    save_preset(workspace, "oak", OAK)
    for name in ("notes.txt", "broken.json", ".elm.json.tmp"):
        (workspace.presets_dir / name).write_bytes(b"{")
    (workspace.presets_dir / "photo.json").write_bytes(as_file("elm"))
    assert names(workspace) == ["oak"]


def test_reading_a_file_names_it_when_it_is_wrong(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"Cannot read '.*gone\.json'"):
        read_preset(tmp_path / "gone.json")
    (tmp_path / "bad.json").write_bytes(b"{}")
    with pytest.raises(ConfigError, match=r"Cannot use '.*bad\.json': Expected a preset"):
        read_preset(tmp_path / "bad.json")


def test_there_are_no_more_presets_than_a_page_can_list(workspace, monkeypatch) -> None:
    monkeypatch.setattr(presets, "MAX_PRESETS", 2)
    for name in ("a", "b"):
        save_preset(workspace, name, ELM)
    with pytest.raises(ConfigError, match="There are 2 presets, the most that can be"):
        save_preset(workspace, "c", ELM)
    with pytest.raises(ConfigError, match="There are 2 presets"):
        import_preset(workspace, Preset("d", OAK).to_json().encode())
    save_preset(workspace, "B", ELM)  # in the place of b
    assert names(workspace) == ["a", "B"]

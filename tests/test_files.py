import pytest

from tl_core.files import read_json, replacing, write_bytes, write_json, write_text


def test_what_was_written_is_read_back_and_nothing_else_stays(tmp_path):
    write_json(tmp_path / "deep" / "value.json", {"Käse": [1, 2.5, None]})
    assert read_json(tmp_path / "deep" / "value.json") == {"Käse": [1, 2.5, None]}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["value.json"]


def test_an_error_while_writing_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.txt"
    write_text(path, "old")

    def fail_half_way():
        with replacing(path) as temporary:
            temporary.write_text("half of the new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_stands_until_the_new_is_whole(tmp_path):
    path = tmp_path / "file.bin"
    write_bytes(path, b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_the_temporary_name_is_hidden_and_beside_the_file(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.touch()
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")


def test_a_number_that_json_does_not_know_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "value.json", float("nan"))
    assert list(tmp_path.iterdir()) == []

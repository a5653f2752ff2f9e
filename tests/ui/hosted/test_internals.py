from types import SimpleNamespace

from streamlit.runtime import memory_media_file_storage as storage

from ui.hosted import internals


def test_the_address_of_a_picture_says_nothing_about_its_content(host, monkeypatch):
    monkeypatch.setattr(storage, "_calculate_file_id", storage._calculate_file_id)
    by_content = storage._calculate_file_id(b"photo", "image/png")
    internals.key_addresses()
    internals.key_addresses()  # a source edit imports the module again
    found = []
    for session in ("a", "b", "a"):
        context = SimpleNamespace(session_id=session)
        monkeypatch.setattr(internals, "get_script_run_ctx", lambda suppress_warning, c=context: c)
        files = storage.MemoryMediaFileStorage("/media")
        found.append(files.load_and_get_id(b"photo", "image/png", None))
    assert found[0] == found[2] != found[1]
    assert by_content not in found

import ssl
from types import SimpleNamespace

import pytest
from streamlit.runtime import memory_media_file_storage as storage
from streamlit.web.server.starlette import starlette_auth_routes as routes

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


def test_a_login_uses_the_same_client_and_certificates_each_time(monkeypatch):
    """A new one for each request took 80 ms of the loop that serves all, and asked the provider."""
    made = []

    def create(provider):
        if provider == "broken":
            raise ValueError("no such provider")
        made.append(provider)
        return SimpleNamespace(client_kwargs={"scope": "openid"}), "https://demo/oauth2callback"

    monkeypatch.setattr(routes, "_create_oauth_client", create)
    internals.keep_login_clients()
    internals.keep_login_clients()
    found = [routes._create_oauth_client(name) for name in ("a", "b", "a", "a")]
    assert made == ["a", "b"]
    assert found[0] is found[2]
    assert found[0][1] == "https://demo/oauth2callback"
    (first, _), (second, _) = found[:2]
    assert first.client_kwargs["scope"] == "openid"
    assert first.client_kwargs["verify"] is second.client_kwargs["verify"]
    assert first.client_kwargs["verify"].verify_mode == ssl.CERT_REQUIRED
    assert first.client_kwargs["verify"].check_hostname
    for _ in range(2):
        with pytest.raises(ValueError, match="no such provider"):
            routes._create_oauth_client("broken")


def test_a_version_of_streamlit_that_makes_clients_elsewhere_is_refused(monkeypatch):
    monkeypatch.delattr(routes, "_create_oauth_client")
    with pytest.raises(RuntimeError, match="whose login clients can be kept"):
        internals.keep_login_clients()

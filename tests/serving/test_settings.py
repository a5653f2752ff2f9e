"""Limits that contradict each other, and keys that no header can hold, are refused."""

import pytest

from tl_core.errors import ConfigError
from tl_core.serving.model import url_name
from tl_core.serving.server import listen
from tl_core.serving.settings import API_KEY_NAME, ServiceSettings, api_key


def test_the_queue_holds_one_request():
    with pytest.raises(ConfigError, match="one request of 100 images, received a queue of 64"):
        ServiceSettings.create({"max_images": 100})


def test_the_memory_of_all_requests_holds_one():
    with pytest.raises(ConfigError, match="hold one request of 2,000 bytes"):
        ServiceSettings.create({"max_bytes": 2000, "max_buffered_bytes": 1000})


def test_the_key_is_that_of_the_environment(monkeypatch):
    monkeypatch.delenv(API_KEY_NAME, raising=False)
    assert api_key() is None
    monkeypatch.setenv(API_KEY_NAME, "k3y")
    assert api_key() == "k3y"


@pytest.mark.parametrize("key", ["", "  ", "schlüssel", "two\nlines"])
def test_a_key_that_no_header_can_hold_is_refused(monkeypatch, key):
    monkeypatch.setenv(API_KEY_NAME, key)
    with pytest.raises(ConfigError, match=API_KEY_NAME):
        api_key()


@pytest.mark.parametrize(
    ("name", "expected"), [("../../etc", "etc"), ("a b/c", "a-b-c"), ("???", "model")]
)
def test_a_name_is_made_fit_for_urls(name, expected):
    assert url_name(name) == expected


def test_an_address_that_is_taken_is_named():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127.0.0.1:{port} cannot be used"):
            listen("127.0.0.1", port)

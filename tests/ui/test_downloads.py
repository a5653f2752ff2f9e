"""Downloads are sent from the disk, in pieces, and go with the last who refers to them."""

import asyncio
import gc
import gzip
import os

import pytest
from demo_helpers import new_visitor, run_async, start_demo
from starlette.applications import Starlette
from streamlit.runtime.download_data_util import convert_data_to_bytes_and_infer_mime
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.web.server.starlette.starlette_gzip_middleware import SelectiveGZipMiddleware
from streamlit.web.server.starlette.starlette_routes import create_media_routes

from tl_core.errors import DatasetError
from tl_core.workspace import Workspace
from ui.datasets import downloads
from ui.datasets.downloads import READY, Content, file_for_download, forget_downloads
from ui.hosted.ending import delete_now

MIB = 2**20


def pattern(num_bytes):
    """Return bytes of which no two stretches are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(num_bytes // 4 + 1))[:num_bytes]


def make(workspace, data):
    return file_for_download(workspace, "a.zip", lambda path: path.write_bytes(data))


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def offer(workspace):
    """Return what offers bytes as a page does, and what asks the server for them.

    The routes and what compresses answers are Streamlit's own.
    """
    storage = MemoryMediaFileStorage("/media")
    manager = MediaFileManager(storage)
    app = Starlette(routes=create_media_routes(storage, None))
    served = SelectiveGZipMiddleware(app)

    def ask(address, method="GET", ready=None, **headers):
        """Return status, headers and body of the answer."""
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = {"accept-encoding": "gzip", **headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": method, "path": address, "headers": raw}
        scope |= {"query_string": b"", "root_path": ""} | ({READY: ready} if ready else {})
        run_async(served(scope, receive, send))
        got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        is_packed = got.get("content-encoding") == "gzip"
        return sent[0]["status"], got, gzip.decompress(body) if is_packed else body

    def address_of(data, kind="application/zip"):
        place = manager.add_deferred(lambda: make(workspace, data), kind, "1", "a.zip")
        return manager.execute_deferred(place)

    return address_of, ask, storage


@pytest.mark.parametrize("kind", ["application/zip", "text/csv"])  # the second is compressed
@pytest.mark.parametrize("num_bytes", [0, 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 7])
def test_a_browser_gets_every_byte(offer, num_bytes, kind):
    address_of, ask, _ = offer
    data = pattern(num_bytes)
    status, headers, body = ask(address_of(data, kind))
    assert (status, body) == (200, data)
    assert headers["content-disposition"] == 'attachment; filename="a.zip"'
    if kind == "application/zip":
        assert headers["content-length"] == str(num_bytes)
    else:
        assert ("content-encoding" in headers) == (num_bytes > 500)


@pytest.mark.parametrize("part", [(0, 9), (5, MIB + 4), (MIB, 3 * MIB - 1), (17, 2 * MIB + 99)])
def test_a_download_that_broke_off_goes_on(offer, part):
    address_of, ask, _ = offer
    data, (first, last) = pattern(3 * MIB), part
    status, headers, body = ask(address_of(data), range=f"bytes={first}-{last}")
    assert (status, body) == (206, data[first : last + 1])
    assert headers["content-range"] == f"bytes {first}-{last}/{3 * MIB}"


def test_only_the_head_is_sent_where_only_it_is_asked_for(offer):
    address_of, ask, _ = offer
    _, headers, body = ask(address_of(pattern(2 * MIB)), "HEAD")
    assert (headers["content-length"], body) == (str(2 * MIB), b"")


def test_streamlit_is_given_no_large_bytes_and_each_piece_is_small(offer, monkeypatch):
    address_of, ask, storage = offer
    data, sizes = pattern(5 * MIB), []
    read = Content.read

    def noted(self, start, num_bytes):
        found = read(self, start, num_bytes)
        sizes.append(len(found))
        return found

    monkeypatch.setattr(Content, "read", noted)
    assert ask(address_of(data))[2] == data
    (kept,) = storage._files_by_id.values()
    assert isinstance(kept.content, Content)
    assert max(sizes) == downloads.CHUNK_BYTES
    assert sum(sizes) >= len(data)


@pytest.mark.parametrize(
    ("first", "last", "wanted"),
    [
        (0, MIB - 1, [MIB // 4] * 4),
        (5, MIB // 4 + 6, [MIB // 4, 2]),
        (MIB, MIB + 9, [10]),
    ],
    ids=["largest", "a piece and more", "small"],
)
def test_a_part_is_read_piece_by_piece_too_each_when_its_turn_has_come(
    offer, monkeypatch, first, last, wanted
):
    """Hundreds who ask for a part and never take it would have it in memory once each."""
    address_of, ask, _ = offer
    data, happened, read = pattern(3 * MIB), [], Content.read
    address = address_of(data)

    def noted(self, start, num_bytes):
        found = read(self, start, num_bytes)
        happened.append(("read", len(found)))
        return found

    async def ready(num_bytes):
        happened.append(("ready", num_bytes))

    monkeypatch.setattr(Content, "read", noted)
    assert ask(address, ready=ready, range=f"bytes={first}-{last}")[2] == data[first : last + 1]
    assert happened == [(kind, size) for size in wanted for kind in ("ready", "read")]


@pytest.mark.parametrize("num_bytes", [10, MIB])
def test_no_part_of_what_is_kept_in_memory_is_copied(offer, num_bytes):
    address_of, ask, storage = offer
    data = pattern(num_bytes)
    address = address_of(data)
    assert ask(address, range="bytes=3-8")[2] == data[3:9]
    ((file_id, kept),) = storage._files_by_id.items()
    part = storage.get_file(file_id).content[3:9]
    assert part.obj is kept.content
    assert bytes(part) == data[3:9]


def test_what_is_written_leaves_no_name_and_goes_with_the_last_who_refers_to_it(workspace):
    made = make(workspace, pattern(2 * MIB))
    assert [path for path in workspace.root.rglob("*") if path.is_file()] == []
    content, _ = convert_data_to_bytes_and_infer_mime(made, AssertionError())
    number = content.file.fileno()
    assert content[: 2 * MIB].read(4, 4) == (1).to_bytes(4, "big")
    del made, content
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_what_could_not_be_made_leaves_nothing_behind(workspace):
    def fail(path):
        path.write_bytes(b"half")
        raise DatasetError("A file is missing.")

    with pytest.raises(DatasetError):
        file_for_download(workspace, "a.zip", fail)
    assert list(workspace.cache_dir.iterdir()) == []


def test_what_was_deleted_is_not_found_any_more(offer, workspace):
    address_of, ask, _ = offer
    address = address_of(pattern(2 * MIB))
    forget_downloads(workspace.root)
    assert ask(address)[0] == 404


def test_what_is_deleted_while_it_is_sent_breaks_off(offer, workspace, monkeypatch):
    address_of, ask, _ = offer
    data, read = pattern(2 * MIB), Content.read

    def read_once(self, start, num_bytes):
        found = read(self, start, num_bytes)
        if num_bytes == downloads.CHUNK_BYTES:
            forget_downloads(workspace.root)
        return found

    monkeypatch.setattr(Content, "read", read_once)
    assert ask(address_of(data))[2] == data[: downloads.CHUNK_BYTES]


def test_a_browser_that_takes_nothing_is_given_up(workspace, monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE_SECONDS", 0.0)
    content = make(workspace, pattern(2 * MIB)).read()

    async def never(_):
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run_async(content.send(never))


def test_in_a_demo_the_older_downloads_of_a_visitor_give_way_to_new_ones(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=5)
    mine, other = new_visitor(host), new_visitor(host)
    kept = [make(mine, pattern(2_000_000)).read() for _ in range(2)]
    theirs = make(other, pattern(2_000_000)).read()
    kept.append(make(mine, pattern(2_000_000)).read())
    assert [one.file.closed for one in kept] == [True, False, False]
    assert not theirs.file.closed
    delete_now(mine)
    assert all(one.file.closed for one in kept)
    assert not theirs.file.closed


def test_a_studio_has_no_such_limit(workspace):
    kept = [make(workspace, pattern(2_000_000)).read() for _ in range(3)]
    assert not any(one.file.closed for one in kept)
    forget_downloads(workspace.root)
    assert all(one.file.closed for one in kept)

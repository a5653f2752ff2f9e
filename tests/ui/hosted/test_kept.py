"""What pages keep of uploads counts with those that wait, and is given up by the same rules."""

import gc
from types import SimpleNamespace

import pytest
from app_helpers import CLASSIFY, assert_sound, finished_run, open_page, texts
from conftest import draw_image
from demo_helpers import let_in, run_async
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from tl_core.data.images.images import encode_jpeg
from tl_core.errors import ImageError
from tl_core.visitors.store import open_visitor
from tl_core.visitors.tokens import issue_token
from ui.classify import answers
from ui.classify.background import Task
from ui.classify.photo import Photo
from ui.hosted import kept
from ui.hosted import uploads as module
from ui.hosted.uploads import Uploads
from ui.shared import session_keys

MB = 1_000_000  # each object counts 5,000 bytes beside its content
EACH = 20 * MB
MULTIPART = (b"content-type", b"multipart/form-data; boundary=abc")


@pytest.fixture
def server(monkeypatch):
    """Stand for a server whose pages run in the session that ``server.run_in`` names."""
    collect()
    kept._photos.clear()
    kept._values.clear()
    monkeypatch.setattr(UploadedFile, "__init__", UploadedFile.__init__)
    manager = MemoryUploadedFileManager("/_stcore/upload_file")
    context = SimpleNamespace(session_id="", uploaded_file_mgr=manager)
    monkeypatch.setattr(kept, "get_script_run_ctx", lambda **_: context)
    module._lost.clear()
    monkeypatch.setattr(module, "held_files", lambda: manager.file_storage)
    monkeypatch.setattr(module, "_manager", lambda: manager)
    kept.count_uploader_values()
    return Server(manager, context)


def collect():
    """Free what nothing holds, also what a page spared from the collection of garbage."""
    gc.unfreeze()
    gc.collect()


class Server:
    def __init__(self, manager, context):
        self.manager, self.context, self.number = manager, context, 0

    def upload(self, session, data):
        """Store an upload, and return the value that a page's uploader has then."""
        self.context.session_id = session
        self.number += 1
        record = UploadedFileRec(str(self.number), "a.jpg", "image/jpeg", data)
        self.manager.add_file(session, record)
        return UploadedFile(record, FileURLs())

    def keep(self, session, num_bytes):
        """Return a photo that Classify took out of an uploader."""
        file = self.upload(session, bytes(num_bytes))
        photo = kept.keep_photo(Photo(file.name, file.getvalue()))
        kept.release(file)
        return photo


async def stored(*_):
    """Stand for an app that answers at once."""


def take(session, num_bytes, uploads=None, address=""):
    scope = {"path": f"/_stcore/upload_file/{session}/file", "headers": [MULTIPART]}
    one = uploads or Uploads()
    return run_async(one.take(stored, scope, stored, stored, num_bytes, address))


def used(session):
    return Uploads()._held().num_bytes[session]


def test_photos_that_a_page_keeps_count_until_nothing_holds_them(host, server):
    photos = [server.keep("s", EACH) for _ in range(3)]
    assert server.manager.file_storage["s"] == {}
    assert used("s") == 60_015_000
    assert "60 MB of uploads of one visitor" in take("s", 3 * MB)
    assert take("other", 3 * MB) is None
    photos.pop()
    assert used("s") == 40_010_000
    assert take("s", EACH) is None


def test_bytes_that_a_file_and_a_photo_share_count_once(host, server):
    file = server.upload("s", bytes(MB))
    assert used("s") == 1_005_000
    photo = kept.keep_photo(Photo(file.name, file.getvalue()))
    assert used("s") == 1_010_000
    assert len(photo.content) == MB


def test_who_holds_most_gives_up_the_oldest_photo_and_its_page_says_so(host, server):
    greedy = [server.keep("greedy", EACH) for _ in range(3)]
    modest = [server.keep("modest", EACH) for _ in range(2)]
    waiting = server.upload("greedy2", bytes(EACH))
    third = server.keep("third", EACH)
    # 140 MB and 35,000 bytes are held; 9 MB more have a place, 10 MB more do not.
    assert take("visitor", 9 * MB) is None
    assert not any(photo.is_given_up for photo in [*greedy, *modest, third])
    assert take("visitor", 10 * MB) is None
    assert [photo.is_given_up for photo in greedy] == [True, False, False]
    assert not any(photo.is_given_up for photo in [*modest, third])
    assert len(waiting.getvalue()) == EACH
    assert module.has_lost_upload("greedy")
    assert not module.has_lost_upload("greedy")
    assert not module.has_lost_upload("modest")
    assert used("greedy") == 40_010_000
    assert greedy[0].content == b""
    with pytest.raises(ImageError, match="Choose it again"):
        _ = greedy[0].data


def test_what_a_page_uses_stays_when_strangers_upload_and_run_no_page(host, server):
    uploads = Uploads()
    assert take("visitor", 19 * MB, uploads, "192.0.2.99") is None
    chosen = server.upload("visitor", bytes(19 * MB))
    files = server.manager.file_storage
    for number in range(24):  # each address once more as its first was given up
        address, name = f"192.0.2.{number % 12}", f"s{number}"
        assert take(name, 12_400_000, uploads, address) is None
        server.manager.add_file(name, UploadedFileRec(name, "x", "x", bytes(12_400_000)))
        assert sum(used(one) for one in files) <= 150 * MB
    assert len(chosen.getvalue()) == 19 * MB
    assert not module.has_lost_upload("visitor")
    # 131 of 150 MB are left to ten of them.
    assert [number for number in range(24) if files[f"s{number}"]] == list(range(14, 24))


def test_of_files_that_pages_use_that_of_the_page_that_ran_longest_ago_gives_way(
    host, server, monkeypatch
):
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "_ran_at", {})
    chosen = {name: server.upload(name, bytes(14 * MB)) for name in "abcdefghij"}
    for name in "bcdafeghij":
        now[0] += 1
        module.note_run(name)
    assert take("visitor", EACH) is None  # 140.05 MB are held
    assert [name for name in chosen if not chosen[name].getvalue()] == ["b"]
    assert [name for name in chosen if module.has_lost_upload(name)] == ["b"]
    assert used("b") == 0  # nor does the page's value keep the bytes


def test_who_holds_less_than_an_equal_share_loses_nothing_to_pages_that_hold_more(
    host, server, monkeypatch
):
    """Eight addresses with a largest upload each pushed out photos of a page that was not used."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(module, "_ran_at", {})
    uploads, files = Uploads(), {}
    for name, size in [("visitor", 3 * MB), *((f"s{number}", 20 * MB) for number in range(9))]:
        assert take(name, size, uploads, f"address of {name}") is None
        files[name] = server.upload(name, bytes(size))
        now[0] += 1
        module.note_run(name)
    assert len(files["visitor"].getvalue()) == 3 * MB
    # 143 MB are held by eight: an equal share is 16.7 MB, and the oldest that hold more give way.
    assert [name for name in files if not files[name].getvalue()] == ["s0", "s1"]


def test_many_sessions_of_one_address_keep_no_photos_of_others_out(host, server):
    uploads = Uploads()
    assert take("early", 1, uploads, "192.0.2.1") is None
    early = server.keep("early", 12 * MB)
    flood = []
    for number in range(40):
        if take(f"flood{number}", 4 * MB, uploads, "192.0.2.66") is None:
            flood.append(server.keep(f"flood{number}", 4 * MB))
    assert take("late", EACH, uploads, "192.0.2.2") is None
    assert not early.is_given_up
    held = [photo for photo in flood if not photo.is_given_up]
    assert len(held) < 35
    # 12 MB of the early visitor, 20 MB of the late one, and the rest.
    assert sum(len(photo.content) for photo in held) <= 118 * MB


def test_the_value_of_an_uploader_counts_though_its_file_was_removed(host, server):
    files = [server.upload(f"s{n // 3}", bytes(EACH)) for n in range(7)]
    for number, file in enumerate(files):
        server.manager.remove_file(f"s{number // 3}", file.file_id)
    assert [used(f"s{n}") for n in range(3)] == [60_015_000, 60_015_000, 20_005_000]
    assert "60 MB of uploads of one visitor" in take("s0", 3 * MB)
    assert take("visitor", 15 * MB) is None  # 155 MB
    emptied = [len(file.getvalue()) for file in files].count(0)
    assert emptied == 1
    assert not any(module.has_lost_upload(f"s{n}") for n in range(3))  # it was removed before
    del files, file
    assert used("s0") == used("s1") == used("s2") == 0


def test_small_uploads_make_place_for_a_large_one_with_few_counts(host, server, monkeypatch):
    photos = [server.keep(f"s{n % 3}", 45_000) for n in range(2_990)]  # of 50,000 bytes: 149.5 MB
    counts, count = [], Uploads._count
    monkeypatch.setattr(Uploads, "_count", lambda self: counts.append(1) or count(self))
    assert take("visitor", EACH) is None  # 19.5 MB too much: 390 photos
    assert [photo.is_given_up for photo in photos].count(True) == 390
    assert len(counts) == 1


def test_a_task_that_has_ended_holds_no_photo():
    photo = Photo("a.jpg", b"a")
    task = Task("of", lambda _, photo=photo: len(photo.data))
    task.thread.join()
    assert task.result == 1
    assert not [one for one in gc.get_referrers(photo) if isinstance(one, tuple)]


def jpeg(seed, side=64):
    return encode_jpeg(draw_image(0, seed).resize((side, side)))


@pytest.fixture
def classify(host, opened, monkeypatch, make_dataset):
    """Return what opens Classify in a demo, for a visitor who has a run."""
    token = issue_token(host)
    let_in(monkeypatch, token)
    workspace = open_visitor(host, token)
    folder = make_dataset({"cat": 6, "dog": 5}, workspace.datasets_dir / "pets")
    finished_run(workspace, folder)
    before = set(kept._photos)

    def open_source(source):
        return open_page(CLASSIFY, dataset="pets", photo_source=source)

    open_source.folder = folder
    open_source.kept = lambda: [one for key, one in kept.photos() if key not in before]
    open_source.give_up = lambda number: kept.give_up_photo(
        [key for key, _ in kept.photos() if key not in before][number]
    )
    return open_source


def upload(at, number, *photos):
    for name, content in photos:
        at.file_uploader(key=f"photo_upload_{number}").upload(name, content)
    at.run()
    assert_sound(at)
    return at


def test_classify_counts_its_uploads_until_they_are_removed(classify):
    at = classify("Upload")
    assert "Up to 60 MB at once. They stay in this session" in texts(at)
    upload(at, 0, ("a.jpg", jpeg(1)), ("b.jpg", jpeg(2)))
    assert [photo.content for photo in classify.kept()] == [jpeg(1), jpeg(2)]
    at.button(key="remove_uploads").click().run()
    collect()
    assert classify.kept() == []


def test_classify_goes_on_without_a_photo_that_was_given_up(classify):
    at = upload(classify("Upload"), 0, *[(f"{n}.jpg", jpeg(n)) for n in range(3)])
    at.session_state[session_keys.ANSWER_PICKED] = {"1"}
    at.selectbox(key="wrong_1_0").set_value("cat")  # of the photo that was second
    classify.give_up(0)
    at.run()
    assert_sound(at)
    assert list(at.dataframe[0].value["photo"]) == ["1.jpg", "2.jpg"]
    assert session_keys.ANSWER_PICKED not in at.session_state
    assert at.selectbox(key="wrong_1_1").value is None
    assert len(list((classify.folder / "cat").iterdir())) == 6  # nothing was added
    upload(at, 1, ("0.jpg", jpeg(0)))
    assert list(at.dataframe[0].value["photo"]) == ["1.jpg", "2.jpg", "0.jpg"]


def test_a_demo_leaves_out_what_exceeds_its_limit_and_names_it(classify, monkeypatch):
    monkeypatch.setenv("TL_DEMO_UPLOAD_MB", "1")
    at = classify("Upload")
    upload(at, 0, ("a.jpg", bytes(2 * MB)), ("b.jpg", bytes(MB + 1)), ("c.jpg", bytes(MB)))
    assert [len(photo.content) for photo in classify.kept()] == [2 * MB, MB]
    assert [one.value for one in at.toast] == [
        "1 photo left out\\: a session holds at most 3 MB in this demo. Remove others first."
    ]


def test_the_camera_picture_counts_and_can_be_given_up(classify):
    at = classify("Camera")
    for number in (1, 2, 3):
        at.camera_input(key="photo_camera").upload("shot.jpg", jpeg(number)).run()
        assert_sound(at)
    collect()  # Streamlit holds the last value of a key until the next run
    assert [photo.content for photo in classify.kept()] == [jpeg(2), jpeg(3)]
    assert "**dog**" in texts(at)
    classify.give_up(1)
    at.camera_input(key="photo_camera").clear().run()
    assert_sound(at)
    assert "**dog**" not in texts(at)


def test_classify_keeps_a_bounded_number_of_answers(classify, monkeypatch):
    monkeypatch.setattr(answers, "NUM_KEPT_ANSWERS", 3)
    at = upload(classify("Upload"), 0, *[(f"{n}.jpg", jpeg(n)) for n in range(3)])
    (known,) = at.session_state[session_keys.PREDICTIONS].values()
    assert len(known) == 3
    at.button(key="remove_uploads").click().run()
    upload(at, 1, ("new.jpg", jpeg(3)))
    (known,) = at.session_state[session_keys.PREDICTIONS].values()
    assert [one.name for one in known.values()] == ["new.jpg"]

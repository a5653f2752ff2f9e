import io
import json
import random
import threading
import zipfile

import pytest
from conftest import draw_image, png
from demo_helpers import new_visitor, start_demo
from PIL import Image

from tl_core.data.dataset import scan_dataset
from tl_core.data.images import decode_turns
from tl_core.data.ingest import visitor_photos
from tl_core.data.ingest.archive import ArchiveSource, extract_archives
from tl_core.data.ingest.uploads import add_archives, store_uploads
from tl_core.errors import LimitError, Stopped, TLError
from tl_core.fair_turns import Asker, FairTurns
from tl_core.progress import SILENT, Monitor
from tl_core.visitors.usage import total_usage, usage

PLACE = "51.5 north"


def photo_with_place(seed=0):
    exif = Image.Exif()
    exif[0x010E] = PLACE  # image description
    exif[0x0112] = 6  # stored lying
    buffer = io.BytesIO()
    draw_image(0, seed, (60, 40)).save(buffer, "JPEG", exif=exif, comment=PLACE.encode())
    assert PLACE.encode() in buffer.getvalue()
    return buffer.getvalue()


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    buffer.seek(0)
    return buffer


def stored(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}


def check_clean(path):
    assert PLACE.encode() not in path.read_bytes()
    with Image.open(path) as image:
        assert image.size == (40, 60)  # upright
        assert dict(image.getexif()) == {}


def test_uploads_lose_their_metadata_and_stand_upright(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo"))
    out_dir = mine.datasets_dir / "pets"
    (outcome,) = store_uploads([("a.jpg", photo_with_place())], out_dir, class_name="cat")
    check_clean(out_dir / outcome.path)


def test_photos_of_archives_lose_theirs_too(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo"))
    out_dir = mine.datasets_dir / "pets"
    files = {"cat/a.jpg": photo_with_place(), "dog/b.jpg": photo_with_place(1), "dog/c.jpg": b"no"}
    report = extract_archives([ArchiveSource(packed(files))], out_dir)
    assert report.num_files == 2
    assert [name for name, _ in report.refused] == ["dog/c.jpg"]
    assert set(stored(out_dir)) == {"cat/a.jpg", "dog/b.jpg"}
    more = {"cat/d.jpg": photo_with_place(2)}
    add_archives([ArchiveSource(packed(more))], out_dir)
    assert len(stored(out_dir)) == 3
    for path in stored(out_dir).values():
        check_clean(path)


def test_lossless_pixels_stay_as_they_are(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo"))
    store_uploads([("a.png", png(1, 1))], mine.datasets_dir / "pets", class_name="cat")
    (path,) = stored(mine.datasets_dir / "pets").values()
    with Image.open(path) as image:
        assert image.convert("RGB").tobytes() == draw_image(1, 1).tobytes()


def test_a_studio_stores_files_as_they_are(monkeypatch, tmp_path):
    monkeypatch.delenv("TL_MODE", raising=False)
    data = photo_with_place()
    (outcome,) = store_uploads([("a.jpg", data)], tmp_path / "pets", class_name="cat")
    assert (tmp_path / "pets" / outcome.path).read_bytes() == data


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"photos": 2}, "allows 2 photos of a visitor"),
        ({"upload_mb": 1}, "allows 1 MB of one upload"),
        ({"visitor_mb": 1}, "allows 1 MB of a visitor"),
    ],
)
def test_uploads_over_a_limit_change_nothing(monkeypatch, tmp_path, limits, told):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", **limits))
    noise = Image.frombytes("RGB", (700, 700), random.Random(0).randbytes(3 * 700 * 700))
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    uploads = [("a.png", png(0, 0)), ("b.png", png(0, 1)), ("c.png", buffer.getvalue())]
    with pytest.raises(LimitError, match=told):
        store_uploads(uploads, mine.datasets_dir / "pets", class_name="cat")
    assert not (mine.datasets_dir / "pets").exists()


def test_uploaded_folders_over_the_limit_of_classes_change_nothing(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", classes=2))
    out_dir = mine.datasets_dir / "pets"

    def add(*names, **where):
        uploads = [(f"{name}.png", png(0, sum(map(ord, name)))) for name in names]
        return store_uploads(uploads, out_dir, **where)

    with pytest.raises(LimitError, match="allows 2 classes of a dataset; this would be 3"):
        add("pets/cat/1", "pets/dog/2", "pets/owl/3")
    assert not out_dir.exists()
    assert all(one.is_stored for one in add("pets/cat/1", "pets/dog/2", "pets/dog/4"))
    before = sorted(out_dir.rglob("*"))
    with pytest.raises(LimitError, match="this would be 3"):
        add("5", class_name="owl")
    assert sorted(out_dir.rglob("*")) == before
    (more,) = add("6", class_name="dog")
    assert more.is_stored


def test_a_split_does_not_count_its_classes_twice(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", classes=2))
    names = [f"{part}/{name}/1.png" for part in ("train", "test") for name in ("cat", "dog")]
    files = {name: png(0, seed) for seed, name in enumerate(names)}
    report = extract_archives([ArchiveSource(packed(files))], mine.datasets_dir / "pets")
    assert report.num_files == 4


@pytest.mark.parametrize("limits", [{"photos": 2}, {"classes": 2}], ids=str)
def test_archives_over_a_limit_change_nothing(monkeypatch, tmp_path, limits):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", **limits))
    files = {f"{name}/1.png": png(0, seed) for seed, name in enumerate("abc")}
    with pytest.raises(TLError, match="2"):
        extract_archives([ArchiveSource(packed(files))], mine.datasets_dir / "pets")
    assert not (mine.datasets_dir / "pets").exists()


def test_archives_of_as_many_photos_as_may_be_are_taken(monkeypatch, tmp_path):
    """What is unpacked is on the disk before it is added, and counts once."""
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", photos=5))
    out_dir = mine.datasets_dir / "new"

    def source(*seeds):
        return [ArchiveSource(packed({f"a/{seed}.png": png(0, seed) for seed in seeds}))]

    assert extract_archives(source(0, 1, 2), out_dir).num_files == 3
    assert [one.is_stored for one in add_archives(source(3, 4), out_dir)] == [True, True]
    with pytest.raises(LimitError, match=r"allows 5 photos of a visitor; this would be 6\."):
        add_archives(source(5), out_dir)


def test_a_photo_of_too_many_pixels_is_left_out(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", megapixels=1))
    buffer = io.BytesIO()
    Image.new("RGB", (1500, 1000)).save(buffer, "PNG")
    out_dir = mine.datasets_dir / "pets"
    uploads = [("a.png", buffer.getvalue()), ("b.png", png(0, 0))]
    large, small = store_uploads(uploads, out_dir, class_name="cat")
    assert "this demo allows 1 megapixels of a photo" in large.reason
    assert small.is_stored


def add_uploads(files, out_dir, monitor=SILENT):
    store_uploads(list(files.items()), out_dir, monitor=monitor)


def add_archive(files, out_dir, monitor=SILENT):
    extract_archives([ArchiveSource(packed(files))], out_dir, monitor=monitor)


def add_to_project(files, out_dir, monitor=SILENT):
    """Add the files in archives of two each to a project that exists."""
    store_uploads([("cat/first.png", png(9, 9)), ("dog/first.png", png(9, 8))], out_dir)
    pairs = [dict(list(files.items())[first : first + 2]) for first in range(0, len(files), 2)]
    add_archives([ArchiveSource(packed(pair)) for pair in pairs], out_dir, monitor=monitor)


WAYS = pytest.mark.parametrize("add", [add_uploads, add_archive, add_to_project])


def small_files(count):
    """Return small photos of two classes, by name."""
    return {f"{('cat', 'dog')[n % 2]}/{n}.png": png(n, n) for n in range(count)}


def large_files(count, size=(1000, 600)):
    """Return photos of two classes, of 0.6 megapixels each, by name."""
    files = {}
    for number in range(count):
        buffer = io.BytesIO()
        Image.new("RGB", size, (number, 0, 0)).save(buffer, "PNG")
        files[f"{('cat', 'dog')[number % 2]}/{number} {size[0]}.png"] = buffer.getvalue()
    return files


@pytest.fixture
def encoded(monkeypatch):
    """Return a list of the photos that are encoded again; each is stored as 400 kB."""
    encoded = []

    def reencode(data):
        encoded.append(Image.open(io.BytesIO(data)).size)
        return data[:9] + bytes([len(encoded)]) * 399_991, 2400

    monkeypatch.setattr(visitor_photos, "_reencode", reencode)
    return encoded


@WAYS
def test_nothing_is_written_beyond_the_limit_while_photos_are_encoded(
    monkeypatch, tmp_path, encoded, add
):
    host = start_demo(monkeypatch, tmp_path / "demo", visitor_mb=2)
    mine = new_visitor(host)
    on_disk = []
    reencode = visitor_photos._reencode
    monkeypatch.setattr(
        visitor_photos,
        "_reencode",
        lambda data: on_disk.append(usage(mine).num_bytes) or reencode(data),
    )
    with pytest.raises(LimitError, match=r"allows 2 MB of a visitor.*this would be 2"):
        add(small_files(10), mine.datasets_dir / "pets")
    assert len(encoded) == 5  # four have 1.6 MB
    assert max(on_disk) < 2_000_000
    num_kept = 4 if add is add_to_project else 0  # of earlier archives
    assert usage(mine).num_photos == num_kept
    assert usage(mine).num_bytes < (num_kept + 1) * 400_000
    assert total_usage(host) == usage(mine)  # others are not refused for what is gone
    assert list(mine.datasets_dir.glob(".*")) == []


def test_what_was_unpacked_makes_room_for_what_is_stored(monkeypatch, tmp_path, encoded):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", visitor_mb=3))
    out_dir = mine.datasets_dir / "pets"
    add_uploads(small_files(2), out_dir)  # 0.8 MB
    large = [(name, data + bytes(400_000)) for name, data in list(small_files(6).items())[2:]]
    add_archives([ArchiveSource(packed(dict(large)))], out_dir)  # unpacked and stored 1.6 MB
    assert len(stored(out_dir)) == 6


@WAYS
def test_photos_of_more_pixels_than_an_intake_may_have_are_not_decoded(
    monkeypatch, tmp_path, encoded, add
):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", intake_megapixels=2))
    with pytest.raises(LimitError) as told:
        add(large_files(4), mine.datasets_dir / "pets")
    assert str(told.value) == (
        "This demo allows 2 megapixels of the photos added at once; this would be 2.4. Add fewer "
        "at once, or smaller copies."
    )
    # Of two archives the first is added, and counts.
    assert encoded.count((1000, 600)) == (2 if add is add_to_project else 0)


@WAYS
def test_photos_of_as_many_pixels_as_an_intake_may_have_are_added(
    monkeypatch, tmp_path, encoded, add
):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", intake_megapixels=2))
    add(large_files(3), mine.datasets_dir / "pets")
    add(large_files(3), mine.datasets_dir / "more")
    assert encoded.count((1000, 600)) == 6


def test_photos_that_are_left_out_for_their_size_do_not_count(monkeypatch, tmp_path):
    limits = {"intake_megapixels": 2, "megapixels": 1}
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", **limits))
    files = {**large_files(4, (1500, 1000)), **large_files(2)}
    outcomes = store_uploads(list(files.items()), mine.datasets_dir / "pets")
    assert [one.is_stored for one in outcomes] == [False] * 4 + [True] * 2


def test_photos_whose_header_says_no_size_count_when_they_are_decoded(monkeypatch, tmp_path):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", intake_megapixels=2))
    monkeypatch.setattr(visitor_photos, "declared_size", lambda head: None)
    decoded = []
    reencode = visitor_photos._reencode
    monkeypatch.setattr(
        visitor_photos, "_reencode", lambda data: decoded.append(data) or reencode(data)
    )
    with pytest.raises(LimitError, match="allows 2 megapixels of the photos added at once"):
        store_uploads(list(large_files(6).items()), mine.datasets_dir / "pets")
    assert len(decoded) == 4  # 2.4 megapixels
    assert not (mine.datasets_dir / "pets").exists()


@WAYS
def test_as_many_photos_as_a_visitor_may_have_can_be_added_at_once(monkeypatch, tmp_path, add):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", photos=10))
    add(small_files(8 if add is add_to_project else 10), mine.datasets_dir / "pets")
    assert usage(mine).num_photos == 10
    with pytest.raises(LimitError, match="allows 10 photos of a visitor; this would be 11"):
        store_uploads([("x.png", png(1, 11))], mine.datasets_dir / "pets", class_name="cat")


@pytest.mark.parametrize("add", [add_uploads, add_archive])
def test_a_page_that_is_stopped_does_not_wait_for_its_turn(monkeypatch, tmp_path, add):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo"))
    monkeypatch.setattr("tl_core.fair_turns.LOOK_SECONDS", 0.0)
    monkeypatch.setattr(decode_turns, "_turns", turns := FairTurns())
    held = [turns.line_up(Asker(name)) for name in ("x", "y")]
    stops = iter([False] * 50)
    late = threading.Timer(30, lambda: [turns.give_back(turn) for turn in held])
    late.start()  # so that this fails, and does not wait without an end
    with pytest.raises(Stopped):
        add(small_files(4), mine.datasets_dir / "pets", Monitor(None, lambda: next(stops, True)))
    late.cancel()
    assert not (mine.datasets_dir / "pets").exists()
    for turn in held:
        turns.give_back(turn)
    add(small_files(4), mine.datasets_dir / "pets")
    assert len(stored(mine.datasets_dir / "pets")) == 4


ROWS = "file,label\n" + "".join(f"{number}.png,{'ab'[number % 2]}\n" for number in range(9))
JSON_ROWS = json.dumps([{"file": f"{number}.png", "label": "a"} for number in range(11)])
FAR = "This demo allows 10 rows in the label files of a project; this would be"


def photos(count=4):
    return {f"{number}.png": png(number, number) for number in range(count)}


def store_files(files, out_dir):
    return store_uploads(list(files.items()), out_dir)


def extract_files(files, out_dir):
    return extract_archives([ArchiveSource(packed(files))], out_dir)


ADDING = pytest.mark.parametrize("add", [store_files, extract_files])


@ADDING
@pytest.mark.parametrize(
    ("files", "received"),
    [
        ({"labels.csv": ROWS + "9.png,a\n"}, 11),
        ({"labels.csv": ROWS + "9.png,a\n" * 2000}, 2010),
        ({"train.csv": ROWS, "val.csv": "file,label\n3.png,a\n"}, 12),
        ({"labels.json": JSON_ROWS}, 11),
        ({"a.json": "[{},{},{},{},{},{}]", "b.json": "[{},{},{},{},{}]"}, 11),
        ({"labels.json": "[" + "1," * 1251 + "1]"}, 11),  # 2,505 bytes in a line
        ({"train.txt": "0.png\n" * 12}, 12),
        ({"0.txt": "0 1 1 1 1\n" * 12}, 12),
    ],
    ids=["csv", "long", "two", "json", "two of json", "list", "split", "boxes"],
)
def test_label_files_of_too_many_rows_are_refused_as_they_are_added(
    monkeypatch, tmp_path, add, files, received
):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", label_rows=10))
    files = {name: text.encode() for name, text in files.items()}
    with pytest.raises(LimitError) as told:
        add({**photos(), **files}, mine.datasets_dir / "pets")
    advice = f"Keep only the rows about your photos in '{list(files)[-1]}'."
    assert str(told.value) == f"{FAR} {received:,}. {advice}"
    assert not (mine.datasets_dir / "pets").exists()


@ADDING
def test_label_files_of_as_many_rows_as_may_be_are_taken(monkeypatch, tmp_path, add):
    mine = new_visitor(start_demo(monkeypatch, tmp_path / "demo", label_rows=10))
    out_dir = mine.datasets_dir / "pets"
    add({**photos(), "labels.csv": ROWS.encode()}, out_dir)
    assert scan_dataset(out_dir).class_counts() == {"a": 2, "b": 2}


@ADDING
def test_a_studio_takes_label_files_of_any_length(tmp_path, add):
    add({**photos(), "labels.csv": (ROWS + "9.png,a\n" * 30_000).encode()}, tmp_path / "pets")
    assert (tmp_path / "pets" / "labels.csv").stat().st_size > 200_000

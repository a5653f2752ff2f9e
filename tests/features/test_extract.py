"""Features: what is computed, what is found again, and what a changed file or a stop does."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tl_core.config.training import AUGMENT_PRESETS, AugmentConfig, TrainConfig
from tl_core.data.augmentation.augment import augment_view
from tl_core.data.dataset import DatasetIndex, scan_dataset
from tl_core.data.images.decode_turns import current_asker, working_for
from tl_core.data.images.images import load_image
from tl_core.errors import ConfigError, DatasetError, Stopped
from tl_core.fair_turns import Asker
from tl_core.features import extract, table
from tl_core.features.cache import FeatureCache, open_feature_cache
from tl_core.features.engine import Engine, prepare_engine
from tl_core.features.extract import FeatureSpec, extract_features, extract_images, image_batches
from tl_core.progress import Monitor, Progress

PROJECT_DIR = Path(__file__).resolve().parents[2]
PHOTO = AUGMENT_PRESETS["photo"]
SPEC = FeatureSpec("tiny", (32, 32), augment=PHOTO, seed=3)


@pytest.fixture(scope="module")
def engine_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_engine("tiny", (32, 32), "avg", tmp_path_factory.mktemp("cache"))


@pytest.fixture
def cache_dir(tmp_path: Path, engine_path: Path) -> Path:
    folder = tmp_path / "cache"
    (folder / "engines").mkdir(parents=True)
    shutil.copy(engine_path, folder / "engines" / engine_path.name)
    return folder


@pytest.fixture
def index(make_dataset) -> DatasetIndex:
    return scan_dataset(make_dataset({"one": 6, "two": 5}))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many images each call of an engine computes."""
    counts: list[int] = []
    run = Engine.run

    def run_and_note(self: Engine, images: np.ndarray) -> np.ndarray:
        counts.append(len(images))
        return run(self, images)

    monkeypatch.setattr(Engine, "run", run_and_note)
    return counts


def test_features_are_the_engines_on_the_pixels_of_each_view(
    index: DatasetIndex, cache_dir: Path, engine_path: Path
) -> None:
    order = [7, 0, 3]
    found = extract_features(index, order, SPEC, views=3, cache_dir=cache_dir)
    assert found.shape == (3, 3, 32)
    assert found.dtype == np.float32
    engine = Engine.open(engine_path)
    for row, number in enumerate(order):
        record = index.records[number]
        image = load_image(index.path_of(record), (32, 32))
        for view in range(3):
            pixels = augment_view(image, PHOTO, record.sha256, view, 3)
            np.testing.assert_array_equal(found[view, row], engine.run(pixels[None])[0])


def test_what_was_computed_is_not_computed_again(
    index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    first = extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir)
    assert sum(computed) == 22
    computed.clear()
    again = extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir)
    assert computed == []
    np.testing.assert_array_equal(again, first)


def test_only_the_missing_views_are_computed(
    index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    plain = extract_features(index, range(11), SPEC, views=1, cache_dir=cache_dir)
    computed.clear()
    more = extract_features(index, range(11), SPEC, views=3, cache_dir=cache_dir)
    assert sum(computed) == 22
    np.testing.assert_array_equal(more[0], plain[0])


def test_ten_images_more_compute_ten_images(
    make_dataset, index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    extract_features(index, range(11), SPEC, cache_dir=cache_dir)
    computed.clear()
    make_dataset({"one": 0, "two": 0, "three": 10}, root=index.data_dir)
    grown = scan_dataset(index.data_dir)
    found = extract_features(grown, range(21), SPEC, cache_dir=cache_dir)
    assert found.shape == (1, 21, 32)
    assert sum(computed) == 10


def test_another_seed_or_augmentation_computes_the_augmented_views_only(
    index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir)
    for changed in (
        FeatureSpec("tiny", (32, 32), augment=PHOTO, seed=4),
        FeatureSpec("tiny", (32, 32), augment=AugmentConfig(vertical_flip=True), seed=3),
    ):
        computed.clear()
        extract_features(index, range(11), changed, views=2, cache_dir=cache_dir)
        assert sum(computed) == 11


def test_equal_files_are_computed_once(
    index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    source = index.path_of(index.records[0])
    shutil.copy(source, source.with_name("copy.png"))
    index = scan_dataset(index.data_dir)
    found = extract_features(index, range(12), SPEC, cache_dir=cache_dir)[0]
    assert sum(computed) == 11
    twins = [row for row in range(12) if index.records[row].sha256 == index.records[0].sha256]
    assert len(twins) == 2
    np.testing.assert_array_equal(found[twins[0]], found[twins[1]])


def test_without_augmentation_there_is_one_view(index: DatasetIndex, cache_dir: Path) -> None:
    spec = FeatureSpec("tiny", (32, 32))
    assert extract_features(index, [0, 1], spec, views=5, cache_dir=cache_dir).shape == (1, 2, 32)


def test_no_images_give_no_rows(index: DatasetIndex, cache_dir: Path) -> None:
    assert extract_features(index, [], SPEC, views=2, cache_dir=cache_dir).shape[:2] == (2, 0)


def test_any_number_of_workers_gives_the_same(index: DatasetIndex, cache_dir: Path) -> None:
    one = extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir, num_workers=1)
    (cache_dir / "features.sqlite").unlink()
    three = extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir, num_workers=3)
    np.testing.assert_array_equal(one, three)


def test_progress_counts_what_has_to_be_computed(index: DatasetIndex, cache_dir: Path) -> None:
    extract_features(index, range(4), SPEC, cache_dir=cache_dir)
    reports: list[Progress] = []
    threads: set[threading.Thread] = set()

    def note(report: Progress) -> None:
        reports.append(report)
        threads.add(threading.current_thread())

    extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir, on_progress=note)
    last = reports[-1]
    assert (last.stage, last.done, last.total) == ("features", 18, 18)
    assert last.rate > 0
    assert last.seconds_left == 0
    assert threads == {threading.current_thread()}


def test_a_stop_keeps_what_was_computed(
    index: DatasetIndex, cache_dir: Path, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = threading.Event()

    def view(image: np.ndarray, *_: object) -> np.ndarray:
        if len(computed) > 40:
            stopped.wait(300)  # however long it takes until the stop is heard
        return image

    asked: list[bool] = []

    def should_stop() -> bool:
        asked.append(len(computed) > 40)
        if sum(asked) > 5:  # a result is taken between two questions
            stopped.set()
        return stopped.is_set()

    monkeypatch.setattr(extract, "augment_view", view)
    with pytest.raises(Stopped):
        extract_features(
            index,
            range(11),
            SPEC,
            views=9,
            cache_dir=cache_dir,
            should_stop=should_stop,
        )
    with open_feature_cache(cache_dir) as cache:
        assert 20 <= cache.num_rows < 99


def test_a_kill_costs_no_more_than_the_last_seconds(
    index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from tl_core.config.training import AUGMENT_PRESETS\n"
        "from tl_core.data.dataset import scan_dataset\n"
        "from tl_core.features import extract\n"
        "extract.augment_view = lambda image, *_: time.sleep(0.01) or image\n"
        "spec = extract.FeatureSpec('tiny', (32, 32), augment=AUGMENT_PRESETS['photo'], seed=3)\n"
        "index, cache_dir = scan_dataset(sys.argv[1]), Path(sys.argv[2])\n"
        "extract.extract_features(index, range(11), spec, views=50, cache_dir=cache_dir)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(index.data_dir), str(cache_dir)], cwd=PROJECT_DIR
    )
    with open_feature_cache(cache_dir) as cache:
        while cache.num_rows < 100 and process.poll() is None:
            time.sleep(0.02)
        process.kill()
        process.wait()
        num_kept = cache.num_rows
    assert 100 <= num_kept < 550
    extract_features(index, range(11), SPEC, views=50, cache_dir=cache_dir)
    assert sum(computed) == 550 - num_kept


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


@pytest.mark.parametrize(
    ("change", "words"), [(_delete, "cannot be read"), (_replace, "has changed")]
)
def test_a_file_that_is_not_what_was_scanned_is_named(
    index: DatasetIndex, cache_dir: Path, change: Callable[[Path], None], words: str
) -> None:
    change(index.path_of(index.records[2]))
    with pytest.raises(DatasetError, match=words) as caught:
        extract_features(index, range(11), SPEC, cache_dir=cache_dir)
    assert index.records[2].path in str(caught.value)
    assert "Scan the folder again" in str(caught.value)


def test_features_too_many_for_memory_are_refused_with_a_way_out(
    index: DatasetIndex, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "available_bytes", lambda: 1000)
    with pytest.raises(ConfigError, match="Choose pooling 'avg'"):
        extract_features(index, range(11), SPEC, cache_dir=cache_dir)


def test_long_rows_are_read_a_few_at_once(
    index: DatasetIndex, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = extract_features(index, range(11), SPEC, cache_dir=cache_dir)
    monkeypatch.setattr(table, "_FIRST_READ", 2)
    monkeypatch.setattr(table, "_BYTES_A_READ", 4 * features.shape[2] * 4)
    sizes = []
    get_many = FeatureCache.get_many

    def read(cache: FeatureCache, space: str, keys: list[str]) -> dict[str, np.ndarray]:
        sizes.append(len(keys))
        return get_many(cache, space, keys)

    monkeypatch.setattr(FeatureCache, "get_many", read)
    again = extract_features(index, range(11), SPEC, cache_dir=cache_dir)
    assert sum(sizes) == len({record.sha256 for record in index.records[:11]})
    assert sizes[:2] == [2, 4]
    np.testing.assert_array_equal(again, features)


def test_a_damaged_cache_costs_the_time_to_compute_again(
    index: DatasetIndex, cache_dir: Path, computed: list[int]
) -> None:
    first = extract_features(index, range(11), SPEC, cache_dir=cache_dir)
    (cache_dir / "features.sqlite").write_bytes(b"nonsense" * 1000)
    computed.clear()
    again = extract_features(index, range(11), SPEC, cache_dir=cache_dir)
    assert sum(computed) == 11
    np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, (True, True)),
        ({"seed": 8}, (True, False)),
        ({"augment": AUGMENT_PRESETS["tutorial"]}, (True, False)),
        ({"resize": "crop"}, (False, False)),
        ({"pooling": "max"}, (False, False)),
        ({"image_size": (48, 32)}, (False, False)),
        ({"backbone": "EfficientNetLite0"}, (False, False)),
        ({"learning_rate": 0.1, "fc_layers": (8,), "epochs": 3, "views": 9}, (True, True)),
    ],
    ids=lambda value: "-".join(value) or "same" if isinstance(value, dict) else "",
)
def test_a_space_is_named_by_all_that_decides_a_feature_and_nothing_else(
    changes: dict, is_same: tuple[bool, bool]
) -> None:
    config = TrainConfig(backbone="tiny", augment=PHOTO, image_size=(32, 32), seed=7)
    spec = FeatureSpec.from_config(config)
    other = FeatureSpec.from_config(config.updated(**changes))
    assert tuple(spec.space(view) == other.space(view) for view in (0, 1)) == is_same
    assert spec.space(1) != spec.space(2)


def test_spaces_are_named_alike_in_every_process() -> None:
    script = (
        "from tl_core.config.training import AUGMENT_PRESETS\n"
        "from tl_core.features.extract import FeatureSpec\n"
        "spec = FeatureSpec('tiny', (32, 32), augment=AUGMENT_PRESETS['photo'], seed=3)\n"
        "print(spec.space(0), spec.space(1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_DIR, capture_output=True, text=True
    )
    assert done.stdout.split() == [SPEC.space(0), SPEC.space(1)], done.stderr


def test_loose_images_have_the_features_they_have_in_a_dataset(
    index: DatasetIndex, cache_dir: Path
) -> None:
    expected = extract_features(index, [0, 7], SPEC, cache_dir=cache_dir)[0]
    path = index.path_of(index.records[0])
    upload = index.path_of(index.records[7]).read_bytes()
    with path.open("rb") as file:
        found, errors = extract_images([path, b"no image", upload, file], SPEC, cache_dir)
    np.testing.assert_array_equal(found[[0, 2, 3]], expected[[0, 1, 0]])
    np.testing.assert_array_equal(found[1], np.zeros(32))
    assert [error is None for error in errors] == [True, False, True, True]
    with open_feature_cache(cache_dir) as cache:
        assert cache.num_rows == 2


def test_no_loose_images_give_no_rows(cache_dir: Path) -> None:
    found, errors = extract_images([], SPEC, cache_dir)
    assert found.shape == (0, 32)
    assert errors == ()


def test_loose_images_can_be_stopped_and_tell_their_progress(
    index: DatasetIndex, cache_dir: Path
) -> None:
    paths = [index.path_of(record) for record in index.records]
    reports: list[Progress] = []
    extract_images(paths, SPEC, cache_dir, monitor=Monitor(reports.append))
    assert (reports[-1].done, reports[-1].total) == (11, 11)
    with pytest.raises(Stopped):
        extract_images(paths * 200, SPEC, cache_dir, monitor=Monitor(None, lambda: True))


def test_visitors_take_turns_at_images_that_are_classified(
    index: DatasetIndex, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with many pages has one turn; a stop is heard while waiting for it."""
    images = [index.path_of(record) for record in index.records] * 4
    (alone,) = image_batches(images, SPEC, cache_dir)
    active: dict[str, int] = {"a": 0, "b": 0}
    seen: list[tuple[str, int, int]] = []
    lock, compute = threading.Lock(), extract._images_features

    def note(part: Sequence[Path], *rest: Any) -> Any:
        asker = current_asker()
        assert asker is not None
        with lock:
            active[asker.visitor] += 1
            seen.append((asker.visitor, active[asker.visitor], len(part)))
        try:
            return compute(part, *rest)
        finally:
            with lock:
                active[asker.visitor] -= 1

    monkeypatch.setattr(extract, "_images_features", note)
    found: list[np.ndarray] = []

    def classify(visitor: str) -> None:
        with working_for(Asker(visitor)):
            parts = [part.features for part in image_batches(images, SPEC, cache_dir)]
        found.append(np.concatenate(parts))

    threads = [threading.Thread(target=classify, args=(name,)) for name in "aaab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(size for _, _, size in seen) == {16: 8, 12: 4}
    assert {at_once for _, at_once, _ in seen} == {1}
    for one in found:
        np.testing.assert_allclose(one, alone.features, atol=1e-6)
    with extract._turns.turn(Asker("a")), working_for(Asker("a")), pytest.raises(Stopped):
        next(image_batches(images, SPEC, cache_dir, monitor=Monitor(None, lambda: True)))


def test_a_gpu_is_used_by_the_same_pipeline(
    index: DatasetIndex, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir)
    (cache_dir / "features.sqlite").unlink()
    monkeypatch.setenv("TL_DEVICE", "gpu")
    monkeypatch.setattr(extract, "open_engines", None)
    found = extract_features(index, range(11), SPEC, views=2, cache_dir=cache_dir)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_importing_the_features_loads_no_tensorflow() -> None:
    script = "import sys, tl_core.features.extract; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_DIR, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False", done.stderr

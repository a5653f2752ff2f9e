import io
import json
import subprocess
import sys

import numpy as np
import pytest
from made_run import CONFIG, make_run
from PIL import Image

from tl_core.data.dataset import scan_dataset
from tl_core.errors import DatasetError, RunError, Stopped
from tl_core.features import extract
from tl_core.features.extract import FeatureSpec, extract_features
from tl_core.head.model import head_forward, load_weights
from tl_core.inference.image_files import find_images
from tl_core.inference.predict import load_predictor
from tl_core.runs.store import create_run_at

CLASS_NAMES = ("cat", "dog", "fox")


@pytest.fixture
def data_dir(make_dataset):
    return make_dataset(dict.fromkeys(CLASS_NAMES, 6))


@pytest.fixture
def run(data_dir, cache_dir, tmp_path):
    return make_run(tmp_path / "runs" / "made", data_dir, cache_dir)


@pytest.fixture
def predictor(run, cache_dir):
    return load_predictor(run.run_dir, cache_dir)


def probabilities_of(predictions):
    return [prediction.probabilities.tolist() for prediction in predictions]


def test_each_image_gets_the_class_it_looks_like(predictor, data_dir):
    paths = [data_dir / name / "3.png" for name in CLASS_NAMES]
    predictions = predictor.predict(paths)
    assert [prediction.top[0][0] for prediction in predictions] == list(CLASS_NAMES)
    assert [prediction.name for prediction in predictions] == [str(path) for path in paths]


def test_top_is_sorted_and_holds_the_probabilities_of_its_classes(predictor, data_dir):
    (prediction,) = predictor.predict([data_dir / "dog" / "1.png"])
    named = dict(zip(CLASS_NAMES, prediction.probabilities.tolist(), strict=True))
    assert dict(prediction.top) == named
    assert list(named.values()) != sorted(named.values(), reverse=True)
    shown = [probability for _, probability in prediction.top]
    assert shown == sorted(shown, reverse=True)
    assert sum(shown) == pytest.approx(1)


@pytest.mark.parametrize(("top_k", "expected"), [(1, 1), (2, 2), (99, 3)])
def test_top_is_as_long_as_asked_for_and_no_longer_than_there_are_classes(
    predictor, data_dir, top_k, expected
):
    (prediction,) = predictor.predict([data_dir / "dog" / "1.png"], top_k)
    assert len(prediction.top) == expected
    assert len(prediction.probabilities) == 3


def test_a_file_predicts_like_its_upload(predictor, data_dir):
    path = data_dir / "fox" / "2.png"
    data = path.read_bytes()
    predictions = predictor.predict([path, str(path), data, io.BytesIO(data)])
    first, *others = probabilities_of(predictions)
    assert others == [first] * 3
    assert [one.name for one in predictions[2:]] == ["image 3", "image 4"]


def test_names_can_be_given(predictor, data_dir):
    data = (data_dir / "fox" / "2.png").read_bytes()
    assert predictor.predict([data], names=["upload.png"])[0].name == "upload.png"


def test_a_rotated_photo_predicts_like_its_upright_copy(predictor, data_dir, tmp_path):
    upright = Image.open(data_dir / "cat" / "0.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a turn by 90 degrees clockwise
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "noted.png", exif=exif)
    lying.save(tmp_path / "unnoted.png")
    names = ["noted.png", "unnoted.png"]
    one, noted, unnoted = probabilities_of(
        predictor.predict([data_dir / "cat" / "0.png", *(tmp_path / name for name in names)])
    )
    assert noted == one
    assert unnoted != one


def test_an_unreadable_image_has_its_reason_and_spoils_nothing(predictor, data_dir, tmp_path):
    good = [data_dir / "cat" / "0.png", data_dir / "dog" / "0.png"]
    broken = tmp_path / "broken.png"
    broken.write_bytes(good[0].read_bytes()[:200])
    together = predictor.predict([good[0], broken, tmp_path / "missing.png", b"no image", good[1]])
    alone = [predictor.predict([path])[0] for path in good]
    np.testing.assert_allclose(
        probabilities_of([together[0], together[4]]), probabilities_of(alone), rtol=1e-5
    )
    for failed, word in zip(together[1:4], ["truncated", "No such file", "text file"], strict=True):
        assert word in failed.error
        assert failed.top == ()
        assert failed.probabilities is None


def test_predictions_as_json_have_top_or_error(predictor, data_dir):
    good, bad = predictor.predict([data_dir / "cat" / "0.png", b"no image"], 1)
    values = json.loads(json.dumps([good.to_dict(), bad.to_dict()]))
    assert values == [
        {
            "path": good.name,
            "top": [["cat", good.top[0][1]]],
            "none_of_these": False,
            "reasons": [],
        },
        {"path": "image 2", "error": bad.error},
    ]


def test_no_images_give_no_predictions(predictor):
    assert predictor.predict([]) == []


def test_pixels_are_those_of_training_whatever_the_settings(data_dir, cache_dir, tmp_path):
    config = CONFIG.updated(image_size=(40, 64), resize="pad", pooling="max")
    run = make_run(tmp_path / "runs" / "padded", data_dir, cache_dir, config)
    index = scan_dataset(data_dir)
    trained_on = extract_features(
        index, range(index.num_images), FeatureSpec.from_config(config), cache_dir=cache_dir
    )[0]
    expected = head_forward(load_weights(run.run_dir / "weights.safetensors"), trained_on)
    paths = [index.path_of(record) for record in index.records]
    predicted = load_predictor(run.run_dir, cache_dir).predict(paths)
    np.testing.assert_array_equal(probabilities_of(predicted), expected)


def test_augmentation_of_the_training_is_not_applied(data_dir, cache_dir, tmp_path, predictor):
    config = CONFIG.updated(augment="photo", views=3)
    augmented = make_run(tmp_path / "runs" / "augmented", data_dir, cache_dir, config)
    path = data_dir / "dog" / "4.png"
    predictions = load_predictor(augmented.run_dir, cache_dir).predict([path])
    assert probabilities_of(predictions) == probabilities_of(predictor.predict([path]))


def test_predicting_never_loads_tensorflow(run, data_dir, tmp_path):
    """With an empty cache too, so that the backbone is converted in another process."""
    code = f"""
import sys
from tl_core.inference.predict import load_predictor
predictions = load_predictor({str(run.run_dir)!r}, {str(tmp_path / "empty")!r}).predict(
    [{str(data_dir / "fox" / "1.png")!r}]
)
print(predictions[0].top[0][0], sorted({{"tensorflow", "keras", "streamlit"}} & set(sys.modules)))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.strip() == "fox []", finished.stderr


def test_a_run_without_weights_says_so(data_dir, cache_dir, tmp_path):
    waiting = create_run_at(tmp_path / "waiting", CONFIG, data_dir)
    with pytest.raises(RunError, match="'waiting' is queued and has no weights yet"):
        load_predictor(waiting.run_dir, cache_dir)


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(RunError, match="'nowhere' does not exist"):
        load_predictor(tmp_path / "nowhere")


def test_weights_for_other_classes_are_refused(run, cache_dir):
    (run.run_dir / "classes.json").write_text('["cat", "dog"]')
    with pytest.raises(RunError, match="has 2 classes, but its weights are for 3"):
        load_predictor(run.run_dir, cache_dir)


def test_progress_counts_every_image(predictor, data_dir):
    seen = []
    images = [data_dir / "cat" / "0.png", b"no image", data_dir / "dog" / "0.png"]
    predictor.predict(images, on_progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (3, 3)


@pytest.mark.parametrize(
    ("least", "num_bytes", "expected"),
    [(1, 4 * 32 * 5, [5, 5, 5, 4]), (1, 1, [1] * 19), (16, 1, [16, 3]), (1, 10**9, [19])],
)
def test_few_features_are_in_memory_at_once(
    predictor, data_dir, monkeypatch, least, num_bytes, expected
):
    """A photo of a few bytes can have half a megabyte of features; tiny has 32 numbers of one."""
    images = [data_dir / name / f"{n}.png" for n in range(6) for name in CLASS_NAMES]
    images.insert(7, b"no image")
    together = predictor.predict(images)
    monkeypatch.setattr(extract, "_LEAST_BATCH", least)
    monkeypatch.setattr(extract, "_BATCH_BYTES", num_bytes)
    sizes, answer = [], type(predictor).answer

    def note(self, features, top_k):
        sizes.append(len(features))
        return answer(self, features, top_k)

    monkeypatch.setattr(type(predictor), "answer", note)
    seen = []
    predictions = predictor.predict(images, on_progress=seen.append)
    assert sizes == expected
    assert [one.name for one in predictions] == [one.name for one in together]
    assert [one.error for one in predictions] == [one.error for one in together]
    for one, other in zip(predictions, together, strict=True):
        if one.error is None:
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-6)
            assert [name for name, _ in one.top] == [name for name, _ in other.top]
    assert [one.is_through for one in seen].count(True) == 1
    assert (seen[-1].done, seen[-1].total) == (19, 19)


def test_a_stop_is_obeyed(predictor, data_dir):
    with pytest.raises(Stopped):
        predictor.predict([data_dir / "cat" / "0.png"] * 2000, should_stop=lambda: True)


def test_folders_give_their_images_in_natural_order_without_debris(tmp_path):
    for name in ("10.jpg", "9.JPG", "deep/1.heic", ".hidden.png", "__MACOSX/1.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images([tmp_path / "notes.txt", tmp_path])
    shown = [path.relative_to(tmp_path).as_posix() for path in found]
    assert shown == ["notes.txt", "9.JPG", "10.jpg", "deep/1.heic"]


def test_a_path_without_images_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"gone\.jpg', found nothing"):
        find_images([tmp_path / "gone.jpg"])
    with pytest.raises(DatasetError, match="Expected images in the folder"):
        find_images([tmp_path])

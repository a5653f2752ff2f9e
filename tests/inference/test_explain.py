import io
import subprocess
import sys

import numpy as np
import pytest
from made_run import CONFIG
from PIL import Image

from tl_core.errors import ConfigError, ImageError
from tl_core.features.extract import extract_images
from tl_core.features.spec import FeatureSpec
from tl_core.files import write_json
from tl_core.head.model import load_weights, save_weights
from tl_core.inference.explain import (
    METHODS,
    Explanation,
    explain,
    overlay,
    save_picture,
    spread_heat,
)
from tl_core.inference.predict import load_predictor
from tl_core.runs.files import CLASSES_FILE, WEIGHTS_FILE, end_run
from tl_core.runs.store import create_run_at

SIZE = (128, 96)  # (width, height)
PATCH = 32
CLASS_NAMES = ("plain", "red")


def draw(seed, patch=None, size=SIZE):
    """Return a grey noisy picture, with a red patch whose upper left corner is at (x, y)."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(100, 140, (size[1], size[0], 1)).repeat(3, axis=2).astype(np.uint8)
    if patch is not None:
        pixels[patch[1] : patch[1] + PATCH, patch[0] : patch[0] + PATCH] = (230, 20, 30)
    return Image.fromarray(pixels)


def png(picture, **options):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def make_run(run_dir, cache_dir, pooling="avg", resize="squash"):
    """Return a run that tells pictures with a red patch from those without, by least squares."""
    config = CONFIG.updated(pooling=pooling, resize=resize, image_size=SIZE[::-1])
    rng = np.random.default_rng(0)
    places = [
        (int(rng.integers(0, SIZE[0] - PATCH)), int(rng.integers(0, SIZE[1] - PATCH)))
        for _ in range(40)
    ]
    pictures = [png(draw(100 + n)) for n in range(40)]
    pictures += [png(draw(200 + n, place)) for n, place in enumerate(places)]
    features, _ = extract_images(pictures, FeatureSpec.from_config(config), cache_dir)
    targets = np.repeat([-3.0, 3.0], 40)
    centre = features.mean(axis=0)
    gram = (features - centre).T @ (features - centre) + 0.1 * np.eye(features.shape[1])
    slope = np.linalg.solve(gram, (features - centre).T @ targets)
    offset = -centre @ slope
    run = create_run_at(run_dir, config, run_dir.parent)
    write_json(run_dir / CLASSES_FILE, list(CLASS_NAMES))
    weights = {
        "predictions/kernel": np.stack([-slope, slope], axis=1).astype(np.float32),
        "predictions/bias": np.array([-offset, offset], np.float32),
    }
    save_weights(run_dir / WEIGHTS_FILE, weights)
    end_run(run_dir, "finished")
    return run


@pytest.fixture
def run(cache_dir, tmp_path):
    return make_run(tmp_path / "runs" / "made", cache_dir)


def share_inside(heat, patch, margin=12):
    """Return how much of the heat lies in the patch and a little around it."""
    left, top = max(0, patch[0] - margin), max(0, patch[1] - margin)
    box = heat[top : patch[1] + PATCH + margin, left : patch[0] + PATCH + margin]
    return box.sum() / heat.sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("patch", [(4, 4), (88, 56), (48, 30)], ids=["corner", "other", "middle"])
def test_a_planted_patch_that_decides_the_class_is_found(run, cache_dir, patch, method):
    explanation = explain(run.run_dir, png(draw(1, patch)), "red", method, cache_dir=cache_dir)
    assert explanation.class_name == "red"
    assert explanation.heat.shape == (SIZE[1], SIZE[0])
    row, column = np.unravel_index(explanation.heat.argmax(), explanation.heat.shape)
    assert patch[0] <= column <= patch[0] + PATCH
    assert patch[1] <= row <= patch[1] + PATCH
    assert share_inside(explanation.heat, patch) > 0.7


def test_the_patch_is_found_on_a_flattened_map(cache_dir, tmp_path):
    run = make_run(tmp_path / "runs" / "flat", cache_dir, pooling="flatten")
    patch = (80, 10)
    heat = explain(run.run_dir, png(draw(2, patch)), "red", cache_dir=cache_dir).heat
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert patch[0] - 8 <= column <= patch[0] + PATCH + 8
    assert patch[1] - 8 <= row <= patch[1] + PATCH + 8


@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_the_patch_is_found_however_the_photo_is_resized(cache_dir, tmp_path, resize):
    run = make_run(tmp_path / "runs" / resize, cache_dir, resize=resize)
    patch, tall = (70, 90), (128, 192)
    heat = explain(run.run_dir, png(draw(3, patch, tall)), "red", cache_dir=cache_dir).heat
    assert heat.shape == (tall[1], tall[0])
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert patch[0] <= column <= patch[0] + PATCH
    assert patch[1] <= row <= patch[1] + PATCH
    if resize == "crop":
        assert not heat[:48].any()  # the network does not see what is above and below
        assert not heat[-48:].any()


def test_the_map_moves_when_the_heads_weights_are_randomised(run, cache_dir):
    """The model-parameter randomisation test of Adebayo et al. (2018)."""
    picture = png(draw(4, (20, 40)))
    before = explain(run.run_dir, picture, "red", cache_dir=cache_dir).heat
    weights = load_weights(run.run_dir / WEIGHTS_FILE)
    correlations = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        random = {
            name: rng.permutation(array.reshape(-1)).reshape(array.shape)
            for name, array in weights.items()
        }
        save_weights(run.run_dir / WEIGHTS_FILE, random)
        after = explain(run.run_dir, picture, "red", cache_dir=cache_dir).heat
        correlations.append(np.corrcoef(before.ravel(), after.ravel())[0, 1] if after.any() else 0)
    assert np.mean(correlations) < 0.6


def test_the_map_differs_by_class_and_the_answer_is_explained_by_default(run, cache_dir):
    picture = png(draw(5, (20, 40)))
    red = explain(run.run_dir, picture, cache_dir=cache_dir)
    plain = explain(run.run_dir, picture, "plain", cache_dir=cache_dir)
    assert red.class_name == "red"
    assert red.probability + plain.probability == pytest.approx(1, abs=1e-6)
    assert plain.heat[40 : 40 + PATCH, 20 : 20 + PATCH].max() < 0.1 < red.heat.max()


def test_a_rotated_photo_gives_the_map_of_its_upright_copy(run, cache_dir):
    upright = draw(6, (8, 50))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a turn by 90 degrees clockwise
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    of_upright = explain(run.run_dir, png(upright), cache_dir=cache_dir)
    of_lying = explain(run.run_dir, png(lying, exif=exif), cache_dir=cache_dir)
    np.testing.assert_array_equal(of_lying.heat, of_upright.heat)
    assert of_lying.picture.size == SIZE
    unnoted = explain(run.run_dir, png(lying), cache_dir=cache_dir)
    assert unnoted.heat.shape == (SIZE[0], SIZE[1])


def test_the_probability_is_the_one_that_predicting_shows(run, cache_dir):
    picture = png(draw(7, (60, 20)))
    (told,) = load_predictor(run.run_dir, cache_dir).predict([picture])
    explanation = explain(run.run_dir, picture, cache_dir=cache_dir)
    assert explanation.class_name == told.top[0][0]
    assert explanation.probability == pytest.approx(told.top[0][1], abs=1e-5)


def test_files_paths_and_bytes_are_explained_alike(run, cache_dir, tmp_path):
    data = png(draw(8, (60, 20)))
    (tmp_path / "photo.png").write_bytes(data)
    sources = [data, tmp_path / "photo.png", io.BytesIO(data)]
    heats = [explain(run.run_dir, source, cache_dir=cache_dir).heat for source in sources]
    np.testing.assert_array_equal(heats[1], heats[0])
    np.testing.assert_array_equal(heats[2], heats[0])


def test_mistakes_are_told(run, cache_dir):
    picture = png(draw(9))
    with pytest.raises(ConfigError, match=r"out of plain, red, received 'rad'. Did you mean 'red'"):
        explain(run.run_dir, picture, "rad", cache_dir=cache_dir)
    with pytest.raises(ConfigError, match="received 'saliency'"):
        explain(run.run_dir, picture, method="saliency", cache_dir=cache_dir)
    with pytest.raises(ImageError):
        explain(run.run_dir, b"no image", cache_dir=cache_dir)


def made_explanation():
    heat = np.zeros((4, 6), np.float32)
    heat[:, 3:] = 1
    return Explanation(heat, Image.new("RGB", (6, 4), (10, 200, 10)), "red", 0.9, None, "grad_cam")


def test_the_overlay_leaves_cold_places_and_colours_hot_ones():
    laid = np.asarray(overlay(made_explanation(), opacity=0.5))
    assert laid[0, 0].tolist() == [10, 200, 10]
    assert laid[0, 5].tolist() == [131, 228, 87]  # half the photo, half the palest yellow
    assert (np.asarray(overlay(made_explanation(), 0)) == (10, 200, 10)).all()
    with pytest.raises(ConfigError, match=r"received 1.5"):
        overlay(made_explanation(), 1.5)


def test_hotter_is_lighter_so_that_no_colour_need_be_told_apart():
    heat = np.linspace(0, 1, 50, dtype=np.float32)[None]
    ramp = Explanation(heat, Image.new("RGB", (50, 1)), "red", 0.9, None, "grad_cam")
    light = np.asarray(overlay(ramp, 1).convert("L"), np.int64)[0]
    assert (np.diff(light) >= 0).all()
    assert light[-1] > 240


def test_heat_is_laid_back_where_the_network_saw_it():
    activation = np.zeros((2, 2), np.float32)
    activation[0, 0] = 4
    squashed = spread_heat(activation, (32, 32), "squash", (40, 20))
    assert squashed.shape == (20, 40)
    assert squashed.max() == 1
    assert squashed[0, 0] == 1
    assert squashed[-1, -1] == 0
    cropped = spread_heat(activation, (32, 32), "crop", (40, 20))
    assert not cropped[:, :10].any()
    assert cropped[0, 10] == 1
    padded = spread_heat(activation, (32, 32), "pad", (40, 20))  # bands above and below
    np.testing.assert_allclose(padded[0], padded[0].max() * squashed[0], atol=1e-5)
    assert not spread_heat(np.zeros((2, 2), np.float32), (32, 32), "pad", (40, 20)).any()


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 90), (90, 1), (1, 1)])
def test_heat_is_laid_back_over_a_photo_one_pixel_wide_or_high(resize, size):
    for image_size in ((32, 32), (24, 64), (64, 24)):
        heat = spread_heat(np.ones((2, 2), np.float32), image_size, resize, size)
        assert heat.shape == (size[1], size[0])
        assert heat.max() == 1


def test_pictures_are_saved_by_their_name(tmp_path):
    picture = Image.new("RGB", (8, 8), "red")
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG")):
        save_picture(picture, tmp_path / name)
        assert Image.open(tmp_path / name).format == kind
    with pytest.raises(ConfigError, match=r"ending in .png or .jpg"):
        save_picture(picture, tmp_path / "c.tiff")


def test_explaining_loads_no_tensorflow(run, cache_dir, tmp_path):
    (tmp_path / "photo.png").write_bytes(png(draw(10, (20, 20))))
    code = (
        "import sys; from tl_core.inference.explain import explain; "
        f"explain({str(run.run_dir)!r}, {str(tmp_path / 'photo.png')!r}, "
        f"cache_dir={str(cache_dir)!r}); "
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout.strip() == "set()", finished.stderr

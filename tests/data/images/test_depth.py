"""16-bit pictures by one scale for a whole set, and JPEGs beyond 40 megapixels."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_image
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tl_core.config.training import TrainConfig
from tl_core.data.audit.audit import audit_dataset
from tl_core.data.dataset import scan_dataset
from tl_core.data.images.decode import PixelScale
from tl_core.data.images.images import inspect_image, load_image, open_image
from tl_core.errors import ImageError
from tl_core.export import predict_template
from tl_core.features.extract import extract_features
from tl_core.features.spec import FeatureSpec
from tl_core.inference.predict import load_predictor
from tl_core.training.trainer import train

TINY = TrainConfig(backbone="tiny", epochs=3)


def png16(values: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(values.astype(np.uint16)).save(out, "PNG")
    return out.getvalue()


def draw_pair(root: Path, count: int = 12) -> tuple[Path, Path]:
    """Draw the same pictures as 8-bit grey and as 12 bits in 16-bit files."""
    for kind, name in enumerate(("crack", "sound")):
        for depth in (8, 12):
            (root / str(depth) / name).mkdir(parents=True)
        for n in range(count):
            noise = np.random.default_rng((kind, n)).integers(0, 160, (40, 48))
            grey = (noise + 80 * kind).astype(np.uint8)
            Image.fromarray(grey).save(root / "8" / name / f"{n}.png")
            (root / "12" / name / f"{n}.png").write_bytes(png16(grey.astype(np.uint16) * 16))
    return root / "8", root / "12"


def test_a_scale_maps_its_ends_to_black_and_white_and_clips_beyond() -> None:
    data = png16(np.array([[0, 1000, 2000, 3000, 9000]]))

    pixels = load_image(data, (1, 5), scale=PixelScale(1000, 3000))
    without = load_image(data, (1, 5))

    assert pixels[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert without[0, :, 0].tolist() == [0, 3, 7, 11, 35]


def test_a_set_of_12_bit_pictures_gets_one_scale(tmp_path: Path) -> None:
    eight, twelve = draw_pair(tmp_path)

    index = scan_dataset(twelve, cache_dir=tmp_path / "cache")
    again = scan_dataset(twelve, cache_dir=tmp_path / "cache")

    assert index.pixel_scale is not None
    assert 0 <= index.pixel_scale.low < 16 * 120
    assert 16 * 200 < index.pixel_scale.high <= 16 * 255
    assert again.pixel_scale == index.pixel_scale
    (told,) = [one for one in index.findings if one.kind == "pixel_scale"]
    assert len(told.paths) == 24
    assert scan_dataset(eight).pixel_scale is None


def test_12_bit_pictures_train_as_well_as_their_8_bit_twins(tmp_path: Path) -> None:
    shares = []
    for folder in draw_pair(tmp_path, count=40):
        index = scan_dataset(folder)
        spec = FeatureSpec.from_config(TINY)
        features = extract_features(index, range(80), spec, cache_dir=tmp_path / "cache")[0]
        is_test = np.arange(80) % 4 == 0
        scaled = StandardScaler().fit_transform(features)
        probe = LogisticRegression().fit(scaled[~is_test], index.labels[~is_test])
        shares.append(probe.score(scaled[is_test], index.labels[is_test]))

    assert abs(shares[0] - shares[1]) <= 0.01
    assert shares[0] > 0.8


def test_a_run_keeps_the_scale_for_predicting(tmp_path: Path) -> None:
    _, twelve = draw_pair(tmp_path)
    index = scan_dataset(twelve)

    run = train(TINY, index, tmp_path / "run", cache_dir=tmp_path / "cache")

    assert run.pixel_scale == index.pixel_scale
    predictor = load_predictor(run.run_dir, tmp_path / "cache")
    record = index.records[0]
    seen = load_image(index.path_of(record), (32, 32), scale=predictor.spec.scale)
    assert seen.max() > 100  # of the upper 8 bits alone it would be 9
    answer = predictor.predict([index.path_of(record)])[0]
    cached = extract_features(
        index, [0], FeatureSpec.from_config(TINY), cache_dir=tmp_path / "cache"
    )[0]
    expected = predictor.answer(cached, 2)[0]
    assert answer.probabilities == pytest.approx(expected.probabilities, abs=1e-5)


def test_a_dark_sensor_is_not_found_too_dark(tmp_path: Path) -> None:
    _, twelve = draw_pair(tmp_path)

    kinds = {one.kind for one in audit_dataset(scan_dataset(twelve)).findings}

    assert "dark" not in kinds


def test_values_that_use_the_full_range_are_read_as_before(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        for n in range(2):
            values = np.random.default_rng(n).integers(0, 2**16, (20, 20))
            (tmp_path / name / f"{n}.png").write_bytes(png16(values))

    assert scan_dataset(tmp_path).pixel_scale is None


def colour16(values: np.ndarray) -> bytes:
    """Return a PNG of (height, width, 3 or 4) values of 16 bits, which Pillow cannot write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 6 if channels == 4 else 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_16_bit_colour_in_the_lowest_bits_is_refused_where_no_scale_is_known() -> None:
    data = colour16(np.full((8, 8, 3), (4000, 2000, 100)))

    with pytest.raises(ImageError, match="uses only the lowest of its bits"):
        load_image(data, (8, 8))


@pytest.mark.parametrize("channels", [3, 4], ids=["opaque", "transparent"])
def test_16_bit_colour_is_read_by_a_scale_as_grey_is_in_exports_too(channels: int) -> None:
    values = np.array([[[0, 1000, 2000, 65535], [3000, 9000, 1500, 0]]])[..., :channels]
    seen = [[0, 0, 128], [255, 255, 64 if channels == 3 else 255]]

    ours = load_image(colour16(values), (1, 2), scale=PixelScale(1000, 3000))
    theirs = predict_template.load_pixels(colour16(values), (1, 2), "squash", (1000, 3000))

    assert ours.tolist() == [seen]
    assert theirs.tolist() == [seen]


def test_a_set_of_12_bit_colour_gets_one_scale_and_trains_like_8_bits(tmp_path: Path) -> None:
    for kind, name in enumerate(("crack", "sound")):
        (tmp_path / name).mkdir()
        for n in range(3):
            drawn = np.random.default_rng((kind, n)).integers(0, 256, (20, 24, 3))
            (tmp_path / name / f"{n}.png").write_bytes(colour16(drawn * 16))

    index = scan_dataset(tmp_path, cache_dir=tmp_path / "cache")
    again = scan_dataset(tmp_path, cache_dir=tmp_path / "cache")

    assert index.pixel_scale is not None
    assert index.pixel_scale.low < 100
    assert index.pixel_scale.high > 4000
    assert again.pixel_scale == index.pixel_scale
    assert {record.mode for record in again.records} == {"RGB;16"}
    assert [one.kind for one in index.findings] == ["pixel_scale"]
    first = index.records[0]
    shown = load_image(index.path_of(first), (20, 24), scale=index.scale_of(first))
    drawn = np.random.default_rng((0, 0)).integers(0, 256, (20, 24, 3))
    assert np.abs(shown.astype(int) - drawn).max() <= 2


def large_jpeg(size: tuple[int, int]) -> bytes:
    out = io.BytesIO()
    draw_image(1, 1, (48, 40)).resize(size, Image.Resampling.NEAREST).save(out, "JPEG", quality=20)
    return out.getvalue()


def test_a_jpeg_beyond_40_megapixels_is_read_at_a_reduced_scale() -> None:
    data = large_jpeg((9600, 8000))

    info = inspect_image(data)
    small = load_image(data, (40, 48)).astype(int)
    shown = open_image(data)

    assert (info.width, info.height) == (9600, 8000)
    assert shown.size == (4800, 4000)
    expected = np.asarray(draw_image(1, 1, (48, 40))).astype(int)
    assert np.abs(small - expected).mean() < 6


def test_reading_a_huge_jpeg_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "huge.jpg").write_bytes(large_jpeg((14000, 12000)))
    code = (
        "import resource, sys\n"
        "from tl_core.data.images.images import inspect_image, load_image, open_image\n"
        "used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "load_image(sys.argv[2], (224, 224))\n"
        "before = used()\n"
        "inspect_image(sys.argv[1]), load_image(sys.argv[1], (224, 224)), open_image(sys.argv[1])\n"
        "print((used() - before) // 1024)\n"
    )
    draw_image(0, 0).save(tmp_path / "small.jpg")
    command = [sys.executable, "-c", code, str(tmp_path / "huge.jpg"), str(tmp_path / "small.jpg")]
    root = Path(__file__).parents[3]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)

    assert int(told.stdout) < 100

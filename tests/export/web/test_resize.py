"""The page's resize is Pillow's, byte for byte, so that it sees what training saw."""

import json

import numpy as np
import pytest
from PIL import Image

from tl_core.data.images.images import fit_image

pytestmark = pytest.mark.browser

# Reads images from one file beside the page, and gives the results back as base64.
RUN = """
    const response = await fetch(argument.url, {cache: "no-store"});
    const bytes = new Uint8Array(await response.arrayBuffer());
    let offset = 0;
    const results = argument.cases.map(({width, height, ...rest}) => {
        const data = bytes.subarray(offset, (offset += width * height * 3));
        return work({data, width, height, channels: 3}, rest);
    });
    const blob = new Blob(results);
    const reader = new FileReader();
    reader.readAsDataURL(blob);
    await new Promise(resolve => reader.onload = resolve);
    return reader.result.split(",")[1];
"""


def run_cases(call, pictures, cases, work):
    """Return what the page makes of pictures, as flat bytes."""
    import base64

    (call.folder / "pictures.bin").write_bytes(b"".join(p.tobytes() for p in pictures))
    sized = [
        {"height": p.shape[0], "width": p.shape[1], **case}
        for p, case in zip(pictures, cases, strict=True)
    ]
    argument = json.loads(json.dumps({"url": f"{call.url}pictures.bin", "cases": sized}))
    answer = call("resize.js", f"const work = (image, c) => {work};{RUN}", argument)
    return np.frombuffer(base64.b64decode(answer), np.uint8)


def draw(rng, width, height, *, smooth):
    if not smooth:
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    small = rng.integers(0, 256, (max(1, height // 9), max(1, width // 9), 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def test_two_hundred_sizes_are_pillows_to_the_byte(call):
    rng = np.random.default_rng(0)
    pictures, cases, expected = [], [], []
    for number in range(200):
        width, height = (int(side) for side in rng.integers(1, 500, 2))
        out_width, out_height = (int(side) for side in rng.integers(1, 260, 2))
        picture = draw(rng, width, height, smooth=number % 2)
        # Two calls, because which pass Pillow takes first differs by shape and version.
        image = Image.fromarray(picture).resize((out_width, height), Image.Resampling.BILINEAR)
        image = image.resize((out_width, out_height), Image.Resampling.BILINEAR)
        pictures.append(picture)
        cases.append({"outWidth": out_width, "outHeight": out_height})
        expected.append(np.asarray(image).ravel())
    work = "m.resample(image, c.outWidth, c.outHeight).data"
    np.testing.assert_array_equal(run_cases(call, pictures, cases, work), np.concatenate(expected))


@pytest.mark.parametrize("mode", ["squash", "crop", "pad"])
def test_the_input_is_the_apps_for_every_way_to_resize(call, mode):
    rng = np.random.default_rng(1)
    sizes = [(500, 375), (375, 500), (450, 450), (97, 31), (31, 97), (224, 224), (1, 1)]
    sizes += [(2000, 1500), (2999, 700), (640, 2500)]  # strong reductions: whole steps first
    for image_size in ((224, 224), (40, 64)):
        pictures = [draw(rng, *size, smooth=True) for size in sizes]
        cases = [{"size": image_size, "mode": mode}] * len(sizes)
        work = "m.fitImage(m.wholeImage(image), c.size, c.mode, false)"
        got = run_cases(call, pictures, cases, work)
        for row, picture in zip(got.reshape(len(sizes), *image_size, 3), pictures, strict=True):
            expected = fit_image(Image.fromarray(picture), image_size, mode)
            # One step of 255, where Pillow rounds the other pass first.
            assert np.abs(row.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_jpeg_is_reduced_as_its_decoder_does_it(call, scale, tmp_path):
    rng = np.random.default_rng(scale)
    picture = draw(rng, 803, 605, smooth=True)  # the last blocks are not whole
    path = tmp_path / "photo.jpg"
    Image.fromarray(picture).save(path, quality=95, subsampling=0)
    whole = np.asarray(Image.open(path).convert("RGB"))
    with Image.open(path) as file:
        file.draft(None, (803 // scale, 605 // scale))
        reduced = np.asarray(file)
    height, width = 605 // scale, 803 // scale
    work = f"m.reduceAsJpeg(m.wholeImage(image), {scale}).data"
    got = run_cases(call, [whole], [{}], work).reshape(height, width, 3).astype(int)
    # The decoder rounds colours after it has reduced them, the page before.
    assert np.abs(got - reduced[:height, :width]).max() <= 3
    assert np.abs(got - reduced[:height, :width]).mean() < 0.6


def test_how_much_smaller_a_jpeg_is_decoded_is_pillows_choice(call, tmp_path):
    cases = [(4032, 3024), (447, 600), (448, 600), (1791, 1800), (1792, 1800), (100, 100)]
    for width, height in cases:
        path = tmp_path / "photo.jpg"
        Image.new("RGB", (width, height)).save(path)
        with Image.open(path) as file:
            _, box = file.draft(None, (224, 224)) or (None, (0, 0, width, height))
        expected = round(width / box[2])
        got = call("resize.js", "return m.jpegScale(...argument, 224, 224)", [width, height])
        assert got == expected, (width, height)

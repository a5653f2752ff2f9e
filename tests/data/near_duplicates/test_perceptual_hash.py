"""Fingerprints keep what a copy keeps."""

from __future__ import annotations

import numpy as np
from made_photos import draw_scene
from PIL import Image

from tl_core.data.near_duplicates.perceptual_hash import (
    MIRROR_BITS,
    MIRROR_SIGNS,
    SLIGHT_CROPS,
    STRONG_CROPS,
    make_fingerprint,
    mirror_boxes,
    perceptual_hashes,
    read_fingerprints,
)

SCENES = [draw_scene(seed, (320, 320)) for seed in range(8)]


def light_of(*images: Image.Image) -> np.ndarray:
    return read_fingerprints([make_fingerprint(image) for image in images])[0]


def test_a_fingerprint_reads_back_as_light_and_colour():
    light, colour = read_fingerprints([make_fingerprint(Image.new("RGB", (50, 40), "red"))] * 2)

    assert light.shape == (2, 32, 32)
    assert colour.shape == (2, 2, 8, 8)
    assert np.unique(light).tolist() == [76]  # 0.299 of 255
    assert np.unique(colour[:, 1]).tolist() == [255]


def test_the_frequencies_of_a_window_are_those_of_the_picture_cropped_to_it():
    for windows, least in ((SLIGHT_CROPS, 0.99), (STRONG_CROPS, 0.99)):
        for number in (1, len(windows) // 2, len(windows) - 1):
            top, bottom, left, right = windows.boxes[number] * 320
            cropped = [scene.crop((left, top, right, bottom)) for scene in SCENES]
            of_windows = windows.frequencies(light_of(*SCENES))[:, number]
            of_crops = windows.frequencies(light_of(*cropped))[:, 0]
            assert (of_windows * of_crops).sum(axis=1).min() > least


def test_brightness_and_contrast_do_not_count():
    other = [scene.point([60 + value // 2 for value in range(256)] * 3) for scene in SCENES]
    frequencies = SLIGHT_CROPS.frequencies(light_of(*SCENES, *other))[:, 0]

    assert (frequencies[:8] * frequencies[8:]).sum(axis=1).min() > 0.999


def test_mirroring_turns_signs_and_bits_as_told():
    mirrored = [scene.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for scene in SCENES]
    frequencies = SLIGHT_CROPS.frequencies(light_of(*SCENES, *mirrored))[:, 0]
    hashes = perceptual_hashes(frequencies)

    assert np.allclose(frequencies[:8] * MIRROR_SIGNS, frequencies[8:], atol=0.02)
    assert np.bitwise_count(hashes[:8] ^ MIRROR_BITS ^ hashes[8:]).max() <= 2


def test_a_hash_is_the_signs_first_frequency_first():
    frequencies = np.full((1, 64), -1.0)
    frequencies[0, [0, 63]] = 1

    assert perceptual_hashes(frequencies).tolist() == [2**63 + 1]


def test_a_mirrored_box_swaps_left_and_right():
    boxes = np.array([[0.1, 0.9, 0, 0.7]] * 2, np.float32)

    mirrored = mirror_boxes(boxes, np.array([True, False]))
    assert np.allclose(mirrored, [[0.1, 0.9, 0.3, 1], [0.1, 0.9, 0, 0.7]])


def test_windows_begin_with_the_whole():
    assert SLIGHT_CROPS.boxes[0].tolist() == STRONG_CROPS.boxes[0].tolist() == [0, 1, 0, 1]
    assert SLIGHT_CROPS.boxes.shape == (25, 4)
    assert len(np.unique(STRONG_CROPS.boxes, axis=0)) == len(STRONG_CROPS) == 84

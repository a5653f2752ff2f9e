"""Photos of a run's test part that go into an export for visitors to try, if they are wanted."""

from __future__ import annotations

from tl_core.data.images.images import encode_jpeg, open_image
from tl_core.errors import TLError
from tl_core.export.writers import Writing
from tl_core.runs.image_selection import select_part
from tl_core.runs.images import load_images_of

EXAMPLES_DIR = "examples"
NUM_EXAMPLES = 6

_SIDE, _QUALITY = 480, 80


def write_examples(writing: Writing) -> list[tuple[str, str]]:
    """Write photos one class after the other, without their metadata.

    Returns:
        The path of each inside the export, and its class name. Empty unless
        :attr:`Writing.with_examples`, and where the run's photos are gone.
    """
    if not writing.with_examples:
        return []
    try:
        photos = _test_photos(writing)
    except TLError:
        return []
    (writing.folder / EXAMPLES_DIR).mkdir()
    examples = []
    for number, (class_name, content) in enumerate(photos, start=1):
        path = f"{EXAMPLES_DIR}/{number}.jpg"
        (writing.folder / path).write_bytes(content)
        examples.append((path, class_name))
    return examples


def _test_photos(writing: Writing) -> list[tuple[str, bytes]]:
    """Return class name and JPEG of some test photos."""
    run = writing.run
    index = load_images_of(run, cache_dir=writing.cache_dir)
    _, chosen = select_part(run, index, "test")
    by_class: dict[int, list[int]] = {}
    for position, label in zip(chosen.positions, chosen.labels, strict=True):
        by_class.setdefault(label, []).append(position)
    in_turn = [
        (label, positions[turn])
        for turn in range(NUM_EXAMPLES)
        for label, positions in sorted(by_class.items())
        if turn < len(positions)
    ]
    return [
        (
            run.class_names[label],
            index.decode(
                index.records[position],
                lambda data: encode_jpeg(open_image(data, _SIDE, run.pixel_scale), _QUALITY),
            ),
        )
        for label, position in in_turn[:NUM_EXAMPLES]
    ]

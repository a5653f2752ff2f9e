"""Where the photos to classify come from: examples, uploads, or the camera."""

from __future__ import annotations

import streamlit as st

from tl_core.data.images.images import OFFERED, encode_jpeg
from tl_core.data.sample import dataset
from tl_core.errors import RunError
from tl_core.runs.store import Run
from ui.classify.photo import Photo
from ui.hosted.panel import upload_caption

EXAMPLES, UPLOAD, CAMERA, LIVE = "Examples", "Upload", "Camera", "Live"
NUM_EXAMPLES = 3


def gather_photos(run: Run) -> list[Photo] | None:
    """Draw the choice of a source and return the photos that came from it; None for live ones."""
    source = st.segmented_control(
        "Photos from",
        [EXAMPLES, UPLOAD, CAMERA, LIVE],
        default=EXAMPLES,
        key="photo_source",
        required=True,
        persist_state="session",
    )
    if source == UPLOAD:
        files = st.file_uploader(
            "Photos",
            type=OFFERED,
            accept_multiple_files=True,
            key="photo_upload",
            label_visibility="collapsed",
        )
        if not files:
            st.caption("As many as you like. Only those you add to the project are stored.")
            if told := upload_caption():
                st.caption(told)
        return [Photo(file.name, file.getvalue()) for file in files or []]
    if source == LIVE:
        return None
    if source == CAMERA:
        shot = st.camera_input("Camera", key="photo_camera", label_visibility="collapsed")
        return [] if shot is None else [Photo("camera.jpg", shot.getvalue())]
    return _examples(run)


def _examples(run: Run) -> list[Photo]:
    """Return photos that were not used to train the run: newly drawn ones, or its test part."""
    round_number = st.session_state.get("example_round", 0)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Other examples", key="other_examples", icon=":material/shuffle:"):
            round_number += 1
            st.session_state["example_round"] = round_number
        is_sample = run.class_names == dataset.CLASS_NAMES
        photos = _drawn(round_number) if is_sample else _unseen(run, round_number)
        if photos:
            st.caption(
                "Drawn just now; not used in training."
                if is_sample
                else "From the test photos; not used in training."
            )
        else:
            st.caption("The test photos of this run are missing. Upload a photo instead.")
    return photos


@st.cache_data(max_entries=8, show_spinner="Drawing examples")
def _drawn(round_number: int) -> list[Photo]:
    photos = []
    for class_name in dataset.CLASS_NAMES:
        data = encode_jpeg(dataset.draw_example(class_name, round_number), quality=90)
        photos.append(Photo(f"{class_name.lower()} example.jpg", data))
    return photos


def _unseen(run: Run, round_number: int) -> list[Photo]:
    """Return some photos of the run's test part that are still where they were."""
    try:
        rows = [row for row in run.split() if row.part == "test"]
    except RunError:
        return []
    photos = []
    for number in range(min(NUM_EXAMPLES, len(rows))):
        # A stride that walks through the classes, as the rows stand in their order.
        place = (round_number + number * max(1, len(rows) // NUM_EXAMPLES)) % len(rows)
        path = run.data_dir / rows[place].path
        if path.is_file():
            photos.append(Photo(f"{rows[place].class_name}: {path.name}", path.read_bytes()))
    return photos

"""Where the photos to classify come from: examples, uploads, the camera, or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tl_core.config.limits import MEGABYTE, Limits, current_limits
from tl_core.data.images.images import ImageSource, encode_jpeg, open_image
from tl_core.data.sample import dataset
from tl_core.errors import ImageError, RunError
from tl_core.runs.store import Run
from ui.classify.photo import Photo, image_of
from ui.hosted.kept import keep_photo, release
from ui.hosted.panel import upload_caption
from ui.shared import session_keys
from ui.shared.caches import cache_data
from ui.shared.controls import control
from ui.shared.thumbnails import make_tile
from ui.shared.words import number_of

EXAMPLES, UPLOAD, CAMERA, LIVE = "Examples", "Upload", "Camera", "Live"
FOLDER = "Folder"
NUM_EXAMPLES = 3
MAX_UPLOAD_BYTES = 500 * 2**20
KEPT_TEXT = "They stay in this session when you leave the page; only those you add are stored."


class UploadedPhotos:
    """Photos of this session by their number."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self._photos = photos

    def photo(self, key: str) -> Photo | Path | None:
        """Return a photo; None for a key that is none."""
        return self._photos[int(key)] if key.isdecimal() else None

    def tile(self, key: str) -> bytes | None:
        """Return a photo's thumbnail, None when it cannot be read."""
        return _tile(self._photos[int(key)].digest, self._photos[int(key)].data)


class FolderPhotos:
    """Photos of a folder by their paths; no other path is read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def photo(self, key: str) -> Photo | Path | None:
        """Return a photo's path; None for one outside of the folder."""
        path = Path(key)
        return path if path.is_relative_to(self._root) and ".." not in path.parts else None

    def tile(self, key: str) -> bytes | None:
        """Return a photo's thumbnail, None when it cannot be read."""
        path = self.photo(key)
        if not isinstance(path, Path):
            return None
        try:
            facts = path.stat()
        except OSError:
            return None
        return _tile(f"{key}\n{facts.st_size}\n{facts.st_mtime_ns}", path)


PhotoSource = UploadedPhotos | FolderPhotos


def large_picture(photo: Photo | Path | None, max_side: int) -> bytes | None:
    """Return a photo at most ``max_side`` pixels wide and high, as JPEG; None when unreadable."""
    if photo is None:
        return None
    try:
        return encode_jpeg(open_image(image_of(photo), max_side), quality=88)
    except (ImageError, OSError):
        return None


@cache_data(max_entries=1000)
def _tile(key: str, _source: ImageSource) -> bytes | None:
    try:
        return make_tile(_source)
    except (ImageError, OSError):
        return None


def choose_source(*, has_examples: bool, has_folders: bool, has_live: bool) -> str:
    """Draw the choice of where photos come from."""
    shown = {EXAMPLES: has_examples, FOLDER: has_folders, LIVE: has_live}
    options = [name for name in (EXAMPLES, UPLOAD, FOLDER, CAMERA, LIVE) if shown.get(name, True)]
    if st.session_state.get("photo_source") not in options:
        st.session_state["photo_source"] = options[0]
    chosen = st.segmented_control(
        "Photos from",
        options,
        required=True,
        **control("photo_source"),
    )
    return chosen or options[0]


def gather_photos(source: str, run: Run | None) -> list[Photo]:
    """Draw one source and return the photos that came from it."""
    if source == UPLOAD:
        return _uploads()
    if source == CAMERA:
        shot = st.camera_input("Camera", key="photo_camera", label_visibility="collapsed")
        if shot is not None:
            photo = keep_photo(Photo("camera.jpg", shot.getvalue()))
            st.session_state[session_keys.SHOT] = photo
            release(shot)
        kept: Photo | None = st.session_state.get(session_keys.SHOT)
        return [] if kept is None or kept.is_given_up else [kept]
    return [] if run is None else _examples(run)


def _uploads() -> list[Photo]:
    """Draw the uploader and what was uploaded so far; each upload adds to it."""
    kept: list[Photo] = st.session_state.setdefault(session_keys.UPLOADS, [])
    _remove_given_up(kept)
    number = st.session_state.get(session_keys.UPLOAD_ROUND, 0)
    files = st.file_uploader(  # of any type: a refusal here would name neither file nor reason
        "Photos",
        accept_multiple_files=True,
        key=f"photo_upload_{number}",
        label_visibility="collapsed",
    )
    if files:
        _take(files, kept)
        st.session_state[session_keys.UPLOAD_ROUND] = number + 1  # an empty uploader
        st.rerun()
    if not kept:
        limits = current_limits()
        most = "As many as you like" if limits is None else f"Up to {_most_in_demo(limits)} at once"
        st.caption(f"{most}. {KEPT_TEXT}")
        if text := upload_caption():
            st.caption(text)
        return kept
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"{number_of(len(kept), 'photo')}. {KEPT_TEXT}")
        if st.button("Remove all", key="remove_uploads", icon=":material/close:", type="tertiary"):
            kept.clear()
            st.session_state.pop(session_keys.ANSWER_PICKED, None)
            st.rerun()
    return list(kept)


def _remove_given_up(kept: list[Photo]) -> None:
    """Remove photos whose memory others needed; ticks and choices are by number, so they go too."""
    left = [photo for photo in kept if not photo.is_given_up]
    if len(left) == len(kept):
        return
    kept[:] = left
    st.session_state.pop(session_keys.ANSWER_PICKED, None)
    round_number = st.session_state.get(session_keys.CORRECTION_ROUND, 0)
    st.session_state[session_keys.CORRECTION_ROUND] = round_number + 1


def _take(files: Sequence[UploadedFile], kept: list[Photo]) -> None:
    """Add uploads to those of this session, as far as it may hold them."""
    limits = current_limits()
    most = MAX_UPLOAD_BYTES if limits is None else 3 * limits.upload_mb * MEGABYTE
    left_out = 0
    size = sum(len(photo.content) for photo in kept)
    for file in files:
        if size + file.size > most:
            left_out += 1
        else:
            size += file.size
            kept.append(keep_photo(Photo(file.name, file.getvalue())))
        release(file)
    if left_out:
        advice = (
            f"{most // 2**20} MB. Remove others, or classify a folder."
            if limits is None
            else f"{_most_in_demo(limits)} in this demo. Remove others first."
        )
        st.session_state[session_keys.NOTICE] = (
            f"{number_of(left_out, 'photo')} left out: a session holds at most {advice}"
        )


def _most_in_demo(limits: Limits) -> str:
    return f"{3 * limits.upload_mb} MB"


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

"""The page of ``TL_MODE=viewer``: one bundle that classifies photos, and its model card.

It stands for every address of the app, so that nothing of the studio is reached. An exported
folder (``tl_core/export/viewer``) holds this module and those that it imports; those must not need
TensorFlow or scikit-learn.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import streamlit as st

from tl_core.charts.base import percent
from tl_core.data.images.images import SUFFIXES
from tl_core.errors import ConfigError, ExportError
from tl_core.inference.bulk import answers_csv
from tl_core.inference.explain import Explanation, explain_with
from tl_core.inference.model_bundle import is_bundle
from tl_core.inference.model_info import MODEL_FILE, ModelInfo, read_model_info
from tl_core.inference.predict import Prediction, Predictor, load_predictor
from ui.classify.cards import CARD_WIDTH, PAGE_SIZE, answer_words, draw_answer
from ui.classify.photo import Photo
from ui.shared.errors import error_banner
from ui.shared.heat_map import WIDTH, draw_heat
from ui.shared.memory import collect_garbage, give_back, keep_small
from ui.shared.page_layout import ICON, draw_document, page_header
from ui.shared.progress import shower
from ui.shared.words import number_of, plain
from ui.viewer.card import read_card

BUNDLE_ENVIRONMENT_NAME = "TL_BUNDLE"
EXAMPLES_DIR = "examples"  # as tl_core.export.examples writes it
MAX_PHOTOS = 50
NUM_CLASSES = 5
NUM_HEAT_CLASSES = 3
NUM_KEPT_MAPS = 2
EXAMPLES, UPLOAD, CAMERA = "Examples", "Upload", "Camera"
NOT_STORED = "Photos are classified in this server's memory and not stored."
TOO_MANY = "Only the first {limit} photos are classified. Remove some to see the others."
WITHOUT_CARD = "This model came without a model card."
BUG_MESSAGE = "Something went wrong; the server's log says what."

DETAILS, DOWNLOAD = "Where it looked", "Download CSV"

_ANSWERS = "viewer_answers"  # this session's answers, by the photos' content
_WHAT = "Classifying the photos"


def draw_viewer() -> None:
    """Draw the whole app: the bundle named by ``TL_BUNDLE``, or why there is none."""
    st.set_page_config(page_title="Classifier", page_icon=ICON, layout="wide")
    keep_small()
    with error_banner(BUG_MESSAGE):
        folder = bundle_folder()
        info = read_model_info(folder)
        page_header(plain(info.name), describe(info))
        classify, about = st.tabs(["Classify", "About the model"])
        with classify:
            _draw_classify(folder, info)
        with about:
            draw_document(read_card(folder) or WITHOUT_CARD)
    collect_garbage()


def bundle_folder() -> Path:
    """Return the folder of the bundle.

    Raises:
        ConfigError: the environment names none, or there is none.
    """
    named = os.environ.get(BUNDLE_ENVIRONMENT_NAME, "").strip()
    if not named:
        raise ConfigError(
            f"Expected {BUNDLE_ENVIRONMENT_NAME} to name the folder of a bundle, but it is not "
            "set. Write one with: tl export RUN_DIR --format bundle --out DIR"
        )
    folder = Path(named).expanduser()
    if not is_bundle(folder):
        raise ConfigError(
            f"Expected a bundle with its {MODEL_FILE} in the folder that "
            f"{BUNDLE_ENVIRONMENT_NAME} names, found none in '{folder.name}'."
        )
    return folder


def describe(info: ModelInfo) -> str:
    """Return in a line what a model tells apart and how often it is right."""
    caption = f"Tells {len(info.class_names)} classes apart."
    metrics = info.metrics
    try:
        part = "test" if metrics["part"] == "test" else "validation"
        count = number_of(int(metrics["num_images"]), f"{part} photo")
        caption += f" Right on {percent(float(metrics['accuracy']))} of {count}."
    except (KeyError, TypeError, ValueError):  # not measured, or from a stranger
        pass
    return f"{caption} {NOT_STORED}"


def _draw_classify(folder: Path, info: ModelInfo) -> None:
    photos = _gather(folder)
    if len(photos) > MAX_PHOTOS:
        st.warning(TOO_MANY.format(limit=MAX_PHOTOS), icon=":material/photo_library:")
        photos = photos[:MAX_PHOTOS]
    if not photos:
        return
    answers = _answer(folder, photos)
    st.download_button(
        DOWNLOAD,
        lambda: answers_csv(answers, info.class_names),
        file_name="answers.csv",
        mime="text/csv",
        key="viewer_csv",
        icon=":material/download:",
        on_click="ignore",
    )
    num_pages, page = -(-len(photos) // PAGE_SIZE), 1
    if num_pages > 1:
        with st.container(horizontal_alignment="center"):
            page = min(num_pages, st.pagination(num_pages, key="viewer_page"))
    start = (page - 1) * PAGE_SIZE
    shown = range(start, min(start + PAGE_SIZE, len(photos)))
    with st.grid("auto" if len(photos) > 1 else 2, min_column_width=CARD_WIDTH, gap="medium"):
        for number in shown:
            with st.container(border=True, height="stretch", key=f"answer_{number}"):
                draw_answer(photos[number], answers[number], _draw_bars)
                if answers[number].error is None and st.button(
                    DETAILS, key=f"viewer_heat_{number}", icon=":material/zoom_in:"
                ):
                    _draw_details(folder, photos[number], answers[number])


def _draw_bars(prediction: Prediction) -> None:
    """Draw the most probable classes without Pandas and Altair, which take 80 MB."""
    with st.container(gap="xxsmall"):
        for name, probability in prediction.top:
            st.progress(probability, text=f"{plain(name)} · {percent(probability)}")


@st.dialog(DETAILS, width=WIDTH)
def _draw_details(folder: Path, photo: Photo, prediction: Prediction) -> None:
    """Show which regions of a photo support a class."""
    with error_banner(BUG_MESSAGE):
        st.markdown(answer_words(prediction))
        st.caption(plain(photo.name))

        def explain(class_name: str) -> Explanation:
            return _explain(folder, _stamp(folder), photo.digest, class_name, photo.data)

        draw_heat(photo.digest, [name for name, _ in prediction.top[:NUM_HEAT_CLASSES]], explain)
    give_back()


def _gather(folder: Path) -> list[Photo]:
    """Draw where the photos come from, and return them."""
    examples = _examples(folder)
    sources = [EXAMPLES, UPLOAD, CAMERA] if examples else [UPLOAD, CAMERA]
    source = st.segmented_control(
        "Photos from", sources, default=sources[0], key="viewer_source", required=True
    )
    if source == EXAMPLES:
        return [
            Photo(f"Example {number}", path.read_bytes())
            for number, path in enumerate(examples, start=1)
        ]
    if source == CAMERA:
        shot = st.camera_input("Camera", key="viewer_camera", label_visibility="collapsed")
        return [] if shot is None else [Photo("camera.jpg", shot.getvalue())]
    files = st.file_uploader(  # of any type: a refusal here would name neither file nor reason
        "Photos", accept_multiple_files=True, key="viewer_upload",
        label_visibility="collapsed",
    )  # fmt: skip
    return [Photo(file.name, file.getvalue()) for file in (files or [])[: MAX_PHOTOS + 1]]


def _examples(folder: Path) -> list[Path]:
    found = sorted((folder / EXAMPLES_DIR).glob("*"))
    return [path for path in found if path.suffix.lower() in SUFFIXES and path.is_file()][
        :PAGE_SIZE
    ]


def _answer(folder: Path, photos: Sequence[Photo]) -> list[Prediction]:
    """Return the answers; those that the session has already are not computed again."""
    known: dict[str, Prediction] = st.session_state.setdefault(_ANSWERS, {})
    new = {photo.digest: photo for photo in photos if photo.digest not in known}
    if new:
        bar = st.progress(0.0, text=_WHAT)
        try:
            predictor = _open(folder, _stamp(folder))
            found = predictor.predict(
                [photo.data for photo in new.values()],
                NUM_CLASSES,
                names=[photo.name for photo in new.values()],
                on_progress=shower(bar, _WHAT),
            )
        except ExportError:
            _open.clear()  # the process behind it has ended: the next photo starts another
            raise
        finally:
            bar.empty()
            give_back()
        known |= dict(zip(new, found, strict=True))
    return [known[photo.digest] for photo in photos]


def _stamp(folder: Path) -> int:
    """Return what changes when the folder gets another model."""
    return (folder / MODEL_FILE).stat().st_mtime_ns


@st.cache_resource(max_entries=NUM_KEPT_MAPS, show_spinner=False)
def _explain(
    folder: Path, stamp: int, digest: str, class_name: str, _content: bytes
) -> Explanation:
    return explain_with(_open(folder, stamp), _content, class_name)


@st.cache_resource(max_entries=1, show_spinner="Opening the model")
def _open(folder: Path, stamp: int) -> Predictor:
    # A bundle brings its own converted backbone, so that nothing is ever put into this cache.
    predictor = load_predictor(folder, cache_dir=tempfile.gettempdir())
    return replace(predictor, num_workers=1)  # a process takes 60 MB

"""The models that can classify: runs of the project, and bundles of others."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from tl_core.charts.base import percent
from tl_core.errors import TLError
from tl_core.inference.imported_models import (
    ImportedModel,
    import_model,
    list_models,
    remove_model,
)
from tl_core.inference.model_info import ModelInfo
from tl_core.projects.registry import Project
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.classify.background import run_in_background
from ui.runs.picker import default_run, loadable_runs, select_model
from ui.runs.predictors import Stamp, model_stamp
from ui.shared import session_keys, words
from ui.shared.controls import control
from ui.shared.words import plain

TRAINED, IMPORTED = "Trained here", "Imported"
IMPORT_LABEL = "Import a model"
ABOUT_IMPORT = (
    "A model of someone else: the zip that *Share* downloads as *bundle*. It is checked before "
    "anything of it is used, and stays until you remove it."
)


@dataclass(frozen=True)
class Model:
    """A model as the Classify page uses it.

    Attributes:
        id: tells it from others, also in names of downloads.
        folder: of the run or the bundle.
        class_names: in the order of its probabilities.
        run: the run; None for an imported model.
    """

    id: str
    folder: Path
    class_names: tuple[str, ...]
    run: Run | None = None

    @classmethod
    def of_run(cls, run: Run) -> Model:
        """Return the model of a run."""
        return cls(run.id, run.run_dir, run.class_names, run)

    @classmethod
    def of_bundle(cls, folder: Path, info: ModelInfo, model_id: str) -> Model:
        """Return the model of a bundle."""
        return cls(model_id, folder, info.class_names)

    @property
    def stamp(self) -> Stamp:
        """What changes when its answers may."""
        return model_stamp(self.folder)


def choose_model(workspace: Workspace, dataset: Project | None) -> Model | None:
    """Draw the choice of a model and what is known about it; None while there is none."""
    runs = loadable_runs(workspace, dataset)
    imported = list_models(workspace)
    kind = TRAINED if runs else IMPORTED
    if runs and imported:
        kind = (
            st.segmented_control(
                "Models",
                [TRAINED, IMPORTED],
                required=True,
                **control(session_keys.MODEL_KIND, TRAINED),
                label_visibility="collapsed",
            )
            or TRAINED
        )
    if kind == TRAINED:
        run = select_model(runs, "Model") or default_run(runs)
        if line := words.headline(run.metrics):
            st.caption(" ".join(line) + ".")
        return Model.of_run(run)
    return _choose_imported(workspace, imported) if imported else None


def draw_import(workspace: Workspace) -> None:
    """Draw what takes in a model of someone else."""
    number = st.session_state.get(session_keys.MODEL_ROUND, 0)
    # Another key with each model: the popover of the one before is closed.
    with st.popover(IMPORT_LABEL, icon=":material/upload_file:", key=f"import_model_{number}"):
        st.markdown(ABOUT_IMPORT)
        file = st.file_uploader("Bundle", type="zip", key=f"model_upload_{number}")
        if file is None:
            return
        data = file.getvalue()
        try:
            model = run_in_background(
                "import_model",
                file.file_id,
                "Checking the model",
                lambda monitor: import_model(workspace, io.BytesIO(data), monitor=monitor),
            )
        except TLError as error:
            st.error(plain(str(error)), icon=":material/block:")
            return
        if model is not None:
            st.session_state[session_keys.MODEL_ROUND] = number + 1
            st.session_state[session_keys.MODEL_KIND] = IMPORTED
            st.session_state[session_keys.IMPORTED_MODEL] = model.id
            st.session_state[session_keys.NOTICE] = f"Imported: {model.info.name}"
            st.rerun()


def _choose_imported(workspace: Workspace, models: list[ImportedModel]) -> Model:
    by_id = {model.id: model for model in models}
    if st.session_state.get(session_keys.IMPORTED_MODEL) not in by_id:
        st.session_state[session_keys.IMPORTED_MODEL] = next(iter(by_id))
    titles = words.distinct({model.id: imported_title(model.info) for model in models})
    chosen = st.selectbox(
        "Model",
        list(by_id),
        **control(session_keys.IMPORTED_MODEL, format_func=titles.__getitem__),
    )
    model = by_id[chosen or next(iter(by_id))]
    if figures := bundle_figures(model.info):
        st.caption(f"{figures}, as its author states.")
    with st.container(horizontal=True):
        draw_bundle_card(model.info, model.card)
        with st.popover("Remove", icon=":material/delete:", key=f"remove_{model.id}"):
            st.markdown("Removes the model from this workspace.")
            if st.button("Remove the model", key="remove_model", type="primary"):
                remove_model(workspace, model.id)
                st.session_state[session_keys.NOTICE] = f"Removed: {model.info.name}"
                st.rerun()
    return Model.of_bundle(model.folder, model.info, model.id)


def imported_title(info: ModelInfo) -> str:
    """Return the name of an imported model with what tells it from others of that name."""
    made = info.created[:16].replace("T", " ")
    return f"{info.name or 'unnamed'} ({info.backbone}, {made})"


def draw_bundle_card(info: ModelInfo, card: str) -> None:
    """Draw what a bundle says about itself. It is a stranger's text, so none of it is Markdown."""
    with st.popover("Model card", icon=":material/description:", key="bundle_card"):
        height, width = info.image_size
        facts = {
            "Name": info.name,
            "Classes": ", ".join(info.class_names),
            "Figures": bundle_figures(info) or "none",
            "Backbone": f"{info.backbone}, {height} x {width} pixels",
            "None of these": "yes" if info.rejection else "no",
            "Made": f"{info.created} with version {info.tl_core_version}",
        }
        for name, value in facts.items():
            st.markdown(f"**{name}**: {plain(value[:2000])}")
        if card:
            st.code(card, language=None, wrap_lines=True, height=320)


def bundle_figures(info: ModelInfo) -> str:
    """Return the accuracy that a bundle states, or nothing if it states none that is one."""
    try:
        figure = percent(float(info.metrics["accuracy"]))
        low, high = (float(bound) for bound in info.metrics["interval"])
        count = int(info.metrics["num_images"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return ""
    photos = words.number_of(count, "photo")
    part = "test" if info.metrics.get("part", "test") == "test" else "validation"
    return f"{figure} ({words.interval((low, high))}) on {photos} of its {part} part"

"""Going on with a run: one that ended too early goes on, a good one is made better."""

from __future__ import annotations

from typing import Any

import streamlit as st

from tl_core.backbones.blocks import recommended_blocks
from tl_core.config.training import TrainConfig
from tl_core.errors import RunError, TLError
from tl_core.runs.store import Run
from tl_core.training.checkpoints import epochs_done
from tl_core.training.resume import can_resume
from tl_core.workspace import Workspace
from ui.runs.start import changed_images, fine_tune, resume
from ui.shared import words
from ui.shared.forms import draw_fields, draw_problem
from ui.train.block_picker import draw_block_picker

PANEL_WIDTH = 420  # pixels


def draw_resume(workspace: Workspace, run: Run) -> None:
    """Draw the button with which a run goes on where it was, when it can."""
    if not can_resume(run):
        return
    try:
        problem = changed_images(workspace, run) if epochs_done(run.run_dir) else ""
        title = resume_words(run)
    except RunError as error:
        st.caption(words.plain(str(error)))
        return
    if problem:
        draw_problem(problem)
        return
    if st.button(
        title,
        key="resume_run",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        help="The result is the same as without the interruption.",
    ):
        resume(workspace, run)
        st.rerun()


def resume_words(run: Run) -> str:
    """Say where a run would go on.

    Raises:
        RunError: what it would go on from is damaged.
    """
    done = epochs_done(run.run_dir)
    if done is None:
        return "Start again: no epoch was saved"
    phase, num_epochs = done
    config = run.config
    total = config.epochs if phase == "head" else config.fine_tune_epochs
    if num_epochs >= total:
        is_next = phase == "head" and config.fine_tune_blocks > 0
        return "Resume with fine-tuning" if is_next else "Finish: all epochs are done"
    of = " of fine-tuning" if phase == "fine_tune" else ""
    return f"Resume from epoch {num_epochs + 1} of {total}{of}"


def can_improve(run: Run) -> bool:
    """Whether a run has a head whose backbone is still as it was pretrained."""
    return run.is_loadable and not run.is_active and run.metrics.get("best_phase", "head") == "head"


def draw_improve(workspace: Workspace, run: Run) -> None:
    """Draw the panel that fine-tunes from a run's best weights."""
    with (
        st.popover(
            "Fine-tune",
            icon=":material/auto_fix_high:",
            key="make_better",
            width="stretch",
        ),
        st.container(width=PANEL_WIDTH),
    ):
        st.markdown(
            "Trains the top blocks of the backbone together with the new layers, from this run's "
            "best "
            "weights. This makes a new run; it keeps the weights of this one unless an epoch is "
            "better on the validation photos."
        )
        if problem := changed_images(workspace, run):
            draw_problem(problem)
            return
        changes = _draw_changes(run)
        if st.button(
            "Start fine-tuning",
            key="start_better",
            type="primary",
            icon=":material/play_arrow:",
            width="stretch",
            disabled=not changes.get("fine_tune_blocks"),
        ):
            try:
                fine_tune(workspace, run, changes)
            except TLError as error:
                st.error(words.plain(str(error)), icon=":material/error:")
            else:
                st.rerun()


def _draw_changes(run: Run) -> dict[str, Any]:
    """Draw what of the settings may differ, and return it; nothing while it is not valid."""
    config, prefix = run.config, f"better_{run.id}"
    blocks = draw_block_picker(
        config.backbone,
        f"{prefix}.blocks",
        config.fine_tune_blocks or recommended_blocks(config.backbone),
        may_freeze=False,
    )
    names = ("fine_tune_epochs", "fine_tune_learning_rate")
    values, problems = draw_fields(TrainConfig, names, prefix, config.model_dump())
    return {} if problems else {"fine_tune_blocks": blocks, **values}

"""The evaluations of runs: computed by the worker, kept with the run, their progress shown."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import streamlit as st

from tl_core.charts.base import percent
from tl_core.data.curation.store import decisions_path
from tl_core.data.dataset import ImageRecord
from tl_core.errors import DatasetError, RunError
from tl_core.evaluation.evaluate import images_to_evaluate
from tl_core.evaluation.report import Evaluation
from tl_core.evaluation.store import EvaluationFile
from tl_core.jobs import client
from tl_core.jobs.queue import JobQueue
from tl_core.projects.registry import Project, public_name
from tl_core.runs.image_selection import renamed_classes
from tl_core.runs.store import Run
from tl_core.workspace import Workspace
from ui.datasets.picker import dataset_of
from ui.datasets.scans import CuratedDataset, file_stamp, folder_stamp, load_curated
from ui.runs.predictors import model_stamp
from ui.shared import words
from ui.shared.errors import guarded
from ui.shared.job_progress import draw_bar

PART = "evaluate_part"  # which photos: a part of the run's own, or another folder
FOLDER = "evaluate_folder"  # the other folder, as the id of a dataset or a path typed in
TABS = "evaluate_tabs"  # which part of the page is open
CELL = "evaluate_cell"  # (true class, answer) whose photos are shown
CELL_ROUND = "evaluate_cell_round"  # counts choices beside the chart, which then forgets its own
PHOTO = "evaluate_photo"  # path of the photo that is looked at closely
KEPT = "evaluate_kept"  # the last evaluations of this session by what they are of
ASKED = "evaluate_asked"  # stamp of what was asked for and not answered, by what it is of
AGAIN_TEXT = "Computed again after what was decided about the photos; what follows is from before."
STOPPED_TEXT = "The evaluation was stopped."
LOST_TEXT = "The evaluation ended without a result; the reason is in logs/worker.log."
POLL_SECONDS = 0.5

TEST, VAL, ELSEWHERE = "test", "val", "elsewhere"
SUMMARY_TAB, CONFUSION_TAB, MISTAKES_TAB = "Summary", "Confusion", "Mistakes"
TRUST_TAB, FOLDER_TAB = "Trust", "Both sets"


@dataclass(frozen=True)
class Source:
    """The photos a run is looked at with: a part of its own, or ``folder``."""

    part: str
    folder: Project | None = None


@dataclass(frozen=True)
class EvaluationView:
    """A run, what it says about some photos, and the folder they lie in.

    Attributes:
        workspace: where decisions and thumbnails are kept.
        run: the run.
        source: which photos were asked for.
        evaluation: the figures.
        curated: the photos' folder, as it lies there and with what was decided about it.
        is_outdated: whether more was decided since, and the worker computes the figures again.
    """

    workspace: Workspace
    run: Run
    source: Source
    evaluation: Evaluation
    curated: CuratedDataset
    is_outdated: bool = False

    def still_open(self, positions: Sequence[int]) -> Sequence[int]:
        """Return those of some images about which nothing was decided since the evaluation."""
        if not self.is_outdated:
            return positions
        evaluation = self.evaluation
        names = [self.name_now(name) for name in evaluation.class_names]
        counts = {record.path for record in self.curated.index.records}
        return [
            position
            for position in positions
            if (path := evaluation.paths[position]) in counts
            and names[evaluation.labels[position]] in (None, self.curated.class_of(path))
        ]

    def record(self, position: int) -> ImageRecord | None:
        """Return the file of an image of the evaluation; None when it is gone meanwhile."""
        path = self.evaluation.paths[position]
        return next((record for record in self.curated.raw.records if record.path == path), None)

    def name_now(self, class_name: str) -> str | None:
        """Return what a class of the run is called in the folder; None when it is gone."""
        if class_name in self.curated.classes:
            return class_name
        return next((now for now, then in self._renamed.items() if then == class_name), None)

    @cached_property
    def _renamed(self) -> dict[str, str]:
        if self.source.folder is not None:
            return {}
        try:
            return renamed_classes(self.run, self.curated.index)
        except RunError:
            return {}

    @property
    def changed_since(self) -> str:
        """What has changed about the photos since training, with the figure of then; else empty."""
        evaluation = self.evaluation
        if self.source.folder is not None:
            return ""
        changes = [
            f"{count:,} {what}"
            for count, what in (
                (evaluation.num_relabelled, "moved to another class"),
                (len(evaluation.skipped), "left out"),
            )
            if count
        ]
        named = [f"{then} is called {now}" for now, then in sorted(self._renamed.items())]
        text = [f"After your corrections: {' and '.join(changes)}."] if changes else []
        text += [f"Since it was trained, {' and '.join(named)}."] if named else []
        metrics, part = self.run.metrics, evaluation.part
        accuracy, bounds = metrics.get(f"{part}_accuracy"), metrics.get(f"{part}_interval")
        if changes and accuracy is not None:
            count = self.run.num_images_of(part)
            on = "" if count is None else f" on {words.number_of(count, 'photo')}"
            text.append(
                f"As evaluated when it was trained: {percent(accuracy)}"
                f"{f' ({words.interval(bounds)})' if bounds else ''}{on}."
            )
        return " ".join(text)

    @property
    def photos(self) -> str:
        """The photos in words, without their number."""
        text = {
            "test": "the model has not seen",
            "val": "of the validation part, which also picked the best epoch",
            "train": "it was trained on",
        }
        return text.get(self.evaluation.part, f"from {self.folder_name}")

    @property
    def folder_name(self) -> str:
        """What the project is called whose photos these are."""
        folder = self.source.folder
        if folder is None:
            return self.evaluation.data_dir.name
        return public_name(self.workspace, folder)

    @property
    def headline(self) -> str:
        """The accuracy with its interval, as one figure."""
        evaluation = self.evaluation
        share = f"{100 * evaluation.accuracy:.1f} %"
        return f"{share} ({words.interval(evaluation.interval)})"


NUM_KEPT = 4
_NUM_DECISION_STAMPS = 2  # at the end of a stamp
Slot = tuple[str, str, str]


def look(workspace: Workspace, run: Run, source: Source) -> EvaluationView | None:
    """Return what a run says about some photos; None while the worker finds out.

    Meanwhile the progress is drawn, and the page is drawn again when it is over. After a decision
    about a photo the figures from before are returned until the new ones are there.

    Raises:
        DatasetError: the photos are gone, or have none of the run's classes.
        RunError: the run cannot be read.
    """
    evaluation, is_outdated = evaluate(workspace, run, source), False
    dataset = source.folder or dataset_of(workspace, run)
    if evaluation is None:
        evaluation, is_outdated = _from_before(workspace, run, source, dataset), True
        if evaluation is None:
            return None
        st.caption(f":material/history: {AGAIN_TEXT}")
    curated = load_curated(workspace, dataset)
    return EvaluationView(workspace, run, source, evaluation, curated, is_outdated)


def _from_before(
    workspace: Workspace, run: Run, source: Source, dataset: Project
) -> Evaluation | None:
    """Return the last evaluation of this session if only decisions have changed since."""
    kept = st.session_state[KEPT].get((run.id, source.part, dataset.id))
    if kept is None or not isinstance(kept[1], Evaluation):
        return None
    now = _stamp(workspace, run, dataset)
    is_same = kept[0][:-_NUM_DECISION_STAMPS] == now[:-_NUM_DECISION_STAMPS]
    return kept[1] if is_same else None


def evaluate(workspace: Workspace, run: Run, source: Source) -> Evaluation | None:
    """Do as :func:`look`, for the figures alone."""
    dataset = source.folder or dataset_of(workspace, run)
    kept: OrderedDict[Slot, tuple[tuple[int, ...], Evaluation | str]]
    kept = st.session_state.setdefault(KEPT, OrderedDict())
    slot = (run.id, source.part, dataset.id)
    if slot not in kept or kept[slot][0] != _stamp(workspace, run, dataset):
        outcome = _outcome(workspace, run, source, slot)
        if outcome is None:
            return None
        # Stamped afterwards: a run without temperature gets one from its first evaluation.
        kept[slot] = (_stamp(workspace, run, dataset), outcome)
    kept.move_to_end(slot)
    while len(kept) > NUM_KEPT:
        kept.popitem(last=False)
    outcome = kept[slot][1]
    if isinstance(outcome, Evaluation):
        return outcome
    if outcome == STOPPED_TEXT:
        st.caption(outcome)
    if st.button("Evaluate", key=f"evaluate_again_{'_'.join(slot)}", icon=":material/refresh:"):
        del kept[slot]
        st.rerun()
    if outcome != STOPPED_TEXT:
        raise DatasetError(outcome)
    return None


def _outcome(workspace: Workspace, run: Run, source: Source, slot: Slot) -> Evaluation | str | None:
    """Return an evaluation, or why there is none; None when the worker was asked for it."""
    folder = source.folder.path if source.folder else None
    part = TEST if source.folder else source.part
    file = EvaluationFile(run, part, folder)
    queue, asked = JobQueue(workspace), st.session_state.setdefault(ASKED, {})
    stamp = _stamp(workspace, run, source.folder or dataset_of(workspace, run))

    def found() -> Evaluation | str | None:
        if not file.exists:
            return file.take_failure()
        index = images_to_evaluate(run, folder, cache_dir=workspace.cache_dir)
        return file.read(index) or file.take_failure()

    kind, payload = client.evaluation(workspace, run, part, folder)
    if queue.find(kind, payload) is None:
        outcome = found()
        if outcome is not None or asked.get(slot) == stamp:
            asked.pop(slot, None)
            return outcome or LOST_TEXT
        # Not asked for yet, or more was decided while the worker was at it.
        client.submit(workspace, kind, payload)
        if queue.find(kind, payload) is None:  # done at once
            return found()
        asked[slot] = stamp
    _draw_progress(workspace, run, source, slot)
    return None


@st.fragment(run_every=POLL_SECONDS)
@guarded
def _draw_progress(workspace: Workspace, run: Run, source: Source, slot: Slot) -> None:
    """Draw how far the worker is, with a button to stop; all is drawn again when it is over."""
    folder = source.folder.path if source.folder else None
    part = TEST if source.folder else source.part
    queue = JobQueue(workspace)
    job = queue.find(*client.evaluation(workspace, run, part, folder))
    if job is None:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container():
            draw_bar(workspace, queue.watch(job), "Evaluation")
        if st.button("Stop", key=f"evaluate_stop_{'_'.join(slot)}", icon=":material/stop:"):
            queue.request_stop(job.id)
            st.session_state[ASKED].pop(slot, None)
            dataset = source.folder or dataset_of(workspace, run)
            st.session_state[KEPT][slot] = (_stamp(workspace, run, dataset), STOPPED_TEXT)
            st.rerun()


def _stamp(workspace: Workspace, run: Run, dataset: Project) -> tuple[int, ...]:
    """Return what changes when weights, reliability, files or decisions do."""
    decisions = decisions_path(workspace, dataset.path)
    return (*model_stamp(run.run_dir), *folder_stamp(dataset.path), *file_stamp(decisions))

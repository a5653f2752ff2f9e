"""Choosing runs, and the result of one: its figure in a sentence, its curves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import streamlit as st

from tl_core.charts.base import percent
from tl_core.charts.training import history_chart, phase_starts
from tl_core.projects.registry import Project, by_project, project_of, runs_of
from tl_core.projects.run_names import run_names
from tl_core.runs.state_dir import workspace_of
from tl_core.runs.store import Run, list_runs
from tl_core.workspace import Workspace
from ui.shared import address, session_keys, words
from ui.shared.controls import control
from ui.shared.page_layout import draw_chart

RUN_VIEW = "This run"  # title of the Train page's view of one run
ENDED_EARLY = ("stopped", "failed", "interrupted")  # states that the choice of runs names
EARLY_MODEL = "{state}: the model is that of the best epoch until then."


def listed_runs(workspace: Workspace, project: Project | None) -> list[Run]:
    """Return the runs to choose from, newest first: the project's, or all while those are shown.

    Archived ones are listed only while they are shown.
    """
    shows_archived = bool(st.session_state.get(session_keys.SHOW_ARCHIVED))
    if project is None or st.session_state.get(session_keys.ALL_PROJECTS):
        return list_runs(workspace.runs_dir, include_archived=shows_archived)
    return runs_of(workspace, project, include_archived=shows_archived)


def num_archived_runs(workspace: Workspace, project: Project | None) -> int:
    """Return how many archived runs there are where :func:`listed_runs` looks."""
    if project is None or st.session_state.get(session_keys.ALL_PROJECTS):
        runs = list_runs(workspace.runs_dir, include_archived=True)
    else:
        runs = runs_of(workspace, project, include_archived=True)
    return sum(run.is_archived for run in runs)


def loadable_runs(workspace: Workspace, project: Project | None) -> list[Run]:
    """Return the listed runs that can classify, newest first."""
    return [run for run in listed_runs(workspace, project) if run.is_loadable]


def default_run(runs: Sequence[Run]) -> Run:
    """Return the run that answers while none is chosen: the newest that came to a planned end.

    One that was stopped counts, as a person ended it. Without any it is the newest of all.
    """
    return next((run for run in runs if run.state in ("finished", "stopped")), runs[0])


def draw_scope(workspace: Workspace, project: Project) -> None:
    """Draw the switch that lists the runs of all projects, if there are any of others."""
    runs = list_runs(workspace.runs_dir, include_archived=True)
    own = {run.id for run in by_project(workspace, runs).get(project.id, ())}
    others = {run.id for run in runs} - own
    if not others:
        st.session_state.pop(session_keys.ALL_PROJECTS, None)
        return
    is_other = address.chosen(session_keys.RUN) in others
    if is_other and not st.session_state.get(session_keys.ALL_PROJECTS):
        st.session_state[session_keys.ALL_PROJECTS] = True
        st.session_state[session_keys.ALL_FOR_RUN] = True
    elif not is_other and st.session_state.pop(session_keys.ALL_FOR_RUN, False):
        st.session_state[session_keys.ALL_PROJECTS] = False
    st.toggle(
        "Runs of all projects",
        **control(session_keys.ALL_PROJECTS, False, on_change=_leave_other_project, args=(own,)),
        help="Lists the runs and models of the other projects as well, on every page.",
    )


def _leave_other_project(own: Collection[str]) -> None:
    """Choose no run when the one chosen is not listed any more."""
    st.session_state.pop(session_keys.ALL_FOR_RUN, None)
    if not st.session_state[session_keys.ALL_PROJECTS]:
        if address.chosen(session_keys.RUN) not in own:
            leave_run()
        st.session_state.pop(session_keys.COMPARED, None)


def choose_run(run_id: str) -> None:
    """Make a run the one looked at from the next run of the page on."""
    address.choose(session_keys.RUN, run_id)


def leave_run() -> None:
    """Choose no run, after the one looked at was archived or deleted here; the newest is shown."""
    address.choose(session_keys.RUN, None)
    st.session_state.pop(session_keys.RUN, None)


def select_model(runs: Sequence[Run], label: str) -> Run | None:
    """Draw the select box of runs with a model and return the one chosen.

    Without a choice it is :func:`default_run`. Below the box stands whether it ended early.
    """
    if not runs:
        return None
    run = select_run(runs, label, default_run(runs))
    if run is not None and run.state in ENDED_EARLY:
        icon, _, state = words.STATE_BADGES[run.state]
        st.caption(f"{icon} {EARLY_MODEL.format(state=state)}")
    return run


def select_run(runs: Sequence[Run], label: str, default: Run | None = None) -> Run | None:
    """Draw the select box of runs, newest first, and return the one chosen.

    Args:
        runs: the runs to choose from.
        label: of the box.
        default: what is shown without a choice; None for the newest.
    """
    by_id = {run.id: run for run in runs}
    if not by_id:
        return None
    first = next(iter(by_id)) if default is None else default.id
    titles = run_titles(list(by_id.values()))
    shown_titles = {run_id: _with_state(by_id[run_id], title) for run_id, title in titles.items()}
    wanted = address.chosen(session_keys.RUN) or st.session_state.get(session_keys.RUN)
    if wanted is not None and wanted not in by_id:
        shown = first
        leave_run()
        st.session_state[session_keys.GONE] = (
            f"The run {words.plain(_last_title(wanted, by_id[shown]))} cannot be shown here: it "
            f"was deleted or archived, or it has no model. Shown now: {words.plain(titles[shown])}"
        )
        st.rerun()  # so that the click that found it gone does nothing to another run
    # Without a choice too: the browser goes on showing the name of a run that was deleted until it
    # receives another value.
    st.session_state[session_keys.RUN] = first if wanted is None else wanted
    chosen = st.selectbox(
        label,
        list(by_id),
        **control(session_keys.RUN, on_change=_take_run, format_func=shown_titles.__getitem__),
    )
    run = by_id[chosen or first]
    st.session_state[session_keys.RUN_TITLE] = (run.id, titles[run.id])
    return run


def _with_state(run: Run, title: str) -> str:
    """Return a run's title, with its state if its training ended early."""
    state = run.state
    return f"{title} ({words.STATE_BADGES[state][2].lower()})" if state in ENDED_EARLY else title


def _last_title(gone_id: str, other: Run) -> str:
    """Return the title of a run that is not listed: that of now if it exists, else the last one.

    Args:
        gone_id: of the run.
        other: another run of its workspace.
    """
    for run in list_runs(other.run_dir.parent, include_archived=True):
        if run.id == gone_id:
            return run_title(run)
    known_id, title = st.session_state.get(session_keys.RUN_TITLE, (None, ""))
    return title if known_id == gone_id else gone_id


def _take_run() -> None:
    choose_run(st.session_state[session_keys.RUN])


def run_titles(runs: Sequence[Run]) -> dict[str, str]:
    """Return a title for each run by id, no two alike.

    It says how a run differs from the others of its project, see
    :func:`~tl_core.projects.run_names.run_names`, and whose it is where there are several projects.
    """
    if not runs:
        return {}
    workspace = workspace_of(runs[0].run_dir)
    everything = list_runs(workspace.runs_dir, include_archived=True)
    shown = by_project(workspace, runs)
    names: dict[str, str] = {}
    for project_id, members in by_project(workspace, everything).items():
        if project_id in shown:
            names |= run_names(members)
    titles = {run.id: names.get(run.id, run.id) for run in runs}
    for members in shown.values() if len(shown) > 1 else ():
        if (project := project_of(workspace, members[0])) is not None:
            titles |= {run.id: f"{project.title}: {titles[run.id]}" for run in members}
    taken = Counter(titles.values())
    return {
        run_id: title if taken[title] == 1 else f"{title} ({run_id})"
        for run_id, title in titles.items()
    }


def run_title(run: Run) -> str:
    """Return the title of one run, as its project lists it."""
    return run_titles([run])[run.id]


def draw_badge(run: Run) -> None:
    """Draw the state of a run as a badge."""
    icon, color, title = words.STATE_BADGES[run.state]
    with st.container(horizontal=True, gap="small"):
        st.badge(title, icon=icon, color=color)  # type: ignore[arg-type]
        if run.is_archived:
            st.badge("Archived", icon=":material/inventory_2:", color="gray")


def draw_result(run: Run) -> None:
    """Draw the figure of a run with its interval and what it was measured on."""
    text = words.headline(run.metrics)
    if text is None:
        return
    figure, measured_on = text
    with st.container(gap="xxsmall"):
        st.markdown(f"## {figure}")
        st.markdown(f"{measured_on}.")
    metrics = run.metrics
    times = metrics.get("seconds") or {}
    facts = [
        "95 % interval" if "(" in figure else "",
        words.best_epoch(run),
        f"validation {percent(metrics['val_accuracy'])}"
        if metrics.get("test_accuracy") is not None and "val_accuracy" in metrics
        else "",
        f"took {words.seconds(times['total'])}" if "total" in times else "",
        words.ago(run.created),
    ]
    st.caption(" · ".join(fact for fact in facts if fact))


def draw_curves(run: Run) -> None:
    """Draw accuracy and loss of a run side by side."""
    history = run.history()
    if history.empty:
        return
    starts, best = phase_starts(history), best_row(run)
    for metric, column in zip(("accuracy", "loss"), st.columns(2), strict=True):
        chart = history_chart(history, metric, starts=starts, best=best)
        draw_chart(chart, column, key=f"curve_{metric}", alt=f"{metric} by epoch, train and val")


def best_row(run: Run) -> int | None:
    """Return the row of a run's history that its weights are of; None when it is not in it."""
    metrics, history = run.metrics, run.history()
    if "best_epoch" not in metrics:
        return None
    is_best = history["epoch"] == metrics["best_epoch"]
    if "best_phase" in metrics:
        is_best &= history["phase"] == metrics["best_phase"]
    rows = history.index[is_best]
    return int(rows[0]) if len(rows) else None

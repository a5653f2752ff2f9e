"""Commands about projects: a dataset with everything that was made from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tl_core.cli.arguments import AsJson, Quiet, WorkspaceDir, workspace_at
from tl_core.cli.terminal import MAX_PATHS, print_json, print_table, say, working

if TYPE_CHECKING:
    from tl_core.projects.registry import Project
    from tl_core.workspace import Workspace

app = typer.Typer(
    help="Projects: a dataset with its decisions, runs and searches.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

ProjectId = Annotated[str, typer.Argument(metavar="PROJECT", help="Id of a project, see: list.")]


@app.command("list")
def list_all(
    deleted: Annotated[
        bool, typer.Option("--deleted", help="Those deleted, which restore brings back.")
    ] = False,
    workspace: WorkspaceDir = None,
    as_json: AsJson = False,
) -> None:
    """List the projects of the workspace."""
    place = workspace_at(workspace)
    if deleted:
        _list_deleted(place, as_json)
        return
    from tl_core.projects.registry import list_projects

    rows = [_values(place, project) for project in list_projects(place)]
    if as_json:
        print_json(rows)
        return
    headers = ("project", "title", "runs", "searches", "folder")
    print_table(
        headers,
        [
            (
                row["id"],
                row["title"],
                row["num_runs"],
                row["num_searches"],
                f"missing: {row['data_dir']}" if row["missing"] else row["data_dir"],
            )
            for row in rows
        ],
    )


@app.command()
def rename(project: ProjectId, title: str, workspace: WorkspaceDir = None) -> None:
    """Give a project another title; an empty one goes back to the folder's name."""
    from tl_core.projects.registry import load_project, rename_project

    place = workspace_at(workspace)
    say(rename_project(place, load_project(place, project), title).title)


@app.command()
def relink(
    project: ProjectId,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the photos are now.")],
    workspace: WorkspaceDir = None,
) -> None:
    """Point a project to the place its folder was moved to; decisions and runs follow."""
    from tl_core.projects.registry import load_project
    from tl_core.projects.relink import relink_project

    place = workspace_at(workspace)
    say(relink_project(place, load_project(place, project), folder).path)


@app.command()
def export(
    project: ProjectId,
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The new zip.")],
    workspace: WorkspaceDir = None,
    quiet: Quiet = False,
) -> None:
    """Write a project whole into a zip: photos, decisions, runs and searches."""
    from tl_core.projects.archive import export_project
    from tl_core.projects.registry import load_project

    place = workspace_at(workspace)
    with working(quiet) as (_, monitor):
        report = export_project(place, load_project(place, project), out, monitor=monitor)
    say(f"{report.num_files:,} files, {report.num_runs} runs, {report.num_searches} searches")
    if report.skipped:
        say(f"left out, being neither photos nor lists of labels: {len(report.skipped):,}")
        for path in report.skipped[:MAX_PATHS]:
            say(f"  {path}")
    say(report.path)


@app.command("import")
def import_zip(
    source: Annotated[Path, typer.Argument(metavar="FILE.zip", help="An exported project.")],
    workspace: WorkspaceDir = None,
    quiet: Quiet = False,
) -> None:
    """Add an exported project to the workspace and print its id."""
    from tl_core.projects.archive import import_project

    with working(quiet) as (_, monitor):
        project = import_project(workspace_at(workspace), source, monitor=monitor)
    say(project.id)


@app.command()
def delete(project: ProjectId, workspace: WorkspaceDir = None) -> None:
    """Delete a project; for a day restore brings it back. A folder elsewhere is left alone."""
    from tl_core.projects.registry import load_project
    from tl_core.projects.trash import delete_project

    place = workspace_at(workspace)
    say(delete_project(place, load_project(place, project)).token)


@app.command()
def restore(
    token: Annotated[str, typer.Argument(metavar="TOKEN", help="See: list --deleted.")],
    workspace: WorkspaceDir = None,
) -> None:
    """Bring a deleted project back and print its id."""
    from tl_core.projects.trash import restore_project

    say(restore_project(workspace_at(workspace), token).id)


def _list_deleted(place: Workspace, as_json: bool) -> None:
    from tl_core.projects.trash import list_deleted

    found = list_deleted(place)
    if as_json:
        print_json(
            [
                {
                    "token": one.token,
                    "title": one.title,
                    "num_runs": one.num_runs,
                    "expires": one.expires.isoformat(timespec="seconds"),
                }
                for one in found
            ]
        )
        return
    rows = [
        (one.token, one.title, one.num_runs, f"{one.expires.astimezone():%Y-%m-%d %H:%M}")
        for one in found
    ]
    print_table(("token", "title", "runs", "until"), rows)


def _values(place: Workspace, project: Project) -> dict[str, Any]:
    """Return what ``projects list --json`` prints of one project."""
    from tl_core.projects.registry import runs_of, searches_of

    return {
        "id": project.id,
        "title": project.title,
        "data_dir": str(project.path),
        "missing": project.is_missing,
        "num_runs": len(runs_of(place, project, include_archived=True)),
        "num_searches": len(searches_of(place, project)),
    }

"""The command line: the package's functions as commands, for people and, with --json, for programs.

Slow modules are imported by the command that needs them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import typer

from tl_core.cli import (
    data,
    exports,
    models,
    projects,
    results,
    search,
    serve,
    studio,
    training,
)
from tl_core.cli.terminal import exit_on_error
from tl_core.installation import check_encoding, program_name

app = typer.Typer(
    help="From a folder of class images to a classifier, and how far it can be trusted.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    studio.app,
    data.sample,
    data.inspect,
    data.crop_boxes,
    data.unpack,
    data.label,
    models.backbones,
    training.train,
    search.find_lr,
    search.sweep,
    training.runs,
    results.evaluate,
    results.predict,
    results.explain,
    exports.export,
    exports.formats,
    serve.serve,
    models.cache,
    studio.doctor,
):
    app.command()(command)
app.add_typer(projects.app, name="projects")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    A mistake of the user's ends with ``Error: ...`` and 2, Ctrl-C with 130, a bug with a traceback.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded
    with exit_on_error():
        check_encoding()
        app(arguments, prog_name=program_name())

"""The command line: the package's functions as commands, for people and, with --json, for programs.

Errors become a message and an exit code here and nowhere else. Slow modules are imported by the
command that needs them.
"""

from __future__ import annotations

import errno
import io
import os
import sys
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
from tl_core.cli.exit_codes import EXIT_STOPPED, EXIT_USER_ERROR
from tl_core.cli.terminal import say
from tl_core.errors import Stopped, TLError
from tl_core.installation import program_name

# A full disk, or a place that may not be read or written.
_NOT_A_BUG = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC}

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
):
    app.command()(command)
app.add_typer(projects.app, name="projects")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code.

    A mistake of the user's ends with ``Error: ...`` and 2, Ctrl-C with 130, a bug with a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name may have what it cannot encode
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is loaded
    try:
        app(arguments, prog_name=program_name())
    except Stopped as error:
        say(error, stream=sys.stderr)
        sys.exit(EXIT_STOPPED)
    except TLError as error:
        say(f"Error: {error}", stream=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except OSError as error:
        if error.errno not in _NOT_A_BUG:
            raise
        where = f" '{error.filename}'" if error.filename else ""
        say(f"Error: Cannot read or write{where}: {error.strerror}.", stream=sys.stderr)
        sys.exit(EXIT_USER_ERROR)

"""Write one format's model files in a process of its own.

    python -m tl_core.export.write RUN_DIR FORMAT FOLDER CACHE_DIR EXAMPLES

``FOLDER`` holds the ``model.json`` to be, ``EXAMPLES`` is ``with-examples`` or ``no-examples``.
TensorFlow's memory comes back when the process ends, and a stop ends it at once. An error meant for
the user comes back as one line of JSON on standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tl_core import errors
from tl_core.export.formats import Format, get_format
from tl_core.export.model_info import read_model_info
from tl_core.export.writers import Writing
from tl_core.processes import (
    child_environment,
    end_with_parent,
    module_command,
    parse_error,
    print_error,
    run_watched,
)
from tl_core.progress import SILENT, Monitor
from tl_core.runs.store import Run, load_run

STAGE = "export"
_EXAMPLES = {False: "no-examples", True: "with-examples"}


def write_in_child(
    run: Run,
    row: Format,
    folder: Path,
    cache_dir: Path,
    monitor: Monitor = SILENT,
    *,
    with_examples: bool = False,
) -> None:
    """Have a child process write a format's model files into ``folder``.

    Raises:
        ExportError: the conversion failed.
        Stopped: ``monitor`` was asked to stop.
    """
    stage = monitor.stage(STAGE, 1)
    # Nothing is computed that a GPU would be woken for.
    environment = child_environment(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    command = module_command(
        "tl_core.export.write",
        str(run.run_dir),
        row.name,
        str(folder),
        str(cache_dir),
        _EXAMPLES[with_examples],
    )
    ended = run_watched(command, stage.look, environment=environment)
    if ended.returncode != 0:
        if (said := parse_error(ended.out.strip().rpartition("\n")[2])) is not None:
            raise said
        raise errors.ExportError(f"{row.title} could not be written: {ended.reason}.")
    for name in row.files:
        if not (folder / name).exists():
            raise errors.ExportError(f"{row.title} could not be written: '{name}' is missing.")
    stage.advance()


def main(arguments: list[str]) -> int:
    """Write one format; see the module's docstring."""
    run_dir, name, folder, cache_dir, examples = arguments
    try:
        writing = Writing(
            run=load_run(Path(run_dir)),
            info=read_model_info(Path(folder)),
            folder=Path(folder),
            cache_dir=Path(cache_dir),
            with_examples=examples == _EXAMPLES[True],
        )
        get_format(name).write(writing)
    except errors.TLError as error:
        print_error(error)
        return 2
    return 0


if __name__ == "__main__":
    end_with_parent()
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)  # converters' libraries are known to crash while they unload

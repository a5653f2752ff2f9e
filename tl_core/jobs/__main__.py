"""The worker process of a workspace: ``python -m tl_core.jobs WORKSPACE``."""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import sys
from pathlib import Path

from tl_core.config.mode import current_mode
from tl_core.jobs.worker import run_worker
from tl_core.jobs.worker_client import LOG_NAME, PROCESS_MODULE
from tl_core.logs import add_log_file
from tl_core.processes import lower_own_priority, module_command
from tl_core.workspace import Workspace


def main() -> None:
    """Run the worker of the workspace named on the command line."""
    parser = argparse.ArgumentParser(description="Train what is queued in a workspace.")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cold", action="store_true", help="do not preload anything")
    arguments = parser.parse_args()
    faulthandler.enable()
    if current_mode() == "demo":  # its pages, of all visitors, go before its jobs
        lower_own_priority()
    workspace = Workspace(arguments.workspace.absolute())
    logger = logging.getLogger("tl_core")
    logger.setLevel(logging.INFO)
    logger.propagate = False  # TensorFlow's libraries print what reaches the root logger, as it is
    add_log_file(logger, workspace.logs_dir / LOG_NAME, workspace.root)
    command = [*module_command(PROCESS_MODULE), *sys.argv[1:]]
    restart = None if sys.platform == "win32" else lambda: os.execv(command[0], command)
    run_worker(
        workspace,
        warm=not arguments.cold,
        restart=restart,
        end_process=lambda: os._exit(1),
    )


if __name__ == "__main__":
    main()

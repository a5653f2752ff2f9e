"""The end of visitors' workspaces, on demand or when they expire, and a worker for the others."""

from __future__ import annotations

import threading
from pathlib import Path

from tl_core.jobs.fair_queue import FairQueue
from tl_core.jobs.worker_client import ensure_worker
from tl_core.projects.trash import sweep_trash
from tl_core.visitors.store import end_expired, end_visitor, list_visitors
from tl_core.workspace import Workspace
from ui.datasets.dataset_view import forget_audits
from ui.datasets.downloads import forget_downloads
from ui.datasets.scans import forget_scans
from ui.shared import caches
from ui.shared.errors import logger
from ui.shared.memory import give_back

UPKEEP_SECONDS = 60.0


def delete_now(workspace: Workspace) -> None:
    """Delete a visitor's data from the disk and from this process."""
    end_visitor(workspace)
    _forget(workspace.root)


def start_upkeep(host: Workspace) -> threading.Event:
    """Delete expired workspaces from time to time, in a thread; return what ends it when set.

    A worker that has ended while jobs wait is started again, also when no page is open.
    """
    ended = threading.Event()

    def keep_up() -> None:
        while True:
            try:
                for workspace in end_expired(host):
                    _forget(workspace.root)
                for workspace in list_visitors(host):
                    sweep_trash(workspace)
                queue = FairQueue(host)
                queue.find_unnoted()
                if queue.jobs():
                    ensure_worker(host)
            except Exception:  # a full disk must not end the upkeep
                logger.exception("The upkeep of workspaces failed")
            if ended.wait(UPKEEP_SECONDS):
                return

    threading.Thread(target=keep_up, name="upkeep", daemon=True).start()
    return ended


def _forget(root: Path) -> None:
    caches.forget_workspace(str(root))
    forget_scans(root)
    forget_audits(root)
    forget_downloads(root)
    give_back()

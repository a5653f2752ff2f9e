"""The end of visitors' workspaces, on demand or when they expire: on disk and in memory."""

from __future__ import annotations

import threading
from pathlib import Path

from tl_core.projects.trash import sweep_trash
from tl_core.visitors.store import end_expired, end_visitor, list_visitors
from tl_core.workspace import Workspace
from ui.datasets.dataset_view import forget_audits
from ui.datasets.downloads import forget_downloads
from ui.datasets.scans import forget_scans
from ui.shared import caches
from ui.shared.errors import logger
from ui.shared.memory import give_back

SWEEP_SECONDS = 60.0


def delete_now(workspace: Workspace) -> None:
    """Delete a visitor's data from the disk and from this process."""
    end_visitor(workspace)
    _forget(workspace.root)


def start_sweeping(host: Workspace) -> threading.Event:
    """Delete expired workspaces from time to time, in a thread; return what ends it when set."""
    ended = threading.Event()

    def sweep() -> None:
        while True:
            try:
                for workspace in end_expired(host):
                    _forget(workspace.root)
                for workspace in list_visitors(host):
                    sweep_trash(workspace)
            except Exception:  # a full disk must not end the sweeping
                logger.exception("Expired workspaces could not be deleted")
            if ended.wait(SWEEP_SECONDS):
                return

    threading.Thread(target=sweep, name="expiry", daemon=True).start()
    return ended


def _forget(root: Path) -> None:
    caches.forget_workspace(str(root))
    forget_scans(root)
    forget_audits(root)
    forget_downloads(root)
    give_back()

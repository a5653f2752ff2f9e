"""Whether a process named in a file still lives, on any system."""

from __future__ import annotations

_CLOCK_SLACK_SECONDS = 2.0  # the system's clock may be set while a process runs


def own_identity() -> dict[str, float]:
    """Return ``pid`` and ``pid_create_time`` of this process, as stored in files.

    A pid alone is used again by the system; together with its start the process is known.
    """
    import psutil

    process = psutil.Process()
    return {"pid": process.pid, "pid_create_time": process.create_time()}


def is_alive(pid: object, create_time: object) -> bool:
    """Whether the process with this pid and start still runs; a zombie does not."""
    if not isinstance(pid, int) or not isinstance(create_time, int | float):
        return False
    import psutil

    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - create_time) > _CLOCK_SLACK_SECONDS:
            return False
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False

"""The worker's side of searches and learning-rate tests."""

from __future__ import annotations

from tl_core.config.training import TrainConfig
from tl_core.data.curation.store import load_dataset
from tl_core.errors import Stopped
from tl_core.jobs.failures import keeping_reason
from tl_core.jobs.queue import Job, JobQueue
from tl_core.jobs.search import SWEEP, wait_again
from tl_core.progress import Monitor
from tl_core.search.lr_cache import RangeFile
from tl_core.search.lr_finder import find_learning_rate
from tl_core.search.run import run_sweep
from tl_core.search.store import Sweep
from tl_core.workspace import Workspace


def do_sweep(workspace: Workspace, job: Job, monitor: Monitor) -> None:
    """Go on with the search of the job; when it gives way to another job, it waits again."""
    sweep = Sweep(workspace.sweeps_dir / str(job.payload[SWEEP]))
    if sweep.state != "queued":  # deleted or cancelled meanwhile
        return
    try:
        run_sweep(sweep, monitor=monitor)
    except Stopped:
        if sweep.sweep_dir.is_dir() and not JobQueue(workspace).is_stop_requested(job.id):
            wait_again(sweep)
        raise


def do_range_test(workspace: Workspace, job: Job, monitor: Monitor) -> None:
    """Test the learning rate for the settings of the job; keep the reason when it cannot be."""
    config = TrainConfig.create(job.payload["config"])
    index = load_dataset(
        workspace.resolve(job.payload["data_dir"]),
        workspace,
        config.layout,
        monitor=monitor,
    )
    kept = RangeFile(workspace.cache_dir, index, config)
    with keeping_reason(kept.write_failure):
        kept.write(
            find_learning_rate(
                config,
                index,
                cache_dir=workspace.cache_dir,
                monitor=monitor,
            )
        )

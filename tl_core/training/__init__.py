"""Training runs: the trainer, the run directory and the job queue."""

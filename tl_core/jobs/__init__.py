"""The job queue, its worker process and the clients that fill it."""

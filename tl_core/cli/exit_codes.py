"""Exit codes of the commands; separate, so that a caller need not load the command line."""

EXIT_PROBLEMS = 1  # found by the command doctor
EXIT_USER_ERROR = 2
EXIT_STOPPED = 130

"""What commands end with; kept apart so that who starts one need not load the command line."""

EXIT_USER_ERROR = 2
EXIT_STOPPED = 130

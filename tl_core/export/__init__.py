"""A run as files for other programs, each with a proof that it agrees with the app."""

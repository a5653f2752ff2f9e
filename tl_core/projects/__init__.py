"""Projects: a dataset with its decisions, runs and searches, named by one id."""

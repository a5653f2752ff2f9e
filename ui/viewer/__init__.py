"""One bundle that answers, and nothing of the studio."""

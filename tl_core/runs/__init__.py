"""The run directory: its files, states and events."""

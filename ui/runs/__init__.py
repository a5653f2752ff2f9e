"""Choosing a run and what pages read of it."""

"""Decisions about single photos, and the cleaned copy they give."""

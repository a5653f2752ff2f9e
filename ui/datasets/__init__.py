"""Choosing and scanning a dataset, and the decisions about it."""

"""Findings: what is wrong with a dataset, rule by rule."""

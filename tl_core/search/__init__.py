"""Hyper-parameter search and the learning-rate range test."""

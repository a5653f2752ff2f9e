"""Figures computed in NumPy: classification, calibration, curves."""

"""How good a run is, and how runs compare."""

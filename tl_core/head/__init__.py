"""The layers on top of a backbone and what is computed from their outputs."""

"""A run as a notebook that trains it again in plain Keras."""

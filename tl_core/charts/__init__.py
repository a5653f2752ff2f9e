"""Charts of the studio, a module a page: a DataFrame in, an ``altair`` chart out.

Altair is imported on first use.
"""

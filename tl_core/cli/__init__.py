"""The command line, a module a group of commands; see ``python -m tl_core --help``."""

"""``python -m tl_core``: the command line, which is ``tl`` where the package is installed."""

from tl_core.cli.app import main

if __name__ == "__main__":
    main()

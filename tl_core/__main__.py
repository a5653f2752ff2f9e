"""``python -m tl_core``: the command line."""

from tl_core.cli.app import main

if __name__ == "__main__":
    main()

"""Functions of Streamlit that are not public and that a demo puts its own in the place of."""

from __future__ import annotations

from typing import Any


def streamlit_function(owner: object, name: str, ability: str) -> Any:
    """Return a function of a module or class of Streamlit.

    Args:
        owner: the module or class.
        name: of the function.
        ability: what a version that has it does, as in "whose media files can be renamed".

    Raises:
        RuntimeError: this version of Streamlit does not have it. A demo does not start without.
    """
    function = getattr(owner, name, None)
    if function is None:
        raise RuntimeError(
            f"Expected a version of Streamlit {ability}. Install the one of requirements.txt."
        )
    return function

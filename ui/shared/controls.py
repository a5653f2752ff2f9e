"""Controls that not only the person sets but the app as well: tabs, select boxes, form fields.

A browser sends the values of all its controls with every message. One that it sent before it heard
that the app changed a control still names the old value, and would undo the change: a page that
polls sends such messages by itself. So each value that the app sets gets a control of its own, and
nothing that is said of the old one reaches it.

    st.session_state[KEY] = "Map"                    # anywhere, at any time
    st.tabs(names, **control(KEY, names[0]))         # where it is drawn
    st.session_state[KEY]                            # what is chosen, on every page
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import streamlit as st
from pydantic import TypeAdapter, ValidationError

from ui.shared import session_keys

# Of a control: when the page was opened, how often the app has set it, and whether the browser has
# drawn it: a run of the page that drew it came to its end, or the person has changed it.
_Round = tuple[int, int, bool]
T = TypeVar("T")
MARK = "~"  # between the name of a control and how often the app has set it


def control(
    key: str,
    default: Any = None,
    *,
    on_change: Callable[..., None] | None = None,
    args: tuple[Any, ...] = (),
    may_be_none: bool = False,
    format_func: Callable[[Any], str] | None = None,
) -> dict[str, Any]:
    """Return the arguments of the control that shows a value of the session.

    They are ``key``, ``on_change`` and ``args``, and ``format_func`` if it is given.

    The value itself is no control's: it outlives the change to another page, may be read and set
    before and after the control is drawn, and follows what the person chooses.

    Args:
        key: where the session holds the value.
        default: the value while there is none.
        on_change: called when the person changes it, after the value was taken over.
        args: what it is called with.
        may_be_none: whether the person can choose nothing, as in a select box that can be emptied.
            Without it a None keeps the value that was chosen before.
        format_func: the title of a value, given here where titles change, as by renaming. A browser
            knows what is chosen by its title and goes on showing the old one, so that a control
            gets a successor when the title of its value changes.
    """
    state = st.session_state
    value = state.setdefault(key, default)
    rounds: dict[str, _Round] = state.setdefault(session_keys.CONTROL_ROUNDS, {})
    visit = state.get(session_keys.VISIT, 0)
    seen, number, is_heard = rounds.get(key, (visit, 0, False))
    drawn = _drawn_key(key, number)
    titles: dict[str, tuple[Any, list[str]]] = state.setdefault(session_keys.CONTROL_TITLES, {})
    title = _titles(value, format_func)
    before, title_before = titles.get(key, (value, title))
    is_renamed = before == value and title_before != title
    titles[key] = (value, title)
    # After a change of page the state may hold the value still, but the browser's control does not.
    if seen != visit or is_renamed or (drawn in state and state[drawn] != value):
        number += 1
        drawn = _drawn_key(key, number)
    is_heard = is_heard and drawn in state
    rounds[key] = (visit, number, is_heard)
    if not is_heard:
        # Again after a run that was interrupted, as it may not have reached the browser. Not after
        # others: the browser would put the value in the place of what is being typed there.
        state[drawn] = value
    made = {"key": drawn, "on_change": _take, "args": (key, number, on_change, args, may_be_none)}
    return made if format_func is None else {**made, "format_func": format_func}


def as_kind(kind: type[T], value: object) -> T | None:
    """Return what a browser sent as JSON if it is of a kind; None for anything else.

    Charts, tables and components tell what was chosen in that way, and a browser may send any.

    Example:
        >>> as_kind(list[int], [1, 2]), as_kind(list[int], {"rows": "all"})
        ([1, 2], None)
    """
    try:
        return _adapter(kind).validate_python(value)  # type: ignore[arg-type]
    except ValidationError:
        return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def have_reached_browser() -> None:
    """Note that all controls were sent to the browser; call it at the end of a run of a page."""
    rounds = st.session_state.get(session_keys.CONTROL_ROUNDS, {})
    for key, (visit, number, _) in rounds.items():
        rounds[key] = (visit, number, True)


def _take(
    key: str,
    number: int,
    on_change: Callable[..., None] | None,
    args: tuple[Any, ...],
    may_be_none: bool,
) -> None:
    """Take over what the person chose, unless the app has set something else since."""
    state = st.session_state
    visit, current, _ = state[session_keys.CONTROL_ROUNDS][key]
    if current != number:
        return
    chosen = state[_drawn_key(key, number)]
    if chosen is None and not may_be_none:
        # Not a choice: a browser that has not received the value says so for a segmented control or
        # pills, although they are required. They are drawn again with the value, as it differs.
        return
    state[session_keys.CONTROL_ROUNDS][key] = (visit, number, True)
    state[key] = chosen
    if on_change is not None:
        on_change(*args)


def _titles(value: Any, format_func: Callable[[Any], str] | None) -> list[str]:
    """Return the title of a value, or of each of several."""
    if format_func is None or value is None:
        return []
    return [format_func(one) for one in (value if isinstance(value, list) else [value])]


def _drawn_key(key: str, number: int) -> str:
    return f"{key}{MARK}{number}"

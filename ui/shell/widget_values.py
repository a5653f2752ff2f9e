"""Values of widgets that a browser may not send: the widget keeps its value, and the page goes on.

A browser tells the values of all its widgets with every message, and a message may hold anything.
Streamlit reads a value as it stands, most of them before the page's script begins: what the
widget's reader cannot take ends the page with Streamlit's own box and a traceback, and what it
takes by mistake, such as a number for the text of a select box, fails in the page.

Streamlit has no setting for it, so this uses its internals.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from streamlit.runtime.state.common import unpack_widget_state_value
from streamlit.runtime.state.session_state import Serialized, SessionState, Value

from ui.shared.errors import error_toast

MOST_LEVELS = 20  # of lists and mappings within each other; those of this app have five
MOST_BYTES = 100_000  # of a value; the largest of this app are paths of some hundred photos
MOST_PARTS = 5_000  # of JSON, or commas of a text
_OPTION_FIELDS = ("string_value", "string_array_value")
_TEXTS = ("string_value", "json_value", "json_trigger_value")

logger = logging.getLogger("studio")


class _Kept(Value):
    """The value that a widget keeps because the browser sent an odd one, and is to be told."""


def check_widget_values() -> None:
    """Have Streamlit leave out odd values, and show what goes wrong in a widget's callback."""
    if getattr(SessionState.register_widget, "is_checking", False):
        return
    take, register = SessionState.set_widgets_from_proto, SessionState.register_widget
    run_callback = SessionState._run_callback_and_record_rerun

    def take_sound(self: Any, widget_states: Any) -> None:
        take(self, widget_states)
        for state in widget_states.widgets:
            _check_known(self, state)

    def register_sound(self: Any, metadata: Any, user_key: str | None) -> Any:
        is_told = _drop_if_odd(self, metadata)
        result = register(self, metadata, user_key)
        return replace(result, value_changed=True) if is_told else result

    def run_in_banner(self: Any, votes: Any, run: Callable[[], None]) -> None:
        def run_and_show() -> None:
            with error_toast():
                run()

        run_callback(self, votes, run_and_show)

    register_sound.is_checking = True  # type: ignore[attr-defined]
    mended: dict[str, Callable[..., Any]] = {
        "set_widgets_from_proto": take_sound,
        "register_widget": register_sound,
        "_run_callback_and_record_rerun": run_in_banner,
    }
    for name, function in mended.items():
        setattr(SessionState, name, function)


def _check_known(session: Any, state: Any) -> None:
    """Read a value that has come for a widget of an earlier run, or keep the one before.

    Its callback would run next, and finds neither a value nor a change that is odd.
    """
    values = session._new_widget_state
    metadata = values.widget_metadata.get(state.id)
    if metadata is None or state.id not in values.states:
        return
    try:
        value = read_value(state, metadata)
        _check_options(state, metadata)
    except Exception as error:
        _note(state.WhichOneof("value"), metadata.value_type, type(error).__name__)
        del values.states[state.id]
        if state.id in session._old_state:
            values.states[state.id] = _Kept(session._old_state[state.id])
    else:
        values.states[state.id] = Value(value)


def _drop_if_odd(session: Any, metadata: Any) -> bool:
    """Drop a value that came before its widget was drawn; return whether to tell the browser."""
    values = session._new_widget_state
    held = values.states.get(metadata.id)
    if not isinstance(held, Serialized):
        return isinstance(held, _Kept)
    try:
        read_value(held.value, metadata)
    except Exception as error:
        _note(held.value.WhichOneof("value"), metadata.value_type, type(error).__name__)
        del values.states[metadata.id]
        return True
    return False


def read_value(state: Any, metadata: Any) -> Any:
    """Return the value of a widget as Streamlit reads it from a message.

    Args:
        state: the ``WidgetState`` of the message.
        metadata: what Streamlit knows of the widget.

    Raises:
        Exception: it is not of the widget's kind, or the widget's reader cannot take it.
    """
    field = state.WhichOneof("value")
    _check_size(state, field)
    is_whole = field == "int_value" and metadata.value_type == "double_value"  # of a number input
    if field not in (None, metadata.value_type) and not is_whole:
        raise TypeError(f"Expected {metadata.value_type}, received {field}.")
    if field == "json_trigger_value":
        _check_plain(json.loads(state.json_trigger_value))
    sent = unpack_widget_state_value(state)
    _check_plain(sent)
    value = metadata.deserializer(sent)
    is_option = field == "string_value" and isinstance(value, str)  # or what was typed for one
    if metadata.formatted_options is None and not is_option:  # options may be whatever the app has
        _check_plain(value)  # that of a chart or table comes as a text of JSON
    return value


def _check_size(state: Any, field: str | None) -> None:
    """Raise ``ValueError`` for more than any widget of this app has; a session keeps each value.

    A part of JSON takes many times its bytes: 390 kB of empty mappings take 10 MB.
    """
    if field == "file_uploader_state_value":  # of thousands of photos
        return
    if state.ByteSize() > MOST_BYTES:
        raise ValueError(f"Expected at most {MOST_BYTES:,} bytes.")
    text = getattr(state, field) if field in _TEXTS else ""
    if sum(map(text.count, ",[{")) > MOST_PARTS:
        raise ValueError(f"Expected at most {MOST_PARTS:,} parts.")


def _check_options(state: Any, metadata: Any) -> None:
    """Raise ``ValueError`` for a choice that the widget did not offer when it was last drawn."""
    field = state.WhichOneof("value")
    if metadata.formatted_options is None or field not in _OPTION_FIELDS:
        return
    sent = getattr(state, field)
    chosen = [sent] if field == "string_value" else sent.data
    if not set(chosen) <= set(metadata.formatted_options):
        raise ValueError("Expected one of the options.")


def _check_plain(value: Any, level: int = 0) -> None:
    """Raise ``ValueError`` for numbers and texts that nobody can enter, in whatever they are."""
    if level > MOST_LEVELS:
        raise ValueError(f"Expected at most {MOST_LEVELS} levels.")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("Expected a finite number.")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("Expected a text without NUL.")
        value.encode()  # a half of a pair of surrogates cannot be
    elif isinstance(value, Mapping):
        for key, one in value.items():
            _check_plain(key, level + 1)
            _check_plain(one, level + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for one in value:
            _check_plain(one, level + 1)


@cache
def _note(field: str | None, value_type: str | None, reason: str) -> None:
    """Log once that browsers send such values: after an update of Streamlit they may be right."""
    logger.warning("Left out a value of a browser: %s for %s, %s", field, value_type, reason)

"""Streamlit's caches, with entries kept apart by workspace and removed when a workspace ends.

    @cache_data(max_entries=32)
    def read(path: str, stamp: int) -> Table: ...

In a studio, which has one workspace, these are ``st.cache_data`` and ``st.cache_resource``. In a
hosted demo no visitor gets an entry that another one's photos made, even for equal arguments.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from ui.shared import session_keys

P = ParamSpec("P")
R = TypeVar("R")

_Clear = Callable[[], None]
_filled: dict[str, dict[str, OrderedDict[str, _Clear]]] = {}  # by workspace, function, arguments
_lock = threading.Lock()


def cache_data(
    *, max_entries: int, show_spinner: bool | str = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator as ``st.cache_data``, for values that are copied."""
    return _apart(st.cache_data(max_entries=max_entries, show_spinner=show_spinner), max_entries)


def cache_resource(
    *, max_entries: int, show_spinner: bool | str = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator as ``st.cache_resource``, for values that are shared."""
    keep = st.cache_resource(max_entries=max_entries, show_spinner=show_spinner)
    return _apart(keep, max_entries)


def forget_workspace(root: str) -> None:
    """Remove the entries of a demo's visitor.

    Args:
        root: the visitor's workspace.
    """
    with _lock:
        functions = _filled.pop(root, {})
    for clears in functions.values():
        for clear in clears.values():
            clear()


def _apart(keep: Any, max_entries: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())

        @functools.wraps(function)
        def of_owner(owner: str, *args: Any, **kwargs: Any) -> R:
            return function(*args, **kwargs)

        owner = inspect.Parameter("owner", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        changed = signature.replace(parameters=[owner, *parameters])
        of_owner.__signature__ = changed  # type: ignore[attr-defined]
        kept = keep(of_owner)
        hidden = [parameter.name.startswith("_") for parameter in parameters]

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            root: str = st.session_state.get(session_keys.WORKSPACE_ROOT, "")
            if root:
                # What is not part of the key is not held: it may be a photo.
                shown = [None if hide else arg for hide, arg in _pairs(hidden, args)]
                clear = functools.partial(kept.clear, root, *shown, **kwargs)
                name = f"{function.__module__}.{function.__qualname__}"
                _note(root, name, repr((shown, kwargs)), clear, max_entries)
            result: R = kept(root, *args, **kwargs)
            return result

        return call

    return decorate


def _pairs(hidden: list[bool], args: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    """Pair each argument with whether it is no part of the key; ``*key`` has no parameter each."""
    more = len(args) - len(hidden)
    return list(zip([*hidden, *[False] * max(0, more)], args, strict=False))


def _note(root: str, function: str, arguments: str, clear: _Clear, max_entries: int) -> None:
    with _lock:
        clears = _filled.setdefault(root, {}).setdefault(function, OrderedDict())
        clears[arguments] = clear
        clears.move_to_end(arguments)
        while len(clears) > max_entries:
            clears.popitem(last=False)

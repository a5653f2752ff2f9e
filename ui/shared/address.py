"""The address in the browser: which dataset, run and tab it names, and the way to other pages.

The only module that reads or writes ``st.query_params`` and that leads to another page. The session
holds what is chosen; the address follows every choice, and wins whenever it was changed in the
browser: by Back or Forward, a reload, a bookmark, a second tab.

    read()                       # at the start of a page, before anything is drawn
    choose(keys.RUN, run.id)     # a person's choice; in the address from the next ``write`` on
    write()                      # once it is known what the page shows
    take_tab(key, names)         # on a page with tabs, before they are drawn; then name_tab(key)
    go_to("pages/2_Train.py")    # dataset and run go along

Select boxes are not bound to query parameters (``bind="query-params"``): Streamlit refuses to
switch pages while a bound parameter is set.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ui.shared import session_keys

NAMES = (session_keys.DATASET, session_keys.RUN)
TAB = "tab"  # which part of a page is open, once another than at first was opened


@dataclass
class _Address:
    """What a session knows of its address.

    Attributes:
        chosen: ids by name, of what the session has chosen; a name that is missing has no choice.
        known: the ids that the address held when it was last read or written; None before that.
        page: the page that was drawn last.
        replaced: what our last write replaced, until the browser's history leads somewhere. That
            the session has the new one says nothing of the browser: a run that the server itself
            began has it too, and a message sent before still brings the old one after that.
        is_tab_due: whether the page is to open the part that the address names.
        first_tab: the part that a plain address stands for: the one that was open at first; None
            until the page has drawn it.
    """

    chosen: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] | None = None
    page: str | None = None
    replaced: dict[str, str] | None = None
    is_tab_due: bool = False
    first_tab: str | None = None


def chosen(name: str) -> str | None:
    """Return the chosen id of ``keys.DATASET`` or ``keys.RUN``; None when none was chosen."""
    return _address().chosen.get(name)


def choose(name: str, value: str | None) -> None:
    """Make an id the chosen one, None for no choice; the select box shows it when drawn next."""
    address = _address()
    named: dict[str, str | None] = {**address.chosen, name: value}
    # Always in one order: the browser takes the same names in another order for a step to go back.
    address.chosen = {one: held for one in NAMES if (held := named.get(one)) is not None}


def read() -> bool:
    """Take over what the address names if it was changed in the browser.

    Returns:
        Whether another page than before is shown.

    A plain address leaves the dataset as it is: nothing but a person or a name changes that.
    """
    address, now, page = _address(), _named(), getattr(get_script_run_ctx(), "page_script_hash", "")
    is_other_page = page != address.page
    address.is_tab_due |= is_other_page or _is_back_or_forward()
    if is_other_page:
        address.page, address.first_tab = page, None
        st.session_state[session_keys.VISIT] = st.session_state.get(session_keys.VISIT, 0) + 1
        st.session_state.pop(session_keys.RUN, None)  # what another page shows without a choice
    if now == address.known:
        return is_other_page
    if now == address.replaced and not _is_back_or_forward():
        return is_other_page  # a click from before our last write reached the browser
    address.known, address.replaced = now, None
    before = address.chosen
    kept = {name: before[name] for name in (session_keys.DATASET,) if name in before}
    address.chosen = {**kept, **now}
    if address.chosen.get(session_keys.RUN) != before.get(session_keys.RUN):
        st.session_state.pop(session_keys.RUN, None)  # so that the box shows the one named now
    return is_other_page


def write() -> None:
    """Make the address name what is chosen; other query parameters stay."""
    address, now = _address(), _named()
    if now != address.chosen:
        _set(address.chosen, other(TAB))
        address.replaced = now
    address.known = dict(address.chosen)


def take_tab(key: str, names: Collection[str]) -> None:
    """Have the part of a page open that the address names, if it was changed in the browser.

    Args:
        key: of the value that names the part, see ``ui/shared/controls.py``; set by then.
        names: of the parts.
    """
    address = _address()
    named = st.query_params.get(TAB)
    if address.is_tab_due:
        wanted = address.first_tab if named is None else named
        if wanted in names:
            st.session_state[key] = wanted
    if address.first_tab is None:
        address.first_tab = st.session_state[key] if named is None else next(iter(names))
    address.is_tab_due = False


def name_tab(key: str) -> None:
    """Make the address name the part of the page that is open, once the control was drawn."""
    is_open = st.session_state[key]
    wanted = None if is_open == _address().first_tab else is_open
    if other(TAB) != wanted:
        _set(_named(), wanted)


def go_to(page: str) -> NoReturn:
    """Open another page with the chosen dataset and run.

    Args:
        page: its file, such as ``"pages/2_Train.py"``, see ``ui/shared/navigation.py``.
    """
    address = _address()
    address.known = dict(address.chosen)
    st.switch_page(page, query_params=address.chosen)


def page_link(page: str, label: str, icon: str, *, is_wide: bool = False) -> None:
    """Draw a link to another page with the chosen dataset and run."""
    st.page_link(
        page,
        label=label,
        icon=icon,
        width="stretch" if is_wide else "content",
        query_params=_address().chosen,
    )


def other(name: str) -> str | None:
    """Return what the address says under a name that is not of :data:`NAMES`; None for nothing."""
    return st.query_params.get(name)


def remove_other(name: str) -> None:
    """Have the address no longer say anything under that name."""
    if name in st.query_params:
        del st.query_params[name]


def _address() -> _Address:
    address: _Address = st.session_state.setdefault(session_keys.ADDRESS, _Address())
    return address


def _set(named: dict[str, str], tab: str | None) -> None:
    """Have the address name these and the tab; other query parameters stay.

    Always in one order: the browser takes the same names in another order for a step to go back.
    """
    held = st.query_params.to_dict()
    others = {name: value for name, value in held.items() if name not in (*NAMES, TAB)}
    st.query_params.from_dict({**others, **named, **({} if tab is None else {TAB: tab})})


def _named() -> dict[str, str]:
    return {name: st.query_params[name] for name in NAMES if st.query_params.get(name)}


def _is_back_or_forward() -> bool:
    """Return whether the browser's history led here; as if so when Streamlit does not say."""
    return bool(getattr(get_script_run_ctx(), "is_history_navigation", True))

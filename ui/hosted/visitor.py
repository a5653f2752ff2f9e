"""The one place that says in which workspace a page works: in a demo, the visitor's own.

A visitor is known by a cookie, by a link to the workspace, or by login. Where cookies are blocked,
as in a frame of another site, the session alone holds the workspace, and the link leads back.
"""

from __future__ import annotations

from html import escape
from typing import NoReturn
from urllib.parse import urlencode

import streamlit as st

from tl_core.config.mode import current_mode
from tl_core.errors import TLError
from tl_core.visitors.store import (
    exists,
    has_ended,
    open_visitor,
    reopen,
    seen_seconds,
    visitor_at_token,
)
from tl_core.visitors.tokens import is_token, issue_token, token_of_user
from tl_core.workspace import Workspace, default_workspace
from ui.hosted import guard
from ui.shared import address as addresses
from ui.shared import session_keys, words

TOKEN = "visitor_token"
LEFT = "visitor_left"  # whether the data were deleted in this session
COOKIES_BLOCKED = "cookies_blocked"
NOT_GUARDED = (
    "This demo was not started as one: its visitors could not be kept apart. Start it with "
    "'streamlit run hosted.py'."
)
ENDED = "The data of this workspace were deleted, and its link no longer works."
LINK_GONE = "That link no longer works: the workspace's data were deleted."
OPEN_OTHER = (
    "You opened a link to a workspace of this demo. Everyone who has the link sees and changes "
    "what is in it: open it only if it is yours, or from somebody you trust."
)


def session_workspace() -> Workspace:
    """Return the workspace of this session; in a studio, the one there is.

    In a demo the page may end here: to log in, to ask about a link, or because the data are gone.

    Raises:
        LimitError: the disk of the demo is full.
        TLError: the demo was started without its guard.
    """
    host = default_workspace()
    if current_mode() != "demo":
        return host
    if not guard.is_installed():
        raise TLError(NOT_GUARDED)
    token = st.session_state.get(TOKEN)
    if token is None:
        token = st.session_state[TOKEN] = _choose_token(host)
    if st.session_state.get(LEFT) or has_ended(host, token):
        _draw_ended()
    address = st.context.headers.get(guard.ADDRESS_HEADER, "")
    workspace = open_visitor(host, token, address)
    st.session_state[session_keys.WORKSPACE_ROOT] = str(workspace.root)
    return workspace


def own_link() -> str:
    """Return the address by which this visitor comes back, or another device gets in."""
    query = urlencode({guard.LINK: st.session_state[TOKEN]})
    return f"{st.context.url or ''}?{query}"


def leave() -> None:
    """Forget everything of the session but whose it was; its next runs say that data are gone."""
    token = st.session_state.get(TOKEN)
    st.session_state.clear()
    st.session_state[TOKEN] = token
    st.session_state[LEFT] = True


def _choose_token(host: Workspace) -> str:
    if guard.is_logged_in_demo():
        return _user_token(host)
    own = st.context.cookies.get(guard.COOKIE)
    if not is_token(host, own):
        own = None
    link = addresses.other(guard.LINK)
    if link and link != own and is_token(host, link):
        if has_ended(host, link) or not exists(visitor_at_token(host, link)):
            st.warning(LINK_GONE, icon=":material/link_off:")
        elif _agrees_to_open(host, own, link):
            return link
    addresses.remove_other(guard.LINK)
    if own is None:
        st.session_state[COOKIES_BLOCKED] = True
    return own or issue_token(host)


def _agrees_to_open(host: Workspace, own: str | None, link: str) -> bool:
    """Ask whether to open a link's workspace; the page ends here until that is answered."""
    place = st.empty()
    with place.container():
        st.warning(OPEN_OTHER, icon=":material/link:")
        past = seen_seconds(visitor_at_token(host, link))
        st.caption(f"It was used last {words.seconds(past)} ago.")
        with st.container(horizontal=True, vertical_alignment="center"):
            opens = False
            if own is None:
                opens = st.button("Open it", key="open_link", type="primary")
            else:  # the cookie has to change, which the guard does
                query = {guard.LINK: link, guard.ENTER: guard.enter_proof(host, own, link)}
                _draw_reload("Open it", f"?{urlencode(query)}")
            stays = st.button("Use a workspace of my own", key="refuse_link")
    if not opens and not stays:
        st.stop()
    place.empty()
    if opens:
        st.session_state[COOKIES_BLOCKED] = True
    return opens


def _user_token(host: Workspace) -> str:
    """Return the token of the user who is logged in; else the page ends with the login."""
    if not st.user.is_logged_in:
        st.title("Log in")
        st.write("This demo keeps your photos and models apart from those of others by your login.")
        st.button("Log in", key="login", type="primary", on_click=st.login)
        st.stop()
    token = token_of_user(host, f"{st.user.get('iss', '')} {st.user.get('sub', '')}")
    reopen(host, token)
    return token


def _draw_ended() -> NoReturn:
    st.info(ENDED, icon=":material/delete:")
    _draw_reload("Start again", "?")
    st.stop()


def _draw_reload(label: str, place: str) -> None:
    """Draw a link to an address of this app that loads it in this tab, as a new session."""
    st.html(f'<a href="{escape(place)}" target="_self">{escape(label)}</a>')

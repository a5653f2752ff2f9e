"""Functions of Streamlit that are not public and that the app puts its own in the place of."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import Callable
from typing import Any

from streamlit import net_util
from streamlit.runtime import memory_media_file_storage as storage
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.web.server.starlette import starlette_auth_routes

from tl_core.visitors.tokens import keyed_hash
from tl_core.workspace import default_workspace

Method = Callable[..., None]  # of a class, called with the object
_FILE_ID = "_calculate_file_id"
_CLIENT = "_create_oauth_client"
NUM_CLIENTS = 20  # of login providers that are kept


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


def put_around(owner: Any, name: str, around: Method, ability: str) -> None:
    """Have a method of a class called by a function, which is given the method and its arguments.

    What was put around it before is taken away.

    Args:
        owner: the class.
        name: of the method.
        around: is called with the method, the object and the other arguments.
        ability: as of :func:`streamlit_function`.

    Raises:
        RuntimeError: the class does not have the method.
    """
    method = streamlit_function(owner, name, ability)
    original = getattr(method, "original", method)

    def replaced(self: Any, *arguments: Any) -> None:
        around(original, self, *arguments)

    replaced.original = original  # type: ignore[attr-defined]
    setattr(owner, name, replaced)


def ask_for_no_address() -> None:
    """Have no service asked which address this machine has on the internet.

    When a page of another site tries to connect, Streamlit asks Amazon for it, within the loop that
    serves all pages: they stand still until that answers.
    """
    net_util.get_external_ip = lambda: None


def keep_login_clients() -> None:
    """Have the steps of a login use one client for each provider, as Authlib means it to be.

    Streamlit makes a new one for each request, which reads all certificates of the system three
    times and asks the provider for its addresses: 80 ms, within the loop that serves all pages.

    Raises:
        RuntimeError: this version of Streamlit makes them in another place.
    """
    import certifi  # comes with what the login needs

    create = streamlit_function(starlette_auth_routes, _CLIENT, "whose login clients can be kept")
    if getattr(create, "is_kept", False):
        return
    certificates = ssl.create_default_context(
        cafile=os.environ.get("SSL_CERT_FILE") or certifi.where(),
        capath=os.environ.get("SSL_CERT_DIR"),
    )  # as httpx reads them

    @functools.lru_cache(maxsize=NUM_CLIENTS)
    def client_of(provider: str) -> tuple[Any, str]:
        client, redirect_uri = create(provider)
        client.client_kwargs.setdefault("verify", certificates)
        return client, redirect_uri

    client_of.is_kept = True  # type: ignore[attr-defined]
    setattr(starlette_auth_routes, _CLIENT, client_of)


def key_addresses() -> None:
    """Have pictures and downloads get addresses that only their visitor knows, from now on.

    Streamlit names a file by a hash of its content, so that who has a photo could ask whether
    another visitor has it too. Now the hash is keyed by the server's secret and the session.

    Raises:
        RuntimeError: this version of Streamlit names them in another place.
    """
    by_content = streamlit_function(
        storage, _FILE_ID, "whose media files can be named apart for each visitor"
    )
    if getattr(by_content, "is_keyed", False):
        return

    def by_session(data: bytes, mimetype: str, filename: str | None = None) -> str:
        context = get_script_run_ctx(suppress_warning=True)
        session_id = "" if context is None else context.session_id
        content = by_content(data, mimetype, filename)
        return keyed_hash(default_workspace(), "media", session_id, content).hex()[:56]

    by_session.is_keyed = True  # type: ignore[attr-defined]
    setattr(storage, _FILE_ID, by_session)

"""The tokens by which visitors of a hosted demo come back to their workspaces.

A token is 24 random bytes and their keyed hash: only tokens that this server issued are accepted,
and none can be guessed. The workspace's folder is named by a hash of the token, so that a path does
not give access.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from tl_core.workspace import Workspace

SECRET_ENVIRONMENT_NAME = "TL_DEMO_SECRET"
SECRET_FILE = "secret.key"
TOKEN_LENGTH = 48
_NUM_RANDOM, _NUM_HASH = 24, 12
_MIN_SECRET = 16


def issue_token(host: Workspace) -> str:
    """Return a new token; no workspace is created."""
    return _signed(host, secrets.token_bytes(_NUM_RANDOM))


def token_of_user(host: Workspace, user: str) -> str:
    """Return the token of a user who is logged in, the same at each login.

    Args:
        host: the demo's workspace.
        user: what identifies the user, such as issuer and subject.
    """
    return _signed(host, keyed_hash(host, "user", user)[:_NUM_RANDOM])


def is_token(host: Workspace, text: str | None) -> bool:
    """Whether a text is a token that this server issued."""
    if text is None or len(text) != TOKEN_LENGTH or not text.isascii():
        return False
    with suppress(ValueError):
        raw = base64.b64decode(text.encode(), altchars=b"-_", validate=True)
        return hmac.compare_digest(_signed(host, raw[:_NUM_RANDOM]), text)
    return False


def visitor_id(token: str) -> str:
    """Return the name of the workspace's folder."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


def keyed_hash(host: Workspace, *parts: str) -> bytes:
    """Return a hash of texts, 32 bytes, that nobody without the server's secret can compute."""
    message = b"".join(len(part.encode()).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.new(_secret(host.root), message, hashlib.sha256).digest()


def _signed(host: Workspace, raw: bytes) -> str:
    signature = keyed_hash(host, "visitor", raw.hex())[:_NUM_HASH]
    return base64.urlsafe_b64encode(raw + signature).decode()


@functools.lru_cache(maxsize=4)
def _secret(root: Path) -> bytes:
    """Return the server's secret: ``TL_DEMO_SECRET``, else a file made at the first start."""
    if len(named := os.environ.get(SECRET_ENVIRONMENT_NAME, "")) >= _MIN_SECRET:
        return named.encode()
    path = root / SECRET_FILE
    root.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{SECRET_FILE}.{os.getpid()}")
    with suppress(FileExistsError):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
        try:
            os.link(temporary, path)  # the first of several processes wins
        finally:
            temporary.unlink()
    return path.read_bytes()

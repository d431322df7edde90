"""The bearer tokens: a local one made at first start, and the one from the settings that other machines share."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from pydantic import SecretStr

from quantlab.model import Refused
from quantlab.redact import register_secret
from quantlab.settings import Settings

#: 32 random bytes in URL-safe base64.
_STRONG_LENGTH = 43
_STRONG_DISTINCT = 16


def tokens_of(settings: Settings) -> tuple[bytes, bytes | None]:
    """The local token (made when there is none), which may do everything; and `API_BEARER_TOKEN`, which other machines
    share and which may only read (None: not set)."""
    local = local_token(settings.home)
    register_secret(local)
    shared = settings.api_bearer_token
    return local.encode(), None if shared is None else shared.get_secret_value().encode()


def local_token(home: Path) -> str:
    """The token of this home's own server, in an owner-only file, so that local clients find it by themselves.

    Raises Refused when others can read the file.
    """
    path = home / "api-token"
    try:
        state = path.stat()
    except FileNotFoundError:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(path)
        return path.read_text().strip()
    if state.st_mode & 0o077:
        raise Refused(f"others can read {path}: remove it, a new token is made at the next start")
    token = path.read_text().strip()
    if len(token) < _STRONG_LENGTH:
        raise Refused(f"{path} holds no whole token: remove it, a new one is made at the next start")
    return token


def _make(path: Path) -> None:
    """Write a new token. Whole or not at all; of several that start at once the first one's stays."""
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # owner-only
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        Path(draft).unlink()


def require_strong(token: SecretStr | None, host: str) -> None:
    """Raise Refused unless `token` is as strong as 32 random bytes: `host` lets other machines ask."""
    value = token.get_secret_value() if token is not None else ""
    if len(value) < _STRONG_LENGTH or len(set(value)) < _STRONG_DISTINCT or not value.isascii():
        made = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise Refused(
            f"serving on {host} lets other machines ask: set API_BEARER_TOKEN in .env to 32 random bytes first "
            f"(`{made}` makes them), or serve on 127.0.0.1"
        )

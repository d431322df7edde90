"""The HTTP API: health, fleet status and commands, behind one guard. Loopback unless a strong token allows more."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Callable
from typing import Any

from quantlab.model import ConfigurationError
from quantlab.server.guard import Guard
from quantlab.server.token import require_strong, tokens_of
from quantlab.settings import Settings

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    settings: Settings, *, port: int | None = None, preflight: Callable[[], dict[str, Any]] | None = None
) -> None:
    """Serve on `settings.api_host` until interrupted. `preflight` goes through the checklist, once the bind is known to
    be safe; `/healthz` tells what it said.

    Raises Refused before any socket exists when a public bind has no strong token, and ConfigurationError when the port
    is taken.
    """
    import uvicorn

    from quantlab.server.app import make_app

    host = settings.api_host
    port = settings.api_port if port is None else port
    if host not in _LOOPBACK:
        require_strong(settings.api_bearer_token, host)
    said = None if preflight is None else preflight()
    token, read_token = tokens_of(settings)
    with _listen(host, port) as listener:
        bound = listener.getsockname()[1]
        guard = Guard(
            make_app(settings, said),
            token=token,
            read_token=read_token,
            hosts={*_LOOPBACK, host, *settings.api_allowed_hosts},
            origins=set(settings.api_cors_origins),
        )
        print(f"serving on http://{host}:{bound} (bearer token needed)", file=sys.stderr, flush=True)
        config = uvicorn.Config(
            guard, log_config=None, log_level="warning", access_log=False, server_header=False, lifespan="off"
        )  # its own handlers would pass by the redaction
        uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(f"port {port} on {host} is taken: choose another with --port") from None
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    return listener

"""The control socket: how panel, command line and server talk to the engine. Owner-only, one JSON line each way.

Unix sockets have short names (104 bytes on macOS, 108 on Linux) and a home can lie deep, so the socket lives in a
0700 folder of the user's runtime directory, named by a hash of the home.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from quantlab.fleet.process import running
from quantlab.model import ExchangeUnreachable, NotFound, QuantlabError, Refused

#: What the engine understands. "reduce" lets only sales pass; "kill" cancels, flattens and halts; "keys" looks at the
#: keys again.
COMMANDS = ("status", "pause", "resume", "reduce", "stop", "kill", "keys")
_LINE_LIMIT = 1 << 22


def socket_path(home: Path) -> Path:
    """The socket of `home`'s engine. Raises Refused when its folder belongs to somebody else."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    short = [folder for folder in (runtime, tempfile.gettempdir()) if folder and len(folder) < 60]
    base = Path(short[0] if short else "/tmp")  # noqa: S108 - the folder made in it is 0700 and checked
    folder = base / f"quantlab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    state = folder.lstat()
    if state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise Refused(f"{folder} is not yours alone: remove it, or `chmod 700 {folder}`")
    return folder / f"{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]}.sock"


def send(home: Path, command: str, *, timeout_s: float = 10.0, **arguments: Any) -> dict[str, Any]:
    """Send one command to the engine of `home` and return its answer.

    Raises NotFound when no engine runs there, QuantlabError with the engine's own words when it refuses.
    """
    engine = running(home)
    if engine is None:
        raise NotFound("no engine runs here: start one with `quantlab run`")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout_s)
            connection.connect(engine.socket)
            connection.sendall(msgspec.json.encode({"command": command, **arguments}) + b"\n")
            with connection.makefile("rb") as lines:
                line = lines.readline(_LINE_LIMIT)
    except (FileNotFoundError, ConnectionRefusedError):
        raise NotFound(f'the engine of run "{engine.run_id}" starts or ends just now: ask again in a moment') from None
    except TimeoutError:
        raise ExchangeUnreachable(f"the engine did not answer within {timeout_s:.0f} s: see its log") from None
    except ConnectionError as error:
        raise QuantlabError(f"the engine ended before it answered ({error})") from None
    if not line:
        raise QuantlabError("the engine ended before it answered")
    answer: dict[str, Any] = msgspec.json.decode(line)
    if not answer.get("ok"):
        raise QuantlabError(str(answer.get("error", "the engine refused")))
    return answer


class ControlServer:
    """Serves `handle(command, arguments) -> answer` on the socket, inside the engine's loop: a command therefore acts
    between two market events, at a definite place in the input log."""

    def __init__(self, home: Path, handle: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        self._path = socket_path(home)
        self._handle = handle
        self._server: asyncio.AbstractServer | None = None

    async def __aenter__(self) -> ControlServer:
        # The engine's lock is held: a socket that is still there belongs to a dead engine.
        self._path.unlink(missing_ok=True)
        mask = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._serve, str(self._path), limit=1 << 16)
        finally:
            os.umask(mask)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(self._answer(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the client went away, or sent a line over the limit: nothing to tell it
        finally:
            writer.close()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line)
            command = request.pop("command")
        except (msgspec.DecodeError, AttributeError, KeyError, TypeError):
            return {"ok": False, "error": 'a command is one line of JSON: {"command": "status"}'}
        if command not in COMMANDS:
            return {"ok": False, "error": f'unknown command "{command}"; there are: {", ".join(COMMANDS)}'}
        try:
            return {"ok": True, **self._handle(command, request)}
        except QuantlabError as error:
            return {"ok": False, "error": str(error)}

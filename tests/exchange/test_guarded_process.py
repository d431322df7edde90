"""Behind the wall and behind the seal the door's own sessions work as ever, on each loop, with and without TLS; what
is beside them in the process does not, not even to the exchange's own address; and a connection that was handed over
cannot be led elsewhere."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from yarl import URL

from quantlab.exchange.walls.gate import Gate

from .false_networks import Authority

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the seal is Linux's")


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.handle_error = lambda *about: None  # type: ignore[method-assign] # a client that mistrusts us hangs up
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def run(kind: str, loop: str, url: str, *, authority: Path | None = None) -> dict[str, Any]:
    """What the process says."""
    command = [sys.executable, "-m", "tests.exchange.guarded_process", kind, loop, url, "9"]
    environment = {"SSL_CERT_FILE": str(authority)} if authority else {}
    with Gate([URL(url)]) as gate:
        more = [str(gate.descriptor)] if kind == "seal" else []
        done = subprocess.run(
            command + more,
            cwd=ROOT,
            env=environment,
            pass_fds=(gate.descriptor,),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_behind_the_wall(loop: str, host: str) -> None:
    with serving() as port:
        told = run("wall", loop, f"http://{host}:{port}")
    assert told.pop("sealed") is False
    assert told.pop("guarded") == "200"
    assert told.pop("ten at once") == ["200"] * 10
    assert told == dict.fromkeys(told, "Refused")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_behind_the_seal(loop: str, host: str) -> None:
    with serving() as port:
        told = run("seal", loop, f"http://{host}:{port}")
    assert told.pop("sealed") is True
    assert told.pop("guarded") == "200"
    assert told.pop("ten at once") == ["200"] * 10
    names = {told.pop(name) for name in ("another name", "another name, by the loop")}
    assert all("gaierror" in said for said in names), names
    assert told == dict.fromkeys(told, "EPERM")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_plain_process_reaches_what_these_do_not(loop: str) -> None:
    """The control."""
    with serving() as port:
        told = run("plain", loop, f"http://localhost:{port}")
    assert told["plain, to the same address"] == "200"
    assert told["plain socket, to the same address"] == "done"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_tls_is_the_sealed_process_s_own(loop: str, tmp_path: Path) -> None:
    """A certificate for the host passes; the gate cannot stand in for another host, nor could who answers in its
    place."""
    authority = Authority()
    trusted = tmp_path / "authority.pem"
    trusted.write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    with serving(authority.context(tmp_path, "localhost")) as port:
        assert run("seal", loop, f"https://localhost:{port}", authority=trusted)["guarded"] == "200"
        assert run("seal", loop, f"https://localhost:{port}")["guarded"] == "ClientConnectorCertificateError"
    with serving(authority.context(tmp_path, "other.invalid")) as port:
        told = run("seal", loop, f"https://localhost:{port}", authority=trusted)
    assert told["guarded"] == "ClientConnectorCertificateError"

"""What does not use the door gets nothing out: Python meets the wall inside the process, C and children the kernel.

Each attempt of `prisoner` is made three times, in processes of their own: plainly, which is the control and must arrive
at a recorder here; behind the wall, where all that is Python must be refused; behind the seal, where nothing may arrive
and the kernel must be the one who refused.
"""

from __future__ import annotations

import json
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from .prisoner import BEYOND, KERNEL, PYTHON, mark

ROOT = Path(__file__).resolve().parents[2]
WAYS = sorted(PYTHON | BEYOND)
END = b"the end"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the seal and half of the attempts are Linux's")


class Recorder:
    """Takes whatever arrives by TCP, UDP and a local socket, and keeps it."""

    def __init__(self, path: Path) -> None:
        pieces: list[bytes] = []
        self._pieces = pieces

        class Take(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if isinstance(self.request, tuple):
                    pieces.append(self.request[0])
                    return
                pieces.append(self.request.recv(4096))
                self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        tcp = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Take)
        self.port = tcp.server_address[1]
        local = socketserver.ThreadingUnixStreamServer(str(path), Take)
        self.path = path
        self.servers: list[Any] = [tcp, local, socketserver.UDPServer(("127.0.0.1", self.port), Take)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def arrived(self) -> bytes:
        return b"".join(self._pieces).replace(END, b"")

    def close(self) -> None:
        """Take all that was sent until now, and end."""
        with socket.create_connection(("127.0.0.1", self.port)) as tcp, socket.socket(socket.AF_UNIX) as local:
            local.connect(str(self.path))
            with socket.socket(type=socket.SOCK_DGRAM) as udp:
                udp.connect(("127.0.0.1", self.port))
                for sender in (tcp, local, udp):
                    sender.send(END)
            for _ in range(500):
                if self._pieces.count(END) == 3:
                    break
                threading.Event().wait(0.01)
        for server in self.servers:
            server.shutdown()
            server.server_close()  # joins the threads of what was accepted before
        assert self._pieces.count(END) == 3


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, Any], bytes]]:
    """For each kind of process: what it says became of its attempts, and what arrived here."""
    found = {}
    for kind in ("plain", "wall", "seal"):
        path = tmp_path_factory.mktemp(kind) / "daemon"
        recorder = Recorder(path)
        command = [sys.executable, "-m", "tests.exchange.prisoner", kind, str(recorder.port), str(path)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
        finally:
            recorder.close()
        found[kind] = json.loads(done.stdout), recorder.arrived
    return found


Tried = dict[str, tuple[dict[str, Any], bytes]]


@pytest.mark.parametrize("name", WAYS)
def test_the_control(name: str, tried: Tried) -> None:
    """Where nothing stands in the way, it arrives."""
    assert mark(name).encode() in tried["plain"][1]


@pytest.mark.parametrize("name", sorted(PYTHON))
def test_the_wall(name: str, tried: Tried) -> None:
    said, arrived = tried["wall"]
    assert said["ways"][name] == "Refused"
    assert mark(name).encode() not in arrived


def test_what_the_wall_does_not_bind_is_what_it_says(tried: Tried) -> None:
    """C code and children get past an audit hook: nobody may believe otherwise."""
    assert {name for name in BEYOND if mark(name).encode() in tried["wall"][1]} == BEYOND.keys()


@pytest.mark.parametrize("name", WAYS)
def test_the_seal(name: str, tried: Tried) -> None:
    said, _ = tried["seal"]
    assert said["ways"][name] == "EPERM"


def test_nothing_arrives_from_a_sealed_process(tried: Tried) -> None:
    assert tried["seal"][1] == b""


@pytest.mark.parametrize("what", KERNEL)
def test_the_kernel_refuses_what_would_lead_around_it(what: str, tried: Tried) -> None:
    assert tried["seal"][0]["kernel"][what] == "EPERM"


def test_the_kernel_does_not_refuse_that_to_everybody(tried: Tried) -> None:
    """The control: which of it a plain process may do differs from kernel to kernel, the filter's part does not."""
    plain = tried["plain"][0]["kernel"]
    assert plain["the filter switched off"] == plain["a filter that allows all"] == "done"
    assert plain["the x32 table"] != "EPERM"

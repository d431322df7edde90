"""An exchange on loopback that fails in one way, and tells back whatever it was sent."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FAULTS = ("-2015", "-1022", "502", "half", "silence", "dropped")


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline()).strip():
            lines.append(line.decode(errors="replace").strip())
        if not lines:
            return
        if "/api/v3/time" in lines[0]:
            self._answer(200, json.dumps({"serverTime": time.time_ns() // 1_000_000}))
            return
        self.server.heard.append("\n".join(lines))
        echo = json.dumps(" ".join(lines))
        match self.server.fault:
            case "-2015":
                self._answer(401, f'{{"code": -2015, "msg": {echo}}}')
            case "-1022":
                self._answer(400, f'{{"code": -1022, "msg": {echo}}}')
            case "502":
                self._answer(502, f"<html>{echo}</html>")
            case "silence":
                self.server.over.wait(30)
            case "half":
                head = f"HTTP/1.1 200 OK\r\nX-Echo: {lines[0]}\r\nContent-Length: 9999\r\n\r\n"
                self.wfile.write(f"{head}{echo}".encode())

    def _answer(self, status: int, body: str) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.wfile.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, fault: str, heard: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault, self.heard, self.over = fault, heard, threading.Event()


@contextmanager
def failing_exchanges(faults: Sequence[str], heard: list[str]) -> Iterator[list[str]]:
    """The address of one exchange for each of `faults`; the signed requests they get are put into `heard`."""
    servers = [_Server(fault, heard) for fault in faults]
    try:
        for server in servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield [f"http://127.0.0.1:{server.server_address[1]}" for server in servers]
    finally:
        for server in servers:
            server.over.set()
            server.shutdown()
            server.server_close()

"""The gate's process: connects to the addresses it was started with, and hands the connections over. Nothing else.

It is started before a run seals itself, from this file alone (`python -I -S gatekeeper.py CHANNEL HOST:PORT…`): no
package, no settings, no key, no database, an empty environment. Its one channel is a local socket whose other end the
sealed process holds; when that is closed, however its holder ended, this ends.

A question is a packet "HOST:PORT" with a descriptor to answer on. The answer is one line of JSON, with the connected
TCP socket beside it where there is one. It never reads or writes a byte of a connection: TLS, and whether the other
side is who it should be, are the business of the process that asked.
"""

from __future__ import annotations

import ctypes
import json
import runpy
import socket
import sys
import threading
from pathlib import Path

#: Each address of a name is tried for so long; the asking side has a shorter patience of its own if it wants.
_CONNECT_S = 10.0
#: Questions answered at once. More wait.
_AT_ONCE = 32
_MOST_BYTES = 512
#: A resolver asks again by TCP when an answer is too long for a datagram.
_DNS_PORT = 53
_PR_SET_DUMPABLE = 4


def main(channel: int, allowed: frozenset[str]) -> None:
    """Answer until the other end is closed."""
    _shut_to_its_user()
    ports = {int(address.rpartition(":")[2]) for address in allowed} | {_DNS_PORT}
    runpy.run_path(str(Path(__file__).with_name("landlock.py")))["leave_only"](ports)
    places = threading.BoundedSemaphore(_AT_ONCE)
    with socket.socket(fileno=channel) as questions:
        questions.send(b"ready")
        while True:
            question, descriptors, _, _ = socket.recv_fds(questions, _MOST_BYTES, 1)
            if not question:
                return
            if descriptors:
                places.acquire()
                asked = (question.decode("ascii", "replace"), socket.socket(fileno=descriptors[0]))
                threading.Thread(target=_serve, args=(*asked, allowed, places), daemon=True).start()


def _shut_to_its_user() -> None:
    """No other process of the same user may read or write this one's memory: the sealed one is such a process, and
    could change the list of addresses. A kernel with Landlock forbids it besides."""
    if sys.platform == "linux":
        long = ctypes.c_ulong
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, long(0), long(0), long(0), long(0))


def _serve(address: str, reply: socket.socket, allowed: frozenset[str], places: threading.BoundedSemaphore) -> None:
    try:
        with reply:
            _answer(address, reply, allowed)
    except OSError:
        pass  # who asked is gone
    finally:
        places.release()


def _answer(address: str, reply: socket.socket, allowed: frozenset[str]) -> None:
    if address not in allowed:
        _say(reply, fault="refused", text=f"this gate leads to {', '.join(sorted(allowed))}")
        return
    host, _, port = address.rpartition(":")
    try:
        connection = socket.create_connection((host, int(port)), timeout=_CONNECT_S)
    except socket.gaierror as error:
        _say(reply, fault="resolve", errno=error.errno, text=error.strerror)
    except OSError as error:
        _say(reply, fault="connect", errno=error.errno, text=error.strerror or str(error))
    else:
        with connection:
            line = json.dumps({"peer": connection.getpeername()[0]}).encode()
            socket.send_fds(reply, [line], [connection.fileno()])


def _say(reply: socket.socket, **words: object) -> None:
    reply.sendall(json.dumps(words).encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), frozenset(sys.argv[2:]))

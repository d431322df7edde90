"""A process that tries to get something out: plainly, behind the wall inside the process, or behind the kernel's seal.

    python -m tests.exchange.prisoner plain|wall|seal PORT PATH

Each attempt sends its own name to the recorder: by TCP and UDP to 127.0.0.1:PORT, or to the local socket PATH. Prints,
as JSON, what became of each: "EPERM", "Refused", "done", or the error as it was.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Attempt = Callable[[str], object]
#: By a library or a socket of Python in this very process: what the wall is for.
PYTHON: dict[str, Attempt] = {}
#: By C code or by a child: what only the kernel can refuse.
BEYOND: dict[str, Attempt] = {}

HOST, PORT, PATH = "127.0.0.1", 0, ""
libc = ctypes.CDLL(None, use_errno=True)
#: Numbers of system calls: x86_64, arm64.
NUMBERS = {"socket": (41, 198), "connect": (42, 203), "io_uring_setup": (425, 425), "seccomp": (317, 277)}
NUMBERS |= {"ptrace": (101, 117), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438), "keyctl": (250, 219)}
COLUMN = 1 if os.uname().machine == "aarch64" else 0
#: What the kernel refuses in a sealed process, one answer each; elsewhere it says something else.
KERNEL = (
    "a packet socket",
    "a raw socket",
    "a netlink socket",
    "a vsock socket",
    "io_uring",
    "ptrace",
    "process_vm_writev",
    "pidfd_getfd",
    "keyctl",
    "the filter switched off",
    "a filter that allows all",
    "the x32 table",
)


def attempt(kind: dict[str, Attempt]) -> Callable[[Attempt], Attempt]:
    def keep(way: Attempt) -> Attempt:
        kind[way.__name__] = way
        return way

    return keep


@attempt(PYTHON)
def requests_get(name: str) -> None:
    import requests

    requests.get(f"http://{HOST}:{PORT}/{name}", timeout=2)


@attempt(PYTHON)
def urllib_request(name: str) -> None:
    from urllib.request import urlopen

    urlopen(f"http://{HOST}:{PORT}/{name}", timeout=2).read()


@attempt(PYTHON)
def plain_aiohttp(name: str) -> None:
    _run(asyncio.run, _plain_aiohttp(name))


@attempt(PYTHON)
def plain_aiohttp_on_uvloop(name: str) -> None:
    _run(_uvloop_run(), _plain_aiohttp(name))


async def _plain_aiohttp(name: str) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{PORT}/{name}"):
        pass


@attempt(PYTHON)
def ccxt_with_a_key(name: str) -> None:
    import ccxt

    client = ccxt.binance({"apiKey": "key", "secret": "secret", "timeout": 2000})
    client.urls["api"] = dict.fromkeys(client.urls["api"], f"http://{HOST}:{PORT}/{name}")
    client.privatePostOrder({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"})


@attempt(PYTHON)
def ccxt_async_with_a_key(name: str) -> None:
    async def order() -> None:
        import ccxt.async_support

        client = ccxt.async_support.binance({"apiKey": "key", "secret": "secret", "timeout": 2000})
        client.urls["api"] = dict.fromkeys(client.urls["api"], f"http://{HOST}:{PORT}/{name}")
        try:
            await client.privatePostOrder({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"})
        finally:
            await client.close()

    _run(asyncio.run, order())


@attempt(PYTHON)
def socket_connect(name: str) -> None:
    with socket.create_connection((HOST, PORT), 2) as connection:
        connection.sendall(name.encode())


@attempt(PYTHON)
def socket_connect_ex(name: str) -> None:
    with socket.socket() as connection:
        code = connection.connect_ex((HOST, PORT))
        if code:
            raise OSError(code, os.strerror(code))
        connection.sendall(name.encode())


@attempt(PYTHON)
def udp_sendto(name: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(name.encode(), (HOST, PORT))


@attempt(PYTHON)
def udp_sendmsg(name: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendmsg([name.encode()], [], 0, (HOST, PORT))


@attempt(PYTHON)
def udp_connected(name: str) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.connect((HOST, PORT))
        sender.send(name.encode())


@attempt(PYTHON)
def open_connection(name: str) -> None:
    _run(asyncio.run, _open_connection(name))


@attempt(PYTHON)
def open_connection_on_uvloop(name: str) -> None:
    _run(_uvloop_run(), _open_connection(name))


async def _open_connection(name: str) -> None:
    _, writer = await asyncio.open_connection(HOST, PORT)
    writer.write(name.encode())
    await writer.drain()
    writer.close()


@attempt(PYTHON)
def udp_on_uvloop(name: str) -> None:
    async def send() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(HOST, PORT))
        transport.sendto(name.encode())
        await asyncio.sleep(0.05)
        transport.close()

    _run(_uvloop_run(), send())


@attempt(BEYOND)
def child_python(name: str) -> None:
    code = f"import socket\nwith socket.create_connection(({HOST!r}, {PORT})) as s: s.sendall({name.encode()!r})"
    _child([sys.executable, "-I", "-c", code])


@attempt(BEYOND)
def child_shell(name: str) -> None:
    _child(["/bin/sh", "-c", f"exec bash -c 'echo {name} > /dev/tcp/{HOST}/{PORT}'"])


@attempt(BEYOND)
def grandchild_in_a_session_of_its_own(name: str) -> None:
    code = f"import socket\nwith socket.create_connection(({HOST!r}, {PORT})) as s: s.sendall({name.encode()!r})"
    inner = f"import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-I', '-c', {code!r}]))"
    _child([sys.executable, "-I", "-c", inner], start_new_session=True)


@attempt(BEYOND)
def forked(name: str) -> None:
    child = os.fork()
    if child == 0:
        os._exit(_errno_of_c_socket(name))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))


@attempt(BEYOND)
def c_library(name: str) -> None:
    code = _errno_of_c_socket(name)
    if code:
        raise OSError(code, os.strerror(code))


@attempt(BEYOND)
def system_calls(name: str) -> None:
    connection = _call("socket", socket.AF_INET, socket.SOCK_STREAM, 0)
    _call("connect", connection, _sockaddr(), 16)
    os.write(connection, name.encode())
    os.close(connection)


@attempt(BEYOND)
def local_daemon(name: str) -> None:
    """A service of this machine that would do it for us."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(PATH)
        connection.sendall(name.encode())


def of_kernel(what: str) -> None:
    """Raises what the kernel says to `what`, one of KERNEL."""
    if what.endswith("socket"):
        family = {"a packet socket": 17, "a raw socket": 2, "a netlink socket": 16, "a vsock socket": 40}[what]
        _call("socket", family, 3 if family in (2, 16, 17) else 1, 1 if family == 2 else 0)
    elif what == "io_uring":
        _call("io_uring_setup", 4, bytes(256))
    elif what == "process_vm_writev":
        _call("process_vm_writev", os.getppid(), None, 0, None, 0, 0)
    elif what == "the filter switched off":
        if libc.prctl(22, ctypes.c_ulong(0), None) != 0 or libc.prctl(38, *map(ctypes.c_ulong, (0, 0, 0, 0))) != 0:
            _call("socket", 2, 1, 0)  # PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS: neither is taken back
    elif what == "a filter that allows all":
        instruction = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000))
        _call("seccomp", 1, 0, struct.pack("HxxxxxxP", 1, ctypes.addressof(instruction)))
        _call("socket", 2, 1, 0)
    elif what == "the x32 table":
        _numbered(0x4000_0000 | 41, 2, 1, 0)
    else:
        _call(what, 0xFFFF, 0, 0, 0)


def _numbered(number: int, *arguments: Any) -> int:
    given = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer: int = libc.syscall(ctypes.c_long(number), *given)
    if answer < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return answer


def _call(name: str, *arguments: Any) -> int:
    return _numbered(NUMBERS[name][COLUMN], *arguments)


def _sockaddr() -> bytes:
    return struct.pack("=H", socket.AF_INET) + struct.pack("!H", PORT) + socket.inet_aton(HOST) + bytes(8)


def _errno_of_c_socket(name: str) -> int:
    connection = libc.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    if connection < 0 or libc.connect(connection, _sockaddr(), 16) != 0:
        return ctypes.get_errno()
    os.write(connection, name.encode())
    os.close(connection)
    return 0


def _child(command: list[str], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, **options)
    if done.returncode:
        refused = "Operation not permitted" in done.stderr
        raise OSError(errno.EPERM if refused else errno.EIO, done.stderr)


def _run(run: Any, coroutine: Any) -> None:
    run(asyncio.wait_for(coroutine, 3))


def _uvloop_run() -> Any:
    import functools

    import uvloop

    from quantlab.exchange.walls.wall import walled

    return functools.partial(uvloop.run, loop_factory=walled(uvloop.Loop) if sys.argv[1] == "wall" else uvloop.Loop)


def mark(name: str) -> str:
    """What an attempt sends: no other's mark is part of it."""
    return f".{name}."


def outcome(way: Attempt, name: str) -> str:
    from quantlab.model import Refused

    try:
        way(name)
    except BaseException as error:
        chain: list[BaseException] = [error]
        while following := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(following)
        if any(isinstance(link, Refused) for link in chain):
            return "Refused"
        if any(isinstance(link, PermissionError) for link in chain):
            return "EPERM"
        return repr(error)
    return "done"


def main(kind: str) -> dict[str, dict[str, str]]:
    logging.disable()
    if kind == "wall":
        from quantlab.exchange.walls import wall

        wall.stand()
    elif kind == "seal":
        from yarl import URL

        from quantlab.exchange.walls.gate import Gate
        from quantlab.exchange.walls.seal import seal

        gate = Gate([URL(f"http://{HOST}:{PORT}")]).__enter__()
        seal(os.dup(gate.descriptor))
    ways = PYTHON | BEYOND
    kernel = {what: outcome(of_kernel, what) for what in KERNEL} if kind != "wall" else {}
    return {"ways": {name: outcome(way, mark(name)) for name, way in ways.items()}, "kernel": kernel}


if __name__ == "__main__":
    PORT, PATH = int(sys.argv[2]), sys.argv[3]
    found = main(sys.argv[1])
    print(json.dumps(found), flush=True)
    os._exit(0)

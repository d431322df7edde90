"""A process that asks the exchange as a run does, behind the wall or the seal, and then tries to go further.

    python -m tests.exchange.guarded_process wall|seal asyncio|uvloop URL ELSEWHERE [GATE]

Prints, as JSON, what became of each. ELSEWHERE is a port on this machine that nobody here may reach.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from yarl import URL

from quantlab.exchange.egress import EgressLog
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.rules import Origins
from quantlab.exchange.walls import gate, landlock, wall
from quantlab.exchange.walls.seal import is_sealed, seal

from .prisoner import libc, outcome

KIND, LOOP, ADDRESS, ELSEWHERE = sys.argv[1:5]
URL_ = URL(ADDRESS)


async def main() -> dict[str, Any]:
    ATTEMPT.set(Attempt())
    told: dict[str, Any] = {"sealed": is_sealed()}
    rules = Origins(URL_, URL(ADDRESS.replace("http", "ws", 1)), is_venue=True)
    async with guarded_session(rules, EgressLog(lambda row: None), 5.0) as session:
        told["guarded"] = await _said(_ask(session))
        told["ten at once"] = [await said for said in [asyncio.create_task(_said(_ask(session))) for _ in range(10)]]
        async with aiohttp.ClientSession() as plain:
            told["plain, to the same address"] = await _said(_ask(plain))
        told["plain socket, to the same address"] = outcome(lambda name: _connect(URL_.port or 0), "")
        told["another name"] = outcome(lambda name: socket.getaddrinfo("other.invalid", 80), "")
        told["another name, by the loop"] = await _said(asyncio.get_running_loop().getaddrinfo("other.invalid", 80))
    return told


def further() -> dict[str, str]:
    """What a sealed process could still try with what it has."""
    keys = gate.keys()
    assert keys is not None
    with gate.handing_over():
        connection = keys.connection((socket.AF_INET, socket.SOCK_STREAM, 6, "", (URL_.host, URL_.port)))
    elsewhere = bytes([2, 0, *int(ELSEWHERE).to_bytes(2, "big"), 127, 0, 0, 1, *bytes(8)])

    def c(number: int) -> None:
        if number < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    fileno = connection.fileno()
    memory = Path(f"/proc/{os.getppid()}/mem")
    return {
        "taken off its address": outcome(lambda _: c(libc.connect(fileno, bytes(16), 16)), ""),
        "connected elsewhere": outcome(lambda _: c(libc.connect(fileno, elsewhere, 16)), ""),
        "sent elsewhere": outcome(lambda _: c(libc.sendto(fileno, b"x", 1, 0, elsewhere, 16)), ""),
        "opened fast": outcome(lambda _: c(libc.send(fileno, b"x", 1, 0x2000_0000)), ""),
        "opened fast by sendmsg": outcome(lambda _: connection.sendmsg([b"x"], [], 0x2000_0000), ""),
        "parent's memory": outcome(lambda _: memory.open("r+b").close(), "") if landlock.abi() >= 4 else "EPERM",
    }


async def _ask(session: aiohttp.ClientSession) -> int:
    ATTEMPT.set(Attempt())
    async with session.get(f"{ADDRESS}/api/v3/time") as response:
        return response.status


async def _said(awaitable: Any) -> str:
    try:
        return str(await awaitable)
    except Exception as error:
        chain: list[BaseException] = [error]
        while following := chain[-1].__cause__ or chain[-1].__context__:
            chain.append(following)
        names = [type(link).__name__ for link in chain]
        return "Refused" if "Refused" in names else "EPERM" if "PermissionError" in names else names[0]


def _connect(port: int) -> None:
    with socket.create_connection((URL_.host, port), 2):
        pass


if __name__ == "__main__":
    if KIND == "seal":
        seal(int(sys.argv[5]))
    elif KIND == "wall":
        wall.stand()
    if LOOP == "uvloop":
        told = uvloop.run(main(), loop_factory=wall.walled(uvloop.Loop) if KIND == "wall" else uvloop.Loop)
    else:
        told = asyncio.run(main())
    print(json.dumps(told | (further() if KIND == "seal" else {})))

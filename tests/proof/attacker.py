"""Runs inside the network: every way out that the collection knows, through a guarded session or a plain one.

    python -m tests.proof.attacker guarded|plain

Prints, as JSON, the ways tried and how many of the generated endpoints that are not a GET were called and refused.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
from yarl import URL

from quantlab.exchange.config import HOSTS
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.rules import Origins
from quantlab.model import Refused
from tests.exchange.test_no_order_leaves import call_all
from tests.exchange.ways_out import WAYS

REST, STREAM = HOSTS["mainnet"]
#: Other names of a loopback address: behind a real name they ask what may be asked.
_OF_LOOPBACK = {"another name of an allowed address", "another loopback address"}


async def main(kind: str) -> dict[str, Any]:
    log = EgressLog(lambda row: None)
    if kind == "guarded":
        session = guarded_session(Origins(URL(REST), URL(STREAM)), log, 5.0)
        ATTEMPT.set(Attempt())
    else:
        session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))
    raised: dict[str, str] = {}
    async with session:
        for name, way in WAYS.items():
            if name in _OF_LOOPBACK:
                continue
            raised[name] = await asyncio.create_task(_tried(way, session))
            print(f"way {name}", file=sys.stderr)
        calls, refused = await call_all(session, REST)
    return {"ways": raised, "endpoints": calls, "endpoints_refused": refused, "counters": log.counters()}


async def _tried(way: Any, session: aiohttp.ClientSession) -> str:
    if ATTEMPT.get() is not None:
        ATTEMPT.set(Attempt())
    try:
        async with asyncio.timeout(2.0):
            await way(session, REST)
    except Refused as error:
        return f"Refused: {error}"
    except Exception as error:
        cause = error.__cause__ or error.__context__
        return f"{type(error).__name__} ({type(cause).__name__})"
    return ""


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))

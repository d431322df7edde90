"""One GET without a key of one place, whatever comes of it: what sessions beside the door have in common."""

from __future__ import annotations

import aiohttp
from yarl import URL

from quantlab.exchange.egress import EgressLog
from quantlab.exchange.guard import ATTEMPT, Attempt
from quantlab.model.errors import ExchangeUnreachable, MalformedMessage, QuantlabError, Refused

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def parsed(address: str) -> URL:
    """`address`, or an empty one where it is none."""
    try:
        url = URL(address)
        url.port  # noqa: B018 - raises where it is no number
    except (ValueError, TypeError):
        return URL()
    return url


def is_here(url: URL) -> bool:
    """Whether it is plain http to this machine."""
    return url.scheme == "http" and url.host in _LOOPBACK


async def asked_once(
    session: aiohttp.ClientSession, url: URL, attempt: Attempt, log: EgressLog, purpose: str, failed: str
) -> QuantlabError | None:
    """Ask, and write down that it was asked. The answer is in `attempt`; what is given back is why there is none:
    `failed`, with the kind of error put in for {kind}, where the network did not carry it."""
    error: QuantlabError | None = None
    token = ATTEMPT.set(attempt)
    try:
        async with session.get(url, allow_redirects=False):
            pass
    except (Refused, MalformedMessage) as refusal:
        error = type(refusal)(str(refusal))
    except (aiohttp.ClientError, OSError, TimeoutError) as broken:
        error = ExchangeUnreachable(failed.format(kind=type(broken).__name__))
    finally:
        ATTEMPT.reset(token)
    if attempt.left:
        log.sent(url.raw_authority, url.raw_path, 0, attempt.status, purpose)
    elif error is not None and not isinstance(error, Refused):
        log.unreachable(url.raw_authority, url.raw_path, str(error))
    return error

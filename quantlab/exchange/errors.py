"""The one place that turns what the exchange did into quantlab's errors.

Sources: Binance spot error codes and REST "HTTP return codes", checked 2026-11-23; bodies as observed in the wild (429,
418 and 451 as Binance sent them between 2018 and 2022).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import msgspec

from quantlab.exchange.config import DoorConfig
from quantlab.model.errors import ExchangeError, ExchangeUnreachable, MalformedMessage, QuantlabError, Refused

#: Codes that say "not now" of a read: unknown error, disconnected, too much, unexpected answer, timeout, busy.
TRANSIENT_CODES = frozenset({-1000, -1001, -1003, -1006, -1007, -1008})
#: Pause when a 429 or 418 names none: the window itself, and the shortest ban Binance documents.
_PAUSE_S = {429: 60.0, 418: 120.0}
_BANNED_UNTIL = re.compile(rb"banned until (\d{13})")


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, whether asking again may help, and how long the exchange told everybody to wait."""

    error: QuantlabError
    transient: bool
    pause_s: float = 0.0


def failure_of_answer(what: str, status: int, headers: Mapping[str, str], body: bytes, wall_ms: int) -> Failure | None:
    """The failure that an answer is, or None when it is a good one. `what` names the request for people."""
    code, message = _code_of(body)
    if status == 200:
        if not code:
            return _failure_of_body(what, body)
        return Failure(_error(what, status, code, message), code in TRANSIENT_CODES)
    if status in _PAUSE_S:
        pause_s = _pause(status, headers, body, wall_ms)
        words = "asks for a pause" if status == 429 else "has banned this address for a while"
        text = f"Binance {words} (HTTP {status}, {pause_s:.0f} s): {message or 'too many requests'}"
        return Failure(ExchangeError(text, status=status, code=code), status == 429, pause_s)
    if status == 451:
        text = (
            "Binance does not serve this region (HTTP 451): it blocks by the address you come from. Run where it "
            "may be used, or replay: quantlab demo"
        )
        return Failure(ExchangeError(text, status=status, code=code), False)
    if status == 403:
        text = (
            f"{what}: Binance's firewall refused this address (HTTP 403). Wait some minutes and ask less often; "
            "a VPN or shared address can be the cause"
        )
        return Failure(ExchangeError(text, status=status, code=code), False)
    return Failure(_error(what, status, code, message), status >= 500 or status == 408 or code in TRANSIENT_CODES)


def failure_of_exception(
    what: str, error: BaseException, config: DoorConfig, left: bool, address: str | None = None
) -> Failure:
    """The failure behind an exception of aiohttp (or ccxt, which wraps those). `left`: the connection stood; `address`
    names the other side where it is not the REST side of `config`."""
    address = address or config.address
    if isinstance(error, Refused):
        return Failure(error, False)
    cause = _cause(error)
    if isinstance(cause, QuantlabError):
        return Failure(cause, False)
    if isinstance(cause, asyncio.TimeoutError | TimeoutError):
        text = f"{what}: {address} did not answer within {config.timeout_s:g} s"
    elif not left:
        hint = "is the venue running?" if config.market == "replay" else "is this machine online?"
        text = f"nothing answers at {address}: {hint}"
    elif isinstance(cause, aiohttp.ClientError | OSError):
        text = f"{what}: the connection to {address} broke ({_words(cause)})"
    else:
        return Failure(ExchangeError(f"{what} failed: {_words(cause)}"), False)
    return Failure(ExchangeUnreachable(text), True)


def _failure_of_body(what: str, body: bytes) -> Failure | None:
    """200 with a page of HTML, nothing, or half of the answer happens: proxies, maintenance."""
    try:
        _JSON.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        start = body[:40].decode("utf-8", "replace")
        text = f"{what}: the answer is not the JSON it should be ({error}); it starts with {start!r}"
        return Failure(MalformedMessage(text), True)
    return None


#: Checks all of the text without building anything of it.
_JSON = msgspec.json.Decoder(msgspec.Raw)


def _error(what: str, status: int, code: int, message: str) -> ExchangeError:
    named = f"code {code}" if code else f"HTTP {status}"
    return ExchangeError(f"{what}: Binance answered {named}: {message or 'no reason given'}", status=status, code=code)


def _code_of(body: bytes) -> tuple[int, str]:
    """(code, msg) of an error body; (0, "") of anything else."""
    if b'"msg"' not in body[:400] and b'"code"' not in body[:400]:
        return 0, ""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return 0, ""
    if not isinstance(found, dict) or not isinstance(found.get("code") or 0, int):
        return 0, ""
    return found.get("code") or 0, str(found.get("msg") or "")


def _pause(status: int, headers: Mapping[str, str], body: bytes, wall_ms: int) -> float:
    told = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        return max(float(told), 1.0)
    except ValueError:
        pass
    if banned := _BANNED_UNTIL.search(body):
        return max((int(banned.group(1)) - wall_ms) / 1000, 1.0)
    return _PAUSE_S[status]


def _cause(error: BaseException) -> BaseException:
    """The exception that ccxt wrapped, or `error` itself."""
    known = (QuantlabError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
    while not isinstance(error, known) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _words(error: BaseException) -> str:
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        return type(error).__name__  # their words hold the whole URL
    return str(error) or type(error).__name__

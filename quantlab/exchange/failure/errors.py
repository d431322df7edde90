"""The one place that turns what the exchange did, or did not do, into quantlab's errors and their kind.

The tables are `codes`, `rejections` and `statuses`; what goes wrong before an answer is told by `network`. Bodies as
observed in the wild (429, 418 and 451 as Binance sent them between 2018 and 2026).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp
import msgspec

from quantlab.exchange.config import DoorConfig
from quantlab.exchange.failure.codes import CODES, kind_of_code
from quantlab.exchange.failure.network import error_words, trouble_of
from quantlab.exchange.failure.rejections import hint_of
from quantlab.exchange.failure.statuses import STATUSES, status_of
from quantlab.exchange.failure.taxonomy import Failure, Kind, PauseFor, is_read
from quantlab.model.errors import (
    ExchangeError,
    ExchangeUnreachable,
    MalformedMessage,
    OutcomeUnknown,
    QuantlabError,
    Refused,
)

__all__ = ["Failure", "Kind", "failure_of_answer", "failure_of_exception"]

#: What the exchange means whatever else the body says: its firewall, a ban, a pause, a region.
_STATUS_RULES = frozenset({403, 418, 429, 451})
#: Pause when none is named: the window itself, and the shortest ban Binance documents.
_PAUSE_S, _BAN_S = 60.0, 120.0
#: The longest ban Binance documents is three days: what says more is not believed.
_LONGEST_PAUSE_S = 3 * 86_400.0
#: The year 9999, less what may be added to it.
_LAST_MS = 253_000_000_000_000
_TOO_MUCH, _TOO_MANY_ORDERS = -1003, -1015
_BANNED_UNTIL = re.compile(r"banned until (\d{13})")
_TOO_MUCH_WORDS = ("too much request weight", "too many requests")
_REGION_WORDS = "restricted location"
#: Nothing may follow a request whose outcome is unknown but a question.
_ASK_FOR_IT = "whether it was done is not known: ask the exchange for it, do not send it again"


def failure_of_answer(
    what: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    wall_ms: int,
    *,
    method: str = "GET",
    shape: str = "",
) -> Failure | None:
    """The failure that an answer is, or None when it is a good one.

    `what` names the request for people, `method` tells whether it could have changed anything, `shape` is how the JSON
    of a good answer may begin ("" where any will do), `wall_ms` is our clock: a pause is measured from it where the
    answer has no `Date`.
    """
    told = _told(body)
    if status == 200 and told is None:
        return _failure_of_body(what, body, method, shape)
    told = told or _Told(0, "")
    kind = _kind(status, told.code, read=is_read(method))
    if kind is Kind.RATE or told.code == _TOO_MUCH:
        return _pause(what, status, headers, told, wall_ms, kind)
    return Failure(_error(what, status, told, kind), kind, *_patience(headers, wall_ms))


def failure_of_exception(
    what: str,
    error: BaseException,
    config: DoorConfig,
    left: bool,
    address: str | None = None,
    *,
    method: str = "GET",
) -> Failure:
    """The failure behind an exception of aiohttp (or ccxt, which wraps those). `left`: the connection stood, so that
    the request may have been written; `address` names the other side where it is not the REST side of `config`."""
    address = address or config.address
    cause = error if isinstance(error, Refused) else _cause(error)
    if isinstance(cause, QuantlabError) and not (left and isinstance(cause, MalformedMessage)):
        return Failure(cause, Kind.REFUSED)
    if not left and isinstance(cause, aiohttp.ClientError | OSError | asyncio.TimeoutError):
        trouble = trouble_of(cause, address, is_venue=config.market == "replay")
        return Failure(ExchangeUnreachable(trouble.words), trouble.kind)
    found = _broken(what, cause, address, config.timeout_s)
    if is_read(method) or not left:
        return found
    return Failure(OutcomeUnknown(f"{found.error}; {_ASK_FOR_IT}"), Kind.UNKNOWN_OUTCOME)


def _broken(what: str, cause: BaseException, address: str, timeout_s: float) -> Failure:
    """What a read met after its connection stood."""
    if isinstance(cause, MalformedMessage):
        return Failure(cause, Kind.REFUSED)  # longer than it may be: it would be so again
    if isinstance(cause, TimeoutError | asyncio.TimeoutError):
        return Failure(ExchangeUnreachable(f"{what}: {address} did not answer within {timeout_s:g} s"), Kind.TRANSIENT)
    if isinstance(cause, aiohttp.ClientPayloadError):
        text = f"{what}: the answer of {address} was cut short ({error_words(cause)})"
        return Failure(MalformedMessage(" ".join(text.split())), Kind.MALFORMED)
    if isinstance(cause, aiohttp.ClientResponseError):
        return Failure(MalformedMessage(f"{what}: what {address} answered is not HTTP"), Kind.MALFORMED)
    if isinstance(cause, aiohttp.ClientError | OSError):
        text = f"{what}: the connection to {address} broke ({error_words(cause)})"
        return Failure(ExchangeUnreachable(text), Kind.TRANSIENT)
    return Failure(ExchangeError(f"{what} failed: {error_words(cause)}"), Kind.REFUSED)


class _Told(NamedTuple):
    code: int
    message: str


def _kind(status: int, code: int, *, read: bool) -> Kind:
    """5xx and the statuses with a meaning of their own come first, then a known code, then a known status."""
    if status >= 500 or status in _STATUS_RULES:
        kind = status_of(status).kind
    elif code in CODES or (code and status in (200, 400)) or status == 200:
        return kind_of_code(code, read=read)
    else:
        kind = status_of(status).kind
    if read:
        return Kind.TRANSIENT if kind is Kind.UNKNOWN_OUTCOME else kind
    return Kind.UNKNOWN_OUTCOME if kind is Kind.MALFORMED else kind  # a 202 or 204: it may well have been done


def _failure_of_body(what: str, body: bytes, method: str, shape: str) -> Failure | None:
    """200 with a page of HTML, nothing, half of the answer or something else happens: proxies, maintenance."""
    fault = _body_fault(body, shape)
    if fault is None:
        return None
    if is_read(method):
        return Failure(MalformedMessage(f"{what}: {fault}"), Kind.MALFORMED)
    return Failure(OutcomeUnknown(f"{what}: {fault}; {_ASK_FOR_IT}", status=200), Kind.UNKNOWN_OUTCOME)


def _body_fault(body: bytes, shape: str) -> str | None:
    start = body[:200].lstrip() or body.lstrip()[:200]
    shown = body[:40].decode("utf-8", "replace")
    if not start:
        return "the answer is not the JSON it should be: it is empty"
    if start.startswith(b"<"):
        return (
            "a web page came instead of data: the exchange is under maintenance, or this network wants a sign-in "
            f"first (open any page in a browser); it starts with {shown!r}"
        )
    try:
        _JSON.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return f"the answer is not the JSON it should be ({error}); it starts with {shown!r}"
    if shape and chr(start[0]) not in shape:
        wanted = " or ".join({"{": "object", "[": "list"}[first] for first in shape)
        return f"the answer is not the {wanted} it should be; it starts with {shown!r}"
    return None


#: Checks all of the text without building anything of it.
_JSON = msgspec.json.Decoder(msgspec.Raw)


def _error(what: str, status: int, told: _Told, kind: Kind) -> QuantlabError:
    code, message = told
    if status == 451 or _REGION_WORDS in message:
        text = f"Binance does not serve this region (HTTP {status}): {STATUSES[451].hint}"
        return ExchangeError(text, status=status, code=code)
    named = f"code {code}" if code else f"HTTP {status}"
    words = f"{what}: Binance answered {named}: {message or 'no reason given'}"
    if kind is Kind.UNKNOWN_OUTCOME:
        return OutcomeUnknown(_with(words, _ASK_FOR_IT), status=status, code=code)
    return ExchangeError(_with(words, hint_of(code, message) or status_of(status).hint), status=status, code=code)


def _with(words: str, hint: str) -> str:
    return f"{words.rstrip('. ')}; {hint}" if hint else words


def _pause(what: str, status: int, headers: Mapping[str, str], told: _Told, wall_ms: int, kind: Kind) -> Failure:
    now_ms = date_ms(headers) or wall_ms or time.time_ns() // 1_000_000
    pause_for: PauseFor = "orders" if told.code == _TOO_MANY_ORDERS else "address"
    if status not in (418, 429) and told.code != _TOO_MUCH and _retry_after_s(headers, now_ms) is None:
        return Failure(_error(what, status, told, kind), kind)  # of connections or messages: the next one is slower
    pause_s = _pause_s(status, headers, told.message, now_ms)
    named = f"HTTP {status}, code {told.code}" if told.code else f"HTTP {status}"
    if status == 418:
        until = datetime.fromtimestamp(now_ms / 1000 + pause_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        words = f"Binance has banned this address until {until} ({named}, {pause_s:.0f} s)"
    else:
        whom = " between orders" if pause_for == "orders" else ""
        words = f"Binance asks for a pause{whom} ({named}, {pause_s:.0f} s)"
    text = _with(f"{words}: {told.message or 'too many requests'}", hint_of(told.code, told.message))
    return Failure(ExchangeError(text, status=status, code=told.code), kind, pause_s, pause_for)


def _patience(headers: Mapping[str, str], wall_ms: int) -> tuple[float, PauseFor]:
    """A `Retry-After` beside any other failure binds the request that was told."""
    return _retry_after_s(headers, date_ms(headers) or wall_ms) or 0.0, "request"


def _pause_s(status: int, headers: Mapping[str, str], message: str, now_ms: int) -> float:
    told_s = _retry_after_s(headers, now_ms)
    if told_s is None and (banned := _BANNED_UNTIL.search(message)):
        told_s = (int(banned.group(1)) - now_ms) / 1000
    if told_s is None:
        return _BAN_S if status == 418 else _PAUSE_S
    return min(max(told_s, 1.0), _LONGEST_PAUSE_S)


def _retry_after_s(headers: Mapping[str, str], now_ms: int) -> float | None:
    """Seconds from now; the header holds those, or a date (RFC 9110). None where it is absent or neither."""
    told = _header(headers, "retry-after").strip()
    if told.isdecimal():
        return min(float(told), _LONGEST_PAUSE_S)
    at_ms = _when_ms(told)
    return min(max((at_ms - now_ms) / 1000, 0.0), _LONGEST_PAUSE_S) if at_ms else None


def date_ms(headers: Mapping[str, str]) -> int:
    """The answer's `Date`, UTC ms; 0 where it gives none that can be."""
    return _when_ms(_header(headers, "date"))


def _when_ms(date: str) -> int:
    """Milliseconds UTC of an HTTP date; 0 where it is none."""
    try:
        when_ms = int(parsedate_to_datetime(date).timestamp() * 1000)
    except (TypeError, ValueError, OverflowError):
        return 0
    return when_ms if 0 < when_ms < _LAST_MS else 0


def _header(headers: Mapping[str, str], wanted: str) -> str:
    return next((value for name, value in headers.items() if name.lower() == wanted), "")


def _told(body: bytes) -> _Told | None:
    """Code and message of an error body; None for anything else. Whatever its HTTP status: 200 happens too."""
    if b'"msg"' not in body[:400] and b'"code"' not in body[:400]:
        return None
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    code, message = _whole(found.get("code")), found.get("msg")
    text = " ".join(message.split())[:300] if isinstance(message, str) else ""
    if not code and any(words in text.lower() for words in _TOO_MUCH_WORDS):
        code = _TOO_MUCH  # was sent with "code": null
    if code < 0 or (text and found.keys() <= {"code", "msg"} and code != 200):
        return _Told(code, text)
    return None


def _whole(code: object) -> int:
    """A code as a number: it was seen as text too."""
    if isinstance(code, str) and re.fullmatch(r"-?\d{1,9}", code):
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else 0


def _cause(error: BaseException) -> BaseException:
    """The exception that ccxt wrapped, or `error` itself."""
    known = (QuantlabError, aiohttp.ClientError, OSError, asyncio.TimeoutError)
    while not isinstance(error, known) and (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error

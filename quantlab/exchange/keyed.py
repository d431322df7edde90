"""Signed reads: a client with a key that lives for one call and can do nothing but read.

No ccxt and no order path: one GET, signed here. What it asks passes the same guard as market data, under a shorter list
(`signed_rules`). The signed address stays in one frame: what a caller catches, logs or formats never holds it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec
from yarl import URL

from quantlab.exchange.config import DoorConfig, address_of
from quantlab.exchange.egress import Egress, EgressLog, unwritten
from quantlab.exchange.failure.errors import Failure, failure_of_answer, failure_of_exception
from quantlab.exchange.failure.retry import TRIES, Backoff
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.signed_rules import (
    ACCOUNT,
    COMMISSION,
    RESTRICTIONS,
    SIGNED_WEIGHTS,
    TIME,
    TIME_WEIGHT,
    SignedReads,
    keyed_url,
)
from quantlab.exchange.signing import clean as _clean
from quantlab.exchange.signing import signed_query
from quantlab.exchange.weight.budget import Budget
from quantlab.exchange.weight.shared_state import shared_budget
from quantlab.model.errors import ExchangeError, MalformedMessage, Refused
from quantlab.model.protocols import Signer

_BAD_TIMESTAMP = -1021
_LAST_MS = 253_402_300_800_000


class KeyedReader:
    """Reads what only a key may read. Use it as an async context manager, for one call.

    `egress` is called as `Door`'s is: its rows hold no key, no signature and no parameters. `budget` is that of a door
    that is open beside it (`Door.budget`); without one it opens what all of this user share.
    All methods raise ExchangeUnreachable, ExchangeError, MalformedMessage, or Refused.
    """

    def __init__(
        self, config: DoorConfig, signer: Signer, egress: Egress = unwritten, *, budget: Budget | None = None
    ) -> None:
        self.config = config
        self._url = keyed_url(config)
        self._address = address_of(self._url)
        self._signer = signer
        self._log = EgressLog(egress)
        self._budget = budget or shared_budget(config)
        self._is_own_budget = budget is None
        self._clock: _Clock | None = None
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._session = guarded_session(SignedReads(URL(self._url)), self._log, self.config.timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        if self._is_own_budget:
            self._budget.close()

    @property
    def clock_skew_ms(self) -> float | None:
        """Our wall clock minus the exchange's, at the middle of the round trip; None before it was read."""
        return None if self._clock is None else self._clock.skew_ms

    async def restrictions(self) -> object:
        """What the key may do, decoded as it came: judge it with `vault.permissions.judge`. Not on the testnet."""
        return await self._signed(RESTRICTIONS)

    async def account(self) -> object:
        """The account: what it may do, and balances above zero."""
        return await self._signed(ACCOUNT, omitZeroBalances="true")

    async def commission(self, symbol: str) -> object:
        """What the account pays on `symbol`: standard, special and tax parts."""
        return await self._signed(COMMISSION, symbol=symbol)

    def counters(self) -> dict[str, Any]:
        """As `Door.counters`, of this reader alone."""
        return self._log.counters()

    async def _signed(self, path: str, **params: str) -> object:
        """A stamp that Binance calls stale is tried once more, with its clock read anew."""
        self._log.asked(path)
        clock = self._clock or await self._read_clock()
        try:
            attempt = await self._get(path, SIGNED_WEIGHTS[path], params, clock)
        except ExchangeError as error:
            if error.code != _BAD_TIMESTAMP:
                raise
            attempt = None
        if attempt is None:
            attempt = await self._get(path, SIGNED_WEIGHTS[path], params, await self._read_clock())
        return _decoded(path, attempt.body or b"")

    async def _read_clock(self) -> _Clock:
        self._log.asked(TIME)
        attempt = await self._get(TIME, TIME_WEIGHT)
        now_s, wall_ms = time.monotonic(), time.time_ns() / 1e6
        middle_s = (attempt.sent_s + attempt.answered_s) / 2
        answer = _decoded(TIME, attempt.body or b"")
        server_ms = answer.get("serverTime") if isinstance(answer, dict) else None
        if type(server_ms) is not int or not 0 <= server_ms < _LAST_MS:
            raise MalformedMessage(f"GET {TIME}: the answer of {self._address} holds no serverTime")
        self._clock = _Clock(server_ms, middle_s, round(wall_ms - (now_s - middle_s) * 1000 - server_ms, 1))
        return self._clock

    async def _get(
        self, path: str, weight: int, params: Mapping[str, str] | None = None, clock: _Clock | None = None
    ) -> Attempt:
        """Signed where there is a `clock`. Tries at most three times, in `total_s` all told; each attempt pays its
        weight and has a stamp and a signature of its own."""
        deadline = time.monotonic() + self.config.total_s
        backoff = Backoff()
        tries = 0
        while True:
            tries += 1
            attempt, failure = await self._attempt(path, weight, params or {}, clock, deadline)
            if failure is None:
                return attempt
            pause_s = backoff.pause_s()
            if not failure.transient or tries == TRIES or time.monotonic() + pause_s >= deadline:
                raise failure.error
            await asyncio.sleep(pause_s)

    async def _attempt(
        self, path: str, weight: int, params: Mapping[str, str], clock: _Clock | None, deadline: float
    ) -> tuple[Attempt, Failure | None]:
        held = await self._budget.take(weight, f"GET {path}", deadline)
        attempt = Attempt()
        outcome = "cancelled"
        try:
            found = await self._send(attempt, path, params, clock)
            if isinstance(found, asyncio.CancelledError):
                raise found
            outcome = str(found.error) if found else ""
        finally:
            if attempt.status:
                self._budget.answered(held, attempt.used_weight)
            elif not attempt.left:
                self._budget.returned(held)
            else:
                self._budget.lost(held)
            if attempt.left:
                kind = "" if clock is None else "signed"
                self._log.sent(self._address, path, weight, attempt.status, f"{kind} {outcome}".strip())
        if found is not None:
            if not attempt.left and not isinstance(found.error, Refused):
                self._log.unreachable(self._address, path, outcome)
            if found.stops_all_s:
                self._budget.stop(found.stops_all_s, found.error)
        return attempt, found

    async def _send(
        self, attempt: Attempt, path: str, params: Mapping[str, str], clock: _Clock | None
    ) -> Failure | asyncio.CancelledError | None:
        """The one frame that knows the signed address. Nothing is raised out of it, not even a cancellation: an
        exception carries the frames it went through, and aiohttp's own carry the address."""
        what = f"GET {path}"
        headers: dict[str, str] = {}
        query = ""
        if clock is not None:
            headers, query = await asyncio.to_thread(self._signature, params, clock.now_ms())
        token = ATTEMPT.set(attempt)
        try:
            async with self._session.get(URL(f"{self._url}{path}{query}", encoded=True), headers=headers):
                pass
            wall_ms = time.time_ns() // 1_000_000
            failure = failure_of_answer(what, attempt.status, attempt.headers, attempt.body or b"", wall_ms)
        except asyncio.CancelledError:
            return asyncio.CancelledError()
        except Exception as error:
            failure = failure_of_exception(what, error, self.config, attempt.left, self._address)
        finally:
            ATTEMPT.reset(token)
        return failure and _clean(failure, what, (*headers.values(), query, query.rpartition("signature=")[2]))

    def _signature(self, params: Mapping[str, str], now_ms: int) -> tuple[dict[str, str], str]:
        return signed_query(self._signer, params, now_ms)


class _Clock(NamedTuple):
    """One reading of the exchange's clock: it said `server_ms` when ours stood at `monotonic_s`."""

    server_ms: int
    monotonic_s: float
    skew_ms: float

    def now_ms(self) -> int:
        return round(self.server_ms + (time.monotonic() - self.monotonic_s) * 1000)


def _decoded(path: str, body: bytes) -> object:
    answer: object = None
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        body = b""
    if not body:
        raise MalformedMessage(f"GET {path}: the answer is not the JSON it should be")
    return answer

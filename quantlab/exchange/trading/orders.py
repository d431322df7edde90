"""The only client that may send orders: made from an `Armed`, signed off the loop, guarded by the list of orders.

What was sent and not answered for is never sent again: `place` and `cancel` say that the outcome is unknown, and `find`
asks for it. Only what certainly was not done is tried once more: refused for its stamp, turned away by a busy server,
or never left.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec
from yarl import URL

from quantlab.exchange.clock import ExchangeClock
from quantlab.exchange.config import address_of
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.failure.errors import failure_of_answer, failure_of_exception
from quantlab.exchange.failure.retry import TRIES, Backoff
from quantlab.exchange.failure.taxonomy import Failure, Kind
from quantlab.exchange.guard import ATTEMPT, Attempt, guarded_session
from quantlab.exchange.signing import RECV_WINDOW_MS, clean, signed_query
from quantlab.exchange.trading.armed import Armed
from quantlab.exchange.trading.order_rules import ACCOUNT, COMMISSION, OPEN_ORDERS, ORDER, TRADES, OrderRules, weight_of
from quantlab.exchange.weight.budget import Budget, Priority
from quantlab.model.errors import ExchangeError, MalformedMessage, QuantlabError, Refused
from quantlab.model.protocols import Signer
from quantlab.redact import redact

#: An order that could not leave for so long is not wanted any more: its price was decided then.
PLACE_TOTAL_S = 10.0
#: After its stamp and its window, and a margin for a slow server, an order that is not there will never be.
GIVEN_UP_S = RECV_WINDOW_MS / 1000 + 1.0
#: Unfilled orders that an account may place. Source: exchangeInfo's `rateLimits`, ORDERS, checked 2026-11-23: 50 in
#: 10 s on the testnet, 100 on mainnet.
ORDERS_PER_10S = 50
_ORDERS_WINDOW_S = 10.0
#: Kinds of failure after which nothing was done.
_NOT_DONE = frozenset({Kind.TRANSIENT, Kind.RATE, Kind.CLOCK, Kind.UNREACHABLE})
_NO_SUCH_ORDER = -2013

Row = dict[str, Any]


class Outcome(NamedTuple):
    """What became of a change: the exchange's `row`, or why not, with its own words where it gave some. `unknown`: it
    may have been done, ask for it."""

    row: Row | None
    failure: Failure | None = None
    words: str = ""

    @property
    def unknown(self) -> bool:
        return self.failure is not None and self.failure.kind is Kind.UNKNOWN_OUTCOME

    @property
    def code(self) -> int:
        error = self.failure.error if self.failure else None
        return error.code if isinstance(error, ExchangeError) else 0


class OrderClient:
    """Places, cancels and asks for orders. Use it as an async context manager.

    `signer` gives the key as it is now: it is called for each request, in a thread, so that a key that was rotated is
    used from the next request on. `log`, `budget` and `clock` are those of the door beside it: its rows of
    the egress log hold no key, no signature and no parameters.
    """

    def __init__(
        self,
        armed: Armed,
        signer: Callable[[], Signer],
        log: EgressLog,
        *,
        budget: Budget,
        clock: ExchangeClock,
    ) -> None:
        self.armed = armed
        self.log = log
        self.clock = clock
        self.signer = signer
        self.budget = budget
        self.session: aiohttp.ClientSession
        self._config = armed.config
        self._address = address_of(armed.rest_url)
        self._sent_s: deque[float] = deque()
        self._quiet_until_s = 0.0

    async def __aenter__(self) -> Self:
        self.session = guarded_session(OrderRules(self.armed), self.log, self._config.timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    # -- changes ------------------------------------------------------------------------------------------------------

    async def place(self, params: Mapping[str, str]) -> Outcome:
        """Send one order; `params` are Binance's, `newClientOrderId` among them. Raises nothing but Refused."""
        deadline = time.monotonic() + PLACE_TOTAL_S
        refusal = await self._turn(deadline)
        if refusal is not None:
            return Outcome(None, refusal)
        return await self._change("POST", {**params, "newOrderRespType": "FULL"}, deadline)

    async def cancel(self, symbol: str, client_id: str) -> Outcome:
        """Cancel one order. Code -2011 says that it is not open: filled, cancelled before, or not there yet."""
        params = {"symbol": symbol, "origClientOrderId": client_id}
        return await self._change("DELETE", params, time.monotonic() + self._config.total_s)

    # -- questions ----------------------------------------------------------------------------------------------------

    async def find(self, symbol: str, client_id: str) -> Row | None:
        """The order of that client id as the exchange knows it; None where it knows none."""
        return await self._find({"symbol": symbol, "origClientOrderId": client_id})

    async def find_number(self, symbol: str, order_id: int) -> Row | None:
        """The order of that exchange's number; None where there is none."""
        return await self._find({"symbol": symbol, "orderId": str(order_id)})

    async def open_orders(self) -> list[Row]:
        """All open orders of the account, whoever placed them."""
        return _rows(OPEN_ORDERS, await self._ask(OPEN_ORDERS, {}))

    async def trades(self, symbol: str, *, order_id: int | None = None, since_ms: int | None = None) -> list[Row]:
        """The account's trades on `symbol`: those of an order, or the first 1,000 since a time."""
        params = {"symbol": symbol, "limit": "1000"}
        if order_id is not None:
            params["orderId"] = str(order_id)
        elif since_ms is not None:
            params["startTime"] = str(since_ms)
        return _rows(TRADES, await self._ask(TRADES, params))

    async def balances(self) -> dict[str, Decimal]:
        """Free balances by asset. Raises Refused where the account may not trade."""
        answer = await self._ask(ACCOUNT, {"omitZeroBalances": "true"})
        if not isinstance(answer, dict) or not answer.get("canTrade"):
            raise Refused("the account may not trade with this key: switch on spot trading for it at API Management")
        return {row["asset"]: Decimal(row["free"]) for row in answer.get("balances", ())}

    async def commission(self, symbol: str) -> Row:
        """What the account pays on `symbol`, as Binance answers it."""
        answer = await self._ask(COMMISSION, {"symbol": symbol})
        if not isinstance(answer, dict):
            raise MalformedMessage(f"GET {COMMISSION}: the answer is not the object it should be")
        return answer

    # -- how --------------------------------------------------------------------------------------------------------

    async def _find(self, params: Mapping[str, str]) -> Row | None:
        try:
            answer = await self._ask(ORDER, params)
        except ExchangeError as error:
            if error.code == _NO_SUCH_ORDER:
                return None
            raise
        if not isinstance(answer, dict) or "status" not in answer:
            raise MalformedMessage(f"GET {ORDER}: the answer is no order")
        return answer

    async def _change(self, method: str, params: Mapping[str, str], deadline: float) -> Outcome:
        backoff = Backoff()
        for tries in range(1, TRIES + 1):
            try:
                attempt, failure = await self._attempt(method, ORDER, params, deadline)
            except QuantlabError as error:  # no room in the budget in time: it never left
                if isinstance(error, Refused):
                    raise
                return Outcome(None, Failure(error, Kind.TRANSIENT))
            if failure is None:
                return Outcome(_decoded(ORDER, attempt.body or b""))
            words = _words(attempt.body or b"") or str(failure.error)
            if failure.pause_s and failure.pause_for == "orders":
                self._quiet_until_s = time.monotonic() + failure.pause_s
            again = failure.kind in _NOT_DONE and (failure.transient or failure.kind is Kind.CLOCK)
            pause_s = 0.0 if failure.kind is Kind.CLOCK else max(backoff.pause_s(), failure.pause_s)
            if not again or tries == TRIES or time.monotonic() + pause_s >= deadline:
                return Outcome(None, failure, words)
            if failure.kind is Kind.CLOCK:
                await self._measure()
            await asyncio.sleep(pause_s)
        raise AssertionError("unreachable")

    async def _ask(self, path: str, params: Mapping[str, str]) -> object:
        """A read: asked again where that can help."""
        deadline = time.monotonic() + self._config.total_s
        backoff = Backoff()
        tries = 0
        while True:
            tries += 1
            attempt, failure = await self._attempt("GET", path, params, deadline)
            if failure is None:
                return _decoded(path, attempt.body or b"")
            is_clock = failure.kind is Kind.CLOCK
            pause_s = 0.0 if is_clock else backoff.pause_s()
            if not (failure.transient or is_clock) or tries == TRIES or time.monotonic() + pause_s >= deadline:
                raise failure.error
            if is_clock:
                await self._measure()
            await asyncio.sleep(pause_s)

    async def _measure(self) -> None:
        try:
            await self.clock.measure()
        except QuantlabError:
            return  # the next stamp is as good as it can be

    async def _turn(self, deadline: float) -> Failure | None:
        """Wait until the account may place one more order; why not, where that takes too long."""
        while True:
            now = time.monotonic()
            while self._sent_s and self._sent_s[0] <= now - _ORDERS_WINDOW_S:
                self._sent_s.popleft()
            wait_s = self._quiet_until_s - now
            if len(self._sent_s) >= ORDERS_PER_10S:
                wait_s = max(wait_s, self._sent_s[0] + _ORDERS_WINDOW_S - now)
            if wait_s <= 0:
                self._sent_s.append(now)
                return None
            if now + wait_s >= deadline:
                words = f"too many orders: the account may place the next one in {wait_s:.0f} s, and by then it is late"
                return Failure(ExchangeError(words, code=-1015), Kind.REFUSED)
            await asyncio.sleep(wait_s)

    async def _attempt(
        self, method: str, path: str, params: Mapping[str, str], deadline: float
    ) -> tuple[Attempt, Failure | None]:
        self.log.asked(path, method=method)
        if self.clock.offset_ms is None:
            await self._measure()
        weight = weight_of(method, path, params)
        held = await self.budget.take(weight, f"{method} {path}", deadline, priority=Priority.SAFETY)
        attempt = Attempt()
        outcome = "cancelled"
        try:
            found = await self._send(attempt, method, path, params)
            if isinstance(found, asyncio.CancelledError):
                raise found
            outcome = str(found.error) if found else ""
        finally:
            if attempt.status:
                self.budget.answered(held, attempt.used_weight)
            elif attempt.left:
                self.budget.lost(held)
            else:
                self.budget.returned(held)
            if attempt.left:
                self.log.sent(self._address, path, weight, attempt.status, f"signed {outcome}".strip(), method=method)
        if found is not None:
            if not attempt.left and not isinstance(found.error, Refused):
                self.log.unreachable(self._address, path, outcome, method=method)
            if found.stops_all_s:
                self.budget.stop(found.stops_all_s, found.error)
            if isinstance(found.error, Refused):
                raise found.error
        return attempt, found

    async def _send(
        self, attempt: Attempt, method: str, path: str, params: Mapping[str, str]
    ) -> Failure | asyncio.CancelledError | None:
        """The one frame that knows the signed address. Nothing is raised out of it, not even a cancellation: an
        exception carries the frames it went through, and aiohttp's own carry the address."""
        what = f"{method} {path}"
        headers: dict[str, str] = {}
        query = ""
        token = ATTEMPT.set(attempt)
        try:
            headers, query = await asyncio.to_thread(self._signed, params)
            url = URL(f"{self.armed.rest_url}{path}{query}", encoded=True)
            session = self.session
            ask = {"GET": session.get, "POST": session.post, "DELETE": session.delete}[method]
            async with ask(url, headers=headers):
                pass
            wall_ms = time.time_ns() // 1_000_000
            failure = failure_of_answer(
                what, attempt.status, attempt.headers, attempt.body or b"", wall_ms, method=method
            )
        except asyncio.CancelledError:
            return asyncio.CancelledError()
        except Exception as error:
            failure = failure_of_exception(what, error, self._config, attempt.left, self._address, method=method)
        finally:
            ATTEMPT.reset(token)
        return failure and clean(failure, what, (*headers.values(), query, query.rpartition("signature=")[2]))

    def _signed(self, params: Mapping[str, str]) -> tuple[dict[str, str], str]:
        return signed_query(self.signer(), params, self.clock.now_ms())


def _decoded(path: str, body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise MalformedMessage(f"{path}: the answer is not the JSON it should be") from None


def _words(body: bytes) -> str:
    """What Binance says of an error, word for word; "" where it says nothing."""
    try:
        return redact(msgspec.json.decode(body, type=_Told).msg)[:200]
    except (msgspec.MsgspecError, RecursionError):
        return ""


class _Told(msgspec.Struct):
    msg: str


def _rows(path: str, answer: object) -> list[Row]:
    if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
        raise MalformedMessage(f"GET {path}: the answer is not the list it should be")
    return answer

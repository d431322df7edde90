"""One question from asking to answer: weight, attempt, retry, and a row in the egress log for each attempt."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp

from quantlab.exchange.client import IMPLICIT_METHODS, keyless_client
from quantlab.exchange.config import DoorConfig
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.failure.errors import Failure, date_ms, failure_of_answer, failure_of_exception
from quantlab.exchange.failure.retry import asked_again
from quantlab.exchange.guard import ATTEMPT, Attempt
from quantlab.exchange.sharing import Answer
from quantlab.exchange.weight.budget import Budget, Held, Priority
from quantlab.exchange.weight.weights import EXCHANGE_INFO, allowed_weight, weight_of
from quantlab.model.errors import Refused


class Transport:
    """GETs of market data over the guarded session. `clock` is the budget's (monotonic seconds); `heard` is shown each
    answer as it comes."""

    def __init__(
        self,
        config: DoorConfig,
        session: aiohttp.ClientSession,
        budget: Budget,
        log: EgressLog,
        clock: Callable[[], float] = time.monotonic,
        heard: Callable[[Answer], None] = lambda answer: None,
    ) -> None:
        self._config = config
        self._session = session
        self._budget = budget
        self._log = log
        self._clock = clock
        self._heard = heard
        self._client: Any = None

    async def get(
        self,
        path: str,
        params: Mapping[str, Any],
        *,
        priority: Priority = Priority.LIVE_FEED,
        caller: str = "",
    ) -> Answer:
        """The answer as it came: whole JSON, and no error of the exchange. `caller` is who shares the budget fairly:
        where none is named, each endpoint and symbol.

        Tries at most three times, in `total_s` all told; each attempt pays its weight. Raises ExchangeUnreachable,
        ExchangeError, MalformedMessage, or Refused.
        """
        weight = weight_of(path, params)
        deadline = self._clock() + self._config.total_s
        caller = caller or f"{path} {params.get('symbol', '')}"

        async def leave() -> Held:
            return await self._budget.take(weight, f"GET {path}", deadline, priority=priority, caller=caller)

        attempt = await asked_again(lambda: self._attempt(path, params, weight, leave), deadline, self._clock)
        answer = Answer(
            attempt.body or b"", date_ms(attempt.headers), attempt.sent_s, attempt.answered_s, attempt.used_weight
        )
        self._heard(answer)
        if path == EXCHANGE_INFO:
            self._budget.allowed(allowed_weight(answer.body))
        return answer

    @property
    def client(self) -> Any:
        """The keyless ccxt client, made when it is first needed."""
        if self._client is None:
            self._client = keyless_client(self._config, self._session)
        return self._client

    async def close(self) -> None:
        """Let the client go; the session is the door's."""
        if self._client is not None:
            self._client.timeout_on_exit = 0
            await self._client.close()

    async def _attempt(
        self, path: str, params: Mapping[str, Any], weight: int, leave: Callable[[], Awaitable[Held]]
    ) -> tuple[Attempt, Failure | None]:
        held = await leave()
        attempt = Attempt()
        outcome = "cancelled"
        try:
            failure = await self._ask(attempt, path, params)
            outcome = str(failure.error) if failure else ""
        finally:
            self._settle(held, attempt, path, f"{urlencode(params)} {outcome}".strip(), weight)
        if failure is not None:
            if not attempt.left and not isinstance(failure.error, Refused):
                self._log.unreachable(self._config.address, path, outcome)
            if failure.stops_all_s:
                self._budget.stop(failure.stops_all_s, failure.error)
        return attempt, failure

    async def _ask(self, attempt: Attempt, path: str, params: Mapping[str, Any]) -> Failure | None:
        what = f"GET {path}"
        client = self.client
        token = ATTEMPT.set(attempt)
        try:
            if path in IMPLICIT_METHODS:
                await getattr(client, IMPLICIT_METHODS[path])(dict(params))
            else:
                await client.fetch(f"{self._config.rest_url}{path}")
        except Exception as error:
            # With a whole answer, ccxt only raises its own word for it: ours is made from the answer below.
            if attempt.body is None:
                return failure_of_exception(what, error, self._config, attempt.left)
        finally:
            ATTEMPT.reset(token)
        wall_ms = time.time_ns() // 1_000_000
        body = attempt.body or b""
        return failure_of_answer(what, attempt.status, attempt.headers, body, wall_ms, shape=_shape(path, params))

    def _settle(self, held: Held, attempt: Attempt, path: str, detail: str, weight: int) -> None:
        """Give the weight back when it is due, and write down what left."""
        if not attempt.left:
            self._budget.returned(held)
            return
        if attempt.status:
            self._budget.answered(held, attempt.used_weight, date_ms(attempt.headers))
        else:
            self._budget.lost(held)
        self._log.sent(self._config.address, path, weight, attempt.status, detail)


#: Answers that are lists whatever is asked, and those that are one row for one `symbol`.
_LISTS = frozenset({"/api/v3/klines", "/api/v3/trades", "/api/v3/aggTrades"})
_TICKERS = frozenset({"/api/v3/ticker/24hr", "/api/v3/ticker/bookTicker", "/api/v3/ticker/price"})


def _shape(path: str, params: Mapping[str, Any]) -> str:
    """How the JSON of a good answer begins. Source: Binance spot REST docs, checked 2026-11-23."""
    return "[" if path in _LISTS or (path in _TICKERS and "symbol" not in params) else "{"

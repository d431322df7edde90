"""REST market data: a `CandleSource` whose answers are the exchange's own bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

import msgspec

from quantlab.exchange.clock import Reading
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.rules import VENUE_CLOCK
from quantlab.exchange.sharing import FOREVER, Answer, Answers, Lifetime
from quantlab.exchange.transport import Transport
from quantlab.model.errors import MalformedMessage
from quantlab.model.timeframe import timeframe_ms

_EXCHANGE_INFO_S = 3600.0
#: The year 9999: what says more is no time.
_LAST_MS = 253_000_000_000_000
#: The row of a candle that still forms is as old as the answer: never older than this.
_FORMING_S = 60.0
#: What the `Date` header may be late by: its own second, and the way here.
_DATE_MARGIN_S = 2.0


class Rest:
    """The questions a run asks. Identical ones in flight are one; answers are kept while they are true.

    What is kept must not depend on this machine's pace in a replay: there, only candles that other answers prove closed
    are kept. On an exchange (`is_real`) its own clock, the `Date` of the answer, says how long.
    All raise ExchangeUnreachable, ExchangeError, MalformedMessage, or Refused.
    """

    def __init__(self, transport: Transport, log: EgressLog, *, is_real: bool) -> None:
        self._transport = transport
        self._log = log
        self._is_real = is_real
        self._answers = Answers()
        self._newest_open_ms = 0

    async def exchange_info(self, symbols: Sequence[str] | None = None) -> bytes:
        """Filters and status of `symbols`, of all when None (6–16 MB). Kept for an hour on an exchange."""
        kept_s = _EXCHANGE_INFO_S if self._is_real else 0.0
        return await self._ask("/api/v3/exchangeInfo", _symbols(symbols), lambda answer: kept_s)

    async def klines(
        self,
        symbol: str,
        timeframe: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> bytes:
        """Candles that open in [start_ms, end_ms], oldest first, at most 1,000; the last may still form. Without
        bounds the newest. Raises ConfigurationError for a timeframe Binance does not have."""
        timeframe_ms(timeframe)
        params: dict[str, Any] = {"symbol": symbol, "interval": timeframe, "limit": limit}
        if start_ms is not None:
            params["startTime"] = start_ms
        if end_ms is not None:
            params["endTime"] = end_ms
        return await self._ask("/api/v3/klines", params, self._candles_true_s)

    async def depth(self, symbol: str, limit: int = 100) -> bytes:
        """The book's best `limit` levels on each side. Never kept."""
        return await self._ask("/api/v3/depth", {"symbol": symbol, "limit": limit})

    async def ticker_24h(self, symbols: Sequence[str] | None = None) -> bytes:
        """Statistics of the last 24 hours, of all symbols when None (weight 80)."""
        return await self._ask("/api/v3/ticker/24hr", _symbols(symbols))

    async def book_tickers(self, symbols: Sequence[str] | None = None) -> bytes:
        """Best bid and ask, of all symbols when None."""
        return await self._ask("/api/v3/ticker/bookTicker", _symbols(symbols))

    async def server_time_ms(self) -> int:
        """The exchange's wall clock, UTC ms."""
        return (await self.read_clock()).server_ms

    async def read_clock(self) -> Reading:
        """The exchange's wall clock, and when it was asked and answered. Never shared: a clock is read to measure."""
        path = "/api/v3/time"
        self._log.asked(path)
        answer = await self._transport.get(path, {})
        try:
            server_ms = msgspec.json.decode(answer.body, type=_ServerTime).serverTime
        except msgspec.DecodeError as error:
            raise MalformedMessage(f"GET {path}: no serverTime in {answer.body[:80]!r}") from error
        return Reading(server_ms, answer.sent_s, answer.answered_s)

    async def ask(self, path: str, params: dict[str, Any]) -> Answer:
        """One question as it is, neither shared nor kept, with what its answer tells besides: for who checks the
        exchange itself."""
        self._log.asked(path)
        return await self._transport.get(path, params)

    async def venue_clock(self) -> dict[str, Any]:
        """What a replay venue plays, and how far it is. ExchangeError (404) where the exchange is not ours."""
        self._log.asked(VENUE_CLOCK)
        found: dict[str, Any] = msgspec.json.decode((await self._transport.get(VENUE_CLOCK, {})).body, type=dict)
        return found

    async def _ask(self, path: str, params: dict[str, Any], lifetime: Lifetime = lambda answer: 0.0) -> bytes:
        key = f"{path}?{sorted(params.items())}"
        answer = await self._answers.get(
            key,
            partial(self._transport.get, path, params),
            lifetime,
            lambda outcome: self._log.asked(path, "" if outcome == "sent" else outcome),
        )
        return answer.body

    def _candles_true_s(self, answer: Answer) -> float:
        """Candles that are closed never change. With one that forms, an answer holds until that one's close."""
        try:
            rows = msgspec.json.decode(answer.body, type=list[list[int | str]])
            last_close_ms = int(rows[-1][6])
            self._newest_open_ms = max(self._newest_open_ms, int(rows[-1][0]))
        except (msgspec.DecodeError, IndexError, ValueError):
            return 0.0  # nothing in it, or not what it should be: the reader will say so
        if last_close_ms < self._newest_open_ms:
            return FOREVER
        if not self._is_real or not answer.date_ms:
            return 0.0
        left_s = (last_close_ms - answer.date_ms) / 1000
        return FOREVER if left_s < 0 else min(left_s - _DATE_MARGIN_S, _FORMING_S)


class _ServerTime(msgspec.Struct):
    serverTime: Annotated[int, msgspec.Meta(ge=0, lt=_LAST_MS)]


def _symbols(symbols: Sequence[str] | None) -> dict[str, Any]:
    """The `symbols` parameter: a JSON array, sorted, so that the same question has the same key."""
    if symbols is None:
        return {}
    return {"symbols": msgspec.json.encode(sorted(set(symbols))).decode()}

"""REST market data: a `CandleSource` whose answers are the exchange's own bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from quantlab.exchange.clock import Reading
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.rules import VENUE_CLOCK
from quantlab.exchange.sharing import FOREVER, Answer, Answers, Lifetime
from quantlab.exchange.transport import Transport
from quantlab.exchange.weight.budget import Priority
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
    How urgent each is for a running fleet stands at its method; `priority` overrides it for all (a user's questions).
    All raise ExchangeUnreachable, ExchangeError, MalformedMessage, or Refused.
    """

    def __init__(
        self, transport: Transport, log: EgressLog, *, is_real: bool, priority: Priority | None = None
    ) -> None:
        self._transport = transport
        self._log = log
        self._is_real = is_real
        self._priority = priority
        self._answers = Answers()
        self._newest_open_ms = 0

    async def exchange_info(self, symbols: Sequence[str] | None = None) -> bytes:
        """Filters and status of `symbols`, of all when None (6–16 MB). Kept for an hour on an exchange."""
        kept_s = _EXCHANGE_INFO_S if self._is_real else 0.0
        params = _symbols(symbols)
        return await self._ask("/api/v3/exchangeInfo", params, Priority.WARM_UP, lambda answer: kept_s)

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
        bounds the newest. Raises ConfigurationError for a timeframe Binance does not have.

        What a fleet asks from a given time on fills a gap (backfill), all else its lookback (warm-up)."""
        timeframe_ms(timeframe)
        params: dict[str, Any] = {"symbol": symbol, "interval": timeframe, "limit": limit}
        if start_ms is not None:
            params["startTime"] = start_ms
        if end_ms is not None:
            params["endTime"] = end_ms
        priority = Priority.WARM_UP if start_ms is None else Priority.BACKFILL
        page = _Page(start_ms, end_ms, limit, self._newest_open_ms)
        return await self._ask("/api/v3/klines", params, priority, partial(self._candles_true_s, page))

    async def depth(self, symbol: str, limit: int = 100) -> bytes:
        """The book's best `limit` levels on each side, for the live feed. Never kept."""
        return await self._ask("/api/v3/depth", {"symbol": symbol, "limit": limit}, Priority.LIVE_FEED)

    async def agg_trades(self, symbol: str, *, from_id: int | None = None, limit: int = 1000) -> bytes:
        """Trades, those of one order at one price and time as one, oldest first: the newest, or those from the
        aggregate `from_id` on; at most 1,000. Never kept."""
        params: dict[str, Any] = {"symbol": symbol, "limit": limit}
        if from_id is not None:
            params["fromId"] = from_id
        return await self._ask("/api/v3/aggTrades", params, Priority.WARM_UP)

    async def ticker_24h(self, symbols: Sequence[str] | None = None) -> bytes:
        """Statistics of the last 24 hours, of all symbols when None (weight 80). Never kept: they move all the time."""
        return await self._ask("/api/v3/ticker/24hr", _symbols(symbols), Priority.BACKFILL)

    async def book_tickers(self, symbols: Sequence[str] | None = None) -> bytes:
        """Best bid and ask, of all symbols when None. Never kept."""
        return await self._ask("/api/v3/ticker/bookTicker", _symbols(symbols), Priority.BACKFILL)

    async def server_time_ms(self) -> int:
        """The exchange's wall clock, UTC ms."""
        return (await self.read_clock()).server_ms

    async def read_clock(self) -> Reading:
        """The exchange's wall clock, and when it was asked and answered. Never shared: a clock is read to measure."""
        path = "/api/v3/time"
        self._log.asked(path)
        answer = await self._transport.get(path, {}, priority=Priority.SAFETY)
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

    async def _ask(
        self,
        path: str,
        params: dict[str, Any],
        priority: Priority,
        lifetime: Lifetime = lambda answer: 0.0,
    ) -> bytes:
        key = f"{path}?{sorted(params.items())}"
        urgency = priority if self._priority is None else self._priority
        answer = await self._answers.get(
            key,
            partial(self._transport.get, path, params, priority=urgency),
            lifetime,
            lambda outcome: self._log.asked(path, "" if outcome == "sent" else outcome),
        )
        return answer.body

    def _candles_true_s(self, page: _Page, answer: Answer) -> float:
        """A page that nothing can be added to is true for ever; with a candle that forms, until that one's close."""
        try:
            rows = msgspec.json.decode(answer.body, type=list[list[int | str]])
            last_open_ms, last_close_ms = int(rows[-1][0]), int(rows[-1][6])
        except (msgspec.DecodeError, IndexError, ValueError):
            return 0.0  # nothing in it, or not what it should be: the reader will say so
        self._newest_open_ms = max(self._newest_open_ms, last_open_ms)
        now_ms = max(answer.date_ms if self._is_real else 0, page.newest_open_ms)
        if last_close_ms < now_ms:
            return FOREVER if page.is_whole(len(rows), last_close_ms, now_ms) else 0.0
        if not self._is_real or not answer.date_ms:
            return 0.0
        return min((last_close_ms - answer.date_ms) / 1000 - _DATE_MARGIN_S, _FORMING_S)


class _Page(NamedTuple):
    """What was asked for, and the newest candle's opening that was known *then*: an answer that was long under way must
    not be judged by what was learnt meanwhile."""

    start_ms: int | None
    end_ms: int | None
    limit: int
    newest_open_ms: int

    def is_whole(self, rows: int, last_close_ms: int, now_ms: int) -> bool:
        """Whether no later candle belongs to it: it is full from its start on, or it ends in the past."""
        if self.start_ms is not None and rows >= self.limit:
            return True
        return self.end_ms is not None and (self.end_ms <= last_close_ms or self.end_ms < now_ms)


class _ServerTime(msgspec.Struct):
    serverTime: Annotated[int, msgspec.Meta(ge=0, lt=_LAST_MS)]


def _symbols(symbols: Sequence[str] | None) -> dict[str, Any]:
    """The `symbols` parameter: a JSON array, sorted, so that the same question has the same key."""
    if symbols is None:
        return {}
    return {"symbols": msgspec.json.encode(sorted(set(symbols))).decode()}

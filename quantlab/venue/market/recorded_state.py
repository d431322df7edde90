"""What a recording says about one symbol as of a moment: its book, candles, trades and touch, kept frame by frame."""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from quantlab.model import TIMEFRAMES
from quantlab.model.timeframe import DAY_MS, MINUTE_MS
from quantlab.venue.market.bars import bucket_start
from quantlab.venue.market.ticker import Span, merged, ticker_row

_MOST_TRADES = 1000
Row = list[Any]


class DepthFrame(msgspec.Struct):
    first: int = msgspec.field(name="U")
    last: int = msgspec.field(name="u")
    bids: list[tuple[str, str]] = msgspec.field(name="b")
    asks: list[tuple[str, str]] = msgspec.field(name="a")


class DepthAnswer(msgspec.Struct):
    last: int = msgspec.field(name="lastUpdateId")
    bids: list[tuple[str, str]]
    asks: list[tuple[str, str]]


class RecordedBook:
    """A local book by Binance's rule, from the recorded answers (`snapshots`) and depth frames.

    Where the recorder had no book (at its start, or after a hole) the first answer that reaches the stream is served at
    once: it knows as much more than the moment as the recorder waited for it. That costs nothing: who keeps a book by
    Binance's rule drops the updates that the answer holds already.
    """

    def __init__(self, snapshots: list[bytes]) -> None:
        self._snapshots = [_DEPTH_ANSWER.decode(payload) for payload in snapshots]
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        self.last_id = 0
        self._restart(0)

    def apply(self, payload: bytes) -> None:
        """Take over one depth frame."""
        update = _DEPTH_FRAME.decode(payload)
        if update.last <= self.last_id:
            return
        if update.first > self.last_id + 1:
            self._restart(update.first - 1)
            if not update.first <= self.last_id + 1 <= update.last:
                return
        for side, levels in ((self._bids, update.bids), (self._asks, update.asks)):
            for price, quantity in levels:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)
        self.last_id = update.last

    def answer(self, limit: int) -> dict[str, Any]:
        """As `GET /api/v3/depth`."""
        bids = sorted(self._bids.items(), key=lambda level: -float(level[0]))[:limit]
        asks = sorted(self._asks.items(), key=lambda level: float(level[0]))[:limit]
        return {"lastUpdateId": self.last_id, "bids": [list(x) for x in bids], "asks": [list(x) for x in asks]}

    def _restart(self, update_id: int) -> None:
        """Start again from the first answer that holds `update_id`; without one keep the book as it was."""
        snapshot = next((s for s in self._snapshots if s.last >= update_id), None)
        if snapshot is not None:
            self._bids, self._asks, self.last_id = dict(snapshot.bids), dict(snapshot.asks), snapshot.last


class RecordedSymbol:
    """All that was recorded of one symbol, as of the last frame applied."""

    def __init__(self, symbol: str, snapshots: list[bytes], history: dict[str, dict[int, Row]]) -> None:
        self.symbol = symbol
        self.book = RecordedBook(snapshots)
        self._rows = history  # closed candles by interval and open time
        self._forming: dict[str, Row] = {}
        self._minutes: dict[int, Row] = {}  # candles made of trades
        self._first_ms: int | None = None
        self._trades: deque[dict[str, Any]] = deque(maxlen=_MOST_TRADES)
        self._aggregates: deque[dict[str, Any]] = deque(maxlen=_MOST_TRADES)
        self._quote: bytes | None = None

    def apply(self, suffix: str, payload: bytes) -> None:
        """Take over one frame of stream `suffix` ("trade", "depth@100ms", …)."""
        if suffix == "bookTicker":
            self._quote = payload
        elif suffix.startswith("depth"):
            if suffix in ("depth", "depth@100ms"):
                self.book.apply(payload)
        elif suffix == "trade":
            self._trade(msgspec.json.decode(payload))
        elif suffix == "aggTrade":
            self._aggregates.append(msgspec.json.decode(payload))
        elif suffix.startswith("kline_"):
            k = msgspec.json.decode(payload)["k"]
            row = [k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"], k["q"], k["n"], k["V"], k["Q"], "0"]
            if k["x"]:
                self._rows.setdefault(k["i"], {})[k["t"]] = row
                self._forming.pop(k["i"], None)
            else:
                self._forming[k["i"]] = row

    def klines(self, interval: str, start_ms: int | None, end_ms: int | None, limit: int, now_ms: int) -> list[Row]:
        """Recorded candles; where there are none, candles of the recorded trades."""
        length = TIMEFRAMES[interval]
        found = {t: row for t, row in self._rows.get(interval, {}).items() if t + length <= now_ms}
        for bucket, row in self._of_trades(length).items():
            found.setdefault(bucket, row)
        forming = self._forming.get(interval)
        if forming is not None and forming[0] == bucket_start(now_ms, length):
            found[forming[0]] = forming
        low, high = start_ms or 0, now_ms if end_ms is None else end_ms
        rows = [found[t] for t in sorted(found) if low <= t <= high]
        return rows[-limit:] if start_ms is None else rows[:limit]

    def trades(self, limit: int) -> list[dict[str, Any]]:
        return [
            {
                "id": t["t"], "price": t["p"], "qty": t["q"], "quoteQty": f"{float(t['p']) * float(t['q']):.8f}",
                "time": t["T"], "isBuyerMaker": t["m"], "isBestMatch": True,
            }
            for t in list(self._trades)[-limit:]
        ]  # fmt: skip

    def agg_trades(self, limit: int) -> list[dict[str, Any]]:
        if self._aggregates:
            return [{name: a[name] for name in "apqflTmM"} for a in list(self._aggregates)[-limit:]]
        return [
            {"a": t["t"], "p": t["p"], "q": t["q"], "f": t["t"], "l": t["t"], "T": t["T"], "m": t["m"], "M": True}
            for t in list(self._trades)[-limit:]
        ]

    def book_ticker(self) -> dict[str, Any]:
        if self._quote is not None:
            quote = msgspec.json.decode(self._quote)
            top = (quote["b"], quote["B"], quote["a"], quote["A"])
        else:
            book, zero = self.book.answer(1), ("0.00000000", "0.00000000")
            top = (*(book["bids"] or [zero])[0], *(book["asks"] or [zero])[0])
        names = ("bidPrice", "bidQty", "askPrice", "askQty")
        return {"symbol": self.symbol, **dict(zip(names, top, strict=True))}

    def ticker_24h(self, now_ms: int) -> dict[str, Any]:
        """From the finest candles recorded; the sums reach back as far as the recording does."""
        interval = min((name for name in self._rows if self._rows[name]), key=TIMEFRAMES.__getitem__, default="1m")
        rows = self.klines(interval, now_ms - DAY_MS, None, DAY_MS // MINUTE_MS + 1, now_ms)
        spans = [
            Span(float(r[1]), float(r[2]), float(r[3]), float(r[4]), float(r[5]), float(r[7]), int(r[8])) for r in rows
        ]
        latest = self.trades(1)
        before = spans[0].open if spans else 0.0
        return ticker_row(self.book_ticker(), merged(spans), before, latest[0] if latest else None, now_ms)

    def _trade(self, trade: dict[str, Any]) -> None:
        self._trades.append(trade)
        price, size = float(trade["p"]), float(trade["q"])
        if self._first_ms is None:
            self._first_ms = trade["T"]
        minute = trade["T"] - trade["T"] % MINUTE_MS
        row = self._minutes.setdefault(minute, [minute, price, price, price, price, 0.0, 0.0, 0, 0.0, 0.0])
        row[2], row[3], row[4] = max(row[2], price), min(row[3], price), price
        row[5] += size
        row[6] += size * price
        row[7] += 1
        if not trade["m"]:
            row[8] += size
            row[9] += size * price

    def _of_trades(self, length: int) -> dict[int, Row]:
        """Candles of the trades played; the one that had begun before the first trade is not whole, and left out."""
        joined: dict[int, Row] = {}
        for minute, row in self._minutes.items():
            bucket = bucket_start(minute, length)
            if self._first_ms is None or bucket < self._first_ms - MINUTE_MS:
                continue
            if bucket not in joined:
                joined[bucket] = [bucket, *row[1:]]
                continue
            into = joined[bucket]
            into[2], into[3], into[4] = max(into[2], row[2]), min(into[3], row[3]), row[4]
            for at in range(5, 10):
                into[at] += row[at]
        return {
            t: [
                t,
                *(f"{x:.8f}" for x in r[1:6]),
                t + length - 1,
                f"{r[6]:.8f}",
                r[7],
                f"{r[8]:.8f}",
                f"{r[9]:.8f}",
                "0",
            ]
            for t, r in joined.items()
        }


_DEPTH_FRAME = msgspec.json.Decoder(DepthFrame)
_DEPTH_ANSWER = msgspec.json.Decoder(DepthAnswer)

"""The market as it is now: spreads and volume, one book, candles. Every frame carries its source."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import polars as pl

from quantlab.model import NotFound
from quantlab.report.picture import BLUE, GREY, VERMILLION, Picture, blank_figure, date_axis, drawn, finish
from quantlab.report.table import Column, Table, number, text

if TYPE_CHECKING:
    from quantlab.exchange import Door
    from quantlab.lab.reader import MarketReader

#: Levels asked for when books are read for the table: weight 5 each.
_BOOK_LEVELS = 100
#: Most rows that one klines request returns.
_KLINES_LIMIT = 1_000


def spreads(market: MarketReader, symbols: Sequence[str] | None, *, books: int) -> pl.DataFrame:
    """See `Workbench.spreads`."""
    from quantlab.market import Book, decode_depth, spread_table
    from quantlab.model import instruments_from_exchange_info

    tickers = market.ask(lambda door: door.rest.ticker_24h(symbols))
    table = spread_table(tickers)
    top = table["symbol"].head(books).to_list()
    if top:

        async def read(door: Door) -> tuple[bytes, list[bytes]]:
            info = await door.rest.exchange_info(top)
            return info, await asyncio.gather(*(door.rest.depth(symbol, _BOOK_LEVELS) for symbol in top))

        info, answers = market.ask(read)
        instruments = instruments_from_exchange_info(info)
        held = {}
        for symbol, answer in zip(top, answers, strict=True):
            if symbol in instruments:
                held[symbol] = book = Book(instruments[symbol])
                book.snapshot(decode_depth(answer, instruments[symbol]))
        table = spread_table(tickers, held)
    return table.with_columns(source=pl.lit(market.short))


def spread_view(table: pl.DataFrame) -> Table:
    """Rows of `spreads` with units and separators."""
    columns = (
        text("symbol", "symbol"),
        Column("bid", "bid", _price),
        Column("ask", "ask", _price),
        number("spread_bps", "spread bps"),
        number("depth_usdt", "depth USDT", 0),
        text("depth_basis", "depth within"),
        number("volume_24h_usdt", "volume 24 h USDT", 0),
        number("trades_24h", "trades 24 h", 0),
    )
    return Table(table, columns, source=_source(table), caption="Most traded first")


@drawn
def spread_figure(table: pl.DataFrame, *, label: int = 14) -> Picture:
    """Spread against volume, one dot a symbol, both on logarithmic axes; the `label` most traded are named."""
    figure, axes = blank_figure(height=4.6)
    axis = axes[0, 0]
    live = table.filter((pl.col("spread_bps") > 0) & (pl.col("volume_24h_usdt") > 0))
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.grid(visible=True, axis="both")
    axis.xaxis.set_major_formatter(lambda value, _: _amount(value))
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.scatter(live["volume_24h_usdt"], live["spread_bps"], s=22, color=BLUE, alpha=0.75, linewidths=0)
    for row in live.head(label).iter_rows(named=True):
        axis.annotate(row["symbol"].removesuffix("USDT"), (row["volume_24h_usdt"], row["spread_bps"]),
                      xytext=(4, 4), textcoords="offset points", fontsize=8.5, color=GREY)  # fmt: skip
    axis.set_xlabel("volume of the last 24 h, USDT")
    axis.set_ylabel("spread, bps of the middle")
    axis.set_title("What a round trip costs before fees, and how much is traded")
    return finish(figure, alt="Spread against 24 h volume by symbol", source=_source(table))


class Depth:
    """One order book at one moment. `frame`: side ("bid", "ask"), price, quantity (base), cumulative_usdt, source."""

    def __init__(self, symbol: str, frame: pl.DataFrame) -> None:
        self.symbol = symbol
        self.frame = frame

    @property
    def middle(self) -> float:
        """The middle of the touch."""
        return (float(self._side("bid")["price"][0]) + float(self._side("ask")["price"][0])) / 2

    def cost_bps(self, notional_usdt: float, side: Literal["buy", "sell"] = "buy") -> float | None:
        """What a market order of `notional_usdt` pays against the middle, in bps, before fees; None when the levels
        read do not hold that much."""
        left, quantity = notional_usdt, 0.0
        for price, size in self._side("ask" if side == "buy" else "bid").select("price", "quantity").iter_rows():
            taken = min(left, price * size)
            quantity += taken / price
            left -= taken
            if left <= 0:
                average = notional_usdt / float(quantity)
                return abs(average / self.middle - 1) * 1e4
        return None

    @drawn
    def plot(self) -> Picture:
        """Cumulative depth against the distance from the middle."""
        figure, axes = blank_figure(height=3.4)
        axis = axes[0, 0]
        for side, color in (("bid", BLUE), ("ask", VERMILLION)):
            levels = self._side(side)
            distance = (levels["price"] / self.middle - 1) * 1e4
            axis.step(distance, levels["cumulative_usdt"], where="post", color=color)
            axis.fill_between(distance, levels["cumulative_usdt"], step="post", color=color, alpha=0.15, linewidth=0)
        axis.set_xlabel("distance from the middle, bps")
        axis.set_title(f"{self.symbol}: resting orders up to each price, USDT")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        return finish(figure, alt=f"Depth of the {self.symbol} book", source=_source(self.frame))

    def _side(self, side: str) -> pl.DataFrame:
        return self.frame.filter(pl.col("side") == side)

    def _repr_html_(self) -> str:
        return self.plot()._repr_html_()


def depth(market: MarketReader, symbol: str, levels: int) -> Depth:
    """See `Workbench.depth`."""
    import msgspec

    answer = msgspec.json.decode(market.ask(lambda door: door.rest.depth(symbol, levels)))
    rows = [(side, float(p), float(q)) for side in ("bid", "ask") for p, q in answer[f"{side}s"]]
    frame = pl.DataFrame(
        rows, schema={"side": pl.String, "price": pl.Float64, "quantity": pl.Float64}, orient="row"
    ).with_columns(
        cumulative_usdt=(pl.col("price") * pl.col("quantity")).cum_sum().over("side"), source=pl.lit(market.short)
    )
    if frame["side"].n_unique() < 2:
        raise NotFound(f"{symbol} has an empty side: nobody makes a market in it now")
    return Depth(symbol, frame)


def cost_table(market: MarketReader, symbols: Sequence[str], notional_usdt: float) -> Table:
    """See `Workbench.order_cost`."""
    books = [depth(market, symbol, _BOOK_LEVELS) for symbol in symbols]
    frame = pl.DataFrame(
        {
            "symbol": list(symbols),
            "buy_bps": [book.cost_bps(notional_usdt, "buy") for book in books],
            "sell_bps": [book.cost_bps(notional_usdt, "sell") for book in books],
        },
        schema_overrides={"buy_bps": pl.Float64, "sell_bps": pl.Float64},
    ).with_columns(notional_usdt=pl.lit(float(notional_usdt)), source=pl.lit(market.short))
    return Table(
        frame,
        (text("symbol", "symbol"), number("buy_bps", "buying, bps"), number("sell_bps", "selling, bps")),
        source=market.label,
        caption=f"A market order of {notional_usdt:,.0f} USDT against the middle, before fees",
    )


def candles(market: MarketReader, symbol: str, timeframe: str, hours: float) -> pl.DataFrame:
    """See `Workbench.candles`."""
    from quantlab.market import decode_klines
    from quantlab.model import Candle, timeframe_ms

    wanted = max(1, round(hours * 3_600_000 / timeframe_ms(timeframe)))

    async def read(door: Door) -> list[Candle]:
        """Pages of klines, newest first, until there are enough. The newest row of all still forms."""
        held: list[Candle] = []
        end_ms = None
        while len(held) <= wanted:
            limit = min(wanted + 1 - len(held), _KLINES_LIMIT)
            answer = await door.rest.klines(symbol, timeframe, end_ms=end_ms, limit=limit)
            page = decode_klines(answer, symbol, timeframe)
            held = page + held
            if len(page) < limit:
                break
            end_ms = page[0].open_time_ms - 1
        return held[:-1]

    rows = market.ask(read)
    columns = ("open_time_ms", "open", "high", "low", "close", "volume")
    return (
        pl.DataFrame([[getattr(row, name) for name in columns] for row in rows], schema=columns, orient="row")
        .with_columns(pl.from_epoch("open_time_ms", "ms").dt.replace_time_zone("UTC"))
        .rename({"open_time_ms": "open_time"})
        .with_columns(source=pl.lit(market.short))
    )


def _price(value: float) -> str:
    return f"{value:,.10g}"


def _amount(value: float) -> str:
    """10,000,000 as "10M"."""
    for unit, words in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{words}"
    return f"{value:g}"


@drawn
def candle_figure(symbol: str, candles: pl.DataFrame) -> Picture:
    """Range and close of each candle, and the volume below."""
    figure, axes = blank_figure(2, 1, height=3.8, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    top, low = axes[:, 0]
    times = candles["open_time"].dt.replace_time_zone(None).to_numpy()
    top.fill_between(times, candles["low"], candles["high"], color=BLUE, alpha=0.2, linewidth=0)
    top.plot(times, candles["close"], color=BLUE)
    top.yaxis.set_major_formatter(lambda value, _: _price(value))
    top.set_title(f"{symbol}: close, with the range of each candle")
    low.fill_between(times, candles["volume"], step="post", color=GREY, alpha=0.5, linewidth=0)
    low.yaxis.set_major_formatter(lambda value, _: _amount(value))
    low.set_title("Volume a candle, base units")
    date_axis(low)
    return finish(figure, alt=f"Price and volume of {symbol}", source=_source(candles), caption="UTC")


def _source(table: pl.DataFrame) -> str:
    return str(table["source"][0]) if table.height else ""


__all__ = ["Depth", "candles", "cost_table", "depth", "spread_figure", "spreads"]

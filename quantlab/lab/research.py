"""Backtests from a notebook or the command line: a strategy by name, candles from the history, a page to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from quantlab.backtest import Conventions, Metrics, Plan, Result, backtest
from quantlab.market.history import History
from quantlab.model import ConfigurationError, Instrument, NotFound, QuantlabError
from quantlab.model.timeframe import moment_ms
from quantlab.strategies import Strategy, make_strategy

if TYPE_CHECKING:
    from quantlab.backtest.monte_carlo import TradeDraws
    from quantlab.fleet.spec import BotSpec, FleetSpec
    from quantlab.lab.reader import MarketReader
    from quantlab.report.picture import Picture
    from quantlab.report.sections import Block
    from quantlab.report.table import Table
    from quantlab.settings import Settings

#: Sources named in a label; the catalogue has them all.
_FEW = 3
#: What can be asked of a plan beside its strategy: fields of `Plan`.
RULES = tuple(name for name in Plan.__dataclass_fields__ if name not in ("strategy", "symbol"))
When = str | datetime | None


class Backtest:
    """A backtest as a notebook sees it. Shown as its headline, equity and figures; `result` is what it is made of."""

    def __init__(self, result: Result) -> None:
        self.result = result

    @property
    def metrics(self) -> Metrics:
        return self.result.metrics

    @property
    def trades(self) -> pl.DataFrame:
        """See `quantlab.backtest.Result.trades`."""
        return self.result.trades

    @property
    def fills(self) -> pl.DataFrame:
        """See `quantlab.backtest.Result.fills`."""
        return self.result.fills

    @property
    def equity(self) -> pl.DataFrame:
        """See `quantlab.backtest.Result.equity`."""
        return self.result.equity

    @property
    def monthly(self) -> pl.DataFrame:
        """See `quantlab.backtest.Result.monthly`."""
        return self.result.monthly

    def summary(self) -> dict[str, Any]:
        """See `quantlab.backtest.Result.summary`."""
        return self.result.summary()

    def table(self) -> Table:
        """The figures, to be looked at."""
        from quantlab.report import backtest as page

        return page.metrics_table(self.result)

    def trade_table(self, rows: int = 20) -> Table:
        """The last round trips, to be looked at."""
        from quantlab.report import backtest as page

        return page.trade_table(self.result, rows)

    def plot(self) -> Picture:
        """Equity beside buy-and-hold, and the drawdown."""
        from quantlab.report import backtest as page

        return page.equity_figure(self.result)

    def plot_months(self) -> Picture:
        """A heat map of the months' returns."""
        from quantlab.report import backtest as page

        return page.monthly_figure(self.result)

    def tear_sheet(self) -> Block:
        """Everything on one page: curve, figures, months, round trips."""
        from quantlab.report import backtest as page
        from quantlab.report.sections import Block

        return Block("".join(block._repr_html_() for block in page.blocks(self.result)))

    def monte_carlo(self, draws: int = 1_000, seed: int = 1) -> Drawn:
        """The same round trips drawn anew: what might have come of them. Raises NotFound below ten of them."""
        from quantlab.backtest.monte_carlo import draw_trades

        return Drawn(draw_trades(self.result, draws=draws, seed=seed), self.result.source)

    def plot_trades(self) -> Picture:
        """Round trips by result, and what each went through."""
        from quantlab.report import backtest as page

        return page.trade_figure(self.result)

    def _repr_html_(self) -> str:
        from quantlab.report import backtest as page

        shown = (page.headline(self.result), page.equity_figure(self.result), page.metrics_table(self.result))
        return "".join(block._repr_html_() for block in shown)

    def __repr__(self) -> str:
        return repr(self.result)


class Drawn:
    """Histories made of the round trips of a backtest; `draws` has them."""

    def __init__(self, draws: TradeDraws, source: str) -> None:
        self.draws = draws
        self.source = source

    def plot(self) -> Picture:
        """The fan of wealth, and the drawdowns."""
        from quantlab.report import sweep as page

        return page.draws_figure(self.draws, self.source)

    def _repr_html_(self) -> str:
        return self.plot()._repr_html_()

    def __repr__(self) -> str:
        low, high = np.quantile(self.draws.returns, (0.05, 0.95)) * 100
        return (
            f"Drawn({len(self.draws.returns):,} histories: 5 to 95 % end between {low:+.1f} and {high:+.1f} %, "
            f"{self.draws.loss_probability:.0%} lose)"
        )


def run_backtest(
    history: History,
    strategy: str | Strategy | type[Strategy],
    symbols: Sequence[str],
    timeframe: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    from_: When = None,
    to: When = None,
    conventions: Conventions | None = None,
    base: Path = Path(),
    **rules: Any,
) -> Backtest:
    """One strategy on one or several symbols, with equal weights; `rules` are fields of `Plan`, such as
    `stop_loss_pct`. Raises ConfigurationError, NotFound."""
    made = named(strategy, parameters or {}, base)
    plans = plans_of(made, [symbols] if isinstance(symbols, str) else symbols, rules)
    return Backtest(run_plans(history, plans, timeframe, from_=from_, to=to, conventions=conventions))


def plans_of(strategy: Strategy, symbols: Sequence[str], rules: Mapping[str, Any]) -> list[Plan]:
    """One plan a symbol, with equal weights unless `rules` has one. Raises ConfigurationError."""
    unknown = sorted(rules.keys() - set(RULES))
    if unknown:
        raise ConfigurationError(f"{', '.join(unknown)}: not a rule of a backtest; there are {', '.join(RULES)}")
    chosen = {"weight": 1 / len(symbols) if symbols else 1.0, **rules}
    return [Plan(strategy=strategy, symbol=symbol, **chosen) for symbol in symbols]


def run_plans(
    history: History,
    plans: Sequence[Plan],
    timeframe: str,
    *,
    from_: When = None,
    to: When = None,
    conventions: Conventions | None = None,
) -> Result:
    """`plans` on one account, over what the history has of their symbols. Strategies start on the candles before
    `from_`."""
    loaded = load(history, [plan.symbol for plan in plans], timeframe, from_=from_, to=to)
    return backtest(
        plans, loaded.candles, loaded.instruments, timeframe=timeframe, conventions=conventions,
        from_ms=loaded.from_ms, source=loaded.source,
    )  # fmt: skip


class Loaded(NamedTuple):
    """What the history has of some symbols until the end asked for; `from_ms` is the begin asked for, before which
    strategies warm up."""

    candles: dict[str, pl.DataFrame]
    instruments: dict[str, Instrument]
    from_ms: int | None
    source: str


def load(history: History, symbols: Sequence[str], timeframe: str, *, from_: When = None, to: When = None) -> Loaded:
    """Raises NotFound, ConfigurationError."""
    from_ms, to_ms = _ms(from_, "from"), _ms(to, "to")
    candles = {symbol: history.candles(symbol, timeframe, to_ms=to_ms) for symbol in symbols}
    filters = {symbol: history.filters(symbol, frame) for symbol, frame in candles.items()}
    names = sorted({name for symbol in candles for name in history.sources(symbol, timeframe)})
    origins = " and ".join(sorted({each.origin for each in filters.values()}))
    return Loaded(
        candles,
        {symbol: each.instrument for symbol, each in filters.items()},
        from_ms,
        f"{_named_sources(names)}; filters: {origins}",
    )


def pull_into(
    history: History, reader: MarketReader, symbols: Sequence[str], timeframe: str, from_: When, to: When
) -> None:
    """See `quantlab.lab.pull.pull`; shows how far it is."""
    from quantlab.lab.progress import ProgressLine
    from quantlab.lab.pull import pull

    start_ms, line = _ms(from_, "from"), ProgressLine(shown=True)
    if start_ms is None:
        raise ConfigurationError("pull: say from when on, such as 2024-01-01")
    try:
        pull(
            history, reader, symbols, timeframe, start_ms, _ms(to, "to"),
            now_ms=int(time.time() * 1000), on_progress=line.count,
        )  # fmt: skip
    finally:
        line.close()


def coverage_of(history: History, timeframe: str) -> Picture:
    """See `Workbench.coverage`."""
    from quantlab.report.coverage import coverage_figure

    spans = history.catalogue().filter(timeframe=timeframe).rename({"symbol": "name"})
    if spans.is_empty():
        raise NotFound(f"no {timeframe} candles in {history.folder}")
    found = [history.gaps(name, timeframe).with_columns(name=pl.lit(name)) for name in spans["name"]]
    names = sorted({name for symbol in spans["name"] for name in history.sources(symbol, timeframe)})
    return coverage_figure(spans, pl.concat(found), f"{_named_sources(names)}, {timeframe}")


def bulk_into(
    history: History, settings: Settings, symbols: Sequence[str], timeframe: str, from_: When, to: When
) -> None:
    """See `quantlab.lab.bulk.bulk`; shows how far it is. Raises ConfigurationError off mainnet."""
    from quantlab.lab.bulk import bulk
    from quantlab.lab.progress import ProgressLine

    if settings.market != "mainnet":
        raise ConfigurationError(f"bulk: the archive has mainnet's candles, and this is the {settings.market} market")
    start_ms, now_ms, line = _ms(from_, "from"), int(time.time() * 1000), ProgressLine(shown=True)
    if start_ms is None:
        raise ConfigurationError("pull: say from when on, such as 2024-01-01")
    try:
        bulk(
            history, settings.home, symbols, timeframe, start_ms, _ms(to, "to") or now_ms,
            now_ms=now_ms, on_progress=line.count,
        )  # fmt: skip
    finally:
        line.close()


def run_fleet(
    history: History,
    fleet: FleetSpec,
    *,
    from_: When = None,
    to: When = None,
    timeframe: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Each candle bot of a fleet by itself, on its own capital: one row a bot with its figures, and `note` where it
    could not be tested. `timeframe` takes the place of the bots' own."""
    rows: list[dict[str, Any]] = []
    for number, bot in enumerate(fleet.bots, 1):
        row: dict[str, Any] = {
            "name": bot.name, "strategy": bot.strategy, "symbol": bot.symbol, "timeframe": timeframe or bot.timeframe
        }  # fmt: skip
        try:
            result = run_plans(
                history, [plan_of(bot)], timeframe or bot.timeframe, from_=from_, to=to,
                conventions=conventions_of(bot, fleet),
            )  # fmt: skip
            row |= {"note": "", **result.metrics.as_dict(), "source": result.source}
        except QuantlabError as error:
            row["note"] = str(error)
        rows.append(row)
        if on_progress is not None:
            on_progress(number, len(fleet.bots))
    return pl.DataFrame(rows, infer_schema_length=None)


def fleet_table(frame: pl.DataFrame) -> Table:
    """What `run_fleet` gave, best first, to be looked at."""
    from quantlab.report import backtest as page

    return page.fleet_table(frame)


def plan_of(bot: BotSpec) -> Plan:
    """A row of a fleet file as a plan. Raises ConfigurationError for a bot that rests orders on the book."""
    return Plan(
        strategy=bot.make_strategy(),
        symbol=bot.symbol,
        stop_loss_pct=bot.stop_loss_pct,
        stop_limit_pct=bot.stop_limit_pct,
        trailing_stop_pct=bot.trailing_stop_pct,
        take_profit_pct=bot.take_profit_pct,
        rebalance_pct=bot.rebalance_pct,
        max_slippage_pct=bot.max_slippage_pct,
        max_position_usdt=bot.risk.max_position_usdt,
        max_order_notional_usdt=bot.risk.max_order_notional_usdt,
    )


def conventions_of(bot: BotSpec, fleet: FleetSpec) -> Conventions:
    """What the bot's fills assume, as far as candles can tell."""
    return Conventions(
        capital_usdt=bot.capital_usdt,
        paper=fleet.paper,
        max_daily_loss_pct=bot.risk.max_daily_loss_pct,
        max_drawdown_pct=bot.risk.max_drawdown_pct,
    )


def named(strategy: str | Strategy | type[Strategy], parameters: Mapping[str, Any], base: Path) -> Strategy:
    """An instance of a strategy given by name, by class, or as an instance. Raises ConfigurationError naming the valid
    strategies or parameters."""
    if isinstance(strategy, str):
        return make_strategy(strategy, parameters, base=base)
    try:
        return replace(strategy, **parameters) if isinstance(strategy, Strategy) else strategy(**parameters)  # type: ignore[type-var]
    except TypeError as error:
        raise ConfigurationError(f"{getattr(strategy, '__name__', type(strategy).__name__)}: {error}") from error


def _named_sources(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return f"HISTORY {', '.join(names[:_FEW])}{more}"


def _ms(when: When, name: str) -> int | None:
    if when is None:
        return None
    return moment_ms(when if isinstance(when, str) else when.isoformat(), name)

"""The workbench: one object through which a notebook sees the market, starts fleets and finds its runs again."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from quantlab.lab.compare import Comparison
from quantlab.lab.history import protect
from quantlab.lab.run import Run
from quantlab.model import NotFound
from quantlab.settings import Settings, load_settings

if TYPE_CHECKING:
    from quantlab.backtest import Conventions
    from quantlab.backtest.sweep import Cluster
    from quantlab.lab.inspect import Depth
    from quantlab.lab.key_setup import KeySetup
    from quantlab.lab.keys import KeyDetail
    from quantlab.lab.reader import MarketReader
    from quantlab.lab.research import Backtest
    from quantlab.lab.slippage import Calibration
    from quantlab.lab.sweeps import Sweep
    from quantlab.market.history import History
    from quantlab.preflight import Result as PreflightResult
    from quantlab.report.picture import Picture
    from quantlab.report.table import Table
    from quantlab.strategies import Strategy

Market = Literal["mainnet", "testnet", "replay"]


class Workbench:
    """Made by `Workbench.open()`. Its methods return polars frames (`.to_pandas()` where wanted), runs and pictures."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._reader: MarketReader | None = None

    @classmethod
    def open(cls, market: Market | None = None, root: Path | str | None = None) -> Workbench:
        """Read `.env` and environment; `market` overrides them. Opens no connection yet.

        Raises ConfigurationError or Refused when the settings are wrong or unsafe.
        """
        protect()  # IPython's history: the next cell may hold a secret
        return cls(load_settings(None if root is None else Path(root), market=market))

    # -- the market -------------------------------------------------------------------------------------------------

    @property
    def source(self) -> str:
        """Where prices come from, in words. A replay is asked for it, which may start its venue."""
        return self._market().label

    def spreads(self, symbols: Sequence[str] | None = None, *, books: int = 20) -> pl.DataFrame:
        """What it costs to trade now, most traded symbol first.

        Columns: symbol, bid, ask, spread_bps (of the middle), depth_usdt (resting on both sides), depth_basis
        ("10 bps" around the middle, read for the `books` most traded; "touch" for the rest), volume_24h_usdt,
        trades_24h, source. Symbols that nobody trades are left out. `symbols` default to all that are quoted in USDT.
        """
        from quantlab.lab.inspect import spreads

        return spreads(self._market(), symbols, books=books)

    def spread_table(self, table: pl.DataFrame | None = None, rows: int = 20) -> Table:
        """The first `rows` of `spreads` as a table to read; `table` is what `spreads` gave (default: asked now)."""
        from quantlab.lab.inspect import spread_view

        return spread_view((self.spreads() if table is None else table).head(rows))

    def spread_plot(self, table: pl.DataFrame | None = None) -> Picture:
        """Spread against 24 h volume, one dot a symbol; `table` is what `spreads` gave (default: asked now)."""
        from quantlab.lab.inspect import spread_figure

        return spread_figure(self.spreads() if table is None else table)

    def order_cost(self, symbols: Sequence[str], notional_usdt: float = 1_000.0) -> Table:
        """What a market order of `notional_usdt` would pay now against the middle, before fees, as a table to read.

        Columns of its `.frame`: symbol, buy_bps, sell_bps (null where the nearest 100 levels do not hold that much),
        notional_usdt, source.
        """
        from quantlab.lab.inspect import cost_table

        return cost_table(self._market(), symbols, notional_usdt)

    def depth(self, symbol: str, levels: int = 100) -> Depth:
        """The order book of `symbol` now, up to `levels` a side: `.frame`, `.plot()`, `.cost_bps(notional_usdt)`."""
        from quantlab.lab.inspect import depth

        return depth(self._market(), symbol, levels)

    def candles(self, symbol: str, timeframe: str = "1m", hours: float = 24.0) -> pl.DataFrame:
        """The closed candles of the last `hours` of market time: open_time (UTC), open, high, low, close, volume
        (base units), source."""
        from quantlab.lab.inspect import candles

        return candles(self._market(), symbol, timeframe, hours)

    def candle_plot(self, symbol: str, timeframe: str = "1m", hours: float = 24.0) -> Picture:
        """The same candles, drawn."""
        from quantlab.lab.inspect import candle_figure

        return candle_figure(symbol, self.candles(symbol, timeframe, hours))

    # -- runs -------------------------------------------------------------------------------------------------------

    def launch(
        self,
        fleet: Path | str = "notebooks/fleet.toml",
        *,
        hours: float | None = None,
        speed: float | Literal["max"] | None = None,
        seed: int = 1,
    ) -> Run:
        """Start the fleet in the background and return at once.

        The engine is a process of its own: it outlives the cell, the kernel and JupyterLab. `hours` is market time
        (default: until stopped, or until a replay ends); `speed` market seconds a second, for a replay only. Raises
        Refused naming the run that is already going on, ConfigurationError naming line and field of a wrong fleet.
        """
        from quantlab.lab.launch import launch

        return launch(self.settings, fleet, hours=hours, speed=speed, seed=seed)

    def attach(self, run_id: str | None = None) -> Run:
        """The run going on here, else the newest; or the one named. After a kernel restart, `lab.attach().panel()`
        is the panel again. Raises NotFound when there is none."""
        from quantlab.fleet.process import running

        if run_id is None and (engine := running(self.settings.home)) is not None:
            run_id = engine.run_id
        return self.run(run_id or self._latest())

    def runs(self) -> pl.DataFrame:
        """All runs of this ledger, newest first."""
        if not self._has_ledger():
            return pl.DataFrame(schema={"run_id": pl.String, "state": pl.String, "source": pl.String})
        from quantlab.lab.frames import runs_frame

        return runs_frame(self.settings.home)

    def run(self, run_id: str) -> Run:
        """The run named. Raises NotFound naming the ones there are."""
        if not self._has_ledger():
            raise NotFound("no run yet: lab.launch() starts one")
        run = Run(self.settings, run_id)
        run.row()
        return run

    def compare(self, run_ids: Sequence[str] | None = None) -> Comparison:
        """Runs side by side with buy-and-hold and cash (default: the newest three). Raises NotFound."""
        chosen = list(run_ids) if run_ids is not None else self.runs()["run_id"].head(3).to_list()
        if not chosen:
            raise NotFound("no run yet to compare: lab.launch() starts one")
        return Comparison(self.settings.home, chosen)

    def history(self, folder: Path | str | None = None) -> History:
        """The candles on disk: shown as what there is; `.candles("BTCUSDT", "1m")` and `.gaps("BTCUSDT", "1m")` are
        frames, `.scan("1m")` a lazy one of all symbols, `.catalogue()` has spans, holes and sources. `pull`, and
        `quantlab data pull`, `bulk` and `import`, fill it. What a replay or the testnet tells is kept apart, in the
        folder `history-replay` or `history-testnet`."""
        from quantlab.market.history import History, folder_of

        return History(Path(folder) if folder is not None else self.settings.home / folder_of(self.settings.market))

    def coverage(self, timeframe: str = "1m", *, folder: Path | str | None = None) -> Picture:
        """A picture of what candles there are, symbol by symbol, with what is missing and where nobody traded. Raises
        NotFound where there are none of that timeframe."""
        from quantlab.lab.research import coverage_of

        return coverage_of(self.history(folder), timeframe)

    def pull(
        self,
        symbols: str | Sequence[str],
        from_: str | datetime,
        *,
        to: str | datetime | None = None,
        timeframe: str = "1m",
        bulk: bool = False,
        folder: Path | str | None = None,
    ) -> History:
        """Ask the exchange for closed candles from `from_` (UTC) on, into the history; only what is missing is asked.
        With `bulk`, whole months come from Binance's archive first, which costs no weight: for years, on mainnet.

        Shows how far it is. Raises ConfigurationError, NotFound and the door's errors; what came until then is kept.
        """
        from quantlab.lab.research import bulk_into, pull_into

        history, named = self.history(folder), [symbols] if isinstance(symbols, str) else symbols
        if bulk:
            bulk_into(history, self.settings, named, timeframe, from_, to)
        pull_into(history, self._market(), named, timeframe, from_, to)
        return history

    def backtest(
        self,
        strategy: str | Strategy | type[Strategy],
        symbol: str | Sequence[str],
        timeframe: str = "1m",
        *,
        parameters: Mapping[str, Any] | None = None,
        from_: str | datetime | None = None,
        to: str | datetime | None = None,
        conventions: Conventions | None = None,
        folder: Path | str | None = None,
        **rules: Any,
    ) -> Backtest:
        """A strategy over the history of one symbol, or of several with equal weights on one account.

        `strategy` is a name ("ema_cross"), a file ("mine.py:Name"), a class or an instance; `parameters` are its own.
        `rules` are those of a fleet file, such as `stop_loss_pct=2` (see `quantlab.backtest.Plan`), `conventions` what
        fills assume. Shown as its headline, curve and figures; `.metrics`, `.trades`, `.fills`, `.equity`, `.monthly`,
        `.plot()`, `.plot_months()`, `.plot_trades()`. Raises ConfigurationError, NotFound.
        """
        from quantlab.lab.research import run_backtest

        return run_backtest(
            self.history(folder), strategy, [symbol] if isinstance(symbol, str) else symbol, timeframe,
            parameters=parameters, from_=from_, to=to, conventions=conventions, base=self.settings.root, **rules,
        )  # fmt: skip

    def sweep(
        self,
        strategy: str | Strategy | type[Strategy],
        symbol: str | Sequence[str],
        timeframe: str = "1m",
        *,
        space: Mapping[str, Any],
        search: str = "grid",
        trials: int = 100,
        score: str = "sharpe",
        seed: int = 1,
        from_: str | datetime | None = None,
        to: str | datetime | None = None,
        conventions: Conventions | None = None,
        folder: Path | str | None = None,
        client: Cluster | None = None,
        **rules: Any,
    ) -> Sweep:
        """Backtest many combinations: `space` has lists of values by name, such as `{"fast": range(5, 50, 5), "slow":
        [50, 100]}`, of the strategy's parameters and of rules such as `stop_loss_pct`.

        `search` is "grid" (all), "random" or "optuna" (`trials` of them); `score` one of sharpe, sortino, calmar,
        return_pct, profit_factor. Runs on every core, or on the cluster of `client` (a `distributed.Client`). Shown as
        headline, map and best combinations; `.frame`, `.best`, `.plot()`, `.backtest()`, `.walk_forward()`,
        `.validate()`. The other arguments are those of `backtest`. Raises ConfigurationError, NotFound.
        """
        from quantlab.lab.sweeps import run_sweep

        return run_sweep(
            self.history(folder), strategy, [symbol] if isinstance(symbol, str) else list(symbol), timeframe, space,
            search=search, trials=trials, score=score, seed=seed, from_=from_, to=to, conventions=conventions,
            base=self.settings.root, client=client, **rules,
        )  # fmt: skip

    def backtest_fleet(
        self,
        fleet: Path | str = "notebooks/fleet.toml",
        *,
        timeframe: str | None = None,
        from_: str | datetime | None = None,
        to: str | datetime | None = None,
        folder: Path | str | None = None,
    ) -> Table:
        """Every candle bot of a fleet file over the history, each by itself: one row a bot, best first. `timeframe`
        takes the place of the bots' own. Raises ConfigurationError, NotFound."""
        from quantlab.fleet.spec import load_fleet
        from quantlab.lab.research import fleet_table, run_fleet

        spec = load_fleet(self.settings.root / fleet)
        return fleet_table(run_fleet(self.history(folder), spec, timeframe=timeframe, from_=from_, to=to))

    def calibrate(self, run_id: str | None = None, *, every_s: float = 10.0) -> Calibration:
        """What market orders of many sizes would have cost on the books that a run (default: the newest) recorded,
        every `every_s` seconds of market time, beside slippage models fitted to the first half of it.

        Shown as the verdict; `.table("symbol", "notional")` has the errors, `.plot()` the costs by size, `.toml()`
        lines for a fleet file, `.walks` and `.scores()` the data. Raises NotFound, ConfigurationError.
        """
        from quantlab.lab.progress import ProgressLine
        from quantlab.lab.slippage import calibrate

        chosen, line = run_id or self._latest(), ProgressLine(shown=True)
        try:
            return calibrate(self.settings.home, chosen, every_s=every_s, on_progress=line.show_time)
        finally:
            line.close()

    def report(self, run_id: str | None = None) -> Path:
        """The path of the run's `report.html` (default: the newest run), made if it is not there yet."""
        return self.attach(run_id).report()

    # -- keys -------------------------------------------------------------------------------------------------------

    def vault(self) -> Table:
        """The state of the vault: whether there is one, its key derivation, where its password is found. No password
        is needed, and none is shown."""
        from quantlab.lab.keys import vault_state

        return vault_state(self.settings)

    def setup_keys(self, label: str = "Paper Trading", environment: str | None = None, *, ask: bool = True) -> KeySetup:
        """Take a key in by guided steps: hidden prompts for password, key and secret, then the audit.

        What is typed is in no cell, output, widget or history. `environment` is where the key belongs (default: the
        market of this workbench). With `ask=False`, or where nobody can be asked, it only tells the steps. The result
        shows one line: `key "Paper Trading" (9f2c…) is in the vault: enableReading; bound to addresses`, or why it was
        refused. Raises ConfigurationError or Refused for a label that cannot be kept.
        """
        from quantlab.lab.key_setup import setup_keys

        return setup_keys(self.settings, label, environment, wanted=ask)

    def keys(self) -> Table:
        """The inventory of keys, as a table to read; needs no password.

        Columns of its `.frame`: label, environment, fingerprint, type, state, why, permissions, ip_restricted, address,
        created, last_rotated, last_audited, last_opened (UTC), last_opened_by, notes.
        """
        from quantlab.lab.keys import keys

        return keys(self.settings)

    def key(self, label: str) -> KeyDetail:
        """One key by label or fingerprint: `.entry`, `.users`, `.history`; needs no password. Raises NotFound."""
        from quantlab.lab.keys import KeyDetail

        return KeyDetail(self.settings, label)

    def key_users(self, label: str | None = None) -> Table:
        """Who opened which key, newest first (default: all keys); needs no password.

        Columns of its `.frame`: label, fingerprint, program, machine, purpose, first, last (UTC), times.
        """
        from quantlab.lab.keys import key_users

        return key_users(self.settings, label)

    def permissions(self) -> Table:
        """What each permission of a Binance key means, quantlab's rule for it, and which of your keys have it."""
        from quantlab.lab.keys import permissions

        return permissions(self.settings)

    def audit(self, label: str | None = None) -> Table:
        """Ask Binance what each key may do (default: all keys that hold a secret), and keep the answer. What may move
        funds, or is not bound to addresses, is locked from then on.

        Columns of its `.frame`: label, fingerprint, audit ("passed", "refused", "rejected", "not auditable",
        "unreachable"), state, permissions, ip_restricted, why. Raises Refused without the vault's password,
        WrongPassword, NotFound.
        """
        from quantlab.lab.keys import audit

        return audit(self.settings, label)

    def preflight(self, *, ask_exchange: bool = True) -> PreflightResult:
        """The security checklist for this workbench's market, failing lines first: what, why, how to mend."""
        from quantlab.preflight import preflight

        return preflight(self.settings, ask_exchange=ask_exchange)

    def selftest(self, seconds: float = 30.0) -> Table:
        """Check this workbench's exchange against what quantlab expects, before a first run trusts it: read-only, no
        key, under two minutes and 300 weight. The file that the caption names is for a bug report.

        Columns of its `.frame`: verdict ("fails", "look", "pass"), what, expected, found.
        """
        from quantlab.lab.selftest import selftest

        return selftest(self.settings, seconds)

    def drill(self) -> Table:
        """Rehearse a compromised key on a replay venue, with keys made for it: the steps, whose part each is, and the
        seconds it took. Your own keys and runs are not touched. Takes some ten seconds."""
        from quantlab.lab.keys import drill

        return drill(self.settings)

    # -- housekeeping -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connection and end the venue that was started to look at. Runs go on."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _market(self) -> MarketReader:
        if self._reader is None:
            from quantlab.lab.reader import MarketReader

            self._reader = MarketReader(self.settings)
        return self._reader

    def _has_ledger(self) -> bool:
        return (self.settings.home / "quantlab.sqlite").exists()

    def _latest(self) -> str:
        if not self._has_ledger():
            raise NotFound("no run yet: lab.launch() starts one")
        from quantlab.ledger import Ledger

        with Ledger.open(self.settings.home, create=False) as ledger:
            return ledger.latest_run_id()

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td style='text-align:left;color:#6e7781'>{html.escape(name)}</td>"
            f"<td style='text-align:left'>{html.escape(str(value))}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table>{rows}</table>"

    def __repr__(self) -> str:
        return "Workbench(" + ", ".join(f"{name}: {value}" for name, value in self._facts().items()) + ")"

    def _facts(self) -> dict[str, Any]:
        from quantlab.fleet.process import running

        market = {
            "mainnet": "mainnet: real prices, simulated fills",
            "testnet": "TESTNET prices, simulated fills",
            "replay": "REPLAY: no live prices",
        }[self.settings.market]
        if self.settings.market == "replay":
            where = self.settings.venue_url or "a venue of its own, started when needed"
            market += f" ({where})"
        engine = running(self.settings.home)
        going = f"run {engine.run_id}, process {engine.pid}" if engine else "nothing"
        return {
            "market": market,
            "execution": "paper: no order leaves"
            if self.settings.execution == "paper"
            else "live: orders leave once armed",
            "running": going,
            "runs in the ledger": self.runs().height,
        }

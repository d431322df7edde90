"""Everything a report needs to know of one run, read from the ledger once and then kept."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from quantlab.ledger import Ledger
from quantlab.model import NotFound, Source
from quantlab.report.accounting import AssetSums, Sums, asset_sums, bot_sums, fleet_sums
from quantlab.report.tables import (
    FLEET,
    TAKER_FEE,
    baselines,
    bot_table,
    closed_trades,
    equity_frame,
    slippage_frame,
    strategy_table,
)

#: Where ledgers are looked for, from the working directory upwards, when nobody names one.
_HOMES = (".quantlab", ".quantlab-demo")


def open_run(run_id: str, home: Path | None = None) -> RunData:
    """Read the run `run_id` from the ledger at `home` (default: QUANTLAB_HOME, else the nearest one that has it).

    Raises NotFound when no ledger there has it.
    """
    candidates = [home] if home is not None else list(_homes())
    for candidate in candidates:
        if (candidate / "quantlab.sqlite").exists():
            with Ledger.open(candidate, create=False) as ledger:
                if run_id in ledger.run_ids():
                    return RunData(ledger, run_id)
    raise NotFound(f'no run is called "{run_id}" here: `quantlab status` names the last one')


class RunData:
    """The ledger's frames of one run, and what follows from them. Amounts are USDT."""

    #: Events that mean something went wrong with the data or the connection.
    ALARMS: ClassVar[frozenset[str]] = frozenset({"stale", "disconnected", "silent", "answer missing", "failed"})

    def __init__(self, ledger: Ledger, run_id: str) -> None:
        row = ledger.run(run_id)
        self.row = row
        self.run_id = run_id
        self.source: Source = row.source
        self.label = self.source.label()
        self.summary: Mapping[str, Any] = row.summary or {}
        self.bots = ledger.bots(run_id)
        self.fills = ledger.fills(run_id)
        self.fill_rows = ledger.fill_rows(run_id)
        self.receipts = ledger.receipts(run_id)
        self.orders = ledger.orders(run_id)
        self.equity = ledger.equity(run_id)
        self.bounds = ledger.bounds(run_id)
        self.marks = ledger.marks(run_id)
        self.events = ledger.events(run_id)
        self.egress = ledger.egress(run_id)
        #: What a look at the chain of the egress log found.
        self.egress_chain = ledger.check_egress(run_id)

    @property
    def capital(self) -> float:
        """The fleet's starting capital."""
        return float(self.bots["capital"].cast(pl.Float64).sum())

    @property
    def final_equity(self) -> float:
        """The fleet's last equity, marked at the bid; its capital before the first mark."""
        fleet = self.curve
        return float(fleet["equity"][-1]) if fleet.height else self.capital

    @cached_property
    def curve(self) -> pl.DataFrame:
        return equity_frame(self.equity)

    @property
    def from_ms(self) -> int | None:
        """Engine time of the first mark."""
        return self.curve["time_ms"][0] if self.curve.height else None

    @property
    def to_ms(self) -> int | None:
        return self.curve["time_ms"][-1] if self.curve.height else None

    @property
    def requests(self) -> Mapping[str, Any]:
        """The door's counters at the end of the run; empty when it did not end by itself."""
        requests: Mapping[str, Any] = self.summary.get("requests", {})
        return requests

    @cached_property
    def slippage(self) -> pl.DataFrame:
        return slippage_frame(self.fills, self.bots, self.receipts)

    @cached_property
    def closed(self) -> pl.DataFrame:
        return closed_trades(self.fills)

    @cached_property
    def by_bot(self) -> pl.DataFrame:
        return bot_table(self.bots, self.equity, self.fills, self.slippage, self.notes)

    @cached_property
    def by_strategy(self) -> pl.DataFrame:
        return strategy_table(self.by_bot)

    @cached_property
    def baselines(self) -> pl.DataFrame:
        """Buy-and-hold of the symbols the bots are on, and cash."""
        paid = next((float(receipt.fee_rate) for receipt in self.receipts if receipt.basis == "depth"), TAKER_FEE)
        return baselines(self.marks, self.capital, self.bots["symbol"].unique().to_list(), taker_fee=paid)

    @cached_property
    def notes(self) -> dict[str, str]:
        """Words by bot name: why it did not trade, or what halted it (the last time)."""
        notes = dict(self.summary.get("stood_aside", {}))
        names = dict(self.bots.select("bot", "name").iter_rows())
        states = self.events.filter((pl.col("kind") == "bot state") & pl.col("bot").is_not_null())
        for bot, time_ms, detail in states.select("bot", "time_ms", "detail").iter_rows():
            state = json.loads(detail)
            if state["to"] == "HALTED":
                when = datetime.fromtimestamp(time_ms / 1000, UTC)
                notes[names[bot]] = f"halted at {when:%H:%M}: {state['cause']}"
        return notes

    @cached_property
    def notable_events(self) -> pl.DataFrame:
        """The events in engine time, readable: time_ms, kind (a new state is one of its own), name (of the bot),
        words."""
        names = dict(self.bots.select("bot", "name").iter_rows())
        rows = []
        for time_ms, kind, bot, text in self.events.select("time_ms", "kind", "bot", "detail").iter_rows():
            detail = json.loads(text)
            if kind.endswith(" state"):
                whose = detail.get("symbol", kind.removesuffix(" state"))
                kind, detail = f"{whose} {detail['to']}", {"": detail["cause"]}
            words = ", ".join(f"{name} {value}".strip() for name, value in detail.items())
            rows.append((time_ms, kind, names.get(bot, ""), words))
        schema = {"time_ms": pl.Int64, "kind": pl.String, "name": pl.String, "words": pl.String}
        return pl.DataFrame(rows, schema=schema, orient="row").filter(pl.col("time_ms") > 0).sort("time_ms")

    @cached_property
    def books(self) -> dict[int, Sums]:
        """The exact sums of each bot, from the ledger's fills."""
        return bot_sums(self.fill_rows, self._capitals)

    @cached_property
    def fleet_books(self) -> Sums:
        return fleet_sums(self.books.values())

    @cached_property
    def assets(self) -> dict[str, AssetSums]:
        """The exact flows of each asset, from the ledger's fills."""
        deposits: dict[str, Fraction] = {self.quote: sum(self._capitals.values(), Fraction(0))}
        return asset_sums(self.fill_rows, deposits, dict.fromkeys(self.bots["symbol"].to_list(), self.quote))

    @cached_property
    def quote(self) -> str:
        """The quote asset of the run's symbols."""
        symbols = self.bots["symbol"].to_list()
        for quote in ("USDT", "USDC", "FDUSD", "BUSD", "BTC"):
            if symbols and all(symbol.endswith(quote) for symbol in symbols):
                return quote
        return "USDT"

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The run's `manifest.json`, when the working directory is its folder, as it is for a report's kernel."""
        path = Path("manifest.json")
        if path.exists():
            manifest: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if manifest.get("run_id") == self.run_id:
                return manifest
        return {}

    @cached_property
    def manifest_settings(self) -> Mapping[str, Any]:
        return self.row.settings or {}

    @property
    def weight_limit(self) -> int | None:
        """The run's own budget of request weight in any 60 s; None where its settings are not known."""
        limit: int | None = self.manifest_settings.get("weight_per_minute")
        return limit

    @cached_property
    def versions(self) -> Mapping[str, Any]:
        return self.row.versions or {}

    @cached_property
    def _capitals(self) -> dict[int, Fraction]:
        return {bot: Fraction(str(capital)) for bot, capital in self.bots.select("bot", "capital").iter_rows()}


def short_source(source: Source) -> str:
    """The source in as few words as are clear: "generated: seed 1", "candles: 1m_2021-04", "mainnet"."""
    return source.kind if source.kind in source.name else f"{source.kind}: {source.name}"


def _homes() -> list[Path]:
    named = os.environ.get("QUANTLAB_HOME")
    if named:
        return [Path(named)]
    here = Path.cwd()
    return [folder / name for folder in (here, *here.parents) for name in _HOMES]


__all__ = ["FLEET", "RunData", "open_run", "short_source"]

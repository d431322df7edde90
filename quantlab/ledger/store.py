"""Typed reads of the ledger, and how a run begins in it. Reads work while an engine writes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import polars as pl

from quantlab.ledger import chain
from quantlab.ledger.database import connect, prepare
from quantlab.ledger.frames import RUNS, frame
from quantlab.ledger.rows import BotRow, RunRow
from quantlab.model import (
    Fill,
    NotFound,
    Order,
    OrderStatus,
    OrderType,
    QuantlabError,
    Receipt,
    Side,
    TimeInForce,
)

#: The kind of a verdict among a run's events.
VERIFIED = "verified"

_JSON = frozenset({"source", "settings", "versions", "summary", "parameters"})


class Ledger:
    """The database of one home. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = connect(path)

    @classmethod
    def open(cls, home: Path, create: bool = True) -> Ledger:
        """Open (or make) the ledger of `home`. Raises NotFound, Refused, QuantlabError as `prepare` does."""
        return cls(prepare(home, create=create))

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    # -- how a run begins -------------------------------------------------------------------------------------------

    def begin_run(self, run: RunRow, bots: Iterable[BotRow]) -> None:
        """Write a new run and its bots, both or neither. Raises QuantlabError when there is such a run already, or
        when the disk refuses."""
        try:
            with self._transaction():
                self._insert("runs", msgspec.structs.asdict(run))
                for bot in bots:
                    self._insert("bots", {"run_id": run.run_id, **msgspec.structs.asdict(bot)})
        except sqlite3.IntegrityError as error:
            raise QuantlabError(f'run "{run.run_id}" is in the ledger already: give another id ({error})') from error
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    def _insert(self, table: str, row: Mapping[str, Any]) -> None:
        values = [
            msgspec.json.encode(value).decode()
            if name in _JSON and value is not None
            else str(value)
            if isinstance(value, Decimal)
            else value
            for name, value in row.items()
        ]
        marks = ",".join("?" * len(values))
        self._connection.execute(f"INSERT INTO {table} ({','.join(row)}) VALUES ({marks})", values)

    def log_egress(self, entry: Mapping[str, Any]) -> None:
        """Write down a request that left outside of any run: an audit of a key. On disk when it returns.

        Raises QuantlabError when the disk refuses."""
        try:
            with self._transaction():
                chain.append(self._connection, None, [entry])
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    def note_verdict(self, run_id: str, *, ok: bool, fills_sha256: str) -> None:
        """Write down, among the run's events, that its fills were computed again, and whether they are the same.

        Raises NotFound, and QuantlabError when the disk refuses."""
        time_ms = self.run(run_id).engine_time_ms or 0
        detail = msgspec.json.encode({"ok": ok, "fills_sha256": fills_sha256}).decode()
        row = (run_id, time_ms, time.time_ns() // 1_000_000, VERIFIED, detail)
        try:
            with self._transaction():
                self._connection.execute(
                    "INSERT INTO events (run_id, time_ms, wall_ms, kind, bot, detail) VALUES (?,?,?,?,NULL,?)", row
                )
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that is written in it, or nothing; nobody else writes meanwhile."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _unwritten(self, error: sqlite3.Error) -> QuantlabError:
        return QuantlabError(f"{self.path} cannot be written ({error}): free disk space, then try again")

    # -- runs -------------------------------------------------------------------------------------------------------

    def run_ids(self) -> list[str]:
        """All runs, newest first."""
        return [row[0] for row in self._rows("SELECT run_id FROM runs ORDER BY created_ms DESC, rowid DESC")]

    def latest_run_id(self) -> str:
        """The newest run. Raises NotFound when there is none."""
        known = self.run_ids()
        if not known:
            raise NotFound("no run yet: `quantlab run` or `make demo` makes one")
        return known[0]

    def run(self, run_id: str) -> RunRow:
        """One run. Raises NotFound naming the newest ones."""
        cursor = self._connection.execute("SELECT * FROM runs WHERE run_id=?", (run_id,))
        row = cursor.fetchone()
        if row is None:
            known = ", ".join(self.run_ids()[:5]) or "none yet"
            raise NotFound(f'no run is called "{run_id}"; the newest are: {known}')
        names = [column[0] for column in cursor.description]
        return msgspec.convert(
            {
                name: msgspec.json.decode(value) if name in _JSON and value is not None else value
                for name, value in zip(names, row, strict=True)
            },
            RunRow,
        )

    def runs(self) -> pl.DataFrame:
        """All runs, newest first: run_id, state, market, source, fleet, bots, times, and the summary's main figures."""
        rows = []
        for run_id in self.run_ids():
            run = self.run(run_id)
            summary = run.summary or {}
            rows.append(
                {
                    "run_id": run_id,
                    "state": run.state,
                    "market": run.market,
                    "source": run.source.label(),
                    "fleet": run.fleet_name,
                    "created_ms": run.created_ms,
                    "engine_from_ms": run.engine_from_ms,
                    "engine_time_ms": run.engine_time_ms,
                    "bots": summary.get("bots"),
                    "fills": summary.get("fills"),
                    "net_pnl_usdt": float(summary["net_pnl_usdt"]) if "net_pnl_usdt" in summary else None,
                    "fees_usdt": float(summary["fees_usdt"]) if "fees_usdt" in summary else None,
                }
            )
        return pl.DataFrame(rows, schema=RUNS)

    # -- one run's tables, as frames --------------------------------------------------------------------------------

    def bots(self, run_id: str) -> pl.DataFrame:
        """bot, name, strategy, parameters (JSON), symbol, timeframe, capital."""
        return frame(self._connection, "bots", run_id, "ORDER BY bot")

    def orders(self, run_id: str, *, open_only: bool = False) -> pl.DataFrame:
        """All orders in order of time; amounts as floats, for display."""
        only = "AND status IN ('PENDING', 'NEW', 'PARTIALLY_FILLED')" if open_only else ""
        return frame(self._connection, "orders", run_id, f"{only} ORDER BY created_ms, bot, number")

    def fills(self, run_id: str) -> pl.DataFrame:
        """All fills in order of time; amounts as floats, for display (`fill_rows` is exact)."""
        return frame(self._connection, "fills", run_id, "ORDER BY time_ms, bot, number")

    def equity(self, run_id: str, bot: int | None = None) -> pl.DataFrame:
        """time_ms, bot (-1 is the fleet), equity, cash, position_value."""
        only = "" if bot is None else f"AND bot = {int(bot)}"
        return frame(self._connection, "equity", run_id, f"{only} ORDER BY time_ms, bot")

    def bounds(self, run_id: str) -> pl.DataFrame:
        """time_ms, bot (-1: all of them), optimistic, pessimistic: the equity of the fleets beside the run's own. Empty
        where they were off."""
        return frame(self._connection, "bounds", run_id, "ORDER BY time_ms, bot")

    def marks(self, run_id: str) -> pl.DataFrame:
        """The touch of each symbol at each minute: time_ms, symbol, bid, ask."""
        return frame(self._connection, "marks", run_id, "ORDER BY time_ms, symbol")

    def events(self, run_id: str) -> pl.DataFrame:
        """What happened: time_ms, wall_ms, kind, bot (null: the fleet), detail (JSON)."""
        return frame(self._connection, "events", run_id, "ORDER BY id")

    def egress(self, run_id: str) -> pl.DataFrame:
        """Each request that was sent or refused, and each stream command."""
        with chain.any_text(self._connection, errors="replace"):  # whatever was done to it, it can be counted
            return frame(self._connection, "egress", run_id, "ORDER BY id")

    def check_egress(self, run_id: str | None, summary: Mapping[str, Any] | None = None) -> chain.Verdict:
        """Look at the chain of a run's egress log (None: of no run), against `summary` or else the ledger's own."""
        rows = chain.rows_of(self._connection, run_id)
        if run_id is None:
            return chain.check(rows)
        run = self.run(run_id)
        sealed = chain.sealed_by(run.summary if summary is None else summary)
        return chain.check(rows, sealed, closed=run.state in ("finished", "stopped"))

    def egress_end(self, run_id: str) -> chain.End:
        """How many rows of the run are chained, and the link of the last."""
        return chain.end(self._connection, run_id)

    def egress_counts(self, run_id: str) -> dict[str, int]:
        """{"sent", "refused", "weight", "sent_not_get"}: the last counts what left and was no read."""
        reads = "('GET', 'SUBSCRIBE', 'UNSUBSCRIBE', 'LIST_SUBSCRIPTIONS')"
        sent, refused, weight, not_get = self._rows(
            "SELECT COALESCE(SUM(verdict = 'sent'), 0), COALESCE(SUM(verdict = 'refused'), 0), "
            "COALESCE(SUM(CASE WHEN verdict = 'sent' THEN weight END), 0), "
            f"COALESCE(SUM(verdict = 'sent' AND method NOT IN {reads}), 0) FROM egress WHERE run_id = ?",
            (run_id,),
        )[0]
        return {"sent": sent, "refused": refused, "weight": weight, "sent_not_get": not_get}

    def equity_peaks(self, run_id: str) -> dict[int, float]:
        """The highest equity of each bot so far, and of the fleet (-1)."""
        return dict(self._rows("SELECT bot, MAX(equity) FROM equity WHERE run_id=? GROUP BY bot", (run_id,)))

    def equity_at(self, run_id: str, time_ms: int) -> dict[int, float]:
        """The last equity of each bot, and of the fleet (-1), at or before `time_ms` (engine time)."""
        sql = "SELECT bot, equity, MAX(time_ms) FROM equity WHERE run_id=? AND time_ms <= ? GROUP BY bot"
        return {bot: equity for bot, equity, _ in self._rows(sql, (run_id, time_ms))}

    def last_marks(self, run_id: str) -> dict[str, tuple[float, float]]:
        """The newest (bid, ask) of each symbol."""
        sql = "SELECT symbol, bid, ask, MAX(time_ms) FROM marks WHERE run_id=? GROUP BY symbol"
        return {symbol: (bid, ask) for symbol, bid, ask, _ in self._rows(sql, (run_id,))}

    def last_engine_ms(self, run_id: str) -> int:
        """The latest engine time that anything of the run is known from; 0 when nothing is."""
        (latest,) = self._rows(
            "SELECT MAX(COALESCE((SELECT engine_time_ms FROM runs WHERE run_id = ?1), 0), "
            "COALESCE((SELECT MAX(time_ms) FROM fills WHERE run_id = ?1), 0), "
            "COALESCE((SELECT MAX(created_ms) FROM orders WHERE run_id = ?1), 0), "
            "COALESCE((SELECT MAX(time_ms) FROM equity WHERE run_id = ?1), 0))",
            (run_id,),
        )[0]
        return int(latest)

    # -- exact rows -------------------------------------------------------------------------------------------------

    def fill_rows(self, run_id: str) -> list[Fill]:
        """All fills, exact, in order of (time, bot, number)."""
        sql = (
            "SELECT bot, number, order_number, symbol, side, price, quantity, fee, fee_asset, fee_quote, maker, "
            "time_ms FROM fills WHERE run_id=? ORDER BY time_ms, bot, number"
        )
        return [
            Fill(
                bot=bot,
                number=number,
                order_number=order_number,
                symbol=symbol,
                side=Side(side),
                price=Decimal(price),
                quantity=Decimal(quantity),
                fee=Decimal(fee),
                fee_asset=fee_asset,
                fee_quote=Decimal(fee_quote),
                maker=bool(maker),
                time_ms=time_ms,
            )
            for (
                bot, number, order_number, symbol, side, price, quantity, fee, fee_asset, fee_quote, maker, time_ms
            ) in self._rows(sql, (run_id,))
        ]  # fmt: skip

    def order_rows(self, run_id: str) -> list[Order]:
        """All orders, exact, in order of (bot, number)."""
        sql = (
            "SELECT bot, number, symbol, side, type, time_in_force, quantity, price, stop_price, created_ms, reason, "
            "status, filled, quote_quantity, trailing_delta, list_number, prevented "
            "FROM orders WHERE run_id=? ORDER BY bot, number"
        )
        return [
            Order(
                bot=bot,
                number=number,
                symbol=symbol,
                side=Side(side),
                type=OrderType(type_),
                time_in_force=TimeInForce(tif),
                quantity=Decimal(quantity),
                price=None if price is None else Decimal(price),
                stop_price=None if stop is None else Decimal(stop),
                created_ms=created_ms,
                reason=reason,
                status=OrderStatus(status),
                filled=Decimal(filled),
                quote_quantity=None if quote is None else Decimal(quote),
                trailing_delta=trailing,
                list_number=listed,
                prevented=Decimal(prevented),
            )
            for (
                bot, number, symbol, side, type_, tif, quantity, price, stop, created_ms, reason, status, filled,
                quote, trailing, listed, prevented,
            ) in self._rows(sql, (run_id,))
        ]  # fmt: skip

    def receipts(self, run_id: str) -> list[Receipt]:
        """All receipts, in order of (bot, fill number)."""
        sql = "SELECT body FROM receipts WHERE run_id=? ORDER BY bot, fill_number"
        decode = msgspec.json.Decoder(Receipt).decode
        return [decode(body) for (body,) in self._rows(sql, (run_id,))]

    # -- helpers ----------------------------------------------------------------------------------------------------

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()

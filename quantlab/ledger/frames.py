"""The ledger's tables as polars frames: which columns, of which type."""

from __future__ import annotations

import sqlite3
from typing import Any

import polars as pl

#: `Ledger.runs`.
RUNS: dict[str, Any] = {
    "run_id": pl.String,
    "state": pl.String,
    "market": pl.String,
    "source": pl.String,
    "fleet": pl.String,
    "created_ms": pl.Int64,
    "engine_from_ms": pl.Int64,
    "engine_time_ms": pl.Int64,
    "bots": pl.Int64,
    "fills": pl.Int64,
    "net_pnl_usdt": pl.Float64,
    "fees_usdt": pl.Float64,
}

FRAMES: dict[str, dict[str, Any]] = {
    "bots": {
        "bot": pl.Int64,
        "name": pl.String,
        "strategy": pl.String,
        "parameters": pl.String,
        "symbol": pl.String,
        "timeframe": pl.String,
        "capital": pl.Float64,
    },
    "orders": {
        "bot": pl.Int64,
        "number": pl.Int64,
        "symbol": pl.String,
        "side": pl.String,
        "type": pl.String,
        "time_in_force": pl.String,
        "quantity": pl.Float64,
        "price": pl.Float64,
        "stop_price": pl.Float64,
        "created_ms": pl.Int64,
        "reason": pl.String,
        "status": pl.String,
        "filled": pl.Float64,
        "quote_quantity": pl.Float64,
        "trailing_delta": pl.Int64,
        "list_number": pl.Int64,
        "prevented": pl.Float64,
    },
    "fills": {
        "bot": pl.Int64,
        "number": pl.Int64,
        "order_number": pl.Int64,
        "symbol": pl.String,
        "side": pl.String,
        "price": pl.Float64,
        "quantity": pl.Float64,
        "fee": pl.Float64,
        "fee_asset": pl.String,
        "fee_quote": pl.Float64,
        "maker": pl.Boolean,
        "time_ms": pl.Int64,
    },
    "equity": {
        "time_ms": pl.Int64,
        "bot": pl.Int64,
        "equity": pl.Float64,
        "cash": pl.Float64,
        "position_value": pl.Float64,
    },
    "bounds": {"time_ms": pl.Int64, "bot": pl.Int64, "optimistic": pl.Float64, "pessimistic": pl.Float64},
    "marks": {"time_ms": pl.Int64, "symbol": pl.String, "bid": pl.Float64, "ask": pl.Float64},
    "events": {
        "time_ms": pl.Int64,
        "wall_ms": pl.Int64,
        "kind": pl.String,
        "bot": pl.Int64,
        "detail": pl.String,
    },
    "egress": {
        "wall_ms": pl.Int64,
        "method": pl.String,
        "host": pl.String,
        "path": pl.String,
        "weight": pl.Int64,
        "status": pl.Int64,
        "verdict": pl.String,
        "detail": pl.String,
    },
}
#: Exact amounts are text: a cast makes the floats of a frame, and a column what it is, whatever the file holds.
_SQL_TYPES: dict[Any, str] = {pl.Float64: "REAL", pl.Int64: "INTEGER", pl.String: "TEXT", pl.Boolean: "INTEGER"}


def frame(connection: sqlite3.Connection, table: str, run_id: str, tail: str) -> pl.DataFrame:
    """The rows of `run_id` in `table`. `tail` is SQL that follows the condition: an order, a further condition."""
    schema = FRAMES[table]
    columns = ", ".join(f"CAST({name} AS {_SQL_TYPES[type_]})" for name, type_ in schema.items())
    rows = connection.execute(f"SELECT {columns} FROM {table} WHERE run_id=? {tail}", (run_id,)).fetchall()
    if table == "fills":
        maker = list(schema).index("maker")
        rows = [(*row[:maker], bool(row[maker]), *row[maker + 1 :]) for row in rows]
    return pl.DataFrame(rows, schema=schema, orient="row")

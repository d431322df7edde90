"""The tables. Amounts are exact decimals as plain text; times are UTC, integer ms (`*_ms`)."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

metadata = MetaData()

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("created_ms", Integer, nullable=False),
    Column("finished_ms", Integer),
    Column("state", Text, nullable=False),
    Column("market", Text, nullable=False),
    Column("execution", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("fleet_name", Text, nullable=False),
    Column("fleet_toml", Text, nullable=False),
    Column("fleet_sha256", Text, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("pid", Integer),
    Column("engine_from_ms", Integer),
    Column("engine_time_ms", Integer),
    Column("settings", Text, nullable=False),
    Column("versions", Text, nullable=False),
    Column("summary", Text),
    Column("error", Text),
)


def _run_id(*, nullable: bool = False) -> Column[str]:
    return Column("run_id", Text, ForeignKey("runs.run_id", ondelete="CASCADE"), nullable=nullable)


bots = Table(
    "bots",
    metadata,
    _run_id(),
    Column("bot", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("timeframe", Text, nullable=False),
    Column("capital", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "bot"),
)

orders = Table(
    "orders",
    metadata,
    _run_id(),
    Column("bot", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("time_in_force", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("price", Text),
    Column("stop_price", Text),
    Column("created_ms", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("filled", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "bot", "number"),
)

fills = Table(
    "fills",
    metadata,
    _run_id(),
    Column("bot", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("order_number", Integer, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("quantity", Text, nullable=False),
    Column("fee", Text, nullable=False),
    Column("fee_asset", Text, nullable=False),
    Column("fee_quote", Text, nullable=False),
    Column("maker", Boolean, nullable=False),
    Column("time_ms", Integer, nullable=False),
    PrimaryKeyConstraint("run_id", "bot", "number"),
)

receipts = Table(
    "receipts",
    metadata,
    _run_id(),
    Column("bot", Integer, nullable=False),
    Column("fill_number", Integer, nullable=False),
    Column("body", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "bot", "fill_number"),
)

#: Bot -1 is the whole fleet.
equity = Table(
    "equity",
    metadata,
    _run_id(),
    Column("time_ms", Integer, nullable=False),
    Column("bot", Integer, nullable=False),
    Column("equity", Float, nullable=False),
    Column("cash", Float, nullable=False),
    Column("position_value", Float, nullable=False),
)

marks = Table(
    "marks",
    metadata,
    _run_id(),
    Column("time_ms", Integer, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("bid", Float, nullable=False),
    Column("ask", Float, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    _run_id(),
    Column("time_ms", Integer, nullable=False),
    Column("wall_ms", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("bot", Integer),
    Column("detail", Text, nullable=False),
)

egress = Table(
    "egress",
    metadata,
    Column("id", Integer, primary_key=True),
    _run_id(nullable=True),
    Column("wall_ms", Integer, nullable=False),
    Column("method", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("status", Integer),
    Column("verdict", Text, nullable=False),
    Column("detail", Text, nullable=False),
)

for table in (equity, marks, events, egress):
    Index(f"ix_{table.name}_run_id", table.c.run_id)

"""The tables. Amounts are exact decimals as plain text; times are UTC, integer ms (`*_ms`)."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
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
    #: How many journal calls of its engine are on disk; null where its input log alone does not give its rows.
    Column("journal_calls", Integer),
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
    Column("quote_quantity", Text),
    Column("trailing_delta", Integer, nullable=False, server_default="0"),
    Column("list_number", Integer, nullable=False, server_default="0"),
    Column("prevented", Text, nullable=False, server_default="0"),
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

#: The equity of the optimistic and of the pessimistic fleet beside the run's own.
bounds = Table(
    "bounds",
    metadata,
    _run_id(),
    Column("time_ms", Integer, nullable=False),
    Column("bot", Integer, nullable=False),
    Column("optimistic", Float, nullable=False),
    Column("pessimistic", Float, nullable=False),
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
    Column("seq", Integer),
    Column("chain", Text),
)
#: A run's chain cannot fork. (Rows of no run are kept apart by the write lock alone: SQLite holds no two NULLs equal.)
Index("ix_egress_chain", egress.c.run_id, egress.c.seq, unique=True)

for table in (equity, bounds, marks, events):
    Index(f"ix_{table.name}_run_id", table.c.run_id)

#: One row an epoch of the password: the current one, and for as long as it is being changed the pending one.
vault = Table(
    "vault",
    metadata,
    Column("epoch", Integer, primary_key=True),
    Column("vault_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("kdf", Text, nullable=False),
    Column("iterations", Integer, nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("verifier", Text, nullable=False),
    Column("wrapped_key", Text, nullable=False),
    Column("handover", Text),
    Column("manifest", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("created_ms", Integer, nullable=False),
    Column("changed_ms", Integer, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("venue", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_why", Text, nullable=False),
    Column("state_ms", Integer, nullable=False),
    Column("created_ms", Integer, nullable=False),
    Column("rotated_ms", Integer),
    Column("audited_ms", Integer),
    Column("audit", Text),
    Column("permissions", Text),
    Column("ip_restricted", Boolean),
    Column("address", Text),
    Column("notes", Text, nullable=False),
    UniqueConstraint("fingerprint"),
)
#: A label has one key at a time; the ones it had before keep their rows.
Index("ix_keys_label", keys.c.label, unique=True, sqlite_where=text("state IN ('active', 'locked')"))


def _key_id(*, primary_key: bool = False) -> Column[int]:
    return Column("key_id", Integer, ForeignKey("keys.id", ondelete="CASCADE"), primary_key=primary_key, nullable=False)


key_documents = Table(
    "key_documents",
    metadata,
    _key_id(primary_key=True),
    Column("epoch", Integer, primary_key=True),
    Column("token", Text, nullable=False),
)

key_uses = Table(
    "key_uses",
    metadata,
    Column("id", Integer, primary_key=True),
    _key_id(),
    Column("opened_ms", Integer, nullable=False),
    Column("machine", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("program", Text, nullable=False),
    Column("purpose", Text, nullable=False),
)
Index("ix_key_uses_key_id", key_uses.c.key_id)

custody = Table(
    "custody",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("wall_ms", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("label", Text),
    Column("detail", Text, nullable=False),
)

vault_backups = Table(
    "vault_backups",
    metadata,
    Column("path", Text, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("made_ms", Integer, nullable=False),
)

#: What only the user can know (two-factor log-in and the like), with the date of the statement.
statements = Table(
    "statements",
    metadata,
    Column("name", Text, primary_key=True),
    Column("stated_ms", Integer, nullable=False),
    Column("machine", Text, nullable=False),
)

"""What left and what it cost, from the egress log and the door's counters: pure functions over frames.

The log has a row for all that left or was refused. A question that joined another in flight (shared) or was answered
from memory (kept) leaves none: of these the counters of the run's summary know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

#: What may go out on a stream. Source: Binance WebSocket streams docs, "live subscribing", checked 2026-11-23.
_STREAM_COMMANDS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS")

_VERDICTS = ("sent", "refused", "unreachable")
_LOGGED = ("host", "method", "path", "weight", "status", "verdict")
_ENDPOINT = (
    dict.fromkeys(("host", "method", "path"), pl.String)
    | dict.fromkeys(("asked", "sent", "shared", "kept", "weight", "refused", "unreachable"), pl.Int64)
    | {"statuses": pl.String}
)


class EgressCounts(NamedTuple):
    """What left: GET requests (stream connections included), stream commands, anything else, and how many of all
    these went to an order endpoint; and what the guard refused."""

    requests: int
    commands: int
    others: int
    orders: int
    refused: int


def egress_counts(egress: pl.DataFrame) -> EgressCounts:
    """Counts of the egress log. What was refused or never connected has not left."""
    left = egress.filter(pl.col("verdict") == "sent")
    method, path = pl.col("method"), pl.col("path").str.to_lowercase()
    reads = left.filter(method == "GET").height
    commands = left.filter(method.is_in(_STREAM_COMMANDS)).height
    return EgressCounts(
        requests=reads,
        commands=commands,
        others=left.height - reads - commands,
        orders=left.filter(path.str.contains("order") | method.str.to_lowercase().str.contains("order")).height,
        refused=egress.filter(pl.col("verdict") == "refused").height,
    )


def endpoint_table(egress: pl.DataFrame, by_endpoint: Mapping[str, Mapping[str, int]]) -> pl.DataFrame:
    """One row a host, method and path, most weight first.

    asked, shared and kept are the counters' (null where they know nothing: streams, signed reads, refusals); sent,
    refused, unreachable, weight and statuses ("200 ×12, 429 ×1"; 0 is no answer) are the log's. Counters do not name a
    host: theirs go to the one that was sent most.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for host, method, path, weight, status, verdict in egress.select(_LOGGED).iter_rows():
        row = rows.setdefault((host, method, path), _empty(host, method, path))
        if verdict in _VERDICTS:
            row[verdict] += 1
        if verdict == "sent":
            row["weight"] += weight or 0
            if method not in _STREAM_COMMANDS:  # their answers are frames like any other
                row["statuses"][status] = row["statuses"].get(status, 0) + 1
    for name, counts in by_endpoint.items():
        method, _, path = name.partition(" ")
        known = [row for row in rows.values() if (row["method"], row["path"]) == (method, path)]
        if not known:
            known = [rows.setdefault(("", method, path), _empty("", method, path))]
        most = max(known, key=lambda row: int(row["sent"]))
        most.update({count: counts[count] for count in ("asked", "shared", "kept")})
    for row in rows.values():
        row["statuses"] = ", ".join(f"{status} ×{count}" for status, count in sorted(row["statuses"].items(), key=str))
    frame = pl.DataFrame(list(rows.values()), schema=_ENDPOINT, orient="row")
    return frame.sort("weight", "sent", "host", "method", "path", descending=[True, True, False, False, False])


def missing_rows(egress: pl.DataFrame, by_endpoint: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Where the counters know of more than the log has: one line an endpoint. (The log may have more: signed reads, and
    what was sent before a run was taken up again.)"""
    sent = egress.filter(pl.col("verdict") == "sent").group_by("method", "path").agg(pl.len(), pl.col("weight").sum())
    logged = {f"{method} {path}": (rows, weight) for method, path, rows, weight in sent.iter_rows()}
    lines = []
    for name, counts in by_endpoint.items():
        rows, weight = logged.get(name, (0, 0))
        if rows < counts["sent"] or weight < counts["weight"]:
            lines.append(
                f"{name}: {counts['sent']} sent with weight {counts['weight']} were counted, the log has {rows} with "
                f"{weight}"
            )
    return lines


def peak_weight(egress: pl.DataFrame) -> int:
    """The most weight in any 60 s, by the times of the log's rows: those at which the answers were known."""
    return max(weight_curve(egress)["weight_60s"].to_list(), default=0)


def weight_curve(egress: pl.DataFrame) -> pl.DataFrame:
    """Weight sent in the 60 s up to each request: wall_ms, weight_60s. Its maximum is the run's peak."""
    schema = {"wall_ms": pl.Int64, "weight_60s": pl.Int64}
    sent = egress.filter((pl.col("verdict") == "sent") & (pl.col("weight") > 0)).sort("wall_ms")
    if sent.is_empty():
        return pl.DataFrame(schema=schema)
    summed = sent.select(
        pl.col("wall_ms").cast(pl.Int64),
        weight_60s=pl.col("weight").cast(pl.Int64).rolling_sum_by(pl.from_epoch("wall_ms", "ms"), "60s"),
    )
    return summed.group_by("wall_ms", maintain_order=True).agg(pl.col("weight_60s").max())


def _empty(host: str, method: str, path: str) -> dict[str, Any]:
    counts = dict.fromkeys(("sent", "weight", "refused", "unreachable"), 0)
    return {"host": host, "method": method, "path": path, **counts, "statuses": {}}

"""How near synthesised books and trades come to recorded ones: the table of docs/market-synthesis.md.

The candles of the recorded minutes (2024-08-08 23:55 to 24:00 UTC, BTCUSDT and ETHUSDT) are rebuilt from the recorded
trades, the synthesiser plays them with twenty seeds, and quantiles of both are put side by side. A table, not a
promise: run it with `pytest -m bench -s tests/venue/market/test_score.py`.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantlab.model.timeframe import MINUTE_MS
from quantlab.venue.market.candles import CandleTable
from quantlab.venue.market.filters import exchange_info_of, grids, symbol_row
from quantlab.venue.market.synthetic import SyntheticMarket

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.99)
SEEDS = 20
Events = list[tuple[float, dict[str, Any]]]


def recorded(path: Path) -> dict[str, Events]:
    """(local time in ms, data) of the whole minutes, by kind of stream."""
    found: dict[str, Events] = {"bookTicker": [], "trade": [], "depth": []}
    with gzip.open(path) as lines:
        for line in lines:
            wall, raw = line.split(b" ", 1)
            frame = json.loads(raw)
            if "stream" in frame:
                found[frame["stream"].split("@")[1]].append((int(wall) / 1e6, frame["data"]))
    return found


def candles(trades: Events) -> CandleTable:
    rows: dict[int, list[tuple[float, float]]] = {}
    for _, t in trades:
        rows.setdefault(t["T"] // MINUTE_MS * MINUTE_MS, []).append((float(t["p"]), float(t["q"])))
    whole = sorted(rows)[1:]  # the first minute was recorded from its middle on
    prices = {time: [p for p, _ in rows[time]] for time in whole}
    return CandleTable(
        trades[0][1]["s"],
        MINUTE_MS,
        np.array(whole),
        np.array([prices[t][0] for t in whole]),
        np.array([max(prices[t]) for t in whole]),
        np.array([min(prices[t]) for t in whole]),
        np.array([prices[t][-1] for t in whole]),
        np.array([round(sum(q for _, q in rows[t]), 8) for t in whole]),
    )


def synthesised(table: CandleTable, decimals: int) -> list[dict[str, Events]]:
    """One entry a seed. bookTicker carries no time: it gets that of the stamped event before it."""
    info = exchange_info_of([symbol_row(table.symbol[:3], "USDT", 2, decimals)], 0)
    start_ms, end_ms = int(table.open_ms[0]), int(table.open_ms[-1]) + MINUTE_MS
    runs = []
    for seed in range(SEEDS):
        market = SyntheticMarket(
            "candles", "score", [table], grids(info), info, seed=seed, start_ms=start_ms, end_ms=end_ms
        )
        found: dict[str, Events] = {"bookTicker": [], "trade": [], "depth": []}
        wanted = frozenset(f"{table.symbol.lower()}@{kind}" for kind in ("bookTicker", "trade", "depth@100ms"))
        while market.now_ms < market.end_ms:
            for stream, payload in market.advance(market.now_ms + 1, wanted):
                found[stream.split("@")[1]].append((market.now_ms, json.loads(payload)))
        runs.append(found)
    return runs


def measures(runs: list[dict[str, Events]]) -> dict[str, np.ndarray]:
    def over(kind: str, value: Any) -> np.ndarray:
        return np.array([value(data) for run in runs for _, data in run[kind]])

    def gaps(kind: str) -> np.ndarray:
        return np.concatenate([np.diff([time for time, _ in run[kind]]) for run in runs])

    bids, asks = over("bookTicker", lambda d: float(d["b"])), over("bookTicker", lambda d: float(d["a"]))
    sizes = [over("bookTicker", lambda d, n=n: float(d[n[0]]) * float(d[n[1]])) for n in ("bB", "aA")]
    return {
        "spread, bps": (asks - bids) / bids * 1e4,
        "size at the touch, USDT": np.concatenate(sizes),
        "trade, USDT": over("trade", lambda d: float(d["p"]) * float(d["q"])),
        "between bookTickers, ms": gaps("bookTicker"),
        "between trades, ms": gaps("trade"),
        "between depth updates, ms": gaps("depth"),
        "levels in a depth update": over("depth", lambda d: len(d["b"]) + len(d["a"])),
    }


def shares(runs: list[dict[str, Events]]) -> dict[str, float]:
    counts = {kind: sum(len(run[kind]) for run in runs) for kind in ("bookTicker", "trade", "depth")}
    tops = [np.array([(float(d["b"]), float(d["a"])) for _, d in run["bookTicker"]]) for run in runs]
    sides = [np.array([d["m"] for _, d in run["trade"]]) for run in runs]
    return {
        **{f"{kind}, share of events": count / sum(counts.values()) for kind, count in counts.items()},
        "bookTickers that change a price": float(
            np.mean(np.concatenate([np.diff(t, axis=0).any(axis=1) for t in tops]))
        ),
        "trades on the side of the one before": float(np.mean(np.concatenate([s[1:] == s[:-1] for s in sides]))),
    }


@pytest.mark.bench
@pytest.mark.parametrize(("name", "decimals"), [("btc", 5), ("eth", 4)])
def test_score_table(shared_market: Path, name: str, decimals: int) -> None:
    real = recorded(shared_market / "ws" / f"hftbacktest_spot_{name}usdt_20240808.gz")
    table = candles(real["trade"])
    made = synthesised(table, decimals)
    ours, theirs = measures(made), measures([real])
    print(f"\n\n### {table.symbol}\n\n| | | " + " | ".join(f"p{q * 100:g}" for q in QUANTILES) + " |")
    print("|---|---|" + "---:|" * len(QUANTILES))
    for what in theirs:
        for label, values in (("recorded", theirs[what]), ("synthesised", ours[what])):
            cells = " | ".join(
                f"{value:,.3g}" if value < 1000 else f"{value:,.0f}" for value in np.quantile(values, QUANTILES)
            )
            print(f"| {what if label == 'recorded' else ''} | {label} | {cells} |")
    print("\n| | recorded | synthesised |\n|---|---:|---:|")
    ours_shares = shares(made)
    for what, value in shares([real]).items():
        print(f"| {what} | {value:.1%} | {ours_shares[what]:.1%} |")
    assert len(table.open_ms) >= 5

"""`make bench`: figures as ratios in one run, written to reports/benchmarks.json.

Each row: name, value, unit, peer, ratio (above 1 is faster or smaller than the peer), goal (of the value), met.
Absolute values say as much of the machine as of us; the ratios carry over.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from quantlab.fleet.spec import load_fleet
from quantlab.ledger import Ledger, LedgerWriter
from quantlab.market import FrameDecoder
from quantlab.model import Instrument
from quantlab.vault import Credential, Seen, Vault
from quantlab.vault.kdf import Parameters
from quantlab.venue.child import VenueChild
from tests.benchmarks import backtests, feed, history
from tests.conftest import recorded_market
from tests.ledger.rows import BOT, RUN, fill, receipt

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "notebooks" / "fleet.toml"
QUOTE = (
    b'{"stream":"btcusdt@bookTicker","data":{"u":50093239212,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000",'
    b'"a":"61837.64000000","A":"1.54698000"}}'
)


def row(name: str, value: float, unit: str, peer: str, ratio: float, goal: float, met: bool) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "peer": peer,
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": met,
    }


def microseconds(call: Callable[[], Any], count: int = 100_000) -> float:
    """The best of five rounds, a call."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            call()
        best = min(best, time.perf_counter() - began)
    return best / count * 1e6


def decode() -> dict[str, Any]:
    """A quote from bytes to ticks and lots, beside the standard library's way there."""
    instrument = Instrument(
        symbol="BTCUSDT", base="BTC", quote="USDT", tick_size=Decimal("0.01"), step_size=Decimal("0.00001")
    )
    ours = FrameDecoder({"BTCUSDT": instrument}).decode

    def plain() -> tuple[int, ...]:
        data = json.loads(QUOTE)["data"]
        prices = (round(float(data[name]) * 100) for name in "ba")
        return (*prices, *(round(float(data[name]) * 100_000) for name in "BA"))

    value, peer = microseconds(lambda: ours(QUOTE)), microseconds(plain, 20_000)
    return row("stream decode", value, "us a quote", "json + float", peer / value, 1.5, value <= 1.5)


def engine(hours: float = 4) -> list[dict[str, Any]]:
    """45 bots on a generated market, from the venue's socket to their decisions."""
    with tempfile.TemporaryDirectory() as folder, VenueChild(hours=hours + 0.1) as venue:
        environment = {
            **os.environ,
            "QUANTLAB_MARKET": "replay",
            "QUANTLAB_VENUE_URL": venue.url,
            "QUANTLAB_ROOT": folder,
            "QUANTLAB_HOME": folder,
        }
        command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--no-report", "--json"]
        command += ["--fleet", str(FLEET), "--run-id", "bench", "--hours", f"{hours:g}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    speed, memory, sent = summary["events_per_second"], summary["peak_rss_mb"], summary["requests"]["sent"]
    alone = _asked_alone()
    return [
        row("engine end to end", speed, "events/s", "goal", speed / 20_000, 20_000, speed >= 20_000),
        row("engine memory", memory, "MiB peak", "goal", 350 / memory, 350, memory <= 350),
        row("requests of 45 bots", sent, "requests", "each bot for itself", alone / sent, alone, sent < alone),
    ]


def _asked_alone() -> int:
    """What 45 bots would ask at the start if each asked for itself: exchangeInfo, its candles, its book."""
    pages = 0
    for bot in load_fleet(FLEET).bots:
        pages += 2 - (-bot.make_strategy().lookback // 1000)
    return pages


def unlock(keys: int = 10) -> dict[str, Any]:
    """What opening a vault costs above the key derivation, which is meant to be slow: everything in it is checked."""
    password = "Mk7/quartz VIOLET+93"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        home = Path(folder) / "home"
        with Vault.create(home, password) as vault:
            for number in range(keys):
                pair = Credential.parse(f"{number:02d}aB" * 16, f"{number:02d}sE" * 16)
                vault.add(f"key {number}", pair, "mainnet", seen=Seen("passed", 1))
        began = time.perf_counter()
        Parameters.fresh().derive(password)
        derivation_ms = (time.perf_counter() - began) * 1000
        keys_of: dict[bytes, bytes] = {}

        def once(parameters: Parameters, password: str) -> bytes:
            """The true derivation the first time: on a busy machine its own scatter is more than what is measured."""
            if parameters.salt not in keys_of:
                keys_of[parameters.salt] = derive(parameters, password)
            return keys_of[parameters.salt]

        derive, Parameters.derive = Parameters.derive, once  # type: ignore[method-assign]
        Vault.open(home, password).close()
        more_ms = microseconds(lambda: Vault.open(home, password).close(), 5) / 1000
        Parameters.derive = derive  # type: ignore[method-assign]
    ratio = derivation_ms / (derivation_ms + more_ms)
    return row(f"unlock, {keys} keys", more_ms, "ms above KDF", "the KDF alone", ratio, 20, more_ms <= 20)


def drill() -> dict[str, Any]:
    """The machine's part of a compromise: revoke, erase, tell the engine, audit and use the new key."""
    command = [sys.executable, "-m", "quantlab", "panic", "--drill", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = json.loads(done.stdout)["machine_seconds"]
    return row("compromise drill", seconds, "s machine", "goal", 5 / seconds, 5, seconds < 5)


def frames() -> list[dict[str, Any]]:
    """Frames to decisions beside the floor; nothing where the recorded market is absent."""
    folder = recorded_market()
    if folder is None:
        return []
    rows = []
    for bots, symbols in ((45, 13), (1_000, 50)):
        # In a process of its own, so that its memory is its own.
        command = [
            sys.executable,
            "-m",
            "tests.benchmarks.scale",
            str(folder),
            str(FLEET),
            str(bots),
            str(symbols),
            "60",
        ]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        times, floor, name = found["engine_us"] / found["floor_us"], "decode and books", f"{bots:,} bots"
        rows.append(row(f"frame, {name}", found["engine_us"], "us CPU", floor, 1 / times, 3, times <= 3))
        p99, closes = found["p99_ms"], found["closes_ms"]
        rows.append(row(f"frame p99, {name}", p99, "ms", "goal", 20 / p99, 20, p99 <= 20))
        rows.append(row(f"closes, {name}", closes, "ms all", "goal", 250 / closes, 250, closes <= 250))
        memory = found["memory_mb"]
        rows.append(row(f"engine memory, {name}", memory, "MiB", "goal", 350 / memory, 350, memory <= 350))
    return rows


def fills(count: int = 20_000, together: int = 45) -> list[dict[str, Any]]:
    """Fills with their receipts, committed at FULL: each waited for, and as many together as bots hear at a close."""
    speeds = []
    for batch, number in ((1, count // 20), (together, count)):
        with tempfile.TemporaryDirectory() as folder:
            with Ledger.open(Path(folder)) as ledger:
                ledger.begin_run(RUN, [BOT])
            with LedgerWriter(Path(folder) / "quantlab.sqlite", RUN.run_id) as journal:
                began = time.perf_counter()
                for n in range(1, number + 1):
                    ticket = journal.fill(fill(n), receipt(n))
                    if n % batch == 0:
                        journal.wait(ticket)
                journal.wait(ticket)
                speeds.append(number / (time.perf_counter() - began))
    alone, grouped = speeds
    return [row("fills committed", grouped, "fills/s", "one commit a fill", grouped / alone, 5, grouped >= 5 * alone)]


def main() -> None:
    rows = [
        decode(),
        unlock(),
        drill(),
        *feed.rows(row),
        *engine(),
        *fills(),
        *frames(),
        *history.rows(row),
        *backtests.rows(row),
    ]
    path = ROOT / "reports" / "benchmarks.json"
    path.write_text(json.dumps(rows, indent=2) + "\n")
    for line in rows:
        verdict = "met" if line["met"] else "NOT MET"
        print(
            f"{line['name']:22} {line['value']:>10} {line['unit']:12} {line['ratio']:>6} × {line['peer']} ({verdict})"
        )
    print(path)


if __name__ == "__main__":
    main()

"""Readers of the recorded files: frames as raw bytes, in the order received."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from quantlab.model import Instrument, instruments_from_exchange_info

CRYPTOFEED_DATES = ("20210417", "20210814", "20211012")


def instrument(symbol: str = "BTCUSDT", tick: str = "0.01", step: str = "0.00001") -> Instrument:
    base = symbol.removesuffix("USDT")
    return Instrument(symbol=symbol, base=base, quote="USDT", tick_size=Decimal(tick), step_size=Decimal(step))


def hftbacktest(folder: Path, symbol: str) -> list[bytes]:
    """Lines "<local ns> <json>": combined frames, and one REST depth snapshot (without "stream")."""
    with gzip.open(folder / "ws" / f"hftbacktest_spot_{symbol.lower()}_20240808.gz") as lines:
        return [line.split(b" ", 1)[1].rstrip() for line in lines]


def cryptofeed_frames(folder: Path, date: str) -> list[bytes]:
    """Lines "<epoch s>: <json>"; lines that name the subscribed address are left out."""
    with gzip.open(folder / "ws" / f"cryptofeed_{date}_ws_frames.txt.gz") as lines:
        return [line.split(b": ", 1)[1].rstrip() for line in lines if re.match(rb"[\d.]+: ", line)]


def cryptofeed_instruments(folder: Path, date: str) -> dict[str, Instrument]:
    with gzip.open(folder / "ws" / f"cryptofeed_{date}_exchangeInfo.txt.gz") as lines:
        return instruments_from_exchange_info(next(lines).split(b": ", 1)[1])


def cryptofeed_books(folder: Path, date: str) -> Iterator[tuple[str, bytes]]:
    """(symbol, answer) of each line "<url> -> <epoch s>: <json>"."""
    with gzip.open(folder / "ws" / f"cryptofeed_{date}_depth_rest.txt.gz") as lines:
        for line in lines:
            found = re.match(rb"\S+symbol=(\w+)&\S+ -> [\d.]+: (.*)", line)
            if found:
                yield found[1].decode(), found[2]


def lasota_depth_frames(folder: Path) -> Iterator[bytes]:
    """TRXUSDT diffs, one CSV row a level, as the frames they were (times there are microseconds)."""
    with gzip.open(folder / "ws" / "lasota_spot_trxusdt_depth100ms_20250304.csv.gz", "rt") as lines:
        rows = [line.rstrip().split(",") for line in lines][1:]
    events: dict[tuple[str, str], list[list[str]]] = {}
    for row in rows:
        events.setdefault((row[5], row[6]), []).append(row)
    for (first, last), levels in events.items():
        data = {
            "e": "depthUpdate", "E": int(levels[0][3]) // 1000, "s": "TRXUSDT", "U": int(first), "u": int(last),
            "b": [row[8:10] for row in levels if row[7] == "0"],
            "a": [row[8:10] for row in levels if row[7] == "1"],
        }  # fmt: skip
        yield json.dumps({"stream": levels[0][1], "data": data}, separators=(",", ":")).encode()


def lasota_trade_frames(folder: Path) -> Iterator[tuple[list[str], bytes]]:
    """(CSV row, frame) of each TRXUSDT trade."""
    with gzip.open(folder / "trades" / "lasota_spot_trxusdt_trades_20250304.csv.gz", "rt") as lines:
        for line in list(lines)[1:]:
            row = line.rstrip().split(",")
            data = {
                "e": "trade", "E": int(row[3]) // 1000, "s": "TRXUSDT", "t": int(row[6]), "p": row[7], "q": row[8],
                "T": int(row[4]) // 1000, "m": row[9] == "1", "M": True,
            }  # fmt: skip
            yield row, json.dumps({"stream": row[1], "data": data}, separators=(",", ":")).encode()

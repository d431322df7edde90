"""The filters that a symbol had, kept beside its candles; derived from these where nobody told them."""

from __future__ import annotations

import json
from collections.abc import Collection
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from quantlab.model import ConfigurationError, Instrument, instruments_from_exchange_info
from quantlab.model.grid import decimals_of, split_symbol

_FILE = "exchangeInfo.json"
#: Binance's usual smallest notional of USDT pairs (exchangeInfo, checked 2026-11-23).
_USUAL_NOTIONAL = Decimal(5)
#: Candles that are looked at for their decimals, evenly spaced.
_LOOKED_AT = 50_000


class Filters(NamedTuple):
    """A symbol's instrument, and where it comes from, for people."""

    instrument: Instrument
    origin: str


def keep_filters(folder: Path, payload: bytes, symbols: Collection[str], read: str) -> list[str]:
    """Keep the rows of `symbols` out of an exchangeInfo answer of the day `read`, in place of older ones; returns those
    that it has. Raises MalformedMessage when it is none."""
    known = instruments_from_exchange_info(payload)
    rows = {row["symbol"]: {**row, "read": read} for row in json.loads(payload)["symbols"]}
    path = folder / _FILE
    kept = {row["symbol"]: row for row in _rows(path)}
    found = [symbol for symbol in symbols if symbol in known]
    kept |= {symbol: rows[symbol] for symbol in found}
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{_FILE}.new")
    temporary.write_text(json.dumps({"symbols": list(kept.values())}), encoding="utf-8")
    temporary.replace(path)
    return found


def filters_of(folder: Path, symbol: str, candles: pl.DataFrame) -> Filters:
    """The filters of `symbol`: as kept, else with the tick and step that its `candles` show and Binance's usual
    smallest notional. Raises ConfigurationError where the name does not tell its quote asset, or the file is
    damaged."""
    row = next((row for row in _rows(folder / _FILE) if row.get("symbol") == symbol), None)
    if row is not None:
        payload = json.dumps({"symbols": [row]}).encode()
        instrument = instruments_from_exchange_info(payload).get(symbol)
        if instrument is not None:
            return Filters(instrument, f"exchangeInfo of {row.get('read', 'an unknown day')}")
    base, quote = split_symbol(symbol)
    few = candles.gather_every(max(1, candles.height // _LOOKED_AT))
    prices = np.concatenate([few[name].to_numpy() for name in ("open", "high", "low", "close")])
    tick, step = (Decimal(1).scaleb(-decimals_of(values)) for values in (prices, few["volume"].to_numpy()))
    instrument = Instrument(
        symbol=symbol, base=base, quote=quote, tick_size=tick, step_size=step, min_quantity=step,
        min_notional=_USUAL_NOTIONAL,
    )  # fmt: skip
    return Filters(instrument, "derived from the candles")


def _rows(path: Path) -> list[dict[str, object]]:
    try:
        found: list[dict[str, object]] = json.loads(path.read_text(encoding="utf-8"))["symbols"]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{path} is damaged ({error}): delete it, `quantlab data pull` writes it anew"
        ) from error
    return found

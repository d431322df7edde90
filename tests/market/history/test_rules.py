"""Promise: a symbol's tick and step are those of its exchangeInfo where it is kept, and else what its candles show."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from quantlab.market.history import SCHEMA, History
from quantlab.model import ConfigurationError, QuantlabError

CANDLES = pl.DataFrame([(0, 0.1225, 0.13, 0.12, 0.125, 10.5)], schema=SCHEMA, orient="row")


def row(symbol: str, tick: str, step: str) -> dict[str, Any]:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000", "stepSize": step},
        {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "maxNotional": "9000000",
         "applyMaxToMarket": False, "avgPriceMins": 5},
    ]  # fmt: skip
    return {
        "symbol": symbol, "status": "TRADING", "baseAsset": symbol.removesuffix("USDT"), "quoteAsset": "USDT",
        "orderTypes": ["LIMIT", "MARKET"], "filters": filters,
    }  # fmt: skip


def payload(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"symbols": rows}).encode()


def test_kept_filters_are_found_again(tmp_path: Path) -> None:
    history = History(tmp_path)
    told = payload(row("BTCUSDT", "0.01", "0.00001"), row("DOGEUSDT", "0.00001", "1"))
    assert history.keep_filters(told, ["DOGEUSDT", "NONEUSDT"], "2025-06-01") == ["DOGEUSDT"]
    found = history.filters("DOGEUSDT", CANDLES)
    assert (found.instrument.tick_size, found.instrument.step_size) == (Decimal("0.00001"), Decimal(1))
    assert found.origin == "exchangeInfo of 2025-06-01"
    assert history.filters("BTCUSDT", CANDLES).origin == "derived from the candles", "it was not asked for"
    history.keep_filters(payload(row("DOGEUSDT", "0.001", "10")), ["DOGEUSDT"], "2025-07-01")
    newer = history.filters("DOGEUSDT", CANDLES)
    assert (newer.instrument.tick_size, newer.origin) == (Decimal("0.001"), "exchangeInfo of 2025-07-01")


def test_what_is_not_kept_is_read_off_the_candles(tmp_path: Path) -> None:
    found = History(tmp_path).filters("DOGEUSDT", CANDLES)
    assert (found.instrument.tick_size, found.instrument.step_size) == (Decimal("0.0001"), Decimal("0.1"))
    assert (found.instrument.base, found.instrument.quote) == ("DOGE", "USDT")
    with pytest.raises(ConfigurationError, match="XYZ: its quote asset"):
        History(tmp_path).filters("XYZ", CANDLES)


def test_a_damaged_file_is_named_and_nothing_is_guessed(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.keep_filters(payload(row("DOGEUSDT", "0.00001", "1")), ["DOGEUSDT"], "2025-06-01")
    path = tmp_path / "exchangeInfo.json"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(ConfigurationError, match=r"exchangeInfo\.json is damaged"):
        history.filters("DOGEUSDT", CANDLES)


def test_what_is_no_exchange_info_changes_nothing(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.keep_filters(payload(row("DOGEUSDT", "0.00001", "1")), ["DOGEUSDT"], "2025-06-01")
    before = (tmp_path / "exchangeInfo.json").read_bytes()
    with pytest.raises(QuantlabError):
        history.keep_filters(b"<html>", ["DOGEUSDT"], "2025-06-02")
    assert (tmp_path / "exchangeInfo.json").read_bytes() == before

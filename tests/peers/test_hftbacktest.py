"""Promise: the paper engine fills the same orders at the same time and price as hftbacktest does on recorded frames of
BTCUSDT and ETHUSDT; what differs is of two kinds, both known, and docs/peers.md says which.

Makes a throwaway environment from PyPI: by hand, with `make peers` (two minutes).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab.model import Side, Trade
from quantlab.paper import QueueModel
from tests.peers.hftbacktest_stage import Stage, ours, stage_of

VERSION = "2.4.4"
RUNNER = Path(__file__).with_name("hftbacktest_runner.py")

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uv = Path(sys.executable).with_name("uv")
    place = tmp_path_factory.mktemp("hftbacktest") / "env"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(place)], check=True)
    found = place / "bin" / "python"
    subprocess.run([uv, "pip", "install", "-q", "--python", str(found), f"hftbacktest=={VERSION}"], check=True)
    return found


def theirs(python: Path, stage: Stage, queue: QueueModel, folder: Path) -> list[dict[str, Any]]:
    told = folder / "stage.json"
    told.write_text(json.dumps(stage.told()))
    command = [str(python), str(RUNNER), str(told), queue.value]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def same_time(mine: dict[str, Any], other: dict[str, Any]) -> bool:
    """Theirs arrive half a millisecond earlier, before what happens in the same millisecond."""
    if mine["first_ms"] is None or other["first_ms"] is None:
        return mine["first_ms"] is other["first_ms"]
    return abs(mine["first_ms"] - other["first_ms"]) < 1


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_takers_walk_to_the_same_level(python: Path, symbol: str, shared_market: Path, tmp_path: Path) -> None:
    """Each order: the same quantity in all, and of the last level the same price and quantity."""
    stage = stage_of(shared_market, symbol, makers=False)
    mine, other = ours(stage, QueueModel.PESSIMISTIC), theirs(python, stage, QueueModel.PESSIMISTIC, tmp_path)
    assert len(mine) > 400 and sum(row["last_price"] is not None for row in mine) == len(mine)
    for number, (a, b) in enumerate(zip(mine, other, strict=True)):
        assert same_time(a, b), number
        for name in ("filled", "last_price", "last_quantity"):
            assert a[name] == pytest.approx(b[name], abs=1e-7), (number, name)


@pytest.mark.parametrize("queue", [QueueModel.PESSIMISTIC, QueueModel.PROPORTIONAL])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_makers_are_filled_or_not_at_the_same_time(
    python: Path, symbol: str, queue: QueueModel, shared_market: Path, tmp_path: Path
) -> None:
    stage = stage_of(shared_market, symbol, makers=True)
    mine, other = ours(stage, queue), theirs(python, stage, queue, tmp_path)
    trades = {event.trade_id: event for event in stage.events if isinstance(event, Trade)}
    step = float(stage.instrument.step_size)
    filled = [row for row in mine if row["filled"]]
    assert len(filled) > 250 and len(mine) - len(filled) > 80, "both kinds are there"
    earlier = rounded = 0
    for number, (a, b) in enumerate(zip(mine, other, strict=True)):
        assert bool(a["filled"]) is bool(b["filled"]), number
        if not same_time(a, b):
            assert a["first_ms"] < b["first_ms"] and _went_through(stage, number, trades[a["trade_id"]]), number
            earlier += 1
        if a["filled"] != pytest.approx(b["filled"], abs=1e-9):
            assert queue is QueueModel.PROPORTIONAL, number
            assert 0 < b["filled"] - a["filled"] < 5 * step, number
            rounded += 1
    assert earlier <= 5 and rounded <= 5
    at_front = ours(stage, QueueModel.OPTIMISTIC)  # the control: another model is seen
    assert sum(not same_time(a, b) for a, b in zip(at_front, other, strict=True)) > 20
    print(f"{symbol} {queue}: {len(mine)} orders, {len(filled)} filled, {earlier} earlier, {rounded} rounded")


def _went_through(stage: Stage, number: int, trade: Trade) -> bool:
    """Did `trade` print beyond the order's price, with its taker on the order's own side? It counts here (whoever sold
    below a bid had to pass it first), and there only when the taker was on the other side."""
    _, side, price, _, _ = stage.orders[number]
    assert price is not None
    ticks = stage.instrument.ticks(price)
    beyond = trade.price_ticks < ticks if side is Side.BUY else trade.price_ticks > ticks
    return beyond and trade.buyer_is_maker is not (side is Side.BUY)

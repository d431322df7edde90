"""Promise: the inspector's figures are the market's, through the door, logged; and its own venue ends with it."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from quantlab.lab import Workbench
from quantlab.lab.inspect import Depth
from quantlab.ledger import Ledger
from quantlab.model import ExchangeError, NotFound


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    root = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTLAB_ROOT", str(root))
        patch.setenv("QUANTLAB_HOME", str(root / ".quantlab"))
        bench = Workbench.open("replay")
        yield bench
        bench.close()


def test_spreads_are_ranked_by_volume_and_named(lab: Workbench) -> None:
    table = lab.spreads()
    assert table.height == 13
    assert table["volume_24h_usdt"].is_sorted(descending=True)
    assert (table["ask"] > table["bid"]).all()
    assert table["source"].unique().to_list() == ["generated: seed 1"]
    assert table["depth_basis"].unique().to_list() == ["10 bps"]
    assert "no real prices" in lab.source
    assert lab.spreads(["BTCUSDT", "ETHUSDT"]).height == 2
    assert "data:image/svg+xml" in lab.spread_plot(table)._repr_html_()


def test_a_larger_order_never_costs_less(lab: Workbench) -> None:
    book = lab.depth("BTCUSDT")
    costs = [book.cost_bps(notional) for notional in (10, 1_000, 100_000)]
    assert costs == sorted(costs)  # type: ignore[type-var]
    assert book.cost_bps(1e12) is None
    table = lab.order_cost(["BTCUSDT", "NEARUSDT"], 1_000).frame
    assert table["symbol"].to_list() == ["BTCUSDT", "NEARUSDT"]
    assert (table["buy_bps"] > 0).all()


def test_cost_is_the_walk_over_the_levels() -> None:
    frame = pl.DataFrame(
        {"side": ["bid", "ask", "ask"], "price": [99.0, 101.0, 103.0], "quantity": [1.0, 1.0, 1.0],
         "cumulative_usdt": [99.0, 101.0, 204.0], "source": ["x"] * 3}
    )  # fmt: skip
    book = Depth("X", frame)
    assert book.middle == 100.0
    assert book.cost_bps(101.0) == pytest.approx(100.0)
    assert book.cost_bps(204.0) == pytest.approx(200.0)
    assert book.cost_bps(99.0, "sell") == pytest.approx(100.0)
    assert book.cost_bps(204.1) is None


def test_candles_are_closed_in_order_and_as_many_as_asked(lab: Workbench) -> None:
    candles = lab.candles("BTCUSDT", "1m", hours=20)
    assert candles.height == 1200  # two pages
    assert candles["open_time"].is_sorted()
    assert candles["open_time"].n_unique() == 1200
    assert (candles["high"] >= candles["low"]).all()
    assert "generated: seed 1" in lab.candle_plot("BTCUSDT", "15m", 24)._repr_html_()


def test_what_was_asked_stands_in_the_egress_log(lab: Workbench) -> None:
    lab.spreads()
    reader = lab._market()
    reader._egress._writer.wait(reader._egress._writer._ticket)
    with Ledger.open(lab.settings.home, create=False) as ledger:
        rows = ledger._rows("SELECT run_id, method, verdict FROM egress")
    assert {row[0] for row in rows} == {None}
    assert {row[1:] for row in rows} == {("GET", "sent")}
    assert len(rows) > 10


def test_an_unknown_symbol_is_one_line(lab: Workbench) -> None:
    with pytest.raises((NotFound, ExchangeError)) as error:
        lab.depth("NOSUCHUSDT")
    assert "\n" not in str(error.value)


def test_the_own_venue_ends_with_the_workbench(lab: Workbench) -> None:
    venue = lab._market()._venue
    assert venue is not None
    assert venue._process.poll() is None
    lab.close()
    assert venue._process.poll() is not None
    assert lab.spreads().height == 13  # and is started again when it is needed

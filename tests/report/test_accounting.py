"""Promise: the report's two sums hold exactly for a sound ledger, and do not for one that lost or changed a fill."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from quantlab.report import open_run
from quantlab.report.accounting import asset_sums, bot_sums


@pytest.fixture
def run(home: Path):  # type: ignore[no-untyped-def]
    return open_run("first", home)


def test_every_bot_and_every_asset_adds_up_to_the_last_digit(run) -> None:  # type: ignore[no-untyped-def]
    assert len(run.fill_rows) > 100
    assert all(sums.difference == 0 for sums in run.books.values())
    assert run.fleet_books.difference == 0
    held: dict[str, Fraction] = {"USDT": run.fleet_books.cash}
    for bot, symbol in run.bots.select("bot", "symbol").iter_rows():
        base = symbol.removesuffix("USDT")
        held[base] = held.get(base, Fraction(0)) + run.books[bot].held
    assert {asset: sums.balance for asset, sums in run.assets.items()} == {a: held[a] for a in run.assets}


def test_the_fold_agrees_with_the_accounts_that_traded(run, sample, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    written = sample.write_run(tmp_path, "again")
    books = open_run("again", tmp_path).books
    for bot in written.bots:
        assert books[bot.index].cash == Fraction(bot.cash)
        assert books[bot.index].held == Fraction(bot.held)


@pytest.mark.parametrize("field", ["fee", "fee_quote"])
def test_a_changed_fee_breaks_the_sum(run, field: str) -> None:  # type: ignore[no-untyped-def]
    fills = list(run.fill_rows)
    fills[0] = msgspec.structs.replace(fills[0], **{field: getattr(fills[0], field) * 2})
    capitals = {bot: Fraction(1000) for bot in run.books}
    assert bot_sums(fills, capitals)[fills[0].bot].difference != 0
    assert bot_sums(run.fill_rows, capitals)[fills[0].bot].difference == 0


def test_a_lost_fill_breaks_the_asset_balance(run) -> None:  # type: ignore[no-untyped-def]
    quotes = dict.fromkeys(run.bots["symbol"].to_list(), "USDT")
    whole = asset_sums(run.fill_rows, {"USDT": Fraction(45_000)}, quotes)
    short = asset_sums(run.fill_rows[1:], {"USDT": Fraction(45_000)}, quotes)
    assert whole["USDT"].balance == run.fleet_books.cash
    assert short["USDT"].balance != run.fleet_books.cash

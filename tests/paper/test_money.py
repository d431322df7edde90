"""Promise: money adds up to the last digit, and both checks over the ledger notice when it does not."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from quantlab.model import Fill, Instrument, QuantlabError, Side
from quantlab.paper import Account, check_accounts, check_asset_balances, check_bot_identity
from quantlab.paper.fees import charge

RATE = Decimal("0.001")


def make_fill(instrument, number, side, ticks, lots, *, bot=0):
    price, quantity = instrument.price(ticks), instrument.quantity(lots)
    fee = charge(side, price, quantity, RATE, instrument)
    return Fill(
        bot=bot,
        number=number,
        order_number=number,
        symbol=instrument.symbol,
        side=side,
        price=price,
        quantity=quantity,
        fee=fee.amount,
        fee_asset=fee.asset,
        fee_quote=fee.quote,
        maker=False,
        time_ms=number,
    )


@pytest.fixture
def fills(instrument):
    """Two buys and two sales of one bot; the position is not closed, its average is not a round number."""
    return [
        make_fill(instrument, 1, Side.BUY, 10_003, 1_001),
        make_fill(instrument, 2, Side.BUY, 10_117, 777),
        make_fill(instrument, 3, Side.SELL, 10_211, 333),
        make_fill(instrument, 4, Side.SELL, 9_871, 1_111),
    ]


@pytest.fixture
def account(instrument, fills):
    account = Account.open(0, instrument, Decimal(1000))
    account.restore(fills)
    return account


def test_the_formulas_by_hand(instrument):
    account = Account.open(0, instrument, Decimal(1000))
    account.apply(make_fill(instrument, 1, Side.BUY, 10_000, 2_000))
    assert (account.cash, account.quantity, account.cost) == (800, Decimal("1.998"), Decimal("199.8"))
    assert (account.fees_quote, account.fees) == (Decimal("0.2"), {"BTC": Decimal("0.002")})
    assert account.position.average_price == 100
    account.apply(make_fill(instrument, 2, Side.SELL, 11_000, 999))
    assert (account.cash, account.quantity) == (Decimal("909.78011"), Decimal("0.999"))
    assert (account.cost, account.realised) == (Decimal("99.9"), Decimal("9.99"))
    assert account.fees["USDT"] == Decimal("0.10989")
    assert account.equity(Decimal(110)) == Decimal("909.78011") + Decimal("109.89")


def test_a_closed_position_leaves_no_cost_behind(instrument, account, fills):
    free = replace(make_fill(instrument, 5, Side.SELL, 10_000, 1), quantity=account.quantity)
    account.apply(free)
    assert (account.quantity, account.cost) == (0, 0)


def test_fees_are_rounded_up_in_the_asset_received(instrument):
    fine = replace(instrument, step_size=Decimal("0.00001"))
    buy = charge(Side.BUY, Decimal("64123.45"), Decimal("0.00007"), RATE, fine)
    assert (buy.amount, buy.asset, buy.quote) == (Decimal("7E-8"), "BTC", Decimal("0.0044886415"))
    sale = charge(Side.SELL, Decimal("64123.45"), Decimal("0.00007"), RATE, fine)
    assert (sale.amount, sale.asset, sale.quote) == (Decimal("0.00448865"), "USDT", Decimal("0.00448865"))


def test_both_checks_pass_on_what_happened(instrument, account, fills):
    assert check_accounts([account], fills, {"BTCUSDT": instrument}).ok
    assert check_bot_identity(fills, Decimal(1000), account).ok
    balances = {"USDT": account.cash, "BTC": account.quantity}
    assert check_asset_balances(fills, {"USDT": Decimal(1000)}, balances, {"BTCUSDT": instrument}).ok


def _with(index, **changes):
    return lambda fills: [replace(f, **changes) if i == index else f for i, f in enumerate(fills)]


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(_with(0, fee=Decimal("0.00100101")), id="fee by 1e-8"),
        pytest.param(_with(2, fee=Decimal("0.03400264"), fee_quote=Decimal("0.03400264")), id="fee and its worth"),
        pytest.param(_with(0, fee_quote=Decimal("0.1")), id="worth of a fee"),
        pytest.param(_with(1, price=Decimal("101.18")), id="price by a tick"),
        pytest.param(_with(3, quantity=Decimal("1.112")), id="quantity by a lot"),
        pytest.param(_with(2, side=Side.BUY), id="side"),
        pytest.param(_with(2, fee_asset="BTC"), id="fee asset"),
        pytest.param(lambda fills: fills[:-1], id="last fill lost"),
        pytest.param(lambda fills: fills[1:], id="first fill lost"),
        pytest.param(lambda fills: [*fills, fills[-1]], id="fill doubled"),
        pytest.param(_with(0, bot=7), id="another bot"),
        pytest.param(_with(0, symbol="ETHUSDT"), id="unknown symbol"),
    ],
)
def test_a_changed_ledger_is_noticed(instrument, account, fills, tamper):
    assert check_accounts([account], fills, {"BTCUSDT": instrument}).ok, "control: the ledger as it was"
    verdict = check_accounts([account], tamper(fills), {"BTCUSDT": instrument})
    assert not verdict.ok
    assert all(isinstance(problem, str) and problem for problem in verdict.problems)


@pytest.mark.parametrize("name", ["cash", "quantity", "cost", "realised", "fees_quote"])
def test_a_changed_account_is_noticed(instrument, account, fills, name):
    setattr(account, name, getattr(account, name) + Decimal("1E-16"))
    assert not check_accounts([account], fills, {"BTCUSDT": instrument}).ok


def test_the_identity_alone_notices_a_fee_that_does_not_fit_its_worth(fills):
    """Without any account to compare with: the ledger contradicts itself."""
    assert check_bot_identity(fills, Decimal(1000)).ok
    assert not check_bot_identity(_with(0, fee=Decimal("0.00100101"))(fills), Decimal(1000)).ok
    assert not check_bot_identity(_with(3, fee_quote=Decimal("0.1"))(fills), Decimal(1000)).ok
    assert not check_bot_identity([replace(fills[2], number=1)], Decimal(1000)).ok, "sold what it never had"


@pytest.mark.parametrize(
    "change",
    [
        {"bot": 1},
        {"symbol": "ETHUSDT"},
        {"fee_asset": "USDT"},
        {"quantity": Decimal(0)},
        {"price": Decimal(1_000_000)},
        {"fee": Decimal(-1)},
    ],
)
def test_an_impossible_fill_changes_nothing(instrument, change):
    account = Account.open(0, instrument, Decimal(1000))
    fill = make_fill(instrument, 1, Side.BUY, 10_000, 1_000)
    with pytest.raises(QuantlabError, match="fill 1"):
        account.apply(replace(fill, **change))
    assert account == Account.open(0, instrument, Decimal(1000))
    account.apply(fill)
    assert account.quantity > 0


@pytest.mark.parametrize("broken", [[1, 2, 4], [2, 3, 4], [1, 2, 2, 3]])
def test_a_ledger_with_a_hole_is_not_folded(instrument, broken):
    fills = [make_fill(instrument, number, Side.BUY, 10_000, 10) for number in broken]
    with pytest.raises(QuantlabError, match="not whole"):
        Account.open(0, instrument, Decimal(1000)).restore(fills)


@settings(max_examples=60)
@given(
    tick_exponent=st.integers(-8, 0),
    step_exponent=st.integers(-8, 0),
    trades=st.lists(st.tuples(st.booleans(), st.integers(1, 10**9), st.integers(1, 10**9)), max_size=30),
)
def test_any_sequence_adds_up_exactly(tick_exponent, step_exponent, trades):
    """Prices and quantities over all grids of spot; sales are cut to what is held, buys to what is there."""
    instrument = _instrument(tick_exponent, step_exponent)
    account, fills = Account.open(0, instrument, Decimal(10) ** 12), []
    for buys, ticks, lots in trades:
        side = Side.BUY if buys else Side.SELL
        if not buys:
            lots = min(lots, instrument.floor_lots(account.quantity))
        if lots == 0 or (buys and instrument.price(ticks) * instrument.quantity(lots) > account.cash):
            continue
        fill = make_fill(instrument, len(fills) + 1, side, ticks, lots)
        if fill.fee > (fill.quantity if buys else fill.notional):
            continue
        account.apply(fill)
        fills.append(fill)
    total = Fraction(account.cash) + Fraction(account.cost) + Fraction(account.fees_quote) - Fraction(account.realised)
    assert total == account.capital
    assert check_accounts([account], fills, {"BTCUSDT": instrument}).problems == ()


def _instrument(tick_exponent, step_exponent):
    return Instrument(
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick_size=Decimal(1).scaleb(tick_exponent),
        step_size=Decimal(1).scaleb(step_exponent),
    )

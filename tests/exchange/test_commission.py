"""Promise: the rates that paper charges can be those of the account, never lower, and no odd answer becomes a rate."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import pytest

from quantlab.exchange.commission import Commission, commission_of
from quantlab.model import MalformedMessage

#: The example of Binance's own page on commission rates.
ANSWER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "standardCommission": {"maker": "0.00000010", "taker": "0.00000020", "buyer": "0.00000030", "seller": "0.00000040"},
    "specialCommission": {"maker": "0.01000000", "taker": "0.02000000", "buyer": "0.03000000", "seller": "0.04000000"},
    "taxCommission": {"maker": "0.00000112", "taker": "0.00000114", "buyer": "0.00000118", "seller": "0.00000116"},
    "discount": {
        "enabledForAccount": True,
        "enabledForSymbol": True,
        "discountAsset": "BNB",
        "discount": "0.25000000",
    },
}


def test_all_parts_add_up_and_the_dearer_side_counts() -> None:
    found = commission_of(ANSWER)
    assert found == Commission("BTCUSDT", Decimal("0.05000278"), Decimal("0.06000290"), True)
    buyers = copy.deepcopy(ANSWER)
    buyers["specialCommission"]["buyer"] = "0.05000000"
    assert commission_of(buyers).taker == Decimal("0.07000282")


@pytest.mark.parametrize("switch", ["enabledForAccount", "enabledForSymbol"])
def test_a_discount_needs_both_switches(switch: str) -> None:
    answer = copy.deepcopy(ANSWER)
    answer["discount"][switch] = False
    assert not commission_of(answer).bnb_discount


@pytest.mark.parametrize("odd", [None, 0.001, "", "much", "NaN", "-0.001", "1", "Infinity", True, [], {}])
@pytest.mark.parametrize("part", ["standardCommission", "specialCommission", "taxCommission"])
def test_what_is_no_rate_is_refused(part: str, odd: object) -> None:
    answer = copy.deepcopy(ANSWER)
    answer[part]["taker"] = odd
    with pytest.raises(MalformedMessage, match="not of the documented form"):
        commission_of(answer)


@pytest.mark.parametrize("answer", [None, [], "x", {}, {**ANSWER, "symbol": 1}, {**ANSWER, "discount": None}])
def test_what_is_no_answer_is_refused(answer: object) -> None:
    with pytest.raises(MalformedMessage):
        commission_of(answer)

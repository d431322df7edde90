"""A key passes with reading, optional spot trading and bound addresses, and with nothing else: every field is tried as
true, false, missing and as each other kind of JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.vault.permissions import FORBIDDEN, Verdict, judge

#: Binance's answer for a careful key, as its wallet documentation shows the fields.
CAREFUL: dict[str, Any] = {
    "ipRestrict": True,
    "createTime": 1_700_000_000_000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": False,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": False,
    "enableSpotAndMarginTrading": True,
    "enablePortfolioMarginTrading": False,
}
TIMES = ("createTime", "tradingAuthorityExpirationTime")
BOOLEANS = [name for name in CAREFUL if name not in TIMES]
MISSING = object()
#: Everything that a boolean field may hold and that is neither true nor false.
ODD = {
    "missing": MISSING,
    "null": None,
    "0": 0,
    "1": 1,
    "1.0": 1.0,
    '"true"': "true",
    '"false"': "false",
    '""': "",
    "[]": [],
    "[true]": [True],
    "{}": {},
}
#: Which of (true, false) passes.
PASSES = {
    "ipRestrict": {True},
    "enableReading": {True},
    "enableSpotAndMarginTrading": {True, False},
    "enableFixReadOnly": {True, False},
}


def changed(name: str, value: object) -> Verdict:
    answer = {**CAREFUL, name: value}
    if value is MISSING:
        del answer[name]
    return judge(answer)


def test_a_careful_key_passes() -> None:
    verdict = judge(CAREFUL)
    assert verdict.passed and verdict.can_trade
    assert verdict.refusals == verdict.recorded == verdict.notes == ()
    assert verdict.permissions == ("enableReading", "enableSpotAndMarginTrading")
    assert verdict.ip_restricted is True
    assert (verdict.created_ms, verdict.expires_ms) == (1_700_000_000_000, None)


def test_a_read_only_key_passes_and_cannot_trade() -> None:
    verdict = changed("enableSpotAndMarginTrading", False)
    assert verdict.passed
    assert not verdict.can_trade


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", BOOLEANS)
def test_every_field_true_and_false(name: str, value: bool) -> None:
    verdict = changed(name, value)
    assert verdict.passed == (value in PASSES.get(name, {False}))
    assert not any(name not in line for line in verdict.refusals), "the line names the field"
    assert (name in verdict.permissions) == (value and name != "ipRestrict")


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", BOOLEANS)
def test_every_field_as_anything_else(name: str, odd: str) -> None:
    verdict = changed(name, ODD[odd])
    assert len(verdict.refusals) == 1
    assert name in verdict.refusals[0]
    assert name not in verdict.permissions
    assert not verdict.can_trade


@pytest.mark.parametrize("value", [True, *(value for value in ODD.values() if value is not MISSING)])
def test_an_unknown_field_refuses_by_name(value: object) -> None:
    verdict = changed("enableMoonTravel", value)
    assert len(verdict.refusals) == 1
    assert "enableMoonTravel" in verdict.refusals[0]
    assert verdict.recorded == ()


def test_an_unknown_field_that_is_false_is_recorded() -> None:
    verdict = changed("enableMoonTravel", False)
    assert verdict.passed
    assert verdict.recorded == ("enableMoonTravel",)


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("value", [None, -1, 1.5, True, False, "1700000000000", [], {}, 10**30])
def test_a_time_is_a_whole_number_or_missing(name: str, value: object) -> None:
    assert changed(name, 0).passed
    assert changed(name, 1_700_000_000_000).passed
    verdict = changed(name, value)
    assert len(verdict.refusals) == 1
    assert name in verdict.refusals[0]
    without = {field: told for field, told in CAREFUL.items() if field != name}
    assert judge(without).passed


def test_an_ended_trading_authority_is_noted() -> None:
    answer = {**CAREFUL, "tradingAuthorityExpirationTime": 2_000}
    ended, running = judge(answer, now_ms=2_000), judge(answer, now_ms=1_999)
    assert ended.passed and not ended.can_trade and "has ended" in ended.notes[0]
    assert running.passed and running.can_trade and running.notes == ()
    assert running.expires_ms == ended.expires_ms == 2_000


def test_money_that_can_leave_comes_first() -> None:
    everything = dict.fromkeys([*reversed(CAREFUL), "enableMoonTravel"], True) | {"createTime": 1, "ipRestrict": False}
    lines = judge(everything).refusals
    assert [line.partition(" ")[0] for line in lines[:3]] == ["withdrawals", "universal", "internal"]
    assert len(lines) == len(FORBIDDEN) + 2
    assert all("\n" not in line and "API Management" in line for line in lines)


def test_an_unbound_key_is_refused() -> None:
    verdict = judge({**CAREFUL, "ipRestrict": False})
    assert not verdict.passed and verdict.ip_restricted is False
    assert "every address" in verdict.refusals[0]
    for odd in (None, "false", 0):
        assert not judge({**CAREFUL, "ipRestrict": odd}).passed
    assert judge({**CAREFUL, "ipRestrict": True}).passed


@pytest.mark.parametrize("answer", [None, True, False, 0, 1.5, "", "true", [], [CAREFUL], {}])
def test_what_is_no_answer_refuses(answer: object) -> None:
    verdict = judge(answer)
    assert not verdict.passed
    assert verdict.ip_restricted is None


_json: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*CAREFUL, *TIMES]) | st.text(max_size=60), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(_json)
def test_any_json_is_judged(answer: object) -> None:
    verdict = judge(answer, now_ms=1)
    assert verdict.passed == (not verdict.refusals)
    assert not verdict.passed, "a handful of fields is never enough"
    assert not any("\n" in line for line in verdict.refusals)


@given(st.dictionaries(st.sampled_from(sorted(CAREFUL)), _json, min_size=1, max_size=4))
def test_only_the_exact_list_passes(changes: dict[str, object]) -> None:
    answer = {**CAREFUL, **changes}
    exact = all(
        type(answer[name]) is bool and answer[name] in PASSES.get(name, {False}) for name in BOOLEANS
    ) and type(answer["createTime"]) is int and 0 <= answer["createTime"] < 10**14  # fmt: skip
    assert judge(answer).passed == exact


def test_values_are_never_shown() -> None:
    secret = "QhW3fYb8Kd71ZpLm" * 4
    answer = dict.fromkeys([*CAREFUL, *TIMES, "extra"], secret) | {secret * 3: secret}
    words = "\n".join(judge(answer).refusals)
    assert "extra" in words
    assert secret not in words

"""Every code and status the exchange documents has a kind and, where it helps, a hint; what is new has a safe default.

A table with a hole fails here: the list of codes is kept apart from it.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange.failure.codes import CODES, code_of, kind_of_code
from quantlab.exchange.failure.rejections import FILTERS, MESSAGES, TOLD_BY_MESSAGE, Reason, hint_of, rejection_of
from quantlab.exchange.failure.statuses import STATUSES, status_of
from quantlab.exchange.failure.taxonomy import Kind

#: All codes that errors.md of Binance's spot documentation has named so far, and those named beside it: -1010 and -2038
#: in its section on messages, -1099 and -1131 in the change log of 2019, -2008 as the exchange answers unknown keys.
#: Checked 2026-11-23 against the state of 2026-07-21.
DOCUMENTED = frozenset(
    int(code)
    for code in """
    -1000 -1001 -1002 -1003 -1006 -1007 -1008 -1010 -1013 -1014 -1015 -1016 -1020 -1021 -1022 -1033 -1034 -1035
    -1099 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1108 -1111 -1112 -1114 -1115 -1116 -1117 -1118 -1119 -1120
    -1121 -1122 -1125 -1127 -1128 -1130 -1131 -1134 -1135 -1139 -1145 -1151 -1152 -1153 -1155 -1158 -1160 -1161
    -1165 -1166 -1167 -1168 -1169 -1170 -1171 -1172 -1173 -1174 -1175 -1176 -1177 -1178 -1179 -1180 -1181 -1182
    -1183 -1184 -1185 -1186 -1187 -1188 -1189 -1190 -1191 -1194 -1196 -1197 -1198 -1199 -1210 -1211 -1220 -1221
    -1222 -1223 -1224 -1225 -2008 -2010 -2011 -2013 -2014 -2015 -2016 -2021 -2022 -2026 -2035 -2036 -2038 -2039
    -2042 -2043
    """.split()
)

#: Filters of a symbol, of the exchange and of an asset: filters.md and "Filter failures" of errors.md, same date.
FILTER_NAMES = """
    PRICE_FILTER PERCENT_PRICE PERCENT_PRICE_BY_SIDE LOT_SIZE MIN_NOTIONAL NOTIONAL ICEBERG_PARTS MARKET_LOT_SIZE
    MAX_NUM_ORDERS MAX_NUM_ALGO_ORDERS MAX_NUM_ICEBERG_ORDERS MAX_POSITION TRAILING_DELTA MAX_NUM_ORDER_AMENDS
    MAX_NUM_ORDER_LISTS EXCHANGE_MAX_NUM_ORDERS EXCHANGE_MAX_NUM_ALGO_ORDERS EXCHANGE_MAX_NUM_ICEBERG_ORDERS
    EXCHANGE_MAX_NUM_ORDER_LISTS MAX_ASSET
""".split()


def test_every_documented_code_is_in_the_table_and_no_other() -> None:
    assert DOCUMENTED - CODES.keys() == set()
    assert CODES.keys() - DOCUMENTED == set()


def test_a_hole_in_the_table_would_be_found() -> None:
    """The control."""
    assert DOCUMENTED - (CODES.keys() - {-1021}) == {-1021}


def test_names_are_told_once_and_hints_are_one_line() -> None:
    names = [code.name for code in CODES.values()]
    assert len(set(names)) == len(names)
    hints = [code.hint for code in CODES.values()] + [status.hint for status in STATUSES.values()]
    hints += [*FILTERS.values(), *(found.hint for _, found in MESSAGES)]
    for hint in filter(None, hints):
        assert "\n" not in hint and not hint.endswith("."), hint


@pytest.mark.parametrize(
    ("kind", "codes"),
    [
        (Kind.UNKNOWN_OUTCOME, {-1000, -1001, -1006, -1007, -2021}),
        (Kind.RATE, {-1003, -1015, -1034, -1181}),
        (Kind.CLOCK, {-1021}),
        (Kind.AUTH, {-1002, -1022, -1099, -2008, -2014, -2015}),
        (Kind.TRANSIENT, {-1008, -1016}),
    ],
)
def test_what_is_not_simply_refused(kind: Kind, codes: set[int]) -> None:
    assert {code for code, meaning in CODES.items() if meaning.kind is kind} == codes


def test_all_other_codes_are_refusals() -> None:
    assert sum(code.kind is Kind.REFUSED for code in CODES.values()) == len(CODES) - 18


def test_a_read_has_no_outcome_to_lose() -> None:
    for code in CODES:
        order, read = kind_of_code(code, read=False), kind_of_code(code, read=True)
        assert read is (Kind.TRANSIENT if order is Kind.UNKNOWN_OUTCOME else order)


@given(st.integers(-99_999, 99_999).filter(lambda code: code not in CODES))
def test_a_new_code_is_judged_by_its_range(code: int) -> None:
    """Never as something that may be sent again: of the exchange's own troubles the outcome is unknown."""
    expected = Kind.UNKNOWN_OUTCOME if -1099 < code <= -1000 else Kind.REFUSED
    assert code_of(code).kind is expected
    assert kind_of_code(code, read=False) is expected


@given(st.integers(100, 999))
def test_every_http_status_has_a_meaning(status: int) -> None:
    kind = status_of(status).kind
    if status >= 500 and status != 511:
        assert kind is Kind.UNKNOWN_OUTCOME, "a 5xx never says that nothing was done"
    elif status in STATUSES:
        assert kind is not Kind.MALFORMED
    else:
        assert kind is (Kind.REFUSED if status >= 400 else Kind.MALFORMED)


def test_the_statuses_that_matter_are_named() -> None:
    assert {403, 404, 407, 408, 409, 418, 429, 451, 500, 502, 503, 504, 511, *range(520, 528), 530} <= STATUSES.keys()


@pytest.mark.parametrize("name", FILTER_NAMES)
def test_every_filter_is_explained(name: str) -> None:
    found = rejection_of(f"Filter failure: {name}")
    assert (found.reason, found.filter) == (Reason.FILTER, name)
    assert found.hint == FILTERS[name]


def test_no_filter_is_left_out() -> None:
    assert set(FILTER_NAMES) == FILTERS.keys()
    assert rejection_of("Filter failure: NEW_ONE").hint, "a new filter is named and pointed at"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Unknown order sent.", Reason.UNKNOWN_ORDER),
        ("Duplicate order sent.", Reason.DUPLICATE),
        ("Market is closed.", Reason.MARKET_CLOSED),
        ("Account has insufficient balance for requested action.", Reason.NO_FUNDS),
        ("Order would immediately match and take.", Reason.WOULD_TAKE),
        ("Order would trigger immediately.", Reason.WOULD_TRIGGER),
        ("Order book liquidity is less than symbol minimum quantity.", Reason.NO_LIQUIDITY),
        ("The requested action would change no state; rejecting.", Reason.NO_CHANGE),
        ("This action is disabled on this account.", Reason.NOT_ALLOWED),
        ("This symbol is not permitted for this account.", Reason.NOT_ALLOWED),
        ("Rest API trading is not enabled.", Reason.NOT_ALLOWED),
        ("Trailing stop orders are not supported for this symbol.", Reason.NOT_SUPPORTED),
        ("Unsupported order combination", Reason.NOT_SUPPORTED),
        ("Price * QTY is zero or less.", Reason.OTHER),
        ("something that nobody has seen", Reason.OTHER),
        ("", Reason.OTHER),
    ],
)
def test_why_an_order_was_turned_down(message: str, reason: Reason) -> None:
    assert rejection_of(message).reason is reason
    assert rejection_of(message.upper()).reason is reason


def test_no_message_hides_another() -> None:
    """Each key of the table finds its own row, so that none is dead."""
    for part, expected in MESSAGES:
        assert rejection_of(part) == expected


def test_the_message_is_read_only_where_the_code_says_nothing() -> None:
    for code in TOLD_BY_MESSAGE:
        assert hint_of(code, "Filter failure: LOT_SIZE") == FILTERS["LOT_SIZE"]
    assert hint_of(-1121, "Filter failure: LOT_SIZE") == CODES[-1121].hint
    assert hint_of(0, "whatever") == ""

"""What the exchange did becomes one of quantlab's errors, in words, of a kind that says what may be done next.

A read is asked again only where that may help; an order is never sent again unless it is certain that nothing was done.
"""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange import DoorConfig
from quantlab.exchange.failure.errors import Failure, Kind, failure_of_answer, failure_of_exception
from quantlab.model import ExchangeError, ExchangeUnreachable, MalformedMessage, OutcomeUnknown, Refused

NOW_MS = 1_659_761_900_000
WHAT = "GET /api/v3/klines"


def of(status: int, body: bytes | str, **headers: str) -> Failure | None:
    data = body.encode() if isinstance(body, str) else body
    return failure_of_answer(WHAT, status, {key.replace("_", "-"): v for key, v in headers.items()}, data, NOW_MS)


def error_body(code: int, message: str) -> str:
    return json.dumps({"code": code, "msg": message})


@pytest.mark.parametrize("body", ["[]", "{}", '[[1,"2"]]', '{"code":"BTC","x":1}', '{"symbols":[{"msg":"hello"}]}'])
def test_good_answers_are_no_failures(body: str) -> None:
    assert of(200, body) is None


@pytest.mark.parametrize(
    ("status", "body", "error", "transient", "says"),
    [
        (200, "<html>maintenance</html>", MalformedMessage, True, "<html>"),
        (200, "", MalformedMessage, True, "not the JSON"),
        (200, '[[1,"2",', MalformedMessage, True, "not the JSON"),
        (200, error_body(-1000, "Unknown"), ExchangeError, True, "-1000"),
        (200, error_body(-1121, "Invalid symbol."), ExchangeError, False, "Invalid symbol;"),
        (400, error_body(-1121, "Invalid symbol."), ExchangeError, False, "-1121"),
        (400, error_body(-1001, "Disconnected"), ExchangeError, True, "-1001"),
        (400, "<html>", ExchangeError, False, "HTTP 400"),
        (404, "", ExchangeError, False, "HTTP 404"),
        (403, "<html>", ExchangeError, False, "firewall"),
        (408, "", ExchangeError, True, "408"),
        (500, "", ExchangeError, True, "HTTP 500"),
        (502, "<html>bad gateway</html>", ExchangeError, True, "502"),
        (503, error_body(-1008, "busy"), ExchangeError, True, "busy"),
        (504, error_body(-1007, "Timeout waiting"), ExchangeError, True, "-1007"),
    ],
)
def test_answers(status: int, body: str, error: type, transient: bool, says: str) -> None:
    failure = of(status, body)
    assert failure is not None
    assert type(failure.error) is error
    assert failure.transient is transient
    assert says in str(failure.error)
    assert "\n" not in str(failure.error)
    assert failure.pause_s == 0


def test_a_pause_is_as_long_as_told() -> None:
    told = of(429, error_body(-1003, "Too much request weight used"), Retry_After="7")
    assert told is not None
    assert (told.pause_s, told.transient) == (7.0, True)
    assert isinstance(told.error, ExchangeError)
    assert (told.error.status, told.error.code) == (429, -1003)
    untold = of(429, "")
    assert untold is not None
    assert untold.pause_s == 60.0


def test_a_ban_is_read_from_its_words_and_not_tried_again() -> None:
    body = error_body(-1003, "Way too much request weight used; IP banned until 1659761931230. Please use")
    failure = of(418, body)
    assert failure is not None
    assert failure.pause_s == pytest.approx(31.23)
    assert not failure.transient
    assert "banned" in str(failure.error)
    untold = of(418, "teapot")
    assert untold is not None
    assert untold.pause_s == 120.0


def test_a_blocked_region_is_explained(shared_market: Path) -> None:
    body = (shared_market / "rest" / "error_451_restricted_location_20221217.json").read_bytes()
    failure = of(451, body)
    assert failure is not None
    assert not failure.transient
    assert "region" in str(failure.error)


def test_observed_errors_are_failures(shared_market: Path) -> None:
    rows = json.loads((shared_market / "rest" / "observed_errors.json").read_text())
    assert rows
    for row in rows:
        if isinstance(row["body"], dict):
            failure = of(row["http"] or 429, json.dumps(row["body"]))
            assert failure is not None
            assert isinstance(failure.error, ExchangeError)


REPLAY = DoorConfig(market="replay", rest_url="http://127.0.0.1:9000", stream_url="ws://127.0.0.1:9000")
MAINNET = DoorConfig(
    market="mainnet", rest_url="https://data-api.binance.vision", stream_url="wss://data-stream.binance.vision"
)


def wrapped(cause: BaseException) -> BaseException:
    """As ccxt raises it."""
    outer = RuntimeError("binance GET …")
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("config", "cause", "left", "says"),
    [
        (
            REPLAY,
            ConnectionRefusedError(111, "refused"),
            False,
            "nothing answers at 127.0.0.1:9000: is the venue running?",
        ),
        (MAINNET, OSError("no such name"), False, "data-api.binance.vision:443: is this machine online?"),
        (REPLAY, TimeoutError(), True, "did not answer within 30 s"),
        (REPLAY, aiohttp.ServerDisconnectedError(), True, "the connection to 127.0.0.1:9000 broke"),
    ],
)
def test_no_answer(config: DoorConfig, cause: BaseException, left: bool, says: str) -> None:
    for error in (cause, wrapped(cause)):
        failure = failure_of_exception(WHAT, error, config, left)
        assert isinstance(failure.error, ExchangeUnreachable)
        assert failure.transient
        assert says in str(failure.error)


def test_a_refusal_stays_one() -> None:
    refusal = Refused("no")
    for error in (refusal, wrapped(refusal)):
        failure = failure_of_exception(WHAT, error, REPLAY, False)
        assert failure.error is refusal
        assert not failure.transient


PLACE = "POST /api/v3/order"


def of_order(status: int, body: bytes | str = "", **headers: str) -> Failure:
    data = body.encode() if isinstance(body, str) else body
    found = failure_of_answer(PLACE, status, headers, data, NOW_MS, method="POST")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        *((status, "", Kind.UNKNOWN_OUTCOME) for status in (408, 500, 502, 503, 504, 520, 524, 530, 599)),
        (503, error_body(-1008, "busy"), Kind.UNKNOWN_OUTCOME),
        (500, error_body(-2010, "Account has insufficient balance"), Kind.UNKNOWN_OUTCOME),
        (400, error_body(-1006, "Unexpected response"), Kind.UNKNOWN_OUTCOME),
        (400, error_body(-1007, "Timeout"), Kind.UNKNOWN_OUTCOME),
        (200, error_body(-1007, "Timeout"), Kind.UNKNOWN_OUTCOME),
        (400, error_body(-1042, "nobody knows this one"), Kind.UNKNOWN_OUTCOME),
        (409, error_body(-2021, "Order cancel-replace partially failed."), Kind.UNKNOWN_OUTCOME),
        (409, "", Kind.UNKNOWN_OUTCOME),
        *((status, "", Kind.UNKNOWN_OUTCOME) for status in (201, 202, 204, 206)),
        (200, "<html>", Kind.UNKNOWN_OUTCOME),
        (200, "", Kind.UNKNOWN_OUTCOME),
        (200, '{"orderId":', Kind.UNKNOWN_OUTCOME),
        (400, error_body(-2010, "Order would immediately match and take."), Kind.REFUSED),
        (400, error_body(-1013, "Filter failure: NOTIONAL"), Kind.REFUSED),
        (400, error_body(-2022, "Order cancel-replace failed."), Kind.REFUSED),
        (400, "<html>bad request</html>", Kind.REFUSED),
        (451, "", Kind.REFUSED),
        (403, "", Kind.REFUSED),
        (400, error_body(-1021, "Timestamp"), Kind.CLOCK),
        (401, error_body(-2015, "Invalid API-key"), Kind.AUTH),
        (401, "", Kind.AUTH),
        (429, error_body(-1003, "Too much"), Kind.RATE),
        (418, error_body(-1003, "Way too much"), Kind.RATE),
        (400, error_body(-1008, "busy"), Kind.TRANSIENT),
        (407, "", Kind.UNREACHABLE),
        (511, "<html>", Kind.UNREACHABLE),
    ],
)
def test_what_became_of_an_order(status: int, body: str, kind: Kind) -> None:
    failure = of_order(status, body)
    assert failure.kind is kind
    assert isinstance(failure.error, OutcomeUnknown) is (kind is Kind.UNKNOWN_OUTCOME)
    if kind is Kind.UNKNOWN_OUTCOME:
        assert "do not send it again" in str(failure.error)
        assert not failure.transient


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 520, 530])
def test_a_read_has_no_outcome(status: int) -> None:
    failure = of(status, "")
    assert failure is not None
    assert failure.kind is Kind.TRANSIENT
    assert not isinstance(failure.error, OutcomeUnknown)


@pytest.mark.parametrize(
    ("cause", "left", "kind"),
    [
        (TimeoutError(), True, Kind.UNKNOWN_OUTCOME),
        (aiohttp.ServerDisconnectedError(), True, Kind.UNKNOWN_OUTCOME),
        (aiohttp.ClientPayloadError("cut"), True, Kind.UNKNOWN_OUTCOME),
        (ConnectionResetError(104, "reset"), True, Kind.UNKNOWN_OUTCOME),
        (MalformedMessage("longer than it may be"), True, Kind.UNKNOWN_OUTCOME),
        (RuntimeError("what nobody thought of"), True, Kind.UNKNOWN_OUTCOME),
        (TimeoutError(), False, Kind.TRANSIENT),
        (ConnectionRefusedError(111, "refused"), False, Kind.TRANSIENT),
        (Refused("not armed"), False, Kind.REFUSED),
        (Refused("a redirect"), True, Kind.REFUSED),
        (RuntimeError("before anything"), False, Kind.REFUSED),
    ],
)
def test_an_order_without_an_answer(cause: Exception, left: bool, kind: Kind) -> None:
    """Before it left nothing was done; afterwards nobody knows."""
    for error in (cause, wrapped(cause)):
        failure = failure_of_exception(PLACE, error, REPLAY, left, method="POST")
        assert failure.kind is kind
        assert isinstance(failure.error, OutcomeUnknown) is (kind is Kind.UNKNOWN_OUTCOME)


@given(
    st.integers(200, 599).filter(lambda status: not 300 <= status < 400),
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda code, text: json.dumps({"code": code, "msg": text}).encode(),
            st.one_of(st.integers(), st.none(), st.text(max_size=8), st.floats()),
            st.one_of(st.text(max_size=30), st.integers()),
        ),
    ),
    st.fixed_dictionaries({}, optional={"Retry-After": st.text(max_size=30), "Date": st.text(max_size=30)}),
)
def test_whatever_comes_is_judged(status: int, body: bytes, headers: dict[str, str]) -> None:
    """One line, a pause that ends, and never a good answer where the status says otherwise."""
    for method in ("GET", "POST"):
        failure = failure_of_answer(WHAT, status, headers, body, NOW_MS, method=method)
        if failure is None:
            assert status == 200
            json.loads(body)
            continue
        assert "\n" not in str(failure.error)
        assert 0 <= failure.pause_s <= 3 * 86_400
        if method == "GET":
            assert failure.kind is not Kind.UNKNOWN_OUTCOME
        elif status >= 500 and status != 511:
            assert failure.kind is Kind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"code":"-1121","msg":"Invalid symbol."}', -1121),
        ('{"code":null,"msg":"Too much request weight used; current limit is 6000"}', -1003),
        ('{"code":0,"msg":"Service unavailable from a restricted location"}', 0),
        ('{"msg":"something else"}', 0),
        ('{"code":-9,"msg":7}', -9),
    ],
)
def test_errors_that_come_as_http_200(body: str, code: int) -> None:
    failure = of(200, body)
    assert failure is not None
    assert isinstance(failure.error, ExchangeError)
    assert failure.error.code == code


@pytest.mark.parametrize("body", ['{"code":200,"msg":"success"}', '{"code":0,"msg":""}', '{"msg":"hello","x":1}'])
def test_answers_that_only_look_like_errors(body: str) -> None:
    assert of(200, body) is None


def test_a_region_is_named_whatever_the_status() -> None:
    failure = of(200, '{"code":0,"msg":"Service unavailable from a restricted location"}')
    assert failure is not None and "does not serve this region" in str(failure.error)


@pytest.mark.parametrize(
    ("told", "pause_s"),
    [
        ("7", 7.0),
        ("0", 1.0),
        ("Sat, 06 Aug 2022 04:58:40 GMT", 20.0),
        ("Sat, 06 Aug 2022 01:00:00 GMT", 1.0),
        ("999999999", 3 * 86_400.0),
        ("-5", 60.0),
        ("nan", 60.0),
        ("soon", 60.0),
    ],
)
def test_retry_after_in_all_its_forms(told: str, pause_s: float) -> None:
    failure = of(429, "", Retry_After=told)
    assert failure is not None
    assert failure.pause_s == pytest.approx(pause_s)


def test_the_exchanges_own_clock_measures_a_ban() -> None:
    """Ours may be an hour off: the `Date` of the answer is theirs."""
    body = error_body(-1003, "Way too much request weight used; IP banned until 1659765531230.")
    failure = of(418, body, Date="Sat, 06 Aug 2022 05:58:20 GMT")
    assert failure is not None
    assert failure.pause_s == pytest.approx(31.23)
    assert "until 2022-08-06 05:58:51 UTC" in str(failure.error)


def test_a_pause_binds_whom_it_is_for() -> None:
    orders = of_order(429, error_body(-1015, "Too many new orders; current limit is 100 orders per 10 SECOND."))
    assert (orders.kind, orders.pause_for, orders.stops_all_s) == (Kind.RATE, "orders", 0.0)
    address = of_order(429, error_body(-1003, "Too much request weight used"), **{"Retry-After": "9"})
    assert (address.pause_for, address.stops_all_s) == ("address", 9.0)
    one = of(503, "", Retry_After="9")
    assert one is not None
    assert (one.pause_s, one.pause_for, one.stops_all_s) == (9.0, "request", 0.0)
    unnamed = of(400, error_body(-1003, "Too many requests queued."))
    assert unnamed is not None and unnamed.stops_all_s == 60.0


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (400, error_body(-1121, "Invalid symbol."), "without a slash"),
        (400, error_body(-2010, "Account has insufficient balance for requested action."), "free money"),
        (400, error_body(-1013, "Filter failure: LOT_SIZE"), "round the quantity to the step"),
        (401, error_body(-2015, "Invalid API-key, IP, or permissions for action."), "quantlab preflight"),
        (400, error_body(-1021, "Timestamp for this request is outside of the recvWindow."), "timedatectl"),
        (503, "", "maintenance"),
        (511, "<html>", "sign-in"),
        (200, "<html>", "sign-in"),
    ],
)
def test_what_to_do_is_said(status: int, body: str, hint: str) -> None:
    failure = of(status, body)
    assert failure is not None and hint in str(failure.error)


@pytest.mark.parametrize("body", ['"text"', "12", "null", "true"])
def test_the_type_of_an_answer_is_checked(body: str) -> None:
    assert failure_of_answer(WHAT, 200, {}, body.encode(), NOW_MS) is None, "the control: any JSON, where any will do"
    for shape in ("{", "[", "{["):
        failure = failure_of_answer(WHAT, 200, {}, body.encode(), NOW_MS, shape=shape)
        assert failure is not None and failure.kind is Kind.MALFORMED

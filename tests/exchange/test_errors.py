"""What the exchange did becomes one of quantlab's errors, in words; only what may pass is tried again."""

from __future__ import annotations

import json
from pathlib import Path

import aiohttp
import pytest

from quantlab.exchange import DoorConfig
from quantlab.exchange.errors import Failure, failure_of_answer, failure_of_exception
from quantlab.exchange.retry import Backoff
from quantlab.model import ExchangeError, ExchangeUnreachable, MalformedMessage, Refused

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


def test_pauses_grow_and_stay_in_bounds() -> None:
    backoff = Backoff()
    pauses = [backoff.pause_s() for _ in range(12)]
    assert all(0.25 <= pause <= 30 for pause in pauses)
    assert min(pauses[8:]) >= 15
    backoff.reset()
    assert backoff.pause_s() <= 0.5

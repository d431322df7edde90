"""What may leave is a list: every market data request and stream command passes, and nothing beside it."""

from __future__ import annotations

import json
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from quantlab.exchange.client import IMPLICIT_METHODS
from quantlab.exchange.rules import (
    REST_PATHS,
    STREAM_COMMANDS,
    VENUE_CLOCK,
    Origins,
    checked_frame,
    looks_like_order,
    request_fault,
)
from quantlab.exchange.weight.weights import weight_of
from quantlab.model import Refused

MAINNET = Origins(URL("https://data-api.binance.vision"), URL("wss://data-stream.binance.vision"))
VENUE = Origins(URL("http://127.0.0.1:9000"), URL("ws://127.0.0.1:9000"), is_venue=True)
HEADERS = {"Host": "data-api.binance.vision", "Accept": "*/*", "User-Agent": "x", "Accept-Encoding": "gzip"}

STREAMS = [
    "btcusdt@bookTicker",
    "btcusdt@depth@100ms",
    "btcusdt@depth20@1000ms",
    "btcusdt@depth",
    "btcusdt@kline_1m",
    "btcusdt@kline_1M",
    "btcusdt@trade",
    "btcusdt@aggTrade",
    "1000satsusdt@miniTicker",
    "币安人生usdt@ticker",
    "!miniTicker@arr",
]


@pytest.mark.parametrize("path", sorted(REST_PATHS))
def test_market_data_may_be_asked(path: str) -> None:
    url = URL(f"https://data-api.binance.vision{path}?symbol=BTCUSDT&limit=5")
    assert request_fault(MAINNET, "GET", url, HEADERS) is None
    assert weight_of(path, {"symbol": "BTCUSDT"}) >= 1
    assert path in IMPLICIT_METHODS


def test_every_generated_method_in_use_is_on_the_list() -> None:
    assert set(IMPLICIT_METHODS) == REST_PATHS


def test_the_stream_may_be_opened() -> None:
    url = URL("wss://data-stream.binance.vision/stream")
    headers = {"Host": "data-stream.binance.vision", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
    assert request_fault(MAINNET, "GET", url, headers) is None


@pytest.mark.parametrize(
    ("method", "url", "why"),
    [
        ("POST", "https://data-api.binance.vision/api/v3/time", "is not GET"),
        ("get", "https://data-api.binance.vision/api/v3/time", "is not GET"),
        ("GET", "https://data-api.binance.vision/api/v3/order", "not market data"),
        ("GET", "https://data-api.binance.vision/api/v3/TIME", "not market data"),
        ("GET", "https://data-api.binance.vision/api/v3/time/", "not market data"),
        ("GET", "https://data-api.binance.vision/", "not market data"),
        ("GET", "https://data-api.binance.vision/stream", "not market data"),
        ("GET", "https://data-api.binance.vision/__venue__/clock", "not market data"),
        ("GET", "http://data-api.binance.vision/api/v3/time", "not the exchange"),
        ("GET", "https://data-api.binance.vision:8443/api/v3/time", "not the exchange"),
        ("GET", "https://data-api.binance.vision.evil.example/api/v3/time", "not the exchange"),
        ("GET", "https://api.binance.com/api/v3/time", "not the exchange"),
        ("GET", "wss://data-stream.binance.vision/ws/listenkey", "not market data"),
        ("GET", "wss://data-stream.binance.vision/stream?streams=a", "parameter"),
        ("GET", "https://data-api.binance.vision/api/v3/time?signature=1", "parameter"),
        ("GET", "https://data-api.binance.vision/api/v3/time?apiKey=1", "parameter"),
        ("GET", "https://user@data-api.binance.vision/api/v3/time", "credentials"),
    ],
)
def test_anything_else_may_not(method: str, url: str, why: str) -> None:
    fault = request_fault(MAINNET, method, URL(url), {})
    assert fault is not None
    assert why in fault


@pytest.mark.parametrize("name", ["X-MBX-APIKEY", "Authorization", "Cookie", "X-HTTP-Method-Override", "Upgrade"])
def test_foreign_headers_may_not(name: str) -> None:
    url = URL("https://data-api.binance.vision/api/v3/time")
    assert request_fault(MAINNET, "GET", url, HEADERS) is None
    fault = request_fault(MAINNET, "GET", url, {**HEADERS, name: "x"})
    assert fault is not None
    assert name in fault


def test_a_host_header_names_the_address() -> None:
    url = URL("http://127.0.0.1:9000/api/v3/time")
    assert request_fault(VENUE, "GET", url, {"Host": "127.0.0.1:9000"}) is None
    assert request_fault(VENUE, "GET", url, {"Host": "api.binance.com"}) is not None


def test_only_a_venue_is_asked_for_its_clock() -> None:
    assert request_fault(VENUE, "GET", URL(f"http://127.0.0.1:9000{VENUE_CLOCK}"), {}) is None
    assert request_fault(VENUE, "GET", URL("http://127.0.0.1:9000/__venue__/faults"), {}) is not None


@pytest.mark.parametrize("command", sorted(STREAM_COMMANDS))
def test_market_streams_may_be_commanded(command: str) -> None:
    frame = {"method": command, "params": STREAMS, "id": 1}
    assert msgspec.json.decode(checked_frame(json.dumps(frame).encode())) == frame


@pytest.mark.parametrize(
    "frame",
    [
        '{"method":"order.place","id":1}',
        '{"method":"subscribe","params":["btcusdt@trade"]}',
        '{"method":["SUBSCRIBE"],"params":[]}',
        '{"params":["btcusdt@trade"]}',
        '{"method":"SUBSCRIBE","params":["pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a"]}',
        '{"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@executionReport"]}',
        '{"method":"SUBSCRIBE","params":["btcusdt@trade\\n{}"]}',
        '{"method":"SUBSCRIBE","params":"btcusdt@trade"}',
        '{"method":"SUBSCRIBE","params":[{"method":"order.place"}]}',
        '{"method":"SUBSCRIBE","params":[],"signature":"x"}',
        '{"method":"SUBSCRIBE","params":[],"id":"order.place"}',
        '{"method":"SET_PROPERTY","params":["combined",true]}',
        '[{"method":"SUBSCRIBE"}]',
        '"SUBSCRIBE"',
        "",
    ],
)
def test_other_frames_may_not_leave(frame: str) -> None:
    with pytest.raises(Refused, match="stream frame refused"):
        checked_frame(frame.encode())


def test_a_field_named_twice_leaves_once() -> None:
    frame = b'{"method":"order.place","method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}'
    assert checked_frame(frame) == b'{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}'


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.sampled_from([*STREAMS, "SUBSCRIBE", "order.place"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["method", "params", "id", "apiKey", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(_json)
def test_whatever_passes_is_a_market_stream_command(value: object) -> None:
    try:
        passed = msgspec.json.decode(checked_frame(json.dumps(value).encode()))
    except Refused:
        return
    assert passed["method"] in {"SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS"}
    assert set(passed) <= {"method", "params", "id"}
    assert all("@" in name for name in passed.get("params", []))


@given(st.text(string.printable, max_size=30))
def test_any_other_path_is_refused(path: str) -> None:
    url = URL.build(scheme="http", host="127.0.0.1", port=9000, path="/" + path)
    allowed = url.raw_path in {*REST_PATHS, VENUE_CLOCK, "/stream", "/ws"}
    assert (request_fault(VENUE, "GET", url, {}) is None) == allowed


def test_the_second_look_knows_orders() -> None:
    """The report's `order_requests` must be able to be other than 0."""
    assert looks_like_order("POST", "/api/v3/time")
    assert looks_like_order("GET", "/api/v3/openOrders")
    assert looks_like_order("order.place", "/stream")
    assert not any(looks_like_order("GET", path) for path in REST_PATHS)
    assert not looks_like_order("SUBSCRIBE", "/stream")

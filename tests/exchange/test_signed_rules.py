"""With a key, three signed reads and the clock may leave, to one host, and nothing beside them."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from quantlab.exchange import DoorConfig
from quantlab.exchange.config import HOSTS
from quantlab.exchange.rules import REST_PATHS, Origins, looks_like_order
from quantlab.exchange.signed_rules import (
    ACCOUNT,
    COMMISSION,
    MAINNET_URL,
    RESTRICTIONS,
    SIGNED_WEIGHTS,
    TIME,
    SignedReads,
    keyed_url,
)

RULES = SignedReads(URL("https://api.binance.com"))
KEY = {"Host": "api.binance.com", "Accept": "*/*", "X-MBX-APIKEY": "k"}
STAMP = "timestamp=1&recvWindow=5000&signature=ab%2Bc%3D"


def fault(target: str, method: str = "GET", headers: dict[str, str] = KEY, host: str = MAINNET_URL) -> str | None:
    return RULES.fault(method, URL(f"{host}{target}", encoded=True), headers)


@pytest.mark.parametrize(
    "target",
    [
        f"{RESTRICTIONS}?{STAMP}",
        f"{ACCOUNT}?{STAMP}",
        f"{ACCOUNT}?omitZeroBalances=true&{STAMP}",
        f"{COMMISSION}?symbol=BTCUSDT&{STAMP}",
    ],
)
def test_signed_reads_may_leave(target: str) -> None:
    assert fault(target) is None
    assert not looks_like_order("GET", target.partition("?")[0])
    assert "X-MBX-APIKEY is missing" in str(fault(target, headers={"Accept": "*/*"}))
    assert "X-MBX-APIKEY is missing" in str(fault(target, headers={"X-MBX-APIKEY": ""}))
    assert "not GET" in str(fault(target, method="POST"))
    unsigned = target.partition("&signature")[0]
    assert "not signed" in str(fault(unsigned))


def test_the_clock_is_read_without_a_key() -> None:
    assert fault(TIME, headers={}) is None
    assert "header X-MBX-APIKEY" in str(fault(TIME))
    assert "foreign" in str(fault(f"{TIME}?{STAMP}", headers={}))


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (f"/api/v3/order?{STAMP}", "not one of the signed reads"),
        (f"/api/v3/openOrders?{STAMP}", "not one of the signed reads"),
        (f"/sapi/v1/capital/withdraw/apply?{STAMP}", "not one of the signed reads"),
        (f"/sapi/v1/asset/transfer?{STAMP}", "not one of the signed reads"),
        (f"/api/v3/account/?{STAMP}", "not one of the signed reads"),
        (f"/api/v3/%61ccount?{STAMP}", "not one of the signed reads"),
        (f"/api/v3/account/../order?{STAMP}", "not one of the signed reads"),
        (f"//api/v3/account?{STAMP}", "not one of the signed reads"),
        (f"{RESTRICTIONS}?symbol=BTCUSDT&{STAMP}", "foreign"),
        (f"{ACCOUNT}?side=BUY&{STAMP}", "foreign"),
        (f"{ACCOUNT}?%73ymbol=X&{STAMP}", "foreign"),
        (f"{ACCOUNT}?{STAMP}&", "foreign"),
        (f"{ACCOUNT}?{STAMP}&signature=1", "twice"),
        (f"{ACCOUNT}?timestamp=1&signature=", "empty"),
        (f"{ACCOUNT}?timestamp=1&signature=a+b", "percent-encoded"),
        (f"{ACCOUNT}?timestamp=1&signature=a%2", "percent-encoded"),
        (f"{ACCOUNT}?timestamp=1;side=BUY&signature=a", "percent-encoded"),
        (f"{ACCOUNT}?signature=a", "not signed"),
        (ACCOUNT, "not signed"),
    ],
)
def test_anything_else_may_not(target: str, why: str) -> None:
    found = fault(target)
    assert found is not None
    assert why in found


@pytest.mark.parametrize(
    "host",
    [
        "http://api.binance.com",
        "https://api.binance.com:8443",
        "https://api1.binance.com",
        "https://api.binance.com.evil.example",
        "https://testnet.binance.vision",
        "wss://api.binance.com",
    ],
)
def test_another_host_is_shown_no_key(host: str) -> None:
    assert "not the exchange of this key" in str(fault(f"{ACCOUNT}?{STAMP}", host=host))


def test_credentials_and_foreign_headers_may_not() -> None:
    assert "credentials" in str(fault(f"{ACCOUNT}?{STAMP}", host="https://user:word@api.binance.com"))
    for name in ("Authorization", "Cookie", "X-HTTP-Method-Override", "Upgrade", "Content-Type"):
        assert name in str(fault(f"{ACCOUNT}?{STAMP}", headers={**KEY, name: "x"}))
    assert "Host" in str(fault(f"{ACCOUNT}?{STAMP}", headers={**KEY, "Host": "elsewhere.example"}))


def test_where_keys_are_shown() -> None:
    def opened(market: str, rest: str, stream: str) -> str:
        return keyed_url(DoorConfig(market=market, rest_url=rest, stream_url=stream))  # type: ignore[arg-type]

    assert opened("mainnet", *HOSTS["mainnet"]) == "https://api.binance.com"
    assert opened("testnet", *HOSTS["testnet"]) == "https://testnet.binance.vision"
    assert opened("replay", "http://127.0.0.1:1", "ws://127.0.0.1:1") == "http://127.0.0.1:1"


def test_the_door_without_a_key_learnt_nothing() -> None:
    door = Origins(*(URL(url) for url in HOSTS["mainnet"]))
    assert "api.binance.com" not in door.hosts
    assert not {RESTRICTIONS, ACCOUNT, COMMISSION} & REST_PATHS
    control = URL(f"{HOSTS['mainnet'][0]}{TIME}")
    assert door.fault("GET", control, {}) is None
    assert door.fault("GET", control, {"X-MBX-APIKEY": "k"}) is not None
    assert door.fault("GET", URL(f"{HOSTS['mainnet'][0]}{ACCOUNT}?{STAMP}", encoded=True), {}) is not None


@given(st.text(string.printable, max_size=30), st.sampled_from(["", f"?{STAMP}"]))
def test_any_other_path_is_refused(path: str, query: str) -> None:
    url = URL.build(scheme="https", host="api.binance.com", path="/" + path.partition("?")[0])
    found = RULES.fault("GET", URL(f"{url}{query}", encoded=True), KEY)
    assert found is not None or url.raw_path in SIGNED_WEIGHTS


@given(st.text(string.printable, max_size=40))
def test_any_query_that_passes_is_stamped_and_known(query: str) -> None:
    url = URL(f"{MAINNET_URL}{COMMISSION}", encoded=True).with_query(None)
    found = RULES.fault("GET", URL(f"{url}?{query.replace('#', '')}", encoded=True), KEY)
    assert found is not None, "a signature and a stamp do not come about by chance"

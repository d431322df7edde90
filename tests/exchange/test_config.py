"""A door opens to the hosts of its market and to no other, whoever wrote the configuration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from quantlab.exchange import DoorConfig
from quantlab.exchange.config import HOSTS
from quantlab.model import ConfigurationError, Refused


def settings(**changes: Any) -> Any:
    defaults = {"market": "mainnet", "venue_url": None, "weight_per_minute": 900, "timeout_seconds": 12.0}
    return SimpleNamespace(**(defaults | changes))


@pytest.mark.parametrize("market", ["mainnet", "testnet"])
def test_the_real_markets(market: str) -> None:
    config = DoorConfig.for_settings(settings(market=market))
    assert (config.rest_url, config.stream_url) == HOSTS[market]
    assert (config.weight_per_minute, config.timeout_s, config.total_s) == (900, 12.0, 48.0)
    assert config.is_real
    assert config.silence_s == 60


def test_mainnet_is_the_host_without_orders() -> None:
    assert DoorConfig.for_settings(settings()).address == "data-api.binance.vision:443"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000", "http://localhost:9000/", "http://[::1]:9000"])
def test_a_replay_is_on_this_machine(url: str) -> None:
    config = DoorConfig.for_settings(settings(market="replay", venue_url=url))
    assert config.stream_url == url.rstrip("/").replace("http", "ws")
    assert not config.is_real


@pytest.mark.parametrize(
    "url",
    [
        "http://192.168.1.5:9000",
        "http://127.0.0.1.evil.example:9000",
        "http://127.0.0.1@evil.example",
        "https://api.binance.com",
        "http://127.0.0.1:9000/api",
        "ftp://127.0.0.1:9000",
    ],
)
def test_any_other_venue_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        DoorConfig.for_settings(settings(market="replay", venue_url=url))


def test_a_replay_without_a_venue_says_so() -> None:
    with pytest.raises(ConfigurationError, match="QUANTLAB_VENUE_URL"):
        DoorConfig.for_settings(settings(market="replay"))


def test_mainnet_elsewhere_is_refused() -> None:
    with pytest.raises(Refused, match="QUANTLAB_MARKET=replay"):
        DoorConfig(market="mainnet", rest_url="https://api.binance.com", stream_url=HOSTS["mainnet"][1])


@pytest.mark.parametrize("change", [{"weight_per_minute": 0}, {"timeout_s": 0.0}, {"silence_s": -1.0}])
def test_impossible_numbers(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        DoorConfig(market="replay", rest_url="http://127.0.0.1:1", stream_url="ws://127.0.0.1:1", **change)


def test_an_unknown_market() -> None:
    with pytest.raises(ConfigurationError, match="futures"):
        DoorConfig(market="futures", rest_url="http://127.0.0.1:1", stream_url="ws://127.0.0.1:1")  # type: ignore[arg-type]

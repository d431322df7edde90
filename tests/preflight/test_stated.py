"""What only the user can know is stated with a date; a statement grows old, and can be taken back."""

from __future__ import annotations

import pytest

from quantlab.ledger.keys import KeyStore
from quantlab.model.errors import ConfigurationError
from quantlab.preflight import STATEMENTS, state, unstate
from quantlab.settings import Settings

from ..vault.kit import pair
from .kit import look, passed, stated, with_key

NAMES = ["2fa", "anti-phishing", "withdrawal-whitelist"]


@pytest.fixture
def keyed(chosen: Settings) -> Settings:
    with_key(chosen, pair("stated"), seen=passed())
    return chosen


@pytest.mark.parametrize("name", NAMES)
def test_stated_and_taken_back(keyed: Settings, name: str) -> None:
    before = look(name, keyed)
    assert before.verdict == "fail"
    assert f"--state {name}" in before.mend
    state(keyed.home, [name])
    line = look(name, keyed)
    assert line.verdict == "pass"
    assert STATEMENTS[name] in line.detail
    unstate(keyed.home, [name])
    assert look(name, keyed).verdict == "fail"
    with KeyStore.open(keyed.home) as store:
        kinds = [event.kind for event in store.events()]
    assert kinds[-2:] == ["stated", "statement taken back"]


@pytest.mark.parametrize("name", [*NAMES, "dedicated"])
def test_it_grows_old_and_then_alerts_in_every_mode(keyed: Settings, name: str) -> None:
    id = "dedicated-key" if name == "dedicated" else name
    stated(keyed, name, days_ago=179)
    assert look(id, keyed).verdict == "pass"
    stated(keyed, name, days_ago=182)
    line = look(id, keyed, "live")
    assert line.verdict == "fail"
    assert "say it again" in line.mend
    assert set(line.severity.values()) == {"alert"}
    state(keyed.home, [name])
    assert look(id, keyed).verdict == "pass"


def test_one_of_the_future_is_none(keyed: Settings) -> None:
    stated(keyed, "2fa", days_ago=-2)
    assert look("2fa", keyed).verdict == "fail"


def test_two_factor_log_in_stops_live(keyed: Settings) -> None:
    line = look("2fa", keyed, "live")
    assert [line.blocks(mode) for mode in ("paper", "testnet", "live")] == [False, False, True]  # type: ignore[arg-type]


def test_an_unknown_name_is_refused_and_nothing_is_written(chosen: Settings) -> None:
    with pytest.raises(ConfigurationError, match="withdrawal-whitelist"):
        state(chosen.home, ["2fa", "3fa"])
    assert not chosen.home.exists()
    state(chosen.home, [])
    assert not chosen.home.exists()
    state(chosen.home, ["2fa"])
    assert chosen.home.exists()

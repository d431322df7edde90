"""Against an exchange: a key is judged by what it says now, what is found is kept, and everything that left for it is
on record. The venue is written apart from our client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quantlab.ledger.keys import KeyStore
from quantlab.preflight import Mode, Result, preflight
from quantlab.settings import Settings
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from ..vault.kit import pair, sql
from .kit import passed, settings_in, with_key

CREDENTIAL = pair("known to the venue")
STRANGER = pair("unknown to the venue")


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    keys = {CREDENTIAL.api_key: CREDENTIAL.secret}
    async with Venue(open_market(None, seed=7, hours=0.25, symbols=["BTCUSDT"]), keys=keys) as served:
        yield served


@pytest.fixture
def replay(chosen: Settings, venue: Venue) -> Settings:
    return settings_in(chosen.root, market="replay", venue_url=venue.url, timeout_seconds=2.0)


async def flown(settings: Settings, mode: Mode = "paper") -> Result:
    return await asyncio.to_thread(preflight, settings, mode=mode)


def state_of(settings: Settings) -> tuple[str, str]:
    with KeyStore.open(settings.home) as store:
        row = store.key_rows()[0]
        return row.state, row.state_why


async def test_a_careful_key_passes_and_is_unlocked(replay: Settings) -> None:
    with_key(replay, CREDENTIAL, environment="replay")
    assert state_of(replay)[0] == "locked"
    result = await flown(replay)
    for id in ("no-withdrawal", "ip-whitelist", "encrypted", "rollback", "record-of-use", "environment", "clock"):
        assert result.line(id).verdict == "pass", result.line(id)
    assert state_of(replay)[0] == "active"


@pytest.mark.parametrize(
    ("answer", "failing"),
    [
        ({"enableWithdrawals": True}, "no-withdrawal"),
        ({"permitsUniversalTransfer": True}, "no-withdrawal"),
        ({"enableSomethingNew": True}, "no-withdrawal"),
        ({"enableWithdrawals": "false"}, "no-withdrawal"),
        ({"enableReading": False}, "no-withdrawal"),
        ({"ipRestrict": False}, "ip-whitelist"),
        ({"ipRestrict": "true"}, "ip-whitelist"),
    ],
)
async def test_a_key_that_changed_is_told_locked_and_stops_where_it_is_used(
    replay: Settings, venue: Venue, answer: dict[str, Any], failing: str
) -> None:
    with_key(replay, CREDENTIAL, environment="replay", seen=passed())
    venue.account.restrictions.update(answer)
    result = await flown(replay)
    assert result.line(failing).verdict == "fail", result.line(failing)
    assert result.ok  # paper uses no key and goes on
    assert failing in [line.id for line in result.alerts]
    assert state_of(replay)[0] == "locked"
    assert failing in [line.id for line in (await flown(replay, "live")).blocked]


async def test_a_permission_switched_on_since_is_drift_even_if_it_is_allowed(replay: Settings) -> None:
    with_key(replay, CREDENTIAL, environment="replay", seen=passed(permissions=("enableReading",)))
    result = await flown(replay)
    assert "switched on" in result.line("no-withdrawal").detail
    assert state_of(replay)[0] == "locked"


async def test_a_key_that_the_exchange_rejects_fails(replay: Settings) -> None:
    with_key(replay, STRANGER, environment="replay", seen=passed())
    result = await flown(replay)
    assert result.line("no-withdrawal").verdict == "fail"
    assert "-2015" in result.line("no-withdrawal").detail
    assert result.line("ip-whitelist").verdict != "pass"


async def test_no_answer_is_not_known_and_locks_nothing(replay: Settings, venue: Venue, free_port: Any) -> None:
    with_key(replay, CREDENTIAL, environment="replay", seen=passed(age_ms=2 * 3_600_000))
    silent = replay.model_copy(update={"venue_url": f"http://127.0.0.1:{free_port()}"})
    result = await flown(silent, "testnet")
    for id in ("no-withdrawal", "clock"):
        assert result.line(id).verdict == "unknown", result.line(id)
        assert id in [line.id for line in result.blocked]
    assert state_of(replay)[0] == "active"
    assert (await flown(silent)).ok


async def test_the_clock_is_read_without_a_key_and_what_left_is_on_record(replay: Settings, venue: Venue) -> None:
    result = await flown(replay)
    assert result.line("clock").verdict == "pass", result.line("clock")
    paths = [path for (path,) in sql(replay.home, "SELECT path FROM egress WHERE verdict = 'sent'")]
    assert paths == ["/api/v3/time"] * venue.log.report()["count"]
    assert venue.log.report()["order_requests"] == 0


async def test_what_leaves_for_a_key_is_two_reads(replay: Settings, venue: Venue) -> None:
    with_key(replay, CREDENTIAL, environment="replay")
    await flown(replay)
    asked = [(line["method"], line["path"]) for line in venue.log.report()["requests"]]
    assert asked == [("GET", "/api/v3/time"), ("GET", "/sapi/v1/account/apiRestrictions")]


async def test_offline_asks_nothing(replay: Settings, venue: Venue) -> None:
    with_key(replay, CREDENTIAL, environment="replay")
    await asyncio.to_thread(preflight, replay, ask_exchange=False)
    assert venue.log.report()["count"] == 0

"""What an audit finds is what the vault keeps: refusals lock a key, a pass unlocks it, no answer changes nothing, and a
watch locks on what nobody was there to mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from quantlab.exchange.custody import Custodian, KeyWatch, door_to, drifted
from quantlab.exchange.failure import retry as retry_module
from quantlab.ledger import Ledger
from quantlab.ledger.keys import KeyRow
from quantlab.model import ExchangeError, Refused
from quantlab.settings import Settings, load_settings
from quantlab.vault import Credential, Seen, Vault, revoke
from quantlab.vault import kdf as kdf_module
from quantlab.venue import Venue
from quantlab.venue.market import open_market

from .keys import API_KEY, SECRET

PASSWORD = "a-long-passphrase-of-the-user-42"
LABEL = "Paper Trading"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.02)


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    async with Venue(open_market(None, seed=7, hours=0.1, symbols=["BTCUSDT"]), keys={API_KEY: SECRET}) as served:
        yield served


class AddressSource:
    """A service that tells a public address."""

    def __init__(self) -> None:
        self.address = "203.0.113.7"
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        return web.json_response({"ip": self.address})


@pytest.fixture
async def source() -> AsyncIterator[AddressSource]:
    served = AddressSource()
    app = web.Application()
    app.router.add_get("/ip", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/ip"  # type: ignore[union-attr]
    yield served
    await runner.cleanup()


@pytest.fixture
def settings(tmp_path: Path, venue: Venue, source: AddressSource) -> Settings:
    environ = {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": venue.url, "QUANTLAB_ADDRESS_URL": source.url}
    return load_settings(tmp_path, environ=environ)


@pytest.fixture
def vault(settings: Settings) -> Vault:
    made = Vault.create(settings.home, PASSWORD, iterations=kdf_module.FLOOR_ITERATIONS)
    made.add(LABEL, Credential.parse(API_KEY, SECRET), "replay")
    return made


async def by_hand(settings: Settings, vault: Vault) -> tuple[KeyRow, Seen]:
    return await asyncio.to_thread(Custodian(settings).audit_key, vault, LABEL)


async def by_watch(settings: Settings, **options: Any) -> dict[str, Any]:
    watch = KeyWatch(settings, lambda: Vault.open(settings.home, PASSWORD), halts=False, **options)
    return await asyncio.to_thread(watch.check)


async def test_a_pass_unlocks_and_a_refusal_locks(settings: Settings, vault: Vault, venue: Venue) -> None:
    assert vault.key(LABEL).state == "locked"
    row, _ = await by_hand(settings, vault)
    assert (row.state, row.audit, row.ip_restricted, row.address) == ("active", "passed", True, "203.0.113.7")
    venue.account.restrictions["enableWithdrawals"] = True
    row, _ = await by_hand(settings, vault)
    assert row.state == "locked" and "enableWithdrawals" in row.state_why
    venue.account.restrictions["enableWithdrawals"] = False
    row, _seen = await by_hand(settings, vault)
    assert row.state == "active" and row.state_why == ""


async def test_no_answer_changes_nothing(settings: Settings, vault: Vault, venue: Venue) -> None:
    await by_hand(settings, vault)
    venue.faults.set([{"kind": "status", "status": 503, "code": -1001, "msg": "x", "match": "apiRestrictions"}])
    row, seen = await by_hand(settings, vault)
    assert seen.status == "unreachable" and row.state == "active" and row.audit == "passed"
    vault.lock(LABEL, "by the test")
    row, _ = await by_hand(settings, vault)
    assert row.state == "locked"


async def test_a_watch_locks_on_a_permission_that_was_gained(settings: Settings, vault: Vault, venue: Venue) -> None:
    venue.account.restrictions["enableSpotAndMarginTrading"] = False
    await by_hand(settings, vault)
    assert (await by_watch(settings))["alerts"] == []  # the control
    venue.account.restrictions["enableSpotAndMarginTrading"] = True
    found = await by_watch(settings)
    assert "enableSpotAndMarginTrading was switched on" in found["alerts"][0]
    assert (
        "enableSpotAndMarginTrading was switched on" in (await by_watch(settings))["alerts"][0]
    )  # it does not wear off
    row, _ = await by_hand(settings, vault)  # whoever asks by hand means it
    assert row.state == "active" and (await by_watch(settings))["alerts"] == []


async def test_a_watch_locks_when_this_machines_address_changed(
    settings: Settings, vault: Vault, source: AddressSource
) -> None:
    await by_hand(settings, vault)
    assert (await by_watch(settings))["alerts"] == []
    source.address = "198.51.100.9"
    (alert,) = (await by_watch(settings))["alerts"]
    assert "198.51.100.9 now and was 203.0.113.7" in alert
    row, _ = await by_hand(settings, vault)
    assert row.state == "active" and row.address == "198.51.100.9"


async def test_a_key_that_the_exchange_rejects_is_locked(settings: Settings, vault: Vault, venue: Venue) -> None:
    await by_hand(settings, vault)
    venue.keys.remove(vault.key(LABEL).fingerprint)
    (alert,) = (await by_watch(settings))["alerts"]
    assert "-2015" in alert and Vault.open(settings.home, PASSWORD).key(LABEL).state == "locked"


async def test_a_watch_tells_what_was_revoked_and_what_it_cannot_open(settings: Settings, vault: Vault) -> None:
    await by_hand(settings, vault)
    revoke(settings.home, None, "panic")
    (alert,) = (await by_watch(settings))["alerts"]
    assert "was revoked: panic" in alert
    watch = KeyWatch(settings, lambda: Vault.open(settings.home, "not the password at all"), halts=True)
    (alert,) = (await asyncio.to_thread(watch.check))["alerts"]
    assert "not the vault's password" in alert


async def test_what_an_audit_sent_is_in_the_egress_log(settings: Settings, vault: Vault) -> None:
    await by_hand(settings, vault)
    with Ledger.open(settings.home) as ledger:
        rows = ledger._rows("SELECT run_id, method, path, verdict, detail FROM egress ORDER BY id")
    assert [row[:4] for row in rows] == [
        (None, "GET", "/api/v3/time", "sent"),
        (None, "GET", "/sapi/v1/account/apiRestrictions", "sent"),
        (None, "GET", "/ip", "sent"),
    ]
    assert not any(word in str(rows) for word in ("signature", "timestamp", API_KEY, SECRET))


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        (("a",), ("a",), False),
        (("a", "b"), ("a",), False),
        (("a",), ("a", "b"), True),
        (None, ("a",), False),
        (("a",), None, False),
    ],
)
def test_drift_is_what_was_gained(
    before: tuple[str, ...] | None, now: tuple[str, ...] | None, refused: bool, a_row: Callable[..., KeyRow]
) -> None:
    seen = drifted(a_row(permissions=before), Seen("passed", 2, permissions=now))
    assert bool(seen.refusals) is refused and (seen.status == "refused") is refused


@pytest.fixture
def a_row() -> Callable[..., KeyRow]:
    def make(**fields: Any) -> KeyRow:
        plain: dict[str, Any] = {"id": 1, "label": "x", "venue": "binance", "environment": "mainnet", "type": "hmac"}
        plain |= {"fingerprint": "0" * 16, "generation": 1, "state": "active", "state_why": "", "state_ms": 1}
        return KeyRow(**plain | {"created_ms": 1} | fields)

    return make


def test_each_environment_has_its_own_door(settings: Settings, tmp_path: Path) -> None:
    mainnet = load_settings(tmp_path, environ={})
    assert door_to(mainnet, "replay") is None
    assert "testnet" in door_to(mainnet, "testnet").rest_url  # type: ignore[union-attr]
    assert door_to(settings, "replay").rest_url == settings.venue_url  # type: ignore[union-attr]
    assert door_to(settings, "mainnet").market == "mainnet"  # type: ignore[union-attr]
    seen = Custodian(mainnet).audit(Credential.parse(API_KEY, SECRET).signer(), "replay")
    assert seen.status == "unreachable" and "quantlab venue" in seen.detail


async def test_an_account_s_commission_is_read_with_its_key(settings: Settings, vault: Vault, venue: Venue) -> None:
    rows: list[dict[str, Any]] = []
    custodian = Custodian(settings, rows.append)
    with pytest.raises(Refused, match="is locked"):
        await asyncio.to_thread(custodian.commission, vault, LABEL, "BTCUSDT")
    await by_hand(settings, vault)
    found = await asyncio.to_thread(custodian.commission, vault, LABEL, "BTCUSDT")
    assert (found.symbol, found.maker, found.taker) == ("BTCUSDT", Decimal("0.001"), Decimal("0.001"))
    with pytest.raises(ExchangeError, match="Invalid symbol"):
        await asyncio.to_thread(custodian.commission, vault, LABEL, "NOSUCH")
    assert [row["path"] for row in rows].count("/api/v3/account/commission") == 2

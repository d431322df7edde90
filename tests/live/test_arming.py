"""Orders leave only when configured and armed: by a phrase that names amount, key and end, for that market, that key,
that amount and that time. Each refusal stands beside what is allowed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from quantlab.exchange import DoorConfig
from quantlab.exchange.config import HOSTS
from quantlab.ledger import Ledger, RunRow
from quantlab.ledger.keys import KeyRow, KeyStore
from quantlab.ledger.rehearsal import WAIVED
from quantlab.live import arming as room
from quantlab.live.arming import Arming, arm, armed, disarm, lapsed, phrase_of, standing, successor, waive
from quantlab.live.keys import HotSigner
from quantlab.model import Refused, Source
from quantlab.vault import Seen, Vault

from ..exchange.scripted import config_for
from ..vault.conftest import home, quick, vault  # noqa: F401 - fixtures
from ..vault.kit import PASSWORD, pair

NOW_MS = 1_790_000_040_000
URL = "http://127.0.0.1:8900"
HOUR_MS = 3_600_000
READS_ONLY = Seen("passed", 1, ("enableReading",), True, None)
TRADES = Seen("passed", 1, ("enableReading", "enableSpotAndMarginTrading"), True, None)


@pytest.fixture
def keyed(vault: Vault) -> Vault:  # noqa: F811
    vault.add("venue", pair("first"), "replay", seen=TRADES)
    return vault


def typed(home: Path, answer: str | None = None, **changes: Any) -> Arming:  # noqa: F811
    given: dict[str, Any] = {"capital_usdt": Decimal("2000"), "hours": 2.0, "now_ms": NOW_MS, **changes}
    return arm(home, given.pop("market", "replay"), ask=lambda phrase: answer or phrase, **given)


def leave(home: Path, **changes: Any) -> Any:  # noqa: F811
    given: dict[str, Any] = {"fleet_usdt": Decimal(2000), "preflight": {"ok": True}, "now_ms": NOW_MS, **changes}
    given.setdefault("fleet_sha256", "f1")
    return armed(home, given.pop("config", config_for(URL)), **given)


def test_the_phrase_names_all_that_it_allows(home: Path, keyed: Vault) -> None:  # noqa: F811
    phrases: list[str] = []

    def ask(phrase: str) -> str:
        phrases.append(phrase)
        return phrase + "\n"

    arming = arm(home, "replay", capital_usdt=Decimal("45000"), hours=2, ask=ask, now_ms=NOW_MS)
    fingerprint = keyed.key("venue").fingerprint
    assert phrases == [phrase_of(Decimal(45000), fingerprint, arming.until_ms)]
    assert phrases[0].startswith(f"trade 45000 USDT with {fingerprint} until 2026-")
    assert standing(home) == arming and arming.until_ms == NOW_MS + 2 * HOUR_MS - NOW_MS % 60_000
    allowed, found = leave(home)
    assert found == arming and allowed.capital_usdt == Decimal(45000) and allowed.until_ms == arming.until_ms


def test_another_phrase_arms_nothing(home: Path, keyed: Vault) -> None:  # noqa: F811
    for answer in ("yes", "trade 2000 USDT", phrase_of(Decimal(2001), keyed.key("venue").fingerprint, NOW_MS)):
        with pytest.raises(Refused, match="not armed"):
            typed(home, answer)
    assert standing(home) is None
    with pytest.raises(Refused, match="nothing is armed"):
        leave(home)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"market": "mainnet"}, "name it with --fleet"),
        ({"market": "mainnet", "fleet_sha256": "f1"}, "waits for a verified paper record"),
        ({"market": "testnet"}, "no key"),
        ({"label": "another"}, "no key called"),
        ({"capital_usdt": Decimal(0)}, "capital"),
        ({"capital_usdt": Decimal("Infinity")}, "capital"),
        ({"capital_usdt": Decimal("NaN")}, "capital"),
        ({"hours": 0.0}, "hours"),
        ({"hours": 1000.0}, "hours"),
        ({"hours": 0.0001}, "less than a minute"),
    ],
)
def test_what_cannot_be_armed(home: Path, keyed: Vault, changes: dict[str, Any], word: str) -> None:  # noqa: F811
    with pytest.raises(Refused, match=word):
        typed(home, **changes)
    assert standing(home) is None


@pytest.fixture
def real(vault: Vault) -> DoorConfig:  # noqa: F811
    """A mainnet key that may trade, and where market data comes from."""
    vault.add("real", pair("real"), "mainnet", seen=TRADES)
    rest, stream = HOSTS["mainnet"]
    return DoorConfig(market="mainnet", rest_url=rest, stream_url=stream)


def rehearse(home: Path, *, days: float = 8.0, verified: bool = True) -> None:  # noqa: F811
    run = RunRow(
        run_id=f"r{days}", created_ms=1, state="finished", market="mainnet", source=Source(kind="mainnet", name="api"),
        fleet_name="f", fleet_toml="", fleet_sha256="f1", seed=1, engine_from_ms=0,
        engine_time_ms=round(days * 24 * HOUR_MS), summary={"accounting_ok": True, "fills_sha256": "s"},
    )  # fmt: skip
    with Ledger.open(home) as ledger:
        ledger.begin_run(run, [])
        if verified:
            ledger.note_verdict(run.run_id, ok=True, fills_sha256="s")


def test_mainnet_is_armed_for_the_fleet_file_that_was_rehearsed(home: Path, real: DoorConfig) -> None:  # noqa: F811
    phrases: list[str] = []
    mainnet = {"market": "mainnet", "fleet_sha256": "f1"}
    rehearse(home, days=6.9)
    with pytest.raises(Refused, match=r"has 6.9 days of 7"):
        typed(home, **mainnet)
    rehearse(home, verified=False)
    with pytest.raises(Refused, match=r"not verified: `quantlab verify r8.0`"):
        typed(home, **mainnet)
    with Ledger.open(home) as ledger:
        ledger.note_verdict("r8.0", ok=True, fills_sha256="s")
    arming = arm(
        home, "mainnet", capital_usdt=Decimal(2000), hours=2, fleet_sha256="f1", now_ms=NOW_MS,
        ask=lambda phrase: phrases.append(phrase) or phrase,
    )  # fmt: skip
    assert phrases[0].startswith("trade 2000 USDT of real money with ")
    allowed, _ = leave(home, config=real)
    assert (allowed.record, allowed.rest_url) == (arming.record, "https://api.binance.com")
    assert arming.record == 'run "r8.0": 8.0 days on mainnet prices, finished and verified'
    with pytest.raises(Refused, match="to the last character"):
        leave(home, config=real, fleet_sha256="f2")
    with Ledger.open(home) as ledger:
        ledger.note_verdict("r8.0", ok=False, fills_sha256="s")
    with pytest.raises(Refused, match="not verified"):
        typed(home, **mainnet)


def test_a_waiver_is_typed_and_kept_with_its_reason(home: Path, real: DoorConfig) -> None:  # noqa: F811
    why = "fifty USDT to see the door open"
    for words, answer in (("because", None), (why, "yes")):
        with pytest.raises(Refused):
            waive(home, "f1", words, ask=lambda phrase, answer=answer: answer or phrase)
    with pytest.raises(Refused, match="waits for a verified paper record"):
        typed(home, market="mainnet", fleet_sha256="f1")
    waive(home, "f1", why, ask=lambda phrase: phrase)
    assert typed(home, market="mainnet", fleet_sha256="f1").record == f"waived: {why}"
    with pytest.raises(Refused, match="waits for a verified paper record"):
        typed(home, market="mainnet", fleet_sha256="f2")
    with KeyStore.open(home) as store:
        (event,) = [event for event in store.events() if event.kind == WAIVED]
    assert why in event.detail


def test_on_mainnet_a_key_must_have_passed_its_audit(home: Path, vault: Vault) -> None:  # noqa: F811
    rehearse(home)
    vault.add("real", pair("real"), "mainnet", seen=Seen("not auditable", 1, (), None, None))
    with pytest.raises(Refused, match="is locked: the audit ended not auditable"):
        typed(home, market="mainnet", fleet_sha256="f1")


def test_a_key_that_may_not_trade_is_not_armed(home: Path, vault: Vault) -> None:  # noqa: F811
    vault.add("reader", pair("reader"), "replay", seen=READS_ONLY)
    with pytest.raises(Refused, match="may not trade"):
        typed(home)
    vault.add("trader", pair("trader"), "replay", seen=TRADES)
    with pytest.raises(Refused, match="several keys"):
        typed(home)
    assert typed(home, label="trader").label == "trader"
    vault.lock("trader", "by hand")
    with pytest.raises(Refused, match="is locked"):
        leave(home)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"preflight": None}, "pre-flight"),
        ({"fleet_usdt": Decimal(2001)}, "fleet's bots have 2001"),
        ({"now_ms": NOW_MS + 2 * HOUR_MS}, "arming ended"),
        (
            {"config": DoorConfig("testnet", "https://testnet.binance.vision", "wss://stream.testnet.binance.vision")},
            "armed is replay",
        ),
    ],
    ids=["no pre-flight", "too little", "expired", "another market"],
)
def test_what_does_not_hold_at_the_start(
    home: Path,  # noqa: F811
    keyed: Vault,
    changes: dict[str, Any],
    word: str,
) -> None:
    typed(home)
    assert leave(home)
    with pytest.raises(Refused, match=word) as raised:
        leave(home, **changes)
    assert raised.value.exit_code == 3


def test_disarming_ends_it(home: Path, keyed: Vault) -> None:  # noqa: F811
    assert not disarm(home)
    arming = typed(home)
    assert lapsed(home, arming, NOW_MS) == ""
    assert disarm(home) and standing(home) is None
    assert lapsed(home, arming, NOW_MS) == "it was disarmed"
    typed(home, hours=3.0)
    assert "anew" in lapsed(home, arming, NOW_MS)


def test_an_arming_follows_its_key_through_a_rotation_and_no_other(home: Path, keyed: Vault) -> None:  # noqa: F811
    arming = typed(home)
    keyed.rotate("venue", pair("second"), seen=TRADES)
    assert lapsed(home, arming, NOW_MS) == ""
    keyed.rotate("venue", pair("third"), seen=READS_ONLY)
    assert "may not trade" in lapsed(home, arming, NOW_MS)
    other = replace(arming, fingerprint="0" * 16)
    with pytest.raises(Refused, match="not in the vault"):
        successor(keyed.rows, other)


def test_a_replaced_key_without_a_successor_is_refused(keyed: Vault) -> None:
    row: KeyRow = replace(keyed.key("venue"), state="replaced")
    arming = Arming(
        market="replay", label="venue", fingerprint=row.fingerprint, capital_usdt=Decimal(1), until_ms=1, armed_ms=0
    )
    with pytest.raises(Refused, match="not known"):
        successor([row], arming)


def test_the_next_request_is_signed_with_the_rotated_key(home: Path, keyed: Vault) -> None:  # noqa: F811
    arming = typed(home)
    opened = []

    def open_vault() -> Vault:
        opened.append(1)
        return Vault.open(home, PASSWORD)

    signer = HotSigner(home, arming, open_vault)
    first, again = signer(), signer()
    assert first is again and len(opened) == 1 and first.api_key == pair("first").api_key
    keyed.rotate("venue", pair("second"), seen=TRADES)
    assert signer().api_key == pair("second").api_key and len(opened) == 2
    keyed.lock("venue", "by hand")
    with pytest.raises(Refused, match="locked"):
        signer()


def test_a_damaged_record_arms_nothing(home: Path, keyed: Vault, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    typed(home)
    with KeyStore.open(home) as store, store.transaction():
        store.log(NOW_MS, room.ARMED, "venue", arming={"market": "replay"})
    with pytest.raises(Refused, match="not what quantlab wrote"):
        leave(home)

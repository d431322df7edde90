"""Arming: a person types a phrase that names the amount, the key and the end, and orders may leave until then.

It stands in the ledger's record of custody, where it can be read afterwards. Configuration alone sends nothing, and an
arming alone sends nothing: both are asked at each start, and the arming all along.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from quantlab.exchange import DoorConfig
from quantlab.exchange.trading.armed import Armed
from quantlab.ledger import paper_record
from quantlab.ledger.database import database_path
from quantlab.ledger.keys import KeyRow, KeyStore
from quantlab.ledger.rehearsal import WAIVED
from quantlab.model import Refused
from quantlab.vault.permissions import TRADING

ARMED, DISARMED = "live armed", "live disarmed"
LONGEST_HOURS = 7 * 24
_MINUTE_MS = 60_000
_SHORTEST_REASON = 20
#: An audit that ended so says what the key may do; on the testnet and the venue there may be nothing to audit.
_PASSED, _NOT_AUDITABLE = "passed", "not auditable"


class Arming(msgspec.Struct, frozen=True, kw_only=True):
    """What was armed. Times are UTC ms; `label` and `fingerprint` name the key. On mainnet `fleet_sha256` is the one
    fleet file that may trade, and `record` why it may."""

    market: str
    label: str
    fingerprint: str
    capital_usdt: Decimal
    until_ms: int
    armed_ms: int
    fleet_sha256: str = ""
    record: str = ""


class _Detail(msgspec.Struct):
    arming: Arming


def phrase_of(capital_usdt: Decimal, fingerprint: str, until_ms: int, *, real_money: bool = False) -> str:
    """What has to be typed: it names all that it allows."""
    until = datetime.fromtimestamp(until_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
    return f"trade {capital_usdt:f} USDT{' of real money' * real_money} with {fingerprint} until {until}"


def waive(home: Path, fleet_sha256: str, why: str, *, ask: Callable[[str], str]) -> None:
    """Let a fleet file be armed on mainnet without a paper record, once the phrase that `ask` shows was typed: it
    stands in the record of custody, with the reason. Raises Refused."""
    why = " ".join(why.split())
    if len(why) < _SHORTEST_REASON:
        raise Refused("--why is what somebody will read afterwards: say it in a sentence")
    phrase = f"real money without a paper record of {fleet_sha256[:12]}"
    if " ".join(ask(phrase).split()) != phrase:
        raise Refused(f'not waived: what was typed is not "{phrase}"')
    with KeyStore.open(home) as store, store.transaction():
        store.log(_now_ms(), WAIVED, None, fleet_sha256=fleet_sha256, why=why)


def arm(
    home: Path,
    market: str,
    *,
    capital_usdt: Decimal,
    hours: float,
    ask: Callable[[str], str],
    label: str | None = None,
    fleet_sha256: str = "",
    now_ms: int | None = None,
) -> Arming:
    """Arm, once the phrase that `ask` shows was typed; on mainnet for one fleet file, and only with a paper record.

    Raises Refused without that, for amounts and times that make no sense, without a key that may trade, and for another
    phrase."""
    record = _record(home, market, fleet_sha256)
    if not capital_usdt.is_finite() or capital_usdt <= 0:
        raise Refused("--capital is the most that may be bought less what is sold: more than 0 USDT")
    if not 0 < hours <= LONGEST_HOURS:
        raise Refused(f"--hours is how long orders may leave: more than 0, at most {LONGEST_HOURS}")
    now_ms = _now_ms() if now_ms is None else now_ms
    row = _key(_keys(home), market, label)
    _check_key(row)
    until_ms = now_ms + round(hours * 3_600_000)
    until_ms -= until_ms % _MINUTE_MS
    if until_ms <= now_ms:
        raise Refused("--hours is less than a minute: nothing could be traded")
    capital_usdt = Decimal(f"{capital_usdt.normalize():f}")
    phrase = phrase_of(capital_usdt, row.fingerprint, until_ms, real_money=market == "mainnet")
    if " ".join(ask(phrase).split()) != phrase:
        raise Refused(f'not armed: what was typed is not "{phrase}"')
    arming = Arming(
        market=market,
        label=row.label,
        fingerprint=row.fingerprint,
        capital_usdt=capital_usdt,
        until_ms=until_ms,
        armed_ms=now_ms,
        fleet_sha256=fleet_sha256 if record else "",
        record=record,
    )
    with KeyStore.open(home) as store, store.transaction():
        store.log(now_ms, ARMED, row.label, arming=msgspec.to_builtins(arming))
    return arming


def disarm(home: Path, why: str = "by hand") -> bool:
    """End the arming that stands; False where none did. A run that trades notices within some seconds."""
    if standing(home) is None:
        return False
    with KeyStore.open(home) as store, store.transaction():
        store.log(_now_ms(), DISARMED, None, why=why)
    return True


def standing(home: Path) -> Arming | None:
    """The last arming, expired or not; None where there was none, or where it was ended by hand."""
    if not database_path(home).exists():
        return None
    with KeyStore.open(home) as store:
        events = [event for event in store.events() if event.kind in (ARMED, DISARMED)]
    if not events or events[-1].kind == DISARMED:
        return None
    try:
        return msgspec.json.decode(events[-1].detail, type=_Detail).arming
    except msgspec.MsgspecError:
        raise Refused(
            "the record of the arming is not what quantlab wrote: `quantlab live arm` makes a new one"
        ) from None


def armed(
    home: Path,
    config: DoorConfig,
    *,
    fleet_usdt: Decimal,
    fleet_sha256: str,
    preflight: Mapping[str, Any] | None,
    now_ms: int | None = None,
) -> tuple[Armed, Arming]:
    """Leave to trade, from what stands armed and a pre-flight that passed: at the start of a run.

    Raises Refused for each thing that is not as it was armed: market, key, amount, time, on mainnet the fleet file; and
    without a pre-flight.
    """
    if preflight is None:
        raise Refused("live orders need a passed pre-flight: `quantlab preflight` says what is missing")
    arming = standing(home)
    if arming is None:
        raise Refused(
            "QUANTLAB_EXECUTION=live is set and nothing is armed: `quantlab live arm --capital USDT --hours N`"
        )
    if arming.market != config.market:
        raise Refused(f"armed is {arming.market}, and the market is {config.market}: arm it for this one")
    if why := lapsed(home, arming, _now_ms() if now_ms is None else now_ms):
        raise Refused(f"{why}: `quantlab live arm` arms it anew")
    if fleet_usdt > arming.capital_usdt:
        raise Refused(
            f"armed are {arming.capital_usdt:f} USDT and the fleet's bots have {fleet_usdt:f}: arm more, or take bots "
            "out of the fleet file"
        )
    if config.market == "mainnet" and arming.fleet_sha256 != fleet_sha256:
        raise Refused(
            f"armed is the fleet file {arming.fleet_sha256[:12]}, and this one is {fleet_sha256[:12]}: on mainnet what "
            "was rehearsed trades, to the last character"
        )
    return Armed(config, arming.fingerprint, arming.capital_usdt, arming.until_ms, arming.record), arming


def lapsed(home: Path, arming: Arming, now_ms: int) -> str:
    """Why `arming` does not hold any more; "" while it does. An arming follows its key through `vault rotate`."""
    if now_ms >= arming.until_ms:
        return f"the arming ended at {datetime.fromtimestamp(arming.until_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    now = standing(home)
    if now is None:
        return "it was disarmed"
    if now != arming:
        return "it was armed anew, for the next start"
    try:
        _check_key(successor(_keys(home), arming))
    except Refused as refusal:
        return str(refusal)
    return ""


def successor(rows: Sequence[KeyRow], arming: Arming) -> KeyRow:
    """The armed key, or what it was rotated to: each replaced by the next under its label. Raises Refused."""
    row = next((row for row in rows if row.fingerprint == arming.fingerprint), None)
    if row is None:
        raise Refused(f"the armed key {arming.fingerprint} is not in the vault any more")
    while row.state == "replaced":
        following = [new for new in rows if new.label == row.label and new.generation == row.generation + 1]
        if not following:
            raise Refused(f"the armed key {arming.fingerprint} was replaced, and by which is not known")
        row = following[-1]
    if row.environment != arming.market:
        raise Refused(f'key "{row.label}" is of {row.environment}, not of {arming.market}')
    return row


def _key(rows: list[KeyRow], market: str, label: str | None) -> KeyRow:
    held = [row for row in rows if row.environment == market and row.holds_secret]
    if label is not None:
        held = [row for row in held if label in (row.label, row.fingerprint)]
    if not held:
        named = f' called "{label}"' if label else ""
        raise Refused(f"the vault holds no key{named} for {market}: `quantlab vault add` takes one")
    if len(held) > 1:
        names = ", ".join(row.label for row in held)
        raise Refused(f"there are several keys for {market} ({names}): say which with --key")
    return held[0]


def _check_key(row: KeyRow) -> None:
    if row.state != "active":
        raise Refused(f'key "{row.label}" ({row.fingerprint}) is {row.state}: {row.state_why or "it signs nothing"}')
    if row.audit not in (_PASSED, _NOT_AUDITABLE):
        raise Refused(f'key "{row.label}" ({row.fingerprint}) was not audited: `quantlab vault audit` does it')
    if row.audit == _PASSED and TRADING not in (row.permissions or ()):
        raise Refused(
            f'key "{row.label}" ({row.fingerprint}) may not trade: allow spot trading at API Management, then '
            "`quantlab vault audit`"
        )


def _record(home: Path, market: str, fleet_sha256: str) -> str:
    """Why the fleet may trade real money; "" where it is none. Raises Refused."""
    if market != "mainnet":
        return ""
    if not fleet_sha256:
        raise Refused("on mainnet one fleet file is armed, the one that was rehearsed on paper: name it with --fleet")
    found = paper_record(home, fleet_sha256)
    if not found.ok:
        raise Refused(f"mainnet waits for a verified paper record of this fleet file: {found.words}")
    return found.words


def _keys(home: Path) -> list[KeyRow]:
    if not database_path(home).exists():
        return []
    with KeyStore.open(home) as store:
        return store.key_rows()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000

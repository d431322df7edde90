"""What only the user can know, as dated statements: a statement grows old, and is then asked for again."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from quantlab.ledger.keys import KeyStore, StatementRow
from quantlab.model.errors import ConfigurationError
from quantlab.preflight.facts import DAY_MS, NO_KEY, Facts
from quantlab.preflight.result import Check, Found, severities
from quantlab.vault.inventory import utc

#: Name → what the user states by it.
STATEMENTS = {
    "dedicated": "this key is used by quantlab alone: no other program, service or person has it",
    "2fa": "two-factor log-in is on for the exchange account",
    "anti-phishing": "the anti-phishing code is set for the exchange account",
    "withdrawal-whitelist": "withdrawals of the account go to whitelisted addresses only",
}
OLD_DAYS = 180
#: An old statement alerts, whatever the mode: it was true once.
AGED = severities("alert", "alert", "alert")
_SECURITY = "at binance.com, Account, Security"


def state(home: Path, names: Iterable[str]) -> None:
    """Write down that each of `names` is true today. Raises ConfigurationError for a name that is not in STATEMENTS."""
    _put(home, names, time.time_ns() // 1_000_000, "stated")


def unstate(home: Path, names: Iterable[str]) -> None:
    """Take statements back. The custody log keeps that they were made. Raises as `state`."""
    _put(home, names, 0, "statement taken back")


def _put(home: Path, names: Iterable[str], stated_ms: int, kind: str) -> None:
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in STATEMENTS:
            raise ConfigurationError(f'"{name}" is not one of the statements: {", ".join(STATEMENTS)}')
    if not names:
        return
    now_ms = time.time_ns() // 1_000_000
    with KeyStore.open(home, create=True) as store, store.transaction():
        for name in names:
            store.put(StatementRow(name=name, stated_ms=stated_ms, machine=platform.node()))
            store.log(now_ms, kind, None, statement=name)


def stated_ms(facts: Facts, name: str) -> int | None:
    """When a statement was made, None when it was not, was taken back, or is of the future."""
    found = next((row.stated_ms for row in facts.custody.statements if row.name == name), 0)
    return found if 0 < found <= facts.now_ms else None


def look_at_statement(facts: Facts, name: str, where: str = "") -> Found:
    """Whether a statement was made, and lately enough."""
    if not facts.keys and not facts.has_pair and facts.mode != "live":
        return NO_KEY
    made_ms = stated_ms(facts, name)
    again = f"`quantlab preflight --state {name}`"
    if made_ms is None:
        return Found("fail", "not stated", f"{where}{again}")
    age_days = (facts.now_ms - made_ms) // DAY_MS
    seen = f"stated {utc(made_ms)}: {STATEMENTS[name]}"
    if age_days > OLD_DAYS:
        return Found("fail", f"{seen}; that was {age_days} days ago", f"look again, then say it again: {again}", AGED)
    return Found("pass", seen)


CHECKS = (
    Check(
        "2fa",
        "Two-factor log-in",
        "who logs in as you makes keys of their own, whatever this one may do",
        severities("info", "alert", "block"),
        partial(look_at_statement, name="2fa", where=f"{_SECURITY}, switch on a passkey or an authenticator; then "),
    ),
    Check(
        "anti-phishing",
        "Anti-phishing code",
        "without a code of yours in it a forged mail of the exchange looks like a real one",
        severities("info", "info", "alert"),
        partial(look_at_statement, name="anti-phishing", where=f"{_SECURITY}, set the anti-phishing code; then "),
    ),
    Check(
        "withdrawal-whitelist",
        "Withdrawal address whitelist",
        "a thief with the account's password still could not send funds to an address of their own",
        severities("info", "info", "alert"),
        partial(
            look_at_statement, name="withdrawal-whitelist", where=f"{_SECURITY}, switch on the address whitelist; then "
        ),
    ),
)

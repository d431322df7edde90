"""Rows of keys: how one is found by its label, named, and moved from state to state. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from quantlab.ledger.keys import KeyRow, KeyState
from quantlab.model.errors import ConfigurationError, NotFound, Refused
from quantlab.redact import redact

Environment = Literal["mainnet", "testnet", "replay"]
ENVIRONMENTS: tuple[Environment, ...] = ("mainnet", "testnet", "replay")
#: How an audit ends. Only PASSED lets a key be used; NOT_AUDITABLE does on the testnet.
PASSED, NOT_AUDITABLE, UNREACHABLE = "passed", "not auditable", "unreachable"
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class Seen:
    """What an audit found out about a key, as the vault keeps it. Times are UTC ms."""

    status: str
    checked_ms: int
    permissions: tuple[str, ...] | None = None
    ip_restricted: bool | None = None
    address: str | None = None
    #: Why the key must not be used; empty when it may.
    refusals: tuple[str, ...] = ()
    #: What else is worth saying, such as why there was no answer.
    detail: str = ""


def find_key(rows: Sequence[KeyRow], label: str) -> KeyRow:
    """The row with this label, or fingerprint: the one that holds a secret before the newest that did. Raises NotFound
    naming the labels there are."""
    found = [row for row in rows if label in (row.label, row.fingerprint)]
    if not found:
        labels = ", ".join(f'"{name}"' for name in dict.fromkeys(row.label for row in rows if row.holds_secret))
        raise NotFound(f'no key "{label}" in the vault' + (f": there are {labels}" if labels else ", it is empty"))
    return max(found, key=lambda row: (row.holds_secret, row.id))


def check_label(label: str) -> None:
    """Raise ConfigurationError for a label that cannot be shown or reads like a fingerprint, Refused for one that looks
    like a secret."""
    shown = label.isprintable() and '"' not in label and label == label.strip()
    if not shown or not 1 <= len(label) <= _LONGEST_LABEL or _FINGERPRINT.fullmatch(label):
        raise ConfigurationError(
            f"a label has 1 to {_LONGEST_LABEL} characters, no quotes, no line ends, and is no fingerprint: such as "
            "Paper Trading"
        )
    check_words("label", label)


def check_words(what: str, words: str) -> None:
    """Raise Refused when words that are stored in the clear look like a secret, or are one that is known."""
    if redact(words) != words:
        raise Refused(f"the {what} looks like a secret, and it is stored in the clear: write other words")


def after_audit(row: KeyRow, seen: Seen | None) -> KeyRow:
    """A row with what an audit found: a pass makes it active, refusals lock it, no answer changes nothing.

    "not auditable" is a pass on the testnet only, which has no endpoint for permissions.
    """
    if seen is None or seen.status == UNREACHABLE:
        return row
    refusals = seen.refusals
    if not refusals and not (seen.status == PASSED or (seen.status == NOT_AUDITABLE and row.environment == "testnet")):
        refusals = (f"the audit ended {seen.status}",)
    state: KeyState = "locked" if refusals else "active"
    changed = msgspec.structs.replace(
        row,
        audited_ms=seen.checked_ms,
        audit=seen.status,
        permissions=seen.permissions if seen.permissions is not None else row.permissions,
        ip_restricted=seen.ip_restricted if seen.ip_restricted is not None else row.ip_restricted,
        address=seen.address or row.address,
    )
    why = "; ".join(refusals)
    return changed if (state, why) == (row.state, row.state_why) else in_state(changed, state, why, seen.checked_ms)


def in_state(row: KeyRow, state: KeyState, why: str, now_ms: int) -> KeyRow:
    """The row, moved to `state` at `now_ms`."""
    return msgspec.structs.replace(row, state=state, state_why=why, state_ms=now_ms)

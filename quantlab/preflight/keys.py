"""Checks of the keys: what they may do, from where, for whom, and whether every use of them is known."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable

from quantlab.ledger.keys import KeyRow
from quantlab.preflight.facts import DAY_MS, NO_KEY, Audited, Facts
from quantlab.preflight.result import Check, Found, Verdict, severities
from quantlab.preflight.stated import AGED, look_at_statement, stated_ms
from quantlab.vault.inventory import utc
from quantlab.vault.permissions import FORBIDDEN
from quantlab.vault.rows import NOT_AUDITABLE, PASSED, UNREACHABLE

#: How long the use of a key by somebody else is held against it, unless it was called dedicated since.
_FOREIGN_DAYS = 30
_NEW_MACHINE_DAYS = 7
#: Between the opening of a key for its audit and the answer, three attempts and their pauses at most.
_AUDIT_MS = 10 * 60_000
#: What quantlab's own processes are called in the record of use: the command, the module, a notebook's kernel.
_OURS = ("quantlab", "__main__.py", "ipykernel_launcher.py", "papermill")
_AUDIT = "`quantlab vault audit`"
_RESTRICTIONS = "at binance.com, API Management, Edit restrictions"


def _dedicated(facts: Facts) -> Found:
    if not facts.keys:
        if facts.mode != "live":
            return NO_KEY
        return Found("fail", f"there is no key for {facts.environment}", "`quantlab vault add --label LABEL`")
    labels = [f'"{row.label}"' for row in facts.keys]
    if len(labels) > 1:
        return Found(
            "fail",
            f"{len(labels)} keys for {facts.environment}: {', '.join(labels)}",
            "keep one: delete the others at the exchange, then `quantlab vault revoke LABEL`",
        )
    since_ms = max(facts.now_ms - _FOREIGN_DAYS * DAY_MS, stated_ms(facts, "dedicated") or 0)
    foreign = _foreign(facts, since_ms)
    if foreign:
        return Found(
            "fail",
            f"{labels[0]} was opened by {'; '.join(foreign)} in the last {_FOREIGN_DAYS} days",
            "if that was you, say so: `quantlab preflight --state dedicated`; if not: `quantlab panic`",
        )
    stated = look_at_statement(facts, "dedicated", "make a key for quantlab alone; then ")
    if stated.verdict != "pass":
        return Found(stated.verdict, f"{labels[0]}: {stated.detail}", stated.mend, stated.severity)
    return Found("pass", f"{labels[0]}, opened by quantlab on this machine alone; {stated.detail}")


def _foreign(facts: Facts, since_ms: int) -> list[str]:
    """The machines and programs that are not quantlab here, and opened one of the keys since."""
    ids = {row.id for row in facts.keys}
    users = {(use.program, use.machine) for use in facts.custody.uses if use.key_id in ids and use.opened_ms > since_ms}
    here = platform.node()
    return [
        f"{program or 'a program without a name'} on {machine}"
        for program, machine in sorted(users)
        if machine != here or not program.startswith(_OURS)
    ]


def _permissions(facts: Facts) -> Found:
    return _of_all(facts, _permissions_of)


def _permissions_of(facts: Facts, audited: Audited) -> Found:
    row, seen = audited.row, audited.seen
    mend = f"{_RESTRICTIONS}, switch it off, or make a key for quantlab alone; then {_AUDIT}"
    reasons = [line for line in _refusals(audited) if not _about_address(line)]
    if reasons:
        return Found("fail", "; ".join(reasons), mend)
    if seen is not None and seen.status == NOT_AUDITABLE and row.environment == "testnet":
        return Found("pass", "not auditable: the testnet tells no permissions, and this key works there alone")
    known = row.permissions or ()
    if bad := [name for name in known if name in FORBIDDEN]:
        return Found("fail", f"allowed are {', '.join(bad)}", mend)
    if _is_known(facts, audited):
        return Found("pass", f"allowed are {', '.join(known) or 'nothing'}, as of {utc(row.audited_ms)}")
    return _not_known(facts, audited)


def _addresses(facts: Facts) -> Found:
    if facts.keys and facts.environment == "testnet":
        return Found("not applicable", "the testnet does not bind keys to addresses")
    return _of_all(facts, _addresses_of)


def _addresses_of(facts: Facts, audited: Audited) -> Found:
    row = audited.row
    mend = f'{_RESTRICTIONS}, "Restrict access to trusted IPs only", add this machine\'s address; then {_AUDIT}'
    reasons = [line for line in _refusals(audited) if _about_address(line)]
    if reasons:
        return Found("fail", "; ".join(reasons), mend)
    if row.ip_restricted is False:
        return Found("fail", "the key works from every address (ipRestrict is false)", mend)
    if row.ip_restricted is None or not _is_known(facts, audited):
        return _not_known(facts, audited)
    here = audited.seen.address if audited.seen is not None else None
    words = f"this machine's own is {here}" if here else "set QUANTLAB_ADDRESS_URL to see this machine's own"
    return Found("pass", f"bound to addresses; to which, Binance does not tell, only whether: {words}")


def _refusals(audited: Audited) -> tuple[str, ...]:
    """Why the key must not be used: by the answer of just now, else why it stands locked. Not having been audited is
    no refusal."""
    if audited.seen is not None and audited.seen.refusals:
        return audited.seen.refusals
    row = audited.row
    if row.state != "locked" or (row.audit is None and row.audited_ms is None):
        return ()
    return tuple(row.state_why.split("; "))


def _about_address(refusal: str) -> bool:
    return "ipRestrict" in refusal or refusal.startswith("this machine's public address")


def _is_known(facts: Facts, audited: Audited) -> bool:
    """Whether the key passed an audit now, or no longer ago than a run lets pass between two. What a row says of an
    earlier audit counts only when the vault opened: then the row is the one that was sealed."""
    row = audited.row
    if row.state != "active" or row.audit not in (PASSED, NOT_AUDITABLE) or row.audited_ms is None:
        return False
    asked = audited.seen is not None and audited.seen.status != UNREACHABLE
    lately = 0 <= facts.now_ms - row.audited_ms <= facts.settings.audit_minutes * 60_000
    return asked or (lately and facts.vault is not None)


def _not_known(facts: Facts, audited: Audited) -> Found:
    row = audited.row
    why = facts.why_closed() if facts.vault is None else audited.why
    if audited.seen is not None:
        why = audited.seen.detail
    last = f"last audited {utc(row.audited_ms)}: {row.audit}" if row.audited_ms else "never audited"
    return Found("unknown", f"{last}; {why or 'the answer does not tell'}", _AUDIT)


def _of_all(facts: Facts, look: Callable[[Facts, Audited], Found]) -> Found:
    """What was found of each key of the environment, the worst deciding."""
    if not facts.keys:
        return NO_KEY
    found = [(audited.row, look(facts, audited)) for audited in facts.audits]
    verdict = _worst(one.verdict for _, one in found)
    detail = ". ".join(f'"{row.label}": {one.detail}' for row, one in found)
    return Found(verdict, detail, next((one.mend for _, one in found if one.verdict == verdict), ""))


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    order: tuple[Verdict, ...] = ("fail", "unknown", "pass", "not applicable")
    return min(verdicts, key=order.index)


def _record(facts: Facts) -> Found:
    if not facts.keys:
        return NO_KEY
    missing = [words for row in facts.keys if (words := _missing(facts, row))]
    if missing:
        return Found(
            "fail", "; ".join(missing), f"{_AUDIT}; if it stays so, the tables were changed: rotate the key at once"
        )
    new = _new_machines(facts)
    if new:
        return Found(
            "fail",
            f"first opened in the last {_NEW_MACHINE_DAYS} days by: {', '.join(new)}",
            "if you know the machine, nothing; if not: `quantlab panic`",
            AGED,
        )
    machines = sorted({use.machine for use in facts.custody.uses})
    times = len(facts.custody.uses)
    return Found("pass", f"{times} openings on record, by {', '.join(machines) or 'nobody'}")


def _missing(facts: Facts, row: KeyRow) -> str:
    """What the record lacks of a key."""
    custody = facts.custody
    taken_ms = max(row.created_ms, row.rotated_ms or 0)
    arrivals = {"key added", "key rotated", "backup restored"}
    if not any(event.kind in arrivals and event.label in (row.label, None) for event in custody.events):
        return f'"{row.label}": how it came here is not on record'
    if row.audited_ms is None or row.audited_ms <= taken_ms:  # audited on its way in, before there was a row to use
        return ""
    earliest_ms = row.audited_ms - _AUDIT_MS
    if any(use.key_id == row.id and earliest_ms <= use.opened_ms <= row.audited_ms for use in custody.uses):
        return ""
    return f'"{row.label}": no opening is on record for its audit of {utc(row.audited_ms)}'


def _new_machines(facts: Facts) -> list[str]:
    """Machines that opened a key for the first time lately, but for the one that was the first of all."""
    first: dict[str, int] = {}
    for use in facts.custody.uses:
        first[use.machine] = min(use.opened_ms, first.get(use.machine, use.opened_ms))
    oldest = min(first.values(), default=0)
    since_ms = facts.now_ms - _NEW_MACHINE_DAYS * DAY_MS
    return sorted(machine for machine, opened_ms in first.items() if opened_ms > oldest and opened_ms > since_ms)


CHECKS = (
    Check(
        "dedicated-key",
        "A key for quantlab alone",
        "a key that others use too cannot be revoked without breaking them, and what it does is not only ours",
        severities("alert", "alert", "block"),
        _dedicated,
    ),
    Check(
        "no-withdrawal",
        "No withdrawal, no transfer",
        "a key that can move funds empties the account when it is stolen",
        severities("alert", "block", "block"),
        _permissions,
    ),
    Check(
        "ip-whitelist",
        "Bound to addresses",
        "a stolen key is of no use from elsewhere",
        severities("alert", "block", "block"),
        _addresses,
    ),
    Check(
        "record-of-use",
        "Record of use complete",
        "after a theft the record tells what the key was used for, and by whom",
        severities("alert", "alert", "block"),
        _record,
    ),
)

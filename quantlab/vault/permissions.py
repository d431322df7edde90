"""What a key may do, judged from Binance's own answer: reading and spot trading, and nothing beside.

Pure: the decoded body of GET /sapi/v1/account/apiRestrictions goes in, a `Verdict` comes out. What cannot be excluded
is refused, so a field that is missing, unknown or of another type never passes. Fields: Binance wallet docs, "API key
permission", checked 2026-11-23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

READING = "enableReading"
TRADING = "enableSpotAndMarginTrading"
ADDRESSES = "ipRestrict"
CREATED, EXPIRES = "createTime", "tradingAuthorityExpirationTime"
#: Permissions that a key may have or not: reading over FIX is reading.
OPTIONAL = {TRADING: "spot trading", "enableFixReadOnly": "reading over FIX"}
#: Permissions that no key of quantlab may have, the ones that take money away first: (what is allowed, what follows).
FORBIDDEN: dict[str, tuple[str, str]] = {
    "enableWithdrawals": ("withdrawals are allowed", "who has this key can empty the account"),
    "permitsUniversalTransfer": ("universal transfers are allowed", "who has this key can move funds between wallets"),
    "enableInternalTransfer": ("internal transfers are allowed", "who has this key can send funds to other accounts"),
    "enableMargin": ("margin loans and transfers are allowed", "who has this key can borrow on the account"),
    "enableFutures": ("futures trading is allowed", "who has this key can lose more than the spot balance"),
    "enableVanillaOptions": ("options trading is allowed", "quantlab trades spot only"),
    "enablePortfolioMarginTrading": ("portfolio margin trading is allowed", "quantlab trades spot only"),
    "enableFixApiTrade": ("trading over FIX is allowed", "orders could pass by quantlab's guards"),
}
_KNOWN = {READING, ADDRESSES, CREATED, EXPIRES, *OPTIONAL, *FORBIDDEN}
_WHERE = "At binance.com, API Management, Edit restrictions"
#: Year 10000, ms: what lies beyond is no time.
_LAST_MS = 253_402_300_800_000
_LONGEST_NAME = 40


_EXPIRED = (
    "the trading authority of this key has ended (tradingAuthorityExpirationTime): it reads, and trades only when it "
    "is renewed at API Management"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a key may do and why it is refused.

    `refusals` are lines for the user, the ones about money leaving first; `permissions` the fields that are true;
    `recorded` unknown fields that are false; `notes` what does not refuse but should be read. Times in ms, UTC; None
    where Binance told none. `ip_restricted` is None where it was not told: *which* addresses, Binance never tells.
    """

    refusals: tuple[str, ...]
    permissions: tuple[str, ...]
    ip_restricted: bool | None
    created_ms: int | None
    expires_ms: int | None
    recorded: tuple[str, ...]
    notes: tuple[str, ...] = ()
    trading_expired: bool = False

    @property
    def passed(self) -> bool:
        return not self.refusals

    @property
    def can_trade(self) -> bool:
        """Whether the key passes and may trade on spot: a read-only key passes and may not."""
        return self.passed and TRADING in self.permissions and not self.trading_expired


def judge(answer: object, *, now_ms: int | None = None) -> Verdict:
    """Judge the decoded `answer`. Never raises, whatever JSON it is. With `now_ms` (the wall's) a trading authority
    that has ended is noted."""
    if not isinstance(answer, dict):
        words = f"Binance's answer about this key is {_kind(answer)}, not the list of its permissions: audit it again"
        return Verdict((words,), (), None, None, None, ())
    refusals = [_forbidden(name, answer) for name in FORBIDDEN]
    refusals.append(_addresses(answer))
    refusals.append(_reading(answer))
    refusals += [_optional(name, answer) for name in OPTIONAL]
    refusals += [_not_a_time(name, answer) for name in (CREATED, EXPIRES)]
    unknown = [name for name in answer if name not in _KNOWN]
    refusals += [_unknown(name, answer[name]) for name in unknown if answer[name] is not False]
    expires_ms = _time(answer, EXPIRES)
    expired = expires_ms is not None and now_ms is not None and 0 < expires_ms <= now_ms
    bound = answer.get(ADDRESSES)
    return Verdict(
        refusals=tuple(line for line in refusals if line),
        permissions=tuple(_shown(name) for name in answer if answer[name] is True and name != ADDRESSES),
        ip_restricted=bound if isinstance(bound, bool) else None,
        created_ms=_time(answer, CREATED),
        expires_ms=expires_ms,
        recorded=tuple(_shown(name) for name in unknown if answer[name] is False),
        notes=(_EXPIRED,) if expired else (),
        trading_expired=expired,
    )


def _forbidden(name: str, answer: dict[Any, Any]) -> str:
    allowed, so = FORBIDDEN[name]
    if answer.get(name) is True:
        return f"{allowed} ({name}): {so}. {_WHERE}, switch it off, or make a key for quantlab alone"
    return "" if answer.get(name) is False else _not_excluded(name, allowed, answer)


def _addresses(answer: dict[Any, Any]) -> str:
    told = answer.get(ADDRESSES)
    if told is True:
        return ""
    if told is False:
        return (
            "the key works from every address (ipRestrict): who copies it can use it anywhere. "
            f'{_WHERE}, choose "Restrict access to trusted IPs only" and add this machine\'s address'
        )
    return _not_excluded(ADDRESSES, "use from every address is allowed", answer)


def _reading(answer: dict[Any, Any]) -> str:
    if answer.get(READING) is True:
        return ""
    if answer.get(READING) is False:
        return f'reading is not allowed ({READING}): the key cannot be watched. {_WHERE}, tick "Enable Reading"'
    return _not_excluded(READING, "reading is allowed", answer)


def _optional(name: str, answer: dict[Any, Any]) -> str:
    return "" if isinstance(answer.get(name), bool) else _not_excluded(name, f"{OPTIONAL[name]} is allowed", answer)


def _not_excluded(name: str, allowed: str, answer: dict[Any, Any]) -> str:
    told = f"Binance's answer has {name} as {_kind(answer[name])}" if name in answer else f"{name} is missing"
    return f"whether {allowed} is not known: {told}. Audit again; if it stays so, do not use this key"


def _not_a_time(name: str, answer: dict[Any, Any]) -> str:
    if name not in answer or _time(answer, name) is not None:
        return ""
    return f"{name} is {_kind(answer[name])}, not a time in ms: Binance's answer cannot be trusted. Audit again"


def _time(answer: dict[Any, Any], name: str) -> int | None:
    value = answer.get(name)
    return value if type(value) is int and 0 <= value < _LAST_MS else None


def _unknown(name: object, value: object) -> str:
    told = "true" if value is True else _kind(value)
    return (
        f'permission "{_shown(name)}" is {told}, and this version of quantlab does not know it. {_WHERE}, switch it '
        "off, or update quantlab"
    )


def _kind(value: object) -> str:
    """What a value is, never the value: an answer may hold anything."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return "null" if value is None else kinds.get(type(value), "an object")


def _shown(name: object) -> str:
    """A field's name as it may be shown: one line, not long."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(name))
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"

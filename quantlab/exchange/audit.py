"""What the exchange says of a key: which permissions it has, whether it still works, or that this cannot be known."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from quantlab.exchange.config import DoorConfig
from quantlab.exchange.egress import Egress, unwritten
from quantlab.exchange.keyed import KeyedReader
from quantlab.exchange.weight.budget import Budget
from quantlab.model.errors import ExchangeError, ExchangeUnreachable, MalformedMessage, Refused
from quantlab.model.protocols import Signer
from quantlab.vault.permissions import Verdict, judge

Status = Literal["passed", "refused", "rejected", "not auditable", "unreachable"]

#: Binance does not say which of key, address and permission it minds. Source: spot error codes, checked 2026-11-23.
_REJECTED = {
    -2008: "the key",  # "Invalid Api-Key ID.": unknown or deleted
    -2014: "the form of the key",
    -2015: "the key, its address or its permissions",
    -1022: "the signature: the secret may not be the one of this key",
}
_NOT_AUDITABLE = "the testnet does not tell permissions (it has no /sapi): this key works, and is for the testnet alone"


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found. Only "passed" and, on the testnet, "not auditable" let a key be used.

    `verdict` is there when permissions were told ("passed", "refused"). `reasons` are lines for the user. `checked_ms`
    is our wall clock; `clock_skew_ms` is our wall clock minus the exchange's, None where its clock was not read.
    """

    status: Status
    verdict: Verdict | None
    reasons: tuple[str, ...]
    checked_ms: int
    clock_skew_ms: float | None


async def audit(
    config: DoorConfig,
    signer: Signer,
    *,
    environment: str,
    egress: Egress = unwritten,
    budget: Budget | None = None,
) -> Audit:
    """Audit the key of `signer`, which belongs to `environment`: one signed read, in a client of its own.

    A failure of the exchange is a status, never an exception. Raises Refused, before anything leaves, when the door
    opens to another environment than the key's; and what `egress` raises.
    """
    if environment != config.market:
        raise Refused(f"a key of {environment} is not shown to {config.market}: audit it on its own exchange")
    status: Status
    reasons: tuple[str, ...]
    verdict: Verdict | None = None
    async with KeyedReader(config, signer, egress, budget=budget) as reader:
        try:
            answer = await (reader.account() if environment == "testnet" else reader.restrictions())
        except ExchangeError as error:
            rejected = error.code in _REJECTED or (error.status == 401 and error.code != 0)
            status = "rejected" if rejected else "unreachable"
            reasons = (_rejection(error.code), str(error)) if rejected else (str(error),)
        except (ExchangeUnreachable, MalformedMessage, Refused) as error:
            status, reasons = "unreachable", (str(error),)
        else:
            status, verdict, reasons = _judged(answer, environment)
        return Audit(status, verdict, reasons, _wall_ms(), reader.clock_skew_ms)


def _judged(answer: object, environment: str) -> tuple[Status, Verdict | None, tuple[str, ...]]:
    if environment == "testnet":
        if isinstance(answer, dict) and isinstance(answer.get("balances"), list):
            return "not auditable", None, (_NOT_AUDITABLE,)
        return "unreachable", None, ("the testnet's answer is not the account that Binance documents: audit again",)
    verdict = judge(answer, now_ms=_wall_ms())
    return ("passed", verdict, verdict.notes) if verdict.passed else ("refused", verdict, verdict.refusals)


def _rejection(code: int) -> str:
    what = _REJECTED.get(code, "the key")
    return (
        f"Binance refuses {what} (code {code}) and does not tell which of three it is: the key was deleted or is "
        "wrong, this machine's public address has changed or is not on the key's whitelist, or the key may not "
        "read. Compare the address with the whitelist at API Management first"
    )


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000

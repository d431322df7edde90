"""What kinds of failure there are, and what follows from each: for a read, and for anything that changes an account."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from quantlab.model.errors import ExchangeError, QuantlabError


class Kind(StrEnum):
    """Why a request failed. The kind decides what may be done next; the words are for people.

    After `UNKNOWN_OUTCOME` a change of the account may have been made: ask the exchange for it, never send it again. Of
    an order all others but `MALFORMED`, which only a read can be, say that nothing was done; after `TRANSIENT`, `RATE`
    and `CLOCK` it may be sent once more.
    """

    #: Not now: nothing was done, and the same question may be answered in a moment.
    TRANSIENT = "transient"
    #: Not at all from here until somebody repairs something: a certificate, a proxy, a sign-in page. Apart from
    #: transient because asking again at once cannot help. Nothing was done.
    UNREACHABLE = "unreachable"
    #: Too much was asked of the exchange: `Failure.pause_s` says for how long to be quiet.
    RATE = "rate"
    #: The stamp was too early or too late: measure the clock, sign anew, send once more.
    CLOCK = "clock"
    #: The key, its signature, its address or its permissions.
    AUTH = "auth"
    #: Understood and turned down: the same request will be turned down again.
    REFUSED = "refused"
    #: It may have been done: a change of the account that was sent and not answered for.
    UNKNOWN_OUTCOME = "unknown outcome"
    #: Not what Binance documents: a web page, half an answer, another type.
    MALFORMED = "malformed"


#: Whom a pause binds: everybody at this address, orders of this account, or only the request that was told.
PauseFor = Literal["address", "orders", "request"]

_READ_AGAIN = frozenset({Kind.TRANSIENT, Kind.RATE, Kind.MALFORMED})
_BANNED = 418


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong: the error to raise, its kind, and how long (seconds) the exchange told whom to wait."""

    error: QuantlabError
    kind: Kind
    pause_s: float = 0.0
    pause_for: PauseFor = "address"

    @property
    def transient(self) -> bool:
        """Whether a *read* may be asked again. Not while banned: each request more makes the ban longer."""
        banned = isinstance(self.error, ExchangeError) and self.error.status == _BANNED
        return self.kind in _READ_AGAIN and not banned

    @property
    def stops_all_s(self) -> float:
        """For how long nobody at this address may ask anything."""
        return self.pause_s if self.pause_for == "address" else 0.0


def is_read(method: str) -> bool:
    """Whether a request changes nothing, so that it has no outcome to lose."""
    return method.upper() in ("GET", "HEAD")

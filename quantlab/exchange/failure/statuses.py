"""What each HTTP status means that Binance, or anything that stands before it, answers with.

Source: Binance spot REST docs, "HTTP Return Codes" (403, 409, 418, 429, 5xx), checked 2026-11-23; RFC 9110 and RFC 6585
for the others; 520–530 are those of Cloudflare's proxies. The kinds are those of an order, as in `codes`.
"""

from __future__ import annotations

from typing import NamedTuple

from quantlab.exchange.failure.taxonomy import Kind


class Status(NamedTuple):
    """The kind of failure a status is for an order, and a hint in plain words where one helps."""

    kind: Kind
    hint: str = ""


_BUG = "this is a fault of quantlab's: please report it with this line"
_FRONT = "a server in front of the exchange has trouble with the one behind it: it passes"
_SIGN_IN = "this network wants a sign-in first: open any page in a browser, then try again"

STATUSES: dict[int, Status] = {
    400: Status(Kind.REFUSED),
    401: Status(Kind.AUTH),
    402: Status(Kind.REFUSED),
    403: Status(
        Kind.REFUSED,
        "the exchange's firewall turned this address away: wait some minutes and ask less often; a VPN or a shared "
        "address can be the cause",
    ),
    404: Status(Kind.REFUSED, "there is nothing at this path: the exchange may have changed it"),
    405: Status(Kind.REFUSED, _BUG),
    406: Status(Kind.REFUSED, _BUG),
    407: Status(Kind.UNREACHABLE, "a proxy stands in between and wants a password: quantlab uses none"),
    # Binance does not document 408: a server in front gave up waiting, and how far the request got is not known.
    408: Status(Kind.UNKNOWN_OUTCOME, "the request took too long to arrive"),
    409: Status(Kind.UNKNOWN_OUTCOME, "one half was done: ask for both orders"),
    410: Status(Kind.REFUSED, "this path was taken out of service"),
    413: Status(Kind.REFUSED, _BUG),
    414: Status(Kind.REFUSED, "too much was asked at once: ask for fewer symbols"),
    415: Status(Kind.REFUSED, _BUG),
    418: Status(Kind.RATE),
    421: Status(Kind.UNREACHABLE, "something in between sent this to the wrong server"),
    425: Status(Kind.TRANSIENT),
    429: Status(Kind.RATE),
    431: Status(Kind.REFUSED, _BUG),
    451: Status(
        Kind.REFUSED,
        "the exchange does not serve this region: it goes by the address you come from. Run where it may be used, or "
        "replay: quantlab demo",
    ),
    500: Status(Kind.UNKNOWN_OUTCOME),
    502: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    503: Status(Kind.UNKNOWN_OUTCOME, "overloaded or under maintenance: binance.com/en/support/announcement"),
    504: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    511: Status(Kind.UNREACHABLE, _SIGN_IN),
    520: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    521: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    522: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    523: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    524: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    525: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    526: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    527: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
    530: Status(Kind.UNKNOWN_OUTCOME, _FRONT),
}


def status_of(status: int) -> Status:
    """What `status` means. One that is not in the table goes by its hundred: 5xx may have been done, 4xx was turned
    down, anything else is no answer that Binance documents."""
    known = STATUSES.get(status)
    if known is not None:
        return known
    if status >= 500:
        return Status(Kind.UNKNOWN_OUTCOME)
    return Status(Kind.REFUSED if status >= 400 else Kind.MALFORMED)

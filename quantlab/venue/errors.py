"""Binance's error answers. Codes and words: Binance spot REST docs, "Error codes", checked 2026-11-23."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantlab.venue.masking import masked

LEGAL_SYMBOL = "^[A-Z0-9-_.]{1,20}$"
LEGAL_SYMBOLS = '^\\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\\]$'
LEGAL_INTEGER = "^[0-9]{1,20}$"
LEGAL_DECIMAL = "^([0-9]{1,20})(\\.[0-9]{1,20})?$"
LEGAL_CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"


class VenueError(Exception):
    """An error answer: HTTP `status`, `headers`, and `{"code", "msg"}`, with `data` where it says more."""

    def __init__(
        self,
        code: int,
        message: str,
        status: int = 400,
        headers: Mapping[str, str] | None = None,
        *,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = dict(headers or {})
        self.data = data

    @property
    def body(self) -> dict[str, Any]:
        told: dict[str, Any] = {"code": self.code, "msg": self.message}
        return told if self.data is None else {**told, "data": self.data}


def bad_symbol() -> VenueError:
    return VenueError(-1121, "Invalid symbol.")


def missing(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def empty(name: str) -> VenueError:
    return VenueError(-1105, f"Parameter '{name}' was empty.")


def illegal(name: str, legal: str) -> VenueError:
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def invalid(name: str) -> VenueError:
    return VenueError(-1130, f"Data sent for parameter '{name}' is not valid.")


def bad_combination() -> VenueError:
    return VenueError(-1128, "Combination of optional parameters invalid.")


def bad_interval() -> VenueError:
    return VenueError(-1120, "Invalid interval.")


def bad_timestamp(*, ahead: bool) -> VenueError:
    if ahead:
        return VenueError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    return VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")


def bad_signature() -> VenueError:
    return VenueError(-1022, "Signature for this request is not valid.")


def bad_key_format() -> VenueError:
    return VenueError(-2014, "API-key format invalid.", 401)


def rejected_key() -> VenueError:
    return VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def rejected_order(why: str) -> VenueError:
    return VenueError(-2010, why)


def insufficient_balance() -> VenueError:
    return rejected_order("Account has insufficient balance for requested action.")


def filter_failure(name: str) -> VenueError:
    return VenueError(-1013, f"Filter failure: {name}")


def not_supported(what: str) -> VenueError:
    return VenueError(-1013, f"{what} are not supported for this symbol.")


def unknown_order() -> VenueError:
    return VenueError(-2013, "Order does not exist.")


def nothing_to_cancel() -> VenueError:
    return VenueError(-2011, "Unknown order sent.")


def not_played(what: str) -> VenueError:
    """What Binance may have and the venue does not. The words are ours."""
    return VenueError(0, f"The replay venue has recorded {masked(what)} and does not play it.", 404)

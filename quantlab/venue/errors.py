"""Binance's error answers. Codes and words: Binance spot REST docs, errors, checked 2026-11-23."""

from __future__ import annotations


class VenueError(Exception):
    """An error answer: HTTP `status` and `{"code", "msg"}`."""

    def __init__(self, code: int, message: str, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.headers = headers or {}


def bad_symbol() -> VenueError:
    return VenueError(-1121, "Invalid symbol.")


def missing(name: str) -> VenueError:
    return VenueError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def illegal(name: str) -> VenueError:
    return VenueError(-1100, f"Illegal characters found in parameter '{name}'.")


def bad_interval() -> VenueError:
    return VenueError(-1120, "Invalid interval.")


def bad_timestamp(ahead: bool) -> VenueError:
    words = "1000ms ahead of the server's time." if ahead else ""
    if ahead:
        return VenueError(-1021, f"Timestamp for this request was {words}")
    return VenueError(-1021, "Timestamp for this request is outside of the recvWindow.")


def bad_signature() -> VenueError:
    return VenueError(-1022, "Signature for this request is not valid.")


def bad_key_format() -> VenueError:
    return VenueError(-2014, "API-key format invalid.", 401)


def rejected_key() -> VenueError:
    return VenueError(-2015, "Invalid API-key, IP, or permissions for action.", 401)


def unknown_order() -> VenueError:
    return VenueError(-2013, "Order does not exist.")

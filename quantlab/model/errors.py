"""The error taxonomy: every failure a user can meet is one of these, with one line that says what to do.

The exit code of the `quantlab` command is the class's, so scripts can tell "wrong configuration" from
"refused for safety" without reading text.
"""

from __future__ import annotations

from typing import ClassVar


class QuantlabError(Exception):
    """Something failed; the message is one line: what is wrong and what to do about it."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(QuantlabError):
    """Wrong usage or configuration: settings, fleet file, command line, parameters."""

    exit_code = 2


class Refused(QuantlabError):
    """Refused for safety: an order in paper mode, a readable `.env`, a public bind without a token."""

    exit_code = 3


class ExchangeUnreachable(QuantlabError):
    """The exchange (or the replay venue) did not answer in time, or cannot be reached at all."""

    exit_code = 4


class NotFound(QuantlabError):
    """The run, symbol, file or data asked for does not exist."""

    exit_code = 5


class ExchangeError(QuantlabError):
    """The exchange answered with an error. `code` is Binance's (0 where it gave none), `status` the HTTP status."""

    def __init__(self, message: str, *, status: int = 0, code: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class OutcomeUnknown(ExchangeError):
    """A change of the account was sent, and whether it was made is not known: ask for it, never send it again."""

    exit_code = 4


class StaleBook(QuantlabError):
    """A book is not in sync with the exchange: never trade on a guess."""


class MalformedMessage(QuantlabError):
    """A frame or an answer does not have the form Binance documents."""


def error_of_exit_code(code: int, line: str) -> QuantlabError:
    """The error that a `quantlab` process ended with, from its exit code and its line on stderr."""
    classes = (ConfigurationError, Refused, ExchangeUnreachable, NotFound)
    return next((error(line) for error in classes if error.exit_code == code), QuantlabError(line))

"""What is asked of one stream connection, in batches, and what the exchange says to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from quantlab.model.errors import ConfigurationError, ExchangeError

#: Source: Binance spot WebSocket streams docs, "WebSocket Limits", checked 2026-11-23.
MAX_STREAMS = 1024
STREAMS_A_MESSAGE = 200
_NAMED = 5


class Refusal(NamedTuple):
    """A batch that the exchange refused: why, in its own words and number."""

    streams: Sequence[str]
    reason: str
    code: int


class Subscription:
    """The streams of one connection. Raises ConfigurationError for more than one may carry, or none."""

    def __init__(self, streams: Sequence[str]) -> None:
        self.streams = list(dict.fromkeys(streams))
        if not 0 < len(self.streams) <= MAX_STREAMS:
            raise ConfigurationError(f"{len(self.streams)} streams: one connection carries 1 to {MAX_STREAMS}")
        self.refusals: list[Refusal] = []

    def commands(self) -> Iterator[tuple[int, str]]:
        """The commands that ask for all of it: (id, frame)."""
        for number, start in enumerate(range(0, len(self.streams), STREAMS_A_MESSAGE), start=1):
            command = {"method": "SUBSCRIBE", "params": self._batch(start), "id": number}
            yield number, msgspec.json.encode(command).decode()

    def hear(self, raw: bytes, number: int) -> bool:
        """Whether `raw` answers command `number`. A refusal is kept: the rest may still be had."""
        try:
            message = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return False
        if not isinstance(message, dict):
            return False
        fault = _fault(message)
        # A frame that the exchange could not read is refused without an id.
        if message.get("id") != number and not (fault and message.get("id") is None):
            return False
        if message.get("result", 0) is None:
            return True
        start = (number - 1) * STREAMS_A_MESSAGE
        said: Any = fault or message
        reason, code = str(said.get("msg", said)), said.get("code", 0)
        self.refusals.append(Refusal(self._batch(start), reason, code if isinstance(code, int) else 0))
        return True

    def error(self) -> ExchangeError | None:
        """What was refused, by name; None when all was granted."""
        if not self.refusals:
            return None
        lost = [name for refusal in self.refusals for name in refusal.streams]
        named = " ".join(lost[:_NAMED]) + (f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else "")
        first = self.refusals[0]
        return ExchangeError(
            f"the exchange refused the subscription: {first.reason} "
            f"({len(lost)} of {len(self.streams)} streams: {named}): check that these symbols trade there",
            code=first.code,
        )

    def _batch(self, start: int) -> list[str]:
        return self.streams[start : start + STREAMS_A_MESSAGE]


def _fault(message: dict[str, Any]) -> dict[str, Any] | None:
    """The fault in an answer: an object `error`, or `code` and `msg` at the top."""
    fault = message.get("error")
    if isinstance(fault, dict):
        return fault
    return message if "code" in message and "msg" in message else None

"""One fault: what happens, to what, and when.

`match` is a part of a request's path, of a WebSocket API method or of a stream's name; "" matches all. Each of the
matching requests or events is counted while market time lies in the window, and the fault strikes those that `every`,
`probability` and `times` choose. Draws are functions of `seed` and the count, so a replay in lock-step is struck in
the same places each time.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from typing import Any

from quantlab.model.errors import ConfigurationError

#: Kind → the fields that it takes. To answers, and to the opening of a socket as far as that makes sense:
REQUEST_KINDS: dict[str, tuple[str, ...]] = {
    "status": ("status", "code", "msg", "body", "headers", "retry_after", "processed"),
    "ban": ("ban_s",),
    "latency": ("ms", "jitter_ms"),
    "drop": ("processed",),
    "html": (),
    "empty": (),
    "string": ("body",),
    "truncate": (),
    "stale_snapshot": ("back",),
}
#: To the time that the venue tells and checks signatures by:
CLOCK_KINDS: dict[str, tuple[str, ...]] = {"clock": ("skew_ms",)}
#: To the SUBSCRIBE that names a matching stream:
COMMAND_KINDS: dict[str, tuple[str, ...]] = {"subscribe_refused": ("msg",), "subscribe_unanswered": ()}
#: To an event of a stream:
EVENT_KINDS: dict[str, tuple[str, ...]] = {
    "gap": (),
    "silence": (),
    "duplicate": (),
    "reorder": ("by",),
    "malformed": (),
    "off_grid": (),
}
#: To every connection that reads the stream of the struck event:
CONNECTION_KINDS: dict[str, tuple[str, ...]] = {
    "disconnect": (),
    "half_open": (),
    "no_pings": (),
    "server_shutdown": ("close_after_ms",),
    "lifetime": ("life_ms",),
}
KINDS = {**REQUEST_KINDS, **CLOCK_KINDS, **COMMAND_KINDS, **EVENT_KINDS, **CONNECTION_KINDS}
_WHEN = ("match", "kind", "times", "after_ms", "until_ms", "after_events", "every", "probability", "seed")
#: These happen once unless `times` says otherwise.
_ONCE = ("ban", "disconnect", "half_open", "no_pings", "server_shutdown", "subscribe_refused", "subscribe_unanswered")

#: Status and words where a fault gives a code alone. Words: Binance spot REST docs, "Error codes", checked 2026-11-23;
#: the docs leave the status of -1006 and -1007 open ("5XX").
_OF_CODE = {
    -1000: (503, "An unknown error occurred while processing the request."),
    -1001: (503, "Internal error; unable to process your request. Please try again."),
    -1003: (429, "Too many requests queued."),
    -1006: (502, "An unexpected response was received from the message bus. Execution status unknown."),
    -1007: (
        504, "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
    -1008: (503, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
}  # fmt: skip
#: Code and words where a fault gives a status alone.
_OF_STATUS = {
    429: (-1003, _OF_CODE[-1003][1]),
    451: (0, "Service unavailable from a restricted location."),
}

_NATURAL = ("times", "after_ms", "until_ms", "after_events", "back", "retry_after", "close_after_ms")
_POSITIVE = ("every", "by", "life_ms")
_WHOLE = (*_NATURAL, *_POSITIVE, "seed", "status", "code", "skew_ms")
_NUMBERS = ("ms", "jitter_ms", "ban_s", "probability")


@dataclass
class Fault:
    """Times are ms of market time since its start; `ms`, `jitter_ms`, `ban_s` and `skew_ms` are of the wall clock."""

    match: str
    kind: str
    times: int | None = None  # how often it strikes at most
    after_ms: int = 0  # the window: from here
    until_ms: int | None = None  # to here, exclusive
    after_events: int = 0  # how many are let through first
    every: int = 1  # then each n-th is struck
    probability: float = 1.0
    seed: int = 0
    status: int | None = None
    code: int | None = None
    msg: str | None = None
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    retry_after: int | None = None  # s
    processed: bool | None = None  # whether the request is obeyed before its answer is lost
    ban_s: float = 120.0
    ms: float = 0.0
    jitter_ms: float = 0.0
    back: int = 1_000  # updates
    by: int = 1  # events of the same stream that overtake
    skew_ms: int = 0
    close_after_ms: int = 600_000
    life_ms: int = 86_400_000
    seen: int = field(default=0, init=False)
    struck: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        _check(self)
        if self.times is None and self.kind in _ONCE:
            self.times = 1
        if self.processed is None:
            self.processed = self.kind == "drop"
        if self.kind == "status":
            code, words = _OF_STATUS.get(self.status or 0, (-1000, _OF_CODE[-1000][1]))
            self.code = code if self.code is None else self.code
            status, words = _OF_CODE.get(self.code, (503, words))
            self.status = status if self.status is None else self.status
            self.msg = words if self.msg is None else self.msg

    @classmethod
    def of(cls, row: dict[str, Any]) -> Fault:
        """A fault from a table. Raises ConfigurationError for what is unknown, missing, or not of its kind."""
        if not isinstance(row, dict):
            raise ConfigurationError("faults are a list of tables")
        kind = row.get("kind")
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigurationError(f'fault kind "{kind}": there are {", ".join(KINDS)}')
        takes = _WHEN + KINDS[kind]
        for name in row:
            if name not in takes:
                raise ConfigurationError(f'fault "{kind}" takes no {name}, but {", ".join(takes)}')
        if "match" not in row:
            raise ConfigurationError(f'fault "{kind}": match is missing ("" matches all)')
        return cls(**row)

    @property
    def row(self) -> dict[str, Any]:
        """Its table, in full, and how often it has struck."""
        takes = _WHEN + KINDS[self.kind] + ("struck",)
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name in takes}

    @property
    def reaches(self) -> bool:
        """Whether the request that it happens to is obeyed all the same."""
        return self.kind not in ("status", "drop") or bool(self.processed)

    @property
    def told(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content of the answer that a "status" gives."""
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        content = json.dumps({"code": self.code, "msg": self.msg}) if self.body is None else self.body
        headers = {**retry, **{name: str(value) for name, value in self.headers.items()}}
        return self.status or 503, headers, content.encode()

    def delay_s(self) -> float:
        """How long a "latency" lasts this time."""
        return (self.ms + self.jitter_ms * self.draw("jitter")) / 1000

    def is_open(self, ms: int) -> bool:
        """Whether it may still strike at `ms` of market time."""
        over = self.until_ms is not None and ms >= self.until_ms
        return self.after_ms <= ms and not over and (self.times is None or self.struck < self.times)

    def strikes(self, name: str, ms: int) -> bool:
        """Whether it happens to `name` at `ms`; counts it."""
        if self.match not in name or not self.is_open(ms):
            return False
        self.seen += 1
        number = self.seen - self.after_events - 1
        if number < 0 or number % self.every or self.draw("strike") >= self.probability:
            return False
        self.struck += 1
        return True

    def draw(self, purpose: str) -> float:
        """A number from 0 to 1 for the request or event that was counted last."""
        text = f"{self.seed}:{self.kind}:{self.match}:{purpose}:{self.seen}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest(), "big") / 2**56


def _check(fault: Fault) -> None:
    for one in fields(fault):
        name, value = one.name, getattr(fault, one.name)
        if value is None:
            continue
        if name in _WHOLE:
            right = type(value) is int and value >= (1 if name in _POSITIVE else 0 if name in _NATURAL else value)
        elif name in _NUMBERS:
            right = type(value) in (int, float) and value >= 0
        elif name == "headers":
            right = isinstance(value, dict)
        elif name == "processed":
            right = isinstance(value, bool)
        else:
            right = name in ("seen", "struck") or isinstance(value, str)
        if not right:
            raise ConfigurationError(f'fault "{fault.kind}": {name} = {value!r} has the wrong type or size')
    if not fault.probability <= 1:
        raise ConfigurationError(f'fault "{fault.kind}": probability = {fault.probability!r} is above 1')
    if fault.until_ms is not None and fault.until_ms <= fault.after_ms:
        raise ConfigurationError(f'fault "{fault.kind}": until_ms = {fault.until_ms} is not after after_ms')
    if fault.status is not None and not 200 <= fault.status <= 599:
        raise ConfigurationError(f'fault "{fault.kind}": status = {fault.status} is no status of an answer')

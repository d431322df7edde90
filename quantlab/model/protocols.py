"""The doors between the rooms: small protocols, so that each side can be replaced and tested alone.

The engine is a function of its *input log*: frames in the order received, answers, commands and marks at their
position. Live, the door pushes entries into a `Sink`; in a replay the recording does. Nothing else differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from quantlab.model.market import Trade
from quantlab.model.orders import Fill, Order, Receipt


class Clock(Protocol):
    """The door's clock (budget, timeouts, signatures). Trading decisions never read it: they read engine time."""

    def wall_ms(self) -> int: ...

    def monotonic(self) -> float: ...


class Sink(Protocol):
    """Where a feed delivers, in the order received."""

    def frame(self, raw: bytes) -> None:
        """One combined-stream frame, `{"stream": …, "data": …}`. Synchronous: when it returns, it is consumed."""
        ...

    def mark(self, kind: str, detail: str) -> None:
        """Something that is not market data: "connected"; "disconnected" or "silent", and "reconnected", with a gap
        between them; "handover" where the next connection took over without one."""
        ...

    @property
    def unsettled(self) -> bool:
        """True when an answer (a book's snapshot, candles) is needed."""
        ...

    async def settle(self) -> None:
        """Fetch what is needed. In a replay the feed awaits it between two frames, so that the answer's place in the
        input log is the same in every run on the venue; on an exchange frames go on meanwhile, and it is cancelled when
        the connection ends."""
        ...


class Feed(Protocol):
    """The one stream connection of a run, shared by all bots."""

    async def run(self, streams: Sequence[str], sink: Sink) -> None:
        """Subscribe to `streams` (such as "btcusdt@bookTicker") and deliver until `stop`, over reconnects."""
        ...

    async def stop(self) -> None: ...


class CandleSource(Protocol):
    """REST market data. Answers are the exchange's JSON bytes, so that they can enter the input log as they came."""

    async def exchange_info(self, symbols: Sequence[str] | None = None) -> bytes: ...

    async def klines(
        self,
        symbol: str,
        timeframe: str,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        limit: int = 1000,
    ) -> bytes: ...

    async def depth(self, symbol: str, limit: int = 100) -> bytes: ...

    async def agg_trades(self, symbol: str, *, from_id: int | None = None, limit: int = 1000) -> bytes: ...

    async def ticker_24h(self, symbols: Sequence[str] | None = None) -> bytes: ...

    async def server_time_ms(self) -> int: ...


class Journal(Protocol):
    """The one writer of the ledger. Each call queues a row and returns a ticket; a row is acknowledged only when
    `wait(ticket)` has returned: then it is committed with `synchronous=FULL`."""

    def order(self, order: Order) -> int:
        """A new order, or its new state (same `(bot, number)`)."""
        ...

    def fill(self, fill: Fill, receipt: Receipt) -> int: ...

    def equity(self, rows: Sequence[tuple[int, int, float, float, float]]) -> int:
        """Rows of (time_ms, bot, equity, cash, position value), quote units. Bot -1 is the whole fleet."""
        ...

    def bounds(self, rows: Sequence[tuple[int, int, float, float]]) -> int:
        """Rows of (time_ms, bot, equity of the optimistic fleet, of the pessimistic one). Bot -1 is all of them."""
        ...

    def marks(self, rows: Sequence[tuple[int, str, float, float]]) -> int:
        """Rows of (time_ms, symbol, bid, ask): the touch at each close, for plots and baselines."""
        ...

    def event(self, time_ms: int, kind: str, bot: int | None, detail: dict[str, Any]) -> int:
        """Something worth remembering: a state change and its cause, a stale mark, a command."""
        ...

    def egress(self, entry: dict[str, Any]) -> int:
        """One request or stream command that went to the exchange, or one that the guard refused."""
        ...

    def wait(self, ticket: int) -> None:
        """Return when everything up to `ticket` is on disk. Raises QuantlabError when the disk refuses."""
        ...


class Broker(Protocol):
    """Where orders go: the paper engine, or (armed) the exchange. Reports come back through the callback that the
    broker was made with, at the engine time at which a bot would hear them.

    `now_ms` is engine time: when time has moved, set it (or call `advance`) before `on_trade`, `on_book` and `cancel`.
    """

    now_ms: int

    @property
    def next_due_ms(self) -> int:
        """Engine time at which something happens next: `advance` up to it."""
        ...

    @property
    def resting(self) -> Mapping[str, object]:
        """Symbols whose trades and books the broker must hear of, as keys, and only those."""
        ...

    def submit(self, order: Order) -> None: ...

    def cancel(self, bot: int, order_number: int) -> None: ...

    def open_orders(self, bot: int) -> list[Order]:
        """Orders that are not final, as their bot knows them."""
        ...

    def advance(self, engine_time_ms: int) -> None: ...

    def on_trade(self, trade: Trade) -> None: ...

    def on_book(self, symbol: str) -> None: ...

    def look_anew(self, symbol: str) -> None:
        """The book of `symbol` began anew after a gap."""
        ...

    def lose_track(self, symbol: str, why: str) -> None:
        """It is not known what became of the orders that wait at `symbol`'s prices: take them back."""
        ...

    def end(self, engine_time_ms: int, reason: str) -> None:
        """The run ends: nothing rests after it."""
        ...

    def restore(self, fills: Sequence[Fill], open_orders: Iterable[Order], engine_time_ms: int = 0) -> list[Order]:
        """Go on after a restart. The orders that could not be carried over, in their final state."""
        ...


class Signer(Protocol):
    """Signs a request without showing the secret."""

    @property
    def api_key(self) -> str: ...

    def sign(self, payload: bytes) -> str: ...

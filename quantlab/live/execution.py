"""Live execution as a run is handed it: what opens the line, asks the exchange first, and makes the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any

from quantlab.exchange import Door
from quantlab.exchange.trading.armed import Armed
from quantlab.exchange.trading.orders import OrderClient
from quantlab.ledger import Ledger
from quantlab.live.broker import Holdings, InputLog, LiveBroker
from quantlab.live.ids import run_key
from quantlab.live.line import OrderLine
from quantlab.live.restart import resolve
from quantlab.model import BookView, Instrument, Journal, OrderReport, QuantlabError, Refused
from quantlab.model.protocols import Signer

#: Weight kept for cancelling and asking: two questions for all open orders, and a cancellation for each of 45 bots.
SAFETY_WEIGHT = 200


class LiveExecution:
    """Handed to a run in its plan. `armed` is what was armed and checked, `signer` the key of the moment, `standing`
    tells why the arming does not hold any more ("" while it does); both may block and are called in threads."""

    def __init__(self, armed: Armed, signer: Callable[[], Signer], standing: Callable[[], str]) -> None:
        self.armed, self._signer, self._standing = armed, signer, standing

    @asynccontextmanager
    async def opened(
        self,
        run_id: str,
        ledger: Ledger,
        journal: Journal,
        door: Door,
        instruments: Mapping[str, Instrument],
    ) -> AsyncIterator[LiveRun]:
        """The line of one run, for as long as it lasts."""
        door.budget.keep_for_safety(SAFETY_WEIGHT)
        async with OrderClient(self.armed, self._signer, door.log, budget=door.budget, clock=door.clock) as client:
            key = run_key(run_id, ledger.run(run_id).created_ms)
            line = OrderLine(client, journal, key, self._standing)
            run = LiveRun(run_id, ledger, journal, instruments, client, line, key)
            try:
                yield run
            finally:
                with suppress(
                    QuantlabError
                ):  # it ended otherwise than it should: what is open is cancelled all the same
                    await run.end("the run broke off")


class LiveRun:
    """One run's line to the exchange."""

    def __init__(
        self,
        run_id: str,
        ledger: Ledger,
        journal: Journal,
        instruments: Mapping[str, Instrument],
        client: OrderClient,
        line: OrderLine,
        key: str,
    ) -> None:
        self._run_id, self._ledger, self._journal = run_id, ledger, journal
        self._instruments, self._client, self._line, self._key = instruments, client, line, key
        self._broker: LiveBroker | None = None

    async def check(self, fleet_usdt: Decimal, *, is_new: bool) -> None:
        """The account may trade, pays its fees in what it receives, and a new fleet's capital is there.

        Raises Refused naming what is not so, and what asking raises."""
        free = await self._client.balances()
        quotes = {instrument.quote for instrument in self._instruments.values()}
        for quote in sorted(quotes):
            if is_new and free.get(quote, Decimal(0)) < fleet_usdt:
                raise Refused(
                    f"the account has {free.get(quote, Decimal(0)).normalize():f} {quote} free and the fleet's bots "
                    f"have {fleet_usdt:f}: lower `capital_usdt` in the fleet file, or move money there"
                )
        symbol = min(self._instruments)
        discount = (await self._client.commission(symbol)).get("discount") or {}
        if discount.get("enabledForAccount") and discount.get("enabledForSymbol"):
            raise Refused(
                "the account pays its fees in BNB, which no bot holds: switch off 'Use BNB to pay for fees' at Binance"
            )

    async def resolve(self) -> int:
        """What became of the orders that the ledger has as open; returns how many. To be called before a broker is
        made of that ledger."""
        ledger, run_id = self._ledger, self._run_id
        return await resolve(
            self._client,
            self._journal,
            self._key,
            self._instruments,
            ledger.order_rows(run_id),
            ledger.fill_rows(run_id),
            ledger.receipts(run_id),
            ledger.last_engine_ms(run_id),
        )

    def broker(
        self,
        books: Mapping[str, BookView],
        journal: Journal,
        accounts: Sequence[Holdings],
        log: InputLog | None,
        on_report: Callable[[OrderReport], None],
    ) -> LiveBroker:
        """The broker of this run."""
        self._broker = broker = LiveBroker(
            self._instruments,
            books,
            journal,
            accounts=accounts,
            key=self._key,
            capital_usdt=self._client.armed.capital_usdt,
            line=self._line,
            log=log,
            on_report=on_report,
        )
        self._line.attach(broker)
        return broker

    async def run(self) -> None:
        """Listen, reconcile and watch over the arming until cancelled."""
        await self._line.run()

    async def end(self, reason: str) -> None:
        """Cancel what is open and wait until the exchange has said so. Positions stay."""
        if self._broker is not None:
            await self._line.end(reason)

    def state(self) -> dict[str, Any]:
        """For status and summary. Amounts in quote units."""
        armed, broker = self._client.armed, self._broker
        assert broker is not None
        return {
            "fingerprint": armed.fingerprint,
            "capital_usdt": f"{armed.capital_usdt:f}",
            "until_ms": armed.until_ms,
            "net_bought_usdt": f"{broker.net_bought_usdt.normalize():f}",
            "open_orders": len(broker.working),
            "account_stream": self._line.hears,
            "foreign_reports": self._line.foreign_reports,
            "lapsed": broker.lapsed,
        }

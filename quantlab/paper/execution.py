"""One execution and its receipt, from what matching decided."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from quantlab.model import Fill, Receipt
from quantlab.paper.fees import FeeModel, charge
from quantlab.paper.queues import QueueModel
from quantlab.paper.working import Working


class Match(NamedTuple):
    """What matching decided, in ticks and lots: `lots` at `price_ticks`, against a level (or trade) at `level_ticks`.

    `basis` is the receipt's: "depth" (taken from the book), "beyond" (taken where it ends), "model" (taken so many
    `slippage_bps` worse than the level), "quote" (rested, the opposite best came), "trade" (rested, a trade came).
    `queue_lots` stood before it until then. `crowding` (ticks × lots) is what it cost more because the fleet had taken
    what stood before.
    """

    basis: str
    price_ticks: int
    lots: int
    level_ticks: int
    queue_lots: int = 0
    trade_id: int = 0
    crowding: int = 0
    slippage_bps: Decimal = Decimal(0)

    @property
    def maker(self) -> bool:
        return self.basis in ("quote", "trade")


@dataclass(frozen=True, slots=True)
class Executor:
    """What all fills of a run share."""

    fees: FeeModel
    latency_name: str
    seed: int
    queue: QueueModel
    slippage: str

    def execute(
        self, working: Working, match: Match, *, number: int, book_id: int, time_ms: int, response_ms: int
    ) -> tuple[Fill, Receipt]:
        """The bot's fill `number` at engine time `time_ms`, and the receipt that replays it."""
        order, instrument = working.order, working.instrument
        price, quantity = instrument.price(match.price_ticks), instrument.quantity(match.lots)
        rate = self.fees.rate(maker=match.maker)
        fee = charge(order.side, price, quantity, rate, instrument)
        fill = Fill(
            bot=order.bot,
            number=number,
            order_number=order.number,
            symbol=order.symbol,
            side=order.side,
            price=price,
            quantity=quantity,
            fee=fee.amount,
            fee_asset=fee.asset,
            fee_quote=fee.quote,
            maker=match.maker,
            time_ms=time_ms,
        )
        receipt = Receipt(
            bot=order.bot,
            fill_number=number,
            basis=match.basis,
            book_id=book_id,
            levels=((instrument.price(match.level_ticks), quantity),),
            queue_ahead=instrument.quantity(match.queue_lots) if match.queue_lots else Decimal(0),
            decision_bid=working.decision.bid,
            decision_ask=working.decision.ask,
            arrival_bid=working.arrival.bid,
            arrival_ask=working.arrival.ask,
            latency_ms=working.latency_ms,
            response_ms=response_ms,
            fee_rate=rate,
            fee_source=self.fees.source,
            model=f"{self._model(match)}; {self.latency_name}",
            seed=self.seed,
            trade_id=match.trade_id,
            crowding=instrument.price(match.crowding) * instrument.step_size,
            slippage_bps=match.slippage_bps,
        )
        return fill, receipt

    def _model(self, match: Match) -> str:
        if match.maker:
            return f"queue {self.queue}"
        if match.basis == "model":
            return f"slippage {self.slippage}"
        return "depth walk" if match.basis == "depth" else "beyond the displayed depth, as dense as it is"

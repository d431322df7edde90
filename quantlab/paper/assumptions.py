"""What a paper run assumes: fees, the way to the exchange and back, and whether bots share what the book shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from quantlab.model import ConfigurationError
from quantlab.paper.fees import FeeModel, StandardFees
from quantlab.paper.latency import DrawnLatency, FixedLatency, LatencyModel, MeasuredLatency
from quantlab.paper.prevention import SelfTrade
from quantlab.paper.queues import QueueModel
from quantlab.paper.slippage import Slippage, SlippageKind

#: What is left of a commission that is paid in BNB (Binance fee schedule, spot, checked 2026-11-23).
_BNB_SHARE = Decimal("0.75")


class BeyondDepth(StrEnum):
    """The rest of a market order expires, or meets a book that goes on as dense as it is displayed, at most as deep
    again (its impact)."""

    EXPIRE = "expire"
    IMPACT = "impact"


class Accounts(StrEnum):
    """Each bot trades on an account of its own, or all of them on one."""

    EACH = "each"
    ONE = "one"


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What the fills of one fleet are computed with. With a `prevention` its bots are on one account. `synthesised`:
    the books it meets were made from candles, and each receipt says so."""

    fees: FeeModel
    latency: LatencyModel
    queue: QueueModel = QueueModel.PROPORTIONAL
    reaches_beyond: bool = False
    shared_liquidity: bool = True
    prevention: SelfTrade | None = None
    slippage: Slippage = field(default_factory=Slippage)
    synthesised: bool = False


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """The `[paper]` table of a fleet file, so that a run's own text says what it assumed.

    `*_fee_pct` in percent of the notional. `bnb_discount`: a quarter less; the fee is still taken in the asset
    received, since a bot holds no BNB. Latency in ms, log-normal about these medians with `latency_sigma`; 0 makes it
    fixed; `round_trips_ms`, where given, takes its place (see `MeasuredLatency`). `queue`: see `queues.py`.
    `beyond_depth`: what becomes of a market order that takes more than is displayed. `shared_liquidity`: what one bot
    took from the book is gone for the others until the market shows it anew. `recover_minutes`: the longest gap over
    which an order keeps its place in a queue; 0: only where nothing was traded meanwhile. `bounds`: an
    optimistic and a pessimistic fleet on the same signals run beside this one. `accounts`: on "one" account the bots'
    open orders are counted together, and orders that would meet are kept apart as `self_trade_prevention` says; money
    is kept apart all the same. `slippage`: what orders that take pay, with `slippage_bps` and `impact_bps` its numbers
    (see `slippage.py`).

    Raises ConfigurationError for what cannot be.
    """

    maker_fee_pct: Decimal = Decimal("0.1")
    taker_fee_pct: Decimal = Decimal("0.1")
    bnb_discount: bool = False
    order_latency_ms: int = 40
    response_latency_ms: int = 20
    latency_sigma: float = 0.4
    round_trips_ms: tuple[float, ...] = ()
    queue: QueueModel = QueueModel.PROPORTIONAL
    beyond_depth: BeyondDepth = BeyondDepth.EXPIRE
    shared_liquidity: bool = True
    recover_minutes: int = 30
    bounds: bool = True
    accounts: Accounts = Accounts.EACH
    self_trade_prevention: SelfTrade = SelfTrade.EXPIRE_MAKER
    slippage: SlippageKind = SlippageKind.DEPTH
    slippage_bps: Decimal = Decimal(5)
    impact_bps: Mapping[str, Decimal] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, percent in (("maker_fee_pct", self.maker_fee_pct), ("taker_fee_pct", self.taker_fee_pct)):
            if not (percent.is_finite() and 0 <= percent < 10):
                raise ConfigurationError(f"{name} must be percent from 0 to below 10 (0.1 is 10 bps), not {percent}")
        for name, bps in (("slippage_bps", self.slippage_bps), *self.impact_bps.items()):
            if not (bps.is_finite() and 0 <= bps < 1_000):
                raise ConfigurationError(f"{name} must be basis points from 0 to below 1000, not {bps}")
        if not 0 <= self.recover_minutes <= 1440:
            raise ConfigurationError(f"recover_minutes must be 0 to 1440, not {self.recover_minutes}")
        self.latency()

    def fees(self) -> StandardFees:
        """Rates as fractions, the discount taken off."""
        share = _BNB_SHARE if self.bnb_discount else Decimal(1)
        source = "setting, BNB discount" if self.bnb_discount else "setting"
        return StandardFees(self.maker_fee_pct / 100 * share, self.taker_fee_pct / 100 * share, source)

    def terms(self, *, synthesised: bool = False) -> Terms:
        """What is expected."""
        return Terms(
            fees=self.fees(),
            latency=self.latency(),
            queue=self.queue,
            reaches_beyond=self.beyond_depth is BeyondDepth.IMPACT,
            shared_liquidity=self.shared_liquidity,
            prevention=self.self_trade_prevention if self.accounts is Accounts.ONE else None,
            slippage=self.slippage_model(),
            synthesised=synthesised,
        )

    def optimistic(self, *, synthesised: bool = False) -> Terms:
        """Nobody before the bots in a queue, the least latency (that 5 % of orders have or less), fees with the BNB
        discount."""
        return replace(
            self.terms(synthesised=synthesised),
            fees=replace(self, bnb_discount=True).fees(),
            latency=self._latency_at(0.05),
            queue=QueueModel.OPTIMISTIC,
        )

    def pessimistic(self, *, synthesised: bool = False) -> Terms:
        """All cancels behind the bots in a queue, the latency that only 5 % of orders exceed, fees without discount. A
        book that was made from candles has a depth that nobody knows: takers pay 2 to 10 basis points beyond its best
        price."""
        return replace(
            self.terms(synthesised=synthesised),
            slippage=Slippage(kind=SlippageKind.UNIFORM) if synthesised else self.slippage_model(),
            fees=replace(self, bnb_discount=False).fees(),
            latency=self._latency_at(0.95),
            queue=QueueModel.PESSIMISTIC,
        )

    def _latency_at(self, quantile: float) -> FixedLatency:
        model = self.latency()
        return FixedLatency(model.order_ms(quantile), model.response_ms(quantile))

    def slippage_model(self) -> Slippage:
        return Slippage(kind=self.slippage, fixed_bps=self.slippage_bps, impact_bps=self.impact_bps)

    def latency(self) -> LatencyModel:
        if self.round_trips_ms:
            return MeasuredLatency(self.round_trips_ms)
        if not self.latency_sigma:
            return FixedLatency(self.order_latency_ms, self.response_latency_ms)
        return DrawnLatency(float(self.order_latency_ms), float(self.response_latency_ms), self.latency_sigma)

    def described(self) -> dict[str, str]:
        """For the manifest, and so for the report: what a reader must know to believe a fill."""
        fees = self.fees()
        return {
            "maker_fee": f"{fees.maker:f}",
            "taker_fee": f"{fees.taker:f}",
            "fee_source": fees.source,
            "latency": self.latency().name,
            "slippage": self.slippage_model().name,
            "queue": str(self.queue),
            "beyond_depth": str(self.beyond_depth),
            "bounds": "on" if self.bounds else "off",
            "accounts": "each bot its own" if self.accounts is Accounts.EACH else f"one, {self.self_trade_prevention}",
            "liquidity": "shared by the fleet" if self.shared_liquidity else "each bot has the whole book",
        }

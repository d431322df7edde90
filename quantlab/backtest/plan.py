"""What is to be tested, and what its fills assume: the names are those of a fleet file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from quantlab.backtest import records
from quantlab.model import ConfigurationError, Instrument
from quantlab.paper import Assumptions, SlippageKind
from quantlab.paper.slippage import UNIFORM_BPS
from quantlab.risk.sizing import CASH_RESERVE
from quantlab.strategies import Strategy

_KINDS = {
    SlippageKind.DEPTH: records.FIXED,
    SlippageKind.FIXED: records.FIXED,
    SlippageKind.UNIFORM: records.UNIFORM,
    SlippageKind.IMPACT: records.IMPACT,
}


#: Percentages of a plan lie above 0 and below these.
_BOUNDS = {
    "stop_loss_pct": 100,
    "stop_limit_pct": 100,
    "trailing_stop_pct": 100,
    "take_profit_pct": 10_000,
    "rebalance_pct": 100,
    "max_slippage_pct": 100,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One strategy on one symbol. `weight` is the part of the account's equity that an exposure of 1 stands for; the
    rest means what it means in a fleet file. Raises ConfigurationError for what cannot be."""

    strategy: Strategy
    symbol: str
    weight: float = 1.0
    stop_loss_pct: float | None = None
    stop_limit_pct: float | None = None
    trailing_stop_pct: float | None = None
    take_profit_pct: float | None = None
    rebalance_pct: float | None = None
    max_slippage_pct: float | None = None
    max_position_usdt: Decimal | None = None
    max_order_notional_usdt: Decimal | None = None

    def __post_init__(self) -> None:
        if self.strategy.uses_book:
            self.strategy.exposure()  # raises, with a word on why
        if not 0 < self.weight <= 1:
            raise ConfigurationError(f"{self.symbol}: weight must be above 0 and at most 1, not {self.weight}")
        for name, below in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not 0 < value < below:
                raise ConfigurationError(f"{self.symbol}: {name} must be above 0 and below {below}, not {value}")
        if self.stop_loss_pct is not None and self.trailing_stop_pct is not None:
            raise ConfigurationError(f"{self.symbol}: trailing_stop_pct stands in the place of stop_loss_pct")
        if self.stop_limit_pct is not None and self.stop_loss_pct is None:
            raise ConfigurationError(f"{self.symbol}: stop_limit_pct is the limit of a stop_loss_pct, which is missing")


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """How candles become fills.

    `paper` gives fee and slippage, as in the `[paper]` table of a fleet file; what only a book could tell (queues,
    depth, latency) has no part in it: an order decided at a close is filled at the next open. `spread_bps` is the whole
    spread, one figure or one a symbol. `fee_received`: a buy pays its fee in base, as on Binance, else in quote.
    `filters`: tick, step, smallest notional, outages, and the part of the cash that a buy leaves; off, any quantity is
    filled at any price, with all of the cash. Loss limits are of the whole account.

    Raises ConfigurationError for what cannot be.
    """

    capital_usdt: Decimal = Decimal(1000)
    paper: Assumptions = field(default_factory=Assumptions)
    spread_bps: float | Mapping[str, float] = 2.0
    fee_received: bool = True
    filters: bool = True
    max_daily_loss_pct: float | None = None
    max_drawdown_pct: float | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.capital_usdt < Decimal("1e12"):
            raise ConfigurationError(f"capital_usdt must be an amount above 0 USDT, not {self.capital_usdt}")
        spreads = self.spread_bps.values() if isinstance(self.spread_bps, Mapping) else (self.spread_bps,)
        if not all(math.isfinite(each) and 0 <= each < 1_000 for each in spreads):
            raise ConfigurationError(f"spread_bps must be basis points from 0 to below 1000, not {self.spread_bps}")
        for name in ("max_daily_loss_pct", "max_drawdown_pct"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 100:
                raise ConfigurationError(f"{name} must be a percentage above 0 and at most 100, not {value}")
        if self.seed < 0:
            raise ConfigurationError(f"seed must be 0 or more, not {self.seed}")

    def spread_of(self, symbol: str) -> float:
        """Basis points. Raises ConfigurationError for a symbol that is not among those given."""
        if not isinstance(self.spread_bps, Mapping):
            return self.spread_bps
        if symbol not in self.spread_bps:
            raise ConfigurationError(f"spread_bps has no number for {symbol}")
        return self.spread_bps[symbol]

    def words(self) -> list[str]:
        """What a reader must know to believe a figure, one line each."""
        fee = self.paper.fees()
        slippage = self.paper.slippage_model()
        beyond = "whatever the size" if slippage.walks else f"and slippage beyond it: {slippage.name}"
        spread = "its own spread" if isinstance(self.spread_bps, Mapping) else f"a spread of {self.spread_bps:g} bps"
        return [
            "decided at a candle's close, filled at the next one's open",
            f"orders pay half of {spread}, {beyond}",
            f"fee {float(fee.taker) * 100:g} % ({fee.source}), "
            + ("in the asset received" if self.fee_received else "in quote"),
            "a gap fills stops and targets at the open; where both lie in one candle the stop comes first",
            "no order survives an outage; nothing is filled in a candle without a trade"
            if self.filters
            else "filters off: any quantity at any price, buys with all of the cash, outages passed over",
            "positions are marked at the bid, and not sold at the end",
        ]

    def terms(self) -> records.Terms:
        """For the kernel."""
        paper = self.paper
        return records.Terms(
            capital=float(self.capital_usdt),
            filters=float(self.filters),
            fee=float(paper.fees().taker),
            fee_received=float(self.fee_received),
            slippage=_KINDS[paper.slippage],
            fixed=0.0 if paper.slippage is SlippageKind.DEPTH else float(paper.slippage_bps),
            low=UNIFORM_BPS[0],
            high=UNIFORM_BPS[1],
            seed=self.seed,
            reserve=float(CASH_RESERVE) if self.filters else 0.0,
            day_loss=_part(self.max_daily_loss_pct),
            max_drawdown=_part(self.max_drawdown_pct),
        )

    def leg(self, plan: Plan, instrument: Instrument) -> records.Leg:
        """For the kernel. Raises ConfigurationError where the impact of the plan's symbol is not known."""
        impact = self.paper.impact_bps.get(plan.symbol)
        if impact is None and self.paper.slippage is SlippageKind.IMPACT:
            raise ConfigurationError(f"impact_bps has no number for {plan.symbol}: `quantlab calibrate` finds them")
        largest = [float(most) for most in (instrument.max_quantity, instrument.market_max_quantity) if most]
        return records.Leg(
            ticks=float(1 / instrument.tick_size),
            lots=float(1 / max(instrument.step_size, instrument.market_step_size)),
            min_quantity=float(max(instrument.min_quantity, instrument.market_min_quantity)),
            max_quantity=min(largest, default=0.0),
            min_notional=float(instrument.min_notional) if instrument.min_notional_applies_to_market else 0.0,
            half_spread=self.spread_of(plan.symbol) / 2e4,
            impact=float(impact or 0),
            weight=plan.weight,
            rebalance=_part(plan.rebalance_pct),
            stop=_part(plan.stop_loss_pct),
            stop_limit=_part(plan.stop_limit_pct),
            trailing=_part(plan.trailing_stop_pct),
            target=_part(plan.take_profit_pct),
            max_slippage=_part(plan.max_slippage_pct),
            max_position=float(plan.max_position_usdt or 0),
            max_order=float(plan.max_order_notional_usdt or 0),
        )


#: What the signals alone would make: no fee, no spread, no filter.
FREE = Conventions(
    spread_bps=0.0, paper=Assumptions(maker_fee_pct=Decimal(0), taker_fee_pct=Decimal(0)), filters=False
)  # fmt: skip


def _part(percent: float | None) -> float:
    return 0.0 if percent is None else percent / 100

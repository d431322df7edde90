"""One bot: what it was told to do, what it holds, what it wants. It decides nothing by itself: `decide.py` does."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from quantlab.fleet.spec import BotSpec
from quantlab.paper import Account
from quantlab.risk import RiskGate, TradingState
from quantlab.strategies import Strategy


@dataclass(slots=True)
class Bot:
    """State of one bot within a run. `target` is the exposure its strategy wants (0 to 1), `acted` the last one that
    was acted upon; they differ while an order waits for a cancel to be confirmed, or while the bot must stand still."""

    index: int
    spec: BotSpec
    strategy: Strategy
    account: Account
    gate: RiskGate
    target: float = 0.0
    acted: float = 0.0
    orders: int = 0
    fills: int = 0
    last_fill_ms: int = 0
    last_equity: Decimal = Decimal(0)
    peak_equity: Decimal = Decimal(0)
    max_drawdown_pct: float = 0.0
    #: Why the bot stands aside, for people; empty while it trades.
    note: str = "waiting for its first close"
    #: The limit that held its last order back; empty when it went.
    refused: str = ""
    #: True while its orders are being cancelled to make way for one to the target.
    clearing: bool = False
    #: Why the whole position is to be sold as soon as no order holds it; empty when it is not.
    leaving: str = ""
    #: Order numbers of its stops and targets; `unprotected` when one was refused and is to be tried again.
    protective: set[int] = field(default_factory=set)
    unprotected: bool = False
    #: Last known best bid and ask.
    touch: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    #: Engine time before which a book strategy is not asked again.
    quote_after_ms: int = 0

    @property
    def warming_up(self) -> str:
        return f"warming up: {self.spec.strategy} needs {self.strategy.lookback} closed {self.spec.timeframe} candles"

    def mark(self, equity: Decimal) -> None:
        """Remember the equity at the bid, for drawdown and status."""
        self.last_equity = equity
        if equity > self.peak_equity:
            self.peak_equity = equity
        elif self.peak_equity:
            drawdown = float(1 - equity / self.peak_equity) * 100
            self.max_drawdown_pct = max(self.max_drawdown_pct, drawdown)

    def status(self, state: TradingState) -> dict[str, Any]:
        """One row of the fleet's table; `state` is the strictest that holds for it. Amounts in USDT, for display."""
        capital = float(self.account.capital)
        equity = float(self.last_equity)
        peak = float(self.peak_equity)
        return {
            "bot": self.index,
            "name": self.spec.name,
            "strategy": self.spec.strategy,
            "symbol": self.spec.symbol,
            "timeframe": self.spec.timeframe,
            "state": str(state),
            "position": float(self.account.position.quantity),
            "equity": round(equity, 4),
            "pnl": round(equity - capital, 4),
            "drawdown_pct": round((1 - equity / peak) * 100, 3) if peak else 0.0,
            "fills": self.fills,
            "last_fill_ms": self.last_fill_ms or None,
            "note": self.note,
        }

"""The paper engine: latency, filters, matching, fees, accounts, receipts. Its orders never leave the process."""

from quantlab.paper.accounting import (
    AccountsVerdict,
    check_accounts,
    check_asset_balances,
    check_bot_identity,
)
from quantlab.paper.accounts import Account
from quantlab.paper.assumptions import Assumptions, BeyondDepth, Terms
from quantlab.paper.broker import PaperBroker
from quantlab.paper.fees import FeeModel, StandardFees
from quantlab.paper.filters import WOULD_TRIGGER
from quantlab.paper.latency import DrawnLatency, FixedLatency, LatencyModel, MeasuredLatency
from quantlab.paper.prevention import SelfTrade
from quantlab.paper.queues import QueueModel
from quantlab.paper.recovery import as_unknown
from quantlab.paper.replay import Replayed, difference, replay
from quantlab.paper.schedule import NEVER_MS
from quantlab.paper.slippage import Slippage, SlippageKind

__all__ = [
    "NEVER_MS",
    "WOULD_TRIGGER",
    "Account",
    "AccountsVerdict",
    "Assumptions",
    "BeyondDepth",
    "DrawnLatency",
    "FeeModel",
    "FixedLatency",
    "LatencyModel",
    "MeasuredLatency",
    "PaperBroker",
    "QueueModel",
    "Replayed",
    "SelfTrade",
    "Slippage",
    "SlippageKind",
    "StandardFees",
    "Terms",
    "as_unknown",
    "check_accounts",
    "check_asset_balances",
    "check_bot_identity",
    "difference",
    "replay",
]

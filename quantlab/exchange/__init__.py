"""The only door to Binance: who may be called, how fast, how often again.

`Door` is what a run opens. Everything that leaves the process passes the one session that `guard.guarded_session`
builds; `rules` says what may leave, `budget` how much of it, `sharing` how often the same question, `retry` how often
again, `feed` keeps the stream.
"""

from quantlab.exchange.config import DoorConfig
from quantlab.exchange.door import Door

__all__ = ["Door", "DoorConfig"]

"""Live execution: the same `Broker` as paper's, whose orders go to an exchange, and only when a person armed it."""

from __future__ import annotations

from quantlab.live.arming import Arming, arm, armed, disarm, phrase_of, standing, waive
from quantlab.live.broker import LiveBroker
from quantlab.live.execution import LiveExecution
from quantlab.live.retold import Retold

__all__ = [
    "Arming",
    "LiveBroker",
    "LiveExecution",
    "Retold",
    "arm",
    "armed",
    "disarm",
    "phrase_of",
    "standing",
    "waive",
]

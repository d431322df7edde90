"""Where the state of an address's weight is kept: by a process for itself, or in a file for all of a user."""

from __future__ import annotations

from typing import Protocol

from quantlab.exchange.weight.window import State, WeightRule


class Busy(Exception):
    """Another process is at the state right now."""


class Store(Protocol):
    """Between `lock` and `unlock` the state belongs to the caller, who does not wait for anything meanwhile."""

    def lock(self) -> State:
        """The state as it is now. Raises Busy."""

    def unlock(self) -> None:
        """Keep what the caller made of it, and let others have it."""

    def close(self) -> None: ...


class OwnState:
    """The state of one process alone."""

    def __init__(self, rule: WeightRule | None = None) -> None:
        self._state = State()

    def lock(self) -> State:
        return self._state

    def unlock(self) -> None:
        """It is nobody else's."""

    def close(self) -> None:
        """Nothing to close."""

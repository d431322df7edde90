"""The watch over a run's keys: repeated beside the engine, in a thread, so that no bot waits for it.

Paper trading uses no key: a key that fails is locked and told, and the fleet goes on. Where orders would need it (the
testnet, live) the fleet stands still until an audit passes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from quantlab.ledger import LedgerWriter
from quantlab.model import QuantlabError

if TYPE_CHECKING:
    from quantlab.fleet.engine import Engine


class Watch(Protocol):
    """What looks at the keys. `check` blocks, never raises, and answers {"checked_ms", "keys", "alerts"}."""

    interval_s: float
    halts: bool
    egress: Callable[[dict[str, Any]], object] | None

    def check(self) -> dict[str, Any]: ...


class KeyWatcher:
    """Runs a watch beside the engine: `await run()` until cancelled, `look()` makes it look again at once."""

    def __init__(self, watch: Watch, engine: Engine, journal: LedgerWriter) -> None:
        self._watch = watch
        self._engine = engine
        self._journal = journal
        self._wanted = asyncio.Event()
        self._asked = 0
        watch.egress = journal.egress
        #: What the last look found; `looks` counts them, `answered` the demands that came before it began.
        self.state: dict[str, Any] = {"looks": 0, "answered": 0, "keys": [], "alerts": []}

    async def run(self) -> None:
        while True:
            self._wanted.clear()  # first: what is asked for during a look needs another one
            asked = self._asked
            self._found(await _in_daemon_thread(self._watch.check), asked)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), self._watch.interval_s)

    def look(self) -> int:
        """Look again as soon as the present look is done: it is the one whose `answered` has reached what this
        returns."""
        self._asked += 1
        self._wanted.set()
        return self._asked

    def check_resume(self) -> None:
        """Raise QuantlabError while a key that this run needs fails."""
        if self._watch.halts and self.state["alerts"]:
            raise QuantlabError(
                f"the fleet stands still because of its key: {self.state['alerts'][0]}. Mend it, then "
                "`quantlab vault audit`, then resume"
            )

    def _found(self, state: dict[str, Any], answered: int) -> None:
        news = [line for line in state["alerts"] if line not in self.state["alerts"]]
        self.state = {"looks": self.state["looks"] + 1, "answered": answered, **state}
        for line in news:
            self._journal.event(self._engine.now_ms, "key alert", None, {"why": line})
        if news and self._watch.halts and not self._engine.desk.paused:
            self._engine.command("pause", {})


async def _in_daemon_thread(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of `work`. A run that ends does not wait for it, as it would for an executor's thread."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[dict[str, Any]] = loop.create_future()

    def tell(result: dict[str, Any]) -> None:
        if not done.done():
            done.set_result(result)

    def body() -> None:
        try:
            result = work()
        except Exception as error:  # a watch that breaks is an alert, not the end of the run
            result = {"checked_ms": 0, "keys": [], "alerts": [f"the keys could not be looked at: {error}"]}
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, result)

    threading.Thread(target=body, name="key watch", daemon=True).start()
    return await done

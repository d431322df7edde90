"""The control panel of a run: buttons, live table, equity, in a notebook.

One daemon thread reads the engine twice a second and is the only writer of the widgets. Buttons put their command into
its queue and return, so they work while a cell is busy; the engine is a process of its own and does not notice the
notebook at all. Errors are shown in the panel, never swallowed.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import polars as pl

from quantlab.lab import panel_view as view
from quantlab.lab.run import Run
from quantlab.model import NotFound, QuantlabError
from quantlab.report.tables import FLEET

_PERIOD_S = 0.5
#: Curves come from the ledger; reading them never takes more than a tenth of the time.
_CURVE_PERIOD_S = 2.0
_CURVE_POINTS = 240
_DONE = {"pause": "Paused.", "resume": "Trading again.", "reduce": "Only sales pass.", "stop": "Stopping."}
_FITTING = {"running": ("pause", "reduce"), "reducing": ("pause", "resume"), "paused": ("resume",)}
_ENGINE_ENDED = ("finished", "stopped", "killed", "failed")


class Panel(widgets.VBox):  # type: ignore[misc]
    """Show it as the last value of a cell. `run` is the run it follows; Start replaces it by a new one of the same
    fleet. After a kernel restart: `lab.attach().panel()`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._commands: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._buttons = {
            "start": _button("Start", "play", "start a new run of the same fleet"),
            "pause": _button("Pause", "pause", "no new orders until resumed; resting ones stay"),
            "resume": _button("Resume", "forward", "trade again"),
            "reduce": _button("Reduce", "level-down", "only sales pass until resumed; open buys are cancelled"),
            "stop": _button("Stop", "stop", "end the run: resting orders are cancelled, positions stay"),
            "kill": _button("Kill", "bolt", "cancel all orders, sell everything, halt", "danger"),
        }
        self._confirm = {
            "kill now": _button("Yes: cancel, sell everything, halt", "bolt", "cannot be undone", "danger"),
            "spare": _button("No", "times", "leave it as it is"),
        }
        for name, button in (self._buttons | self._confirm).items():
            button.on_click(lambda _, name=name: self._commands.put(name))
        self._sure = widgets.HBox(list(self._confirm.values()), layout=widgets.Layout(display="none"))
        self._style, self._head, self._words, self._body, self._requests = (widgets.HTML() for _ in range(5))
        self._style.value = view.STYLE
        self._curves: dict[int, list[float]] = {}
        self._curves_due = 0.0
        self._label = ""
        #: The run whose end is drawn.
        self._final = ""
        self._ended = threading.Event()
        buttons = widgets.HBox(list(self._buttons.values()))
        super().__init__([self._style, self._head, buttons, self._sure, self._words, self._body, self._requests])
        self.add_class("quantlab-panel")
        self._thread = threading.Thread(target=self._follow, name="quantlab-panel", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the panel away. The run goes on."""
        self._ended.set()
        self._commands.put("")
        super().close()

    # -- the one writer ---------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        while not self._ended.is_set():
            try:
                self._refresh()
            except Exception as error:  # whatever it is, the user must see it: nobody else will
                name = "" if isinstance(error, QuantlabError) else f"{type(error).__name__}: "
                self._say(f"{name}{error}", error=True)
                self._allow(self._buttons)  # what the engine does is not known: whatever is asked, it will judge
            try:
                command = self._commands.get(timeout=_PERIOD_S)
            except queue.Empty:
                continue
            if command:
                try:
                    self._obey(command)
                except (QuantlabError, OSError) as error:
                    self._say(str(error), error=True)

    def _obey(self, command: str) -> None:
        self._sure.layout.display = "flex" if command == "kill" else "none"
        if command == "kill":
            self._say("Kill the fleet? All orders are cancelled and all positions sold at market.")
        elif command == "spare":
            self._say("")
        elif command == "kill now":
            self.run.kill()
            self._say("Killed: orders cancelled, positions are being sold, bots halted. Stop ends the run.")
        elif command == "start":
            self.run = self.run.again_now()
            self._curves, self._curves_due, self._label = {}, 0.0, ""
            self._say(f"Started {self.run.id}.")
        else:
            getattr(self.run, command)()
            self._say(
                {"pause": "Paused.", "resume": "Trading again.", "reduce": "Only sales pass.", "stop": "Stopping."}[
                    command
                ]
            )

    def _refresh(self) -> None:
        if self._final == self.run.id:
            return  # what has ended does not change
        live = self.run.live()
        state = str(live["state"]) if live is not None else self.run.state
        going = state not in _ENGINE_ENDED
        self._read_curves(at_once=not going)
        bots: Sequence[dict[str, Any]] = []
        requests: Mapping[str, Any] = {}
        if live is not None:
            self._label, bots, requests = live["label"], live["bots"], live["requests"]
        elif not going:
            last_fill_ms = pl.col("last_fill").dt.epoch("ms").alias("last_fill_ms")
            bots = self.run.status().with_columns(last_fill_ms).to_dicts()
            requests = (self.run.summary or {}).get("requests", {})
            self._final = self.run.id
            self._say(f"The run has ended: {state}.", error=state == "failed")
        with self._head.hold_sync(), self._body.hold_sync():
            self._head.value = view.header(self.run.id, live, state, self._label, bots)
            self._body.value = view.body(bots, self._curves)
            self._requests.value = view.requests(requests)
        fitting = {"running": ("pause", "reduce"), "reducing": ("pause", "resume"), "paused": ("resume",)}.get(
            state, ()
        )
        self._allow((*fitting, "stop", "kill") if live is not None else () if going else ("start",))

    def _allow(self, names: Collection[str]) -> None:
        for name, button in self._buttons.items():
            if button.disabled == (name in names):
                button.disabled = name not in names

    def _read_curves(self, *, at_once: bool) -> None:
        """Equity by bot, thinned, from the ledger; seldom, since it is the one costly read here."""
        now = time.monotonic()
        if now < self._curves_due and not at_once:
            return
        try:
            equity = self.run.equity()
            row = self.run.row()
        except NotFound:
            return
        self._label = row.source.label()
        curves: dict[int, list[float]] = {}
        for (bot,), rows in equity.sort("time").group_by("bot", maintain_order=True):
            step = max(1, rows.height // (_CURVE_POINTS if bot == FLEET else _CURVE_POINTS // 6))
            curves[int(str(bot))] = [*rows["equity"].gather_every(step).to_list(), rows["equity"][-1]]
        self._curves = curves
        self._curves_due = now + max(_CURVE_PERIOD_S, 10 * (time.monotonic() - now))

    def _say(self, words: str, *, error: bool = False) -> None:
        self._words.value = view.message(words, error=error)


def _button(words: str, icon: str, hint: str, style: str = "") -> widgets.Button:
    return widgets.Button(
        description=words, icon=icon, tooltip=hint, button_style=style, layout=widgets.Layout(width="auto")
    )

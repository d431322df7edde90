"""A replay venue of the notebook's own, to look at a market without a run: a child that ends with this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quantlab.model import ExchangeUnreachable
from quantlab.report import scrubbed

_START_TIMEOUT_S = 60.0


class OwnVenue:
    """`quantlab venue` on a free port of loopback, with the generated market. `url` is where it listens.

    Its standard input is a pipe held here: when this process ends, however it ends, the venue does too.
    Raises ExchangeUnreachable with the venue's own words when it does not start.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory(prefix="quantlab-venue-") as folder:
            ready, log = Path(folder) / "ready.json", Path(folder) / "log"
            command = [sys.executable, "-m", "quantlab", "venue", "--port", "0", "--ready-file", str(ready)]
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [*command, "--end-with-parent"],
                    env=scrubbed(os.environ),
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # an interrupted cell must not end it
                )
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not ready.exists():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.close()
                    lines = log.read_text(errors="replace").strip().splitlines()
                    why = lines[-1].removeprefix("quantlab: ") if lines else "it said nothing"
                    raise ExchangeUnreachable(f"the replay venue did not start: {why}")
                time.sleep(0.02)
            self.url: str = json.loads(ready.read_text())["url"]

    def close(self) -> None:
        """End the venue. May be called twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

"""The replay venue as a child process: started on a free port, ended with its parent."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from quantlab.model import ExchangeUnreachable, error_of_exit_code

#: A week of generated market takes a few seconds to make; a slow disk may take longer.
_START_TIMEOUT_S = 60.0


class VenueChild:
    """`with VenueChild(...) as venue:` gives `venue.about`: url, symbols, intervals, start_ms, end_ms, kind, name.

    Its standard input is a pipe held here: when this process ends, however it ends, the venue does too. `keys` is an
    owner-only file of API keys. `environment` is what it may see (None: all that this process sees). Raises the
    venue's own error, in its words, when it does not start.
    """

    def __init__(
        self,
        *,
        data: Path | None = None,
        exchange_info: Path | None = None,
        derive_filters: bool = False,
        from_ms: int | None = None,
        hours: float | None = None,
        seed: int = 1,
        speed: float | None = None,
        skip_to_ms: int | None = None,
        keys: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        arguments = [
            "--end-with-parent",
            "--port",
            "0",
            "--seed",
            str(seed),
            "--speed",
            "max" if speed is None else f"{speed:g}",
        ]
        if data is not None:
            arguments += ["--data", str(data)]
        if exchange_info is not None:
            arguments += ["--exchange-info", str(exchange_info)]
        if derive_filters:
            arguments.append("--derive-filters")
        if from_ms is not None:
            arguments += ["--from", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(from_ms / 1000))]
        if hours is not None:
            arguments += ["--hours", f"{hours:g}"]
        if skip_to_ms is not None:
            arguments += ["--skip-to-ms", str(skip_to_ms)]
        if keys is not None:
            arguments += ["--keys", str(keys)]
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.about: dict[str, Any] = {}

    @property
    def url(self) -> str:
        return str(self.about["url"])

    def __enter__(self) -> VenueChild:
        self.start()
        return self

    def start(self) -> None:
        """Start it and wait until it listens."""
        with tempfile.TemporaryDirectory(prefix="quantlab-venue-") as folder:
            ready, log = Path(folder) / "ready.json", Path(folder) / "log"
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "quantlab", "venue", "--ready-file", str(ready), *self._arguments],
                    env=self._environment,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C is for the engine: it ends the venue when it is done
                )
            deadline = time.monotonic() + _START_TIMEOUT_S
            while not ready.exists():
                if self._process.poll() is not None:
                    self._fail(log.read_text(errors="replace"))
                if time.monotonic() > deadline:
                    self.close()
                    raise ExchangeUnreachable(f"the replay venue did not start within {_START_TIMEOUT_S:.0f} s")
                time.sleep(0.02)
            self.about = msgspec.json.decode(ready.read_bytes())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the venue: closing its standard input is the sign, SIGTERM the reminder. May be called twice."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            try:
                self._process.wait(3)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _fail(self, output: str) -> None:
        """Say what the venue said, with its exit code's class."""
        assert self._process is not None
        lines = [line for line in output.splitlines() if line.strip()]
        line = lines[-1].removeprefix("quantlab: ") if lines else "the replay venue did not start"
        raise error_of_exit_code(self._process.returncode, line)

"""The first contact with an exchange, from a notebook: `quantlab selftest` in a process of its own, as a table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import polars as pl

from quantlab.environment import scrubbed
from quantlab.model import error_of_exit_code
from quantlab.report.table import Column, Table, text
from quantlab.settings import Settings

_LONGEST_S = 180.0
_COLUMNS = {"verdict": pl.String, "what": pl.String, "expected": pl.String, "found": pl.String}


def selftest(settings: Settings, seconds: float) -> Table:
    """See `Workbench.selftest`."""
    environment = scrubbed(os.environ, public=True) | {
        "QUANTLAB_ROOT": str(settings.root),
        "QUANTLAB_HOME": str(settings.home),
    }
    if settings.venue_url:
        environment["QUANTLAB_VENUE_URL"] = settings.venue_url
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "quantlab",
            "selftest",
            "--market",
            settings.market,
            "--seconds",
            f"{seconds:g}",
            "--json",
        ],
        cwd=settings.root,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LONGEST_S,
        check=False,
    )
    try:
        result = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines()
        words = lines[-1].removeprefix("quantlab: ") if lines else "the selftest ended without a word"
        raise error_of_exit_code(done.returncode, words) from None
    return selftest_table(result)


def selftest_table(result: dict[str, Any]) -> Table:
    """The findings, what fails first."""
    frame = pl.DataFrame(result["findings"], schema=_COLUMNS)
    columns: tuple[Column, ...] = tuple(text(name, name, wrap=name != "verdict") for name in _COLUMNS)
    counts = ", ".join(f"{result[verdict]} {verdict}" for verdict in ("fails", "look", "pass"))
    caption = f"{counts}; {result['weight']} weight; reports/{result['file']}"
    return Table(frame, columns, source=f"{result['market']}, asked at {result['made']}", caption=caption)

"""`python -m quantlab.lab.drift_child RUN --home HOME --reports FOLDER`: leaves `drift.parquet` beside the report of a
run, which shows it. A process of its own, as the report's: the engine's memory holds no backtest."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from quantlab.environment import scrubbed


def leave_drift(run_id: str, *, home: Path, reports: Path) -> None:
    """Compare the run with its backtest for the report to come. Where that cannot be done the report says why not; it
    is never held up by it."""
    command = [sys.executable, "-m", "quantlab.lab.drift_child", run_id, "--home", str(home), "--reports", str(reports)]
    subprocess.run(command, env=scrubbed(os.environ), stdin=subprocess.DEVNULL, capture_output=True, check=False)


def main() -> int:
    import polars as pl

    from quantlab.lab.drift import against_backtest
    from quantlab.model import QuantlabError
    from quantlab.report import open_run

    parser = argparse.ArgumentParser(prog="python -m quantlab.lab.drift_child")
    parser.add_argument("run")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--reports", type=Path, required=True)
    arguments = parser.parse_args()
    os.nice(5)  # never takes the core of a running fleet
    try:
        frame = against_backtest(arguments.home, open_run(arguments.run, arguments.home)).frame
    except QuantlabError as error:
        frame = pl.DataFrame({"name": ["all"], "note": [str(error)]})
    folder = arguments.reports / arguments.run
    folder.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / "drift.parquet")
    return 0


if __name__ == "__main__":
    sys.exit(main())

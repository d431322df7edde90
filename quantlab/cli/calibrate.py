"""`quantlab calibrate`: what orders would have cost on recorded books, and numbers for slippage models."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError


def calibrate(
    run: Annotated[str | None, typer.Argument(help="Run id (default: the newest).")] = None,
    sizes: Annotated[str, typer.Option(help="Sizes of orders in USDT.")] = "100,1000,5000,10000,50000,100000",
    every: Annotated[float, typer.Option(help="Seconds of market time between two looks.", min=0.1)] = 10.0,
    page: Annotated[bool, typer.Option(help="Leave a page beside the run's report.")] = True,
    as_json: Json = False,
) -> None:
    """Walk orders through a run's recorded books, fit slippage models to half of it and score them on the rest."""
    from quantlab.cli.progress import counting
    from quantlab.cli.runs import home_of
    from quantlab.lab.slippage import calibrate as walk
    from quantlab.ledger import Ledger
    from quantlab.report import make_slippage_page

    home, reports = home_of(run)
    with Ledger.open(home, create=False) as ledger:
        run_id = run or ledger.latest_run_id()
        row = ledger.run(run_id)
    first_ms, last_ms = row.engine_from_ms or 0, row.engine_time_ms or 0
    with counting("market time", quiet=as_json) as show:
        told = None if show is None else lambda at_ms: show(max(0, at_ms - first_ms), max(1, last_ms - first_ms))
        found = walk(home, run_id, sizes=_sizes(sizes), every_s=every, on_progress=told)
    rows = found.scores()
    result: dict[str, Any] = {
        "run_id": run_id,
        "orders": found.walks.height,
        "beyond_known_levels": found.walks["cost_bps"].null_count(),
        "fixed_bps": found.fit.fixed_bps,
        "impact_bps": dict(found.fit.impact_bps),
        "models": rows.to_dicts(),
    }
    words = [f"{'model':8} {'walked':>9} {'error':>9} {'afterwards':>11} {'bias':>9}   bps beyond the best price"]
    words += [
        f"{each['model']:8} {each['walked_bps']:9.4f} {each['error_fitted']:9.4f} {each['error_afterwards']:11.4f} "
        f"{each['bias_bps']:+9.4f}"
        for each in rows.iter_rows(named=True)
    ]
    words += ["", f"{found.toml()}  # from {run_id}"]
    if page:
        path = make_slippage_page(found.walks, run_id, found.source, home=home, reports=reports)
        result["page"] = str(path)
        words.append(f"\n{path}")
    emit(result, as_json, "\n".join(words))


def _sizes(text: str) -> list[float]:
    try:
        sizes = [float(each) for each in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) <= 0:
        raise ConfigurationError(f'--sizes must be amounts such as "100,1000", not "{text}"')
    return sizes

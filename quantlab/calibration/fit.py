"""Slippage models fitted to walked costs, and scored on the part of the record that they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from quantlab.model import ConfigurationError
from quantlab.paper.slippage import REFERENCE_NOTIONAL, UNIFORM_BPS


@dataclass(frozen=True)
class Fit:
    """Numbers for `[paper]`: `fixed_bps`, and `impact_bps` by symbol (what 10,000 quote units cost beyond the best
    price). `split_ms` is where the part that was fitted on ends."""

    fixed_bps: float
    impact_bps: Mapping[str, float]
    split_ms: int

    def toml(self) -> str:
        """Lines for a fleet file."""
        table = ", ".join(f"{symbol} = {bps:.4f}" for symbol, bps in sorted(self.impact_bps.items()))
        return (
            f'[paper]\nslippage = "impact"\nimpact_bps = {{ {table} }}\n# slippage_bps = {self.fixed_bps:.4f}, if fixed'
        )


def fit(walks: pl.DataFrame, *, share: float = 0.5) -> Fit:
    """Fit to the first `share` of the time in `walks` (as `walked_costs` gives them).

    The fixed model is the mean of all costs, so that the sum over many orders is right; the impact model's coefficient
    of a symbol is that of least squares through zero over the square root of the size. Raises ConfigurationError where
    nothing was walked.
    """
    costs = walks.drop_nulls("cost_bps")
    if costs.is_empty():
        raise ConfigurationError("no order could be walked: the record has no whole book, or the sizes are too large")
    first, last = int(walks["time_ms"].min()), int(walks["time_ms"].max())  # type: ignore[arg-type]
    split_ms = first + round((last - first) * share)
    seen = costs.filter(pl.col("time_ms") <= split_ms)
    root = _root()
    slopes = seen.group_by("symbol").agg(((pl.col("cost_bps") * root).sum() / (root**2).sum()).alias("bps"))
    return Fit(
        fixed_bps=round(float(seen["cost_bps"].mean()), 4),  # type: ignore[arg-type]
        impact_bps={symbol: round(bps, 4) for symbol, bps in slopes.sort("symbol").iter_rows()},
        split_ms=split_ms,
    )


def score(walks: pl.DataFrame, found: Fit, *by: str) -> pl.DataFrame:
    """How far each model is from the walked cost, by "symbol", "notional", "hour" (UTC), several of them or none.

    Columns: model, then `by`, then orders, walked_bps (mean), error_fitted (mean size of predicted less walked, on the
    part that was fitted on), and of the part afterwards error_afterwards, bias_bps (mean of predicted less walked),
    low_bps and high_bps (its 5 % and 95 % quantiles). Orders that the known levels do not hold are left out.
    """
    coefficients = pl.col("symbol").replace_strict(dict(found.impact_bps), default=None, return_dtype=pl.Float64)
    predictions = {
        "impact": coefficients * _root(),
        "fixed": pl.lit(found.fixed_bps),
        "uniform": pl.lit(sum(UNIFORM_BPS) / 2),
    }
    costs = walks.drop_nulls("cost_bps").with_columns(
        hour=pl.from_epoch("time_ms", time_unit="ms").dt.hour().cast(pl.Int64)
    )
    error, afterwards = pl.col("error"), pl.col("time_ms") > found.split_ms
    later = error.filter(afterwards)
    scored = [
        costs.with_columns(error=predicted - pl.col("cost_bps"))
        .group_by(pl.lit(model).alias("model"), *by)
        .agg(
            orders=pl.len().cast(pl.Int64),
            walked_bps=pl.col("cost_bps").mean(),
            error_fitted=error.filter(~afterwards).abs().mean(),
            error_afterwards=later.abs().mean(),
            bias_bps=later.mean(),
            low_bps=later.quantile(0.05),
            high_bps=later.quantile(0.95),
        )
        for model, predicted in predictions.items()
    ]
    return pl.concat(scored).sort("model", *by)


def _root() -> pl.Expr:
    return (pl.col("notional") / float(REFERENCE_NOTIONAL)).sqrt()

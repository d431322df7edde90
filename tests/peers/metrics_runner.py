"""Runs in an environment of its own: the figures of empyrical and quantstats for the returns on stdin, as JSON."""

from __future__ import annotations

import json
import sys
import warnings

import empyrical
import pandas as pd
import quantstats.stats as quantstats

warnings.simplefilter("ignore")
YEAR = 365
answers = []
for returns in json.load(sys.stdin):
    series = pd.Series(returns, index=pd.date_range("2021-01-01", periods=len(returns)))
    answers.append(
        {
            "empyrical": {
                "annual_return": empyrical.annual_return(series, annualization=YEAR),
                "volatility": empyrical.annual_volatility(series, annualization=YEAR),
                "sharpe": empyrical.sharpe_ratio(series, annualization=YEAR),
                "sortino": empyrical.sortino_ratio(series, annualization=YEAR),
                "drawdown": -empyrical.max_drawdown(series),
                "calmar": empyrical.calmar_ratio(series, annualization=YEAR),
            },
            "quantstats": {
                "annual_return": quantstats.cagr(series, periods=YEAR),
                "volatility": quantstats.volatility(series, periods=YEAR),
                "sharpe": quantstats.sharpe(series, periods=YEAR),
                "sortino": quantstats.sortino(series, periods=YEAR),
                "drawdown": -quantstats.max_drawdown(series),
                "calmar": quantstats.calmar(series, periods=YEAR),
            },
            "probabilistic": float(quantstats.probabilistic_sharpe_ratio(series, periods=YEAR)),
        }
    )
json.dump(answers, sys.stdout)

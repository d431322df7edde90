"""The rows with which a run begins in the ledger."""

from __future__ import annotations

import os
import time

from quantlab.fleet.manifest import versions
from quantlab.fleet.plan import RunPlan
from quantlab.fleet.spec import FleetSpec
from quantlab.ledger import BotRow, RunRow
from quantlab.model import Source


def run_row(plan: RunPlan, source: Source) -> RunRow:
    """The run as it begins. Its journal's calls are counted where its input log alone gives them."""
    return RunRow(
        run_id=plan.run_id,
        created_ms=time.time_ns() // 1_000_000,
        market=plan.settings.market,
        execution=plan.settings.execution,
        source=source,
        fleet_name=plan.fleet.name,
        fleet_toml=plan.fleet.text,
        fleet_sha256=plan.fleet.sha256,
        seed=plan.seed,
        pid=os.getpid(),
        settings=plan.settings.public(),
        versions=versions(),
        journal_calls=0 if plan.record and plan.execution is None else None,
    )


def bot_rows(fleet: FleetSpec) -> list[BotRow]:
    """One row a bot, numbered from 0 in the order of the fleet file."""
    return [
        BotRow(
            bot=index,
            name=bot.name,
            strategy=bot.strategy,
            parameters=dict(bot.parameters),
            symbol=bot.symbol,
            timeframe=bot.timeframe,
            capital=bot.capital_usdt,
        )
        for index, bot in enumerate(fleet.bots)
    ]

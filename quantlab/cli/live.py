"""`quantlab live …`: orders that leave, while a person's arming lasts; on mainnet after a paper record."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError, Refused

app = typer.Typer(
    name="live",
    help="Orders that leave: armed by hand, up to an amount, until a time; on mainnet after a verified paper run.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def arm(
    capital: Annotated[str, typer.Option(help="The most that may be bought less what is sold, in USDT.")],
    hours: Annotated[float, typer.Option(help="For how long orders may leave.")],
    key: Annotated[str | None, typer.Option(help="Label or fingerprint, where the market has several keys.")] = None,
    fleet: Annotated[Path | None, typer.Option(help="The fleet file. Needed on mainnet.")] = None,
    as_json: Json = False,
) -> None:
    """Show what will be possible, and arm it once the phrase was typed."""
    from quantlab.cli.runs import checked, settings
    from quantlab.fleet.spec import load_fleet
    from quantlab.live import arm as arm_live

    chosen = settings()
    amount = _amount(capital)
    spec = None if fleet is None else load_fleet(fleet)
    fleet_usdt = None if spec is None else sum((bot.capital_usdt for bot in spec.bots), Decimal(0))
    if fleet_usdt is not None and fleet_usdt > amount:
        raise Refused(f"the bots of {fleet} have {fleet_usdt:f} USDT, more than --capital {amount:f}")
    live = chosen.model_copy(update={"execution": "live"})
    checked(live, "this arming", spec.sha256 if spec else None)

    where = {"mainnet": "Binance, with real money", "testnet": "the testnet"}.get(chosen.market, chosen.venue_url)

    def ask(phrase: str) -> str:
        for line in (
            f"Orders will leave for {where} and trade there.",
            f"At most {amount:f} USDT is bought less what is sold, open buys included.",
            "At the end nothing more is placed and what is open is cancelled; positions stay.",
            f"Type this to arm it:\n  {phrase}",
        ):
            print(line, file=sys.stderr)
        return _typed()

    arming = arm_live(
        chosen.home, chosen.market, capital_usdt=amount, hours=hours, ask=ask, label=key,
        fleet_sha256=spec.sha256 if spec else "",
    )  # fmt: skip
    emit(_shown(arming), as_json, f"armed until {_utc(arming.until_ms)}. Next: QUANTLAB_EXECUTION=live quantlab run")


@app.command()
def waive(
    fleet: Annotated[Path, typer.Option(help="The fleet file that may be armed on mainnet without a paper record.")],
    why: Annotated[str, typer.Option(help="The reason, for whoever reads the record of custody.")],
    as_json: Json = False,
) -> None:
    """Let a fleet file trade real money without a verified paper run. The reason is kept."""
    from quantlab.cli.runs import settings
    from quantlab.fleet.spec import load_fleet
    from quantlab.live import waive as waive_record

    def ask(phrase: str) -> str:
        print(f"No paper run has shown what this fleet does. Type this all the same:\n  {phrase}", file=sys.stderr)
        return _typed()

    spec = load_fleet(fleet)
    waive_record(settings().home, spec.sha256, why, ask=ask)
    emit({"fleet_sha256": spec.sha256, "why": why}, as_json, f"waived for {fleet} ({spec.sha256[:12]})")


@app.command()
def disarm(as_json: Json = False) -> None:
    """End the arming: a run here places nothing more and cancels what is open; its positions stay."""
    from quantlab.cli.runs import settings
    from quantlab.live import disarm as end

    was = end(settings().home)
    emit({"disarmed": was}, as_json, "disarmed" if was else "nothing was armed")


@app.command()
def status(as_json: Json = False) -> None:
    """What is armed, and why it may not hold."""
    from quantlab.cli.runs import settings
    from quantlab.live.arming import lapsed, standing

    chosen = settings()
    arming = standing(chosen.home)
    if arming is None:
        emit({"armed": False}, as_json, "nothing is armed")
        return
    why = lapsed(chosen.home, arming, _now_ms())
    if not why and chosen.execution != "live":
        why = "QUANTLAB_EXECUTION is paper: no order leaves"
    result = {"armed": not why, "why_not": why, **_shown(arming)}
    words = f"{arming.capital_usdt:f} USDT with {arming.fingerprint} on {arming.market} until {_utc(arming.until_ms)}"
    emit(result, as_json, f"armed: {words}" if not why else f"not armed ({words}): {why}")


def check_live(chosen: Any) -> None:
    """What a live run needs beside the arming. Raises Refused."""
    from quantlab.live import standing

    if chosen.market == "replay" and not chosen.venue_url:
        raise Refused(
            "live on a replay needs a venue that knows the key: start `quantlab venue --keys FILE` and set "
            "QUANTLAB_VENUE_URL"
        )
    if standing(chosen.home) is None:
        raise Refused(
            "QUANTLAB_EXECUTION=live is set and nothing is armed: `quantlab live arm --capital USDT --hours N`"
        )


def execution_of(chosen: Any, fleet: Any, preflight: Any) -> Any:
    """Live execution as a run is handed it, if all that was armed still holds. Raises Refused."""
    from quantlab.cli.custody import opened_now
    from quantlab.exchange import DoorConfig
    from quantlab.live import LiveExecution, armed
    from quantlab.live.arming import lapsed
    from quantlab.live.keys import HotSigner

    stops = [bot for bot in fleet.bots if bot.stop_loss_pct is not None or bot.trailing_stop_pct is not None]
    both = [bot.name for bot in stops if bot.take_profit_pct is not None]
    if both:  # each locks the whole balance on spot: the exchange would refuse the second
        raise ConfigurationError(
            f"{', '.join(both)}: a stop and a target at once cannot rest on one balance live: leave one out"
        )
    fleet_usdt = sum((bot.capital_usdt for bot in fleet.bots), Decimal(0))
    allowed, arming = armed(
        chosen.home, DoorConfig.for_settings(chosen), fleet_usdt=fleet_usdt, fleet_sha256=fleet.sha256,
        preflight=preflight,
    )  # fmt: skip
    signer = HotSigner(chosen.home, arming, lambda: opened_now(chosen))
    return LiveExecution(allowed, signer, lambda: lapsed(chosen.home, arming, _now_ms()))


def _shown(arming: Any) -> dict[str, Any]:
    return {
        "market": arming.market,
        "key": arming.label,
        "fingerprint": arming.fingerprint,
        "capital_usdt": f"{arming.capital_usdt:f}",
        "until": _utc(arming.until_ms),
        "record": arming.record,
    }


def _typed() -> str:
    print("> ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline()


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ConfigurationError(f'--capital "{text}" is not an amount in USDT') from None


def _utc(wall_ms: int) -> str:
    return datetime.fromtimestamp(wall_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000

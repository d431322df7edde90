"""The checklist, and going through it."""

from __future__ import annotations

from quantlab.preflight import at_rest, keys, machine, market, plain_text, stated
from quantlab.preflight.facts import Facts, Progress
from quantlab.preflight.result import Check, Mode, Result, line_of
from quantlab.settings import Settings
from quantlab.vault import Vault

#: All checks, in the order they are told in.
CHECKS: tuple[Check, ...] = (
    *keys.CHECKS,
    *at_rest.CHECKS,
    *plain_text.CHECKS,
    *machine.CHECKS,
    *market.CHECKS,
    *stated.CHECKS,
)


def mode_of(settings: Settings) -> Mode:
    """What the settings are about to do: trade on paper, meet the testnet, or trade real money. Orders that leave for a
    venue are judged as on the testnet."""
    if settings.execution == "live" and settings.market == "mainnet":
        return "live"
    return "testnet" if settings.market == "testnet" or settings.execution == "live" else "paper"


def preflight(
    settings: Settings,
    *,
    vault: Vault | None = None,
    ask_exchange: bool = True,
    mode: Mode | None = None,
    fleet_sha256: str | None = None,
    progress: Progress | None = None,
) -> Result:
    """Go through the checklist for `mode` (default: what the settings are about to do).

    The vault is opened where its password is kept, and `vault` spares that. With `ask_exchange` each key of the mode's
    environment is audited, and what that finds is kept: a key that fails is locked. `fleet_sha256` asks for a rehearsal
    of just that fleet. `progress` is told (checks done, of, the one that comes).
    Never raises for what it finds: a check that breaks is a line that says why.
    """
    facts = Facts(settings, mode or mode_of(settings), ask_exchange, vault, fleet_sha256)
    lines = []
    try:
        for done, check in enumerate(CHECKS):
            if progress is not None:
                progress(done, len(CHECKS), check.what)
            lines.append(line_of(check, facts))
        if progress is not None:
            progress(len(CHECKS), len(CHECKS), "done")
    finally:
        facts.close()
    return Result(tuple(lines), facts.mode, facts.now_ms)

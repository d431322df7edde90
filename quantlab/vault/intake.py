"""Keys found in `.env` move into the vault: a pair that is new there, and a restart, is all that a rotation takes.

The lines leave `.env` only after the pair was committed, read back and decrypted. Whatever is refused stays where it
was, and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from quantlab.model.errors import ConfigurationError, Refused
from quantlab.model.protocols import Signer
from quantlab.settings import Settings, parse_env, read_env
from quantlab.vault.credentials import Credential
from quantlab.vault.envfile import take_out
from quantlab.vault.rows import UNREACHABLE, Environment, Seen
from quantlab.vault.vault import Vault

#: How a key is audited: what signs with it, and where it belongs.
Audit = Callable[[Signer, Environment], Seen]
KEY_NAMES = ("BINANCE_API_KEY", "BINANCE_API_SECRET")


@dataclass(frozen=True, slots=True)
class Intake:
    """What became of a pair: `outcome`, and one line for people."""

    outcome: Literal["taken", "rotated", "known", "refused", "waiting"]
    label: str
    line: str


def pair_of(settings: Settings) -> Credential | None:
    """The pair that the settings name, None without one. Raises ConfigurationError for half a pair or a malformed
    one."""
    key, secret = settings.binance_api_key, settings.binance_api_secret
    if key is None and secret is None:
        return None
    if key is None or secret is None:
        missing, given = KEY_NAMES if key is None else KEY_NAMES[::-1]
        raise ConfigurationError(f"{given} is set and {missing} is not: give both or none")
    try:
        return Credential.parse(key.get_secret_value(), secret.get_secret_value())
    except ConfigurationError as error:
        raise ConfigurationError(f"{KEY_NAMES[0]} and {KEY_NAMES[1]}: {error}") from None


def environment_of(settings: Settings) -> Environment | None:
    """Where a pair in the settings belongs. None in a replay without a venue of the user's: real keys have no business
    there."""
    if settings.market == "replay" and settings.venue_url is None:
        return None
    return settings.market


def take_in(
    vault: Vault, credential: Credential, environment: Environment, audit: Audit, env: Path, *, label: str | None = None
) -> Intake:
    """Take the pair in, as a new key or in the place of the one that this environment has; clean `env` afterwards.

    A pair that an audit refuses is not taken in, and without an answer from the exchange it waits in `env`: it may
    belong to another market than the settings say. Raises Refused when it is not clear which key it replaces.
    """
    holding = vault.keys_of(environment)
    chosen = next((row for row in holding if vault.holds(row, credential)), None)
    if chosen is not None:
        return Intake("known", chosen.label, _cleaned(env, f'key "{chosen.label}" is in the vault already'))
    if label is None and len(holding) > 1:
        labels = ", ".join(f'"{row.label}"' for row in holding)
        raise Refused(f"the new pair in .env could replace any of {labels}: `quantlab vault rotate LABEL` says which")
    revoked = [row for row in vault.rows if row.environment == environment and row.state == "revoked" and not holding]
    old = next((row for row in (*holding, *reversed(revoked)) if label in (None, row.label)), None)
    name = old.label if old is not None else label or f"Binance {environment}"
    same = next((row for row in vault.rows if row.fingerprint == credential.fingerprint), None)
    if same is not None:
        return Intake(
            "refused",
            same.label,
            f'the key in .env ({same.fingerprint}) is known as "{same.label}" ({same.environment}, {same.state}) with '
            "another secret or purpose: one key has one label; remove its lines from .env",
        )
    seen = audit(credential.signer(), environment)
    if seen.refusals:
        return Intake("refused", name, f"the key in .env is not taken in: {'; '.join(seen.refusals)}")
    if seen.status == UNREACHABLE:
        return Intake("waiting", name, f"the key in .env waits there: its audit had no answer ({seen.detail})")
    if old is None:
        vault.add(name, credential, environment, seen=seen, notes="from .env")
        return Intake("taken", name, _cleaned(env, f'key "{name}" is in the vault now'))
    vault.rotate(name, credential, seen=seen)
    return Intake("rotated", name, _cleaned(env, f'key "{name}" was rotated: {old.fingerprint} is replaced'))


def _cleaned(env: Path, line: str) -> str:
    """Take the pair out of `.env`, if it stands there; words on it."""
    data = read_env(env)
    if data is None or not any(found.name in KEY_NAMES for found in parse_env(data, env)):
        return line
    take_out(env, KEY_NAMES, f"in quantlab's vault since {datetime.now(UTC):%Y-%m-%d}")
    return f"{line}; its lines are out of .env"

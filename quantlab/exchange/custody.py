"""Keys and the exchange: what an audit finds out, as the vault keeps it, and the watch that repeats it during a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from quantlab.exchange.address import public_address
from quantlab.exchange.audit import audit
from quantlab.exchange.commission import Commission, commission_of
from quantlab.exchange.config import HOSTS, DoorConfig
from quantlab.exchange.keyed import KeyedReader
from quantlab.exchange.outside import outside_any_loop
from quantlab.ledger import Ledger
from quantlab.ledger.keys import KeyRow
from quantlab.model.errors import ConfigurationError, QuantlabError
from quantlab.model.protocols import Signer
from quantlab.settings import Settings
from quantlab.vault import Environment, Seen, Vault
from quantlab.vault.rows import UNREACHABLE

Egress = Callable[[dict[str, Any]], object]
Result = TypeVar("Result")


class Custodian:
    """Audits keys from this machine. Each audit opens a client of its own, signs one request and is gone.

    `egress` takes the rows of what left; without it they go to the ledger of the settings' home.
    """

    def __init__(self, settings: Settings, egress: Egress | None = None) -> None:
        self._settings = settings
        self._egress = egress
        #: Our wall clock minus the exchange's at the last audit that had an answer, ms.
        self.clock_skew_ms: float | None = None

    def audit(self, signer: Signer, environment: Environment) -> Seen:
        """What the exchange says of a key. Never raises for what the exchange does: no answer is "unreachable"."""
        now_ms = time.time_ns() // 1_000_000
        config = door_to(self._settings, environment)
        if config is None:
            return Seen(UNREACHABLE, now_ms, detail="no venue runs: set QUANTLAB_VENUE_URL or start `quantlab venue`")
        rows: list[dict[str, Any]] = []
        found = outside_any_loop(audit(config, signer, environment=environment, egress=rows.append))
        self._write(rows)
        if found.clock_skew_ms is not None:
            self.clock_skew_ms = found.clock_skew_ms
        address, no_address = self.address()
        usable = found.status in ("passed", "not auditable")
        said = () if found.status in ("refused", "rejected") else found.reasons
        return Seen(
            found.status,
            found.checked_ms,
            permissions=None if found.verdict is None else found.verdict.permissions,
            ip_restricted=None if found.verdict is None else found.verdict.ip_restricted,
            address=address,
            refusals=() if usable or found.status == UNREACHABLE else found.reasons,
            detail="; ".join((*said, no_address) if usable and no_address else said),
        )

    def address(self) -> tuple[str | None, str]:
        """This machine's public address, and why there is none: no source set, or no answer from it."""
        url = self._settings.address_url
        if url is None:
            return None, "no QUANTLAB_ADDRESS_URL is set: this machine's public address is not watched"
        rows: list[dict[str, Any]] = []
        try:
            return outside_any_loop(public_address(url, self._settings.timeout_seconds, rows.append)), ""
        except QuantlabError as error:
            return None, str(error)
        finally:
            self._write(rows)

    def audit_key(self, vault: Vault, label: str, *, by_hand: bool = True) -> tuple[KeyRow, Seen]:
        """Audit a key of the vault and keep what was found; refusals lock it, a pass unlocks it.

        By hand, what is found is what holds from now on. By a watch, more permissions than before or another public
        address than at the last audit by hand are refusals too: nobody was there to mean them.
        """
        row = vault.key(label)
        seen = self.audit(vault.signer(row.fingerprint, "permission audit", audited=False), _environment(row))
        if not by_hand:
            seen = drifted(row, seen)
        return vault.record_audit(row.fingerprint, seen), seen

    def commission(self, vault: Vault, label: str, symbol: str) -> Commission:
        """What the key's account pays on `symbol`, in one signed read.

        Raises Refused for a key that is locked, ConfigurationError where no exchange is there to ask, and what asking
        raises.
        """
        row = vault.key(label)
        config = door_to(self._settings, row.environment)
        if config is None:
            raise ConfigurationError("no venue runs: set QUANTLAB_VENUE_URL or start `quantlab venue`")
        rows: list[dict[str, Any]] = []

        async def ask() -> object:
            async with KeyedReader(config, vault.signer(row.fingerprint, "commission"), rows.append) as reader:
                return await reader.commission(symbol)

        try:
            return commission_of(outside_any_loop(ask()))
        finally:
            self._write(rows)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if self._egress is not None:
            for row in rows:
                self._egress(row)
        elif rows:
            with Ledger.open(self._settings.home) as ledger:
                for row in rows:
                    ledger.log_egress(row)


class KeyWatch:
    """Repeats the audit of the keys that a run's market has. `check` blocks: call it in a thread.

    `open_vault` unlocks the vault anew each time, so that a key that was rotated meanwhile is the one that is audited,
    and no secret stays in memory between two looks.
    """

    def __init__(
        self, settings: Settings, open_vault: Callable[[], Vault], *, interval_s: float = 3600.0, halts: bool
    ) -> None:
        self.interval_s = interval_s
        #: Whether the fleet stands still while a key fails: on the testnet and live it does, paper does not use keys.
        self.halts = halts
        self.egress: Egress | None = None
        self._settings = settings
        self._open_vault = open_vault

    def check(self) -> dict[str, Any]:
        """{"checked_ms", "keys": [{label, fingerprint, state, audit, why}], "alerts": [one line each]}."""
        custodian = Custodian(self._settings, self.egress)
        keys, alerts = [], []
        try:
            with self._open_vault() as vault:
                watched = vault.keys_of(self._settings.market)
                for row in watched:
                    now, seen = custodian.audit_key(vault, row.fingerprint, by_hand=False)
                    why = now.state_why if now.state == "locked" else seen.detail
                    keys.append(
                        {
                            "label": now.label,
                            "fingerprint": now.fingerprint,
                            "state": now.state,
                            "audit": seen.status,
                            "why": why,
                        }
                    )
                    if now.state != "active":
                        alerts.append(f'key "{now.label}" is {now.state}: {why}')
                newest = {row.label: row for row in vault.rows if row.environment == self._settings.market}
                gone = [row for row in newest.values() if row.state == "revoked" and not watched]
                alerts += [f'key "{row.label}" was revoked: {row.state_why}' for row in gone]
        except QuantlabError as error:
            alerts.append(f"the keys could not be looked at: {error}")
        return {"checked_ms": time.time_ns() // 1_000_000, "keys": keys, "alerts": alerts}


def drifted(row: KeyRow, seen: Seen) -> Seen:
    """`seen`, refused where it differs from the last audit in a way that nobody here meant."""
    refusals = list(seen.refusals)
    if row.permissions is not None and seen.permissions is not None:
        gained = sorted(set(seen.permissions) - set(row.permissions))
        if gained:
            refusals.append(
                f"{', '.join(gained)} was switched on since the last audit: if you did, `quantlab vault audit` takes it"
            )
    if row.address is not None and seen.address is not None and row.address != seen.address:
        refusals.append(
            f"this machine's public address is {seen.address} now and was {row.address} when the key was audited: "
            "change the key's whitelist at API Management, then `quantlab vault audit`"
        )
    kept = row.address if refusals else seen.address
    return Seen(
        "refused" if len(refusals) > len(seen.refusals) and not seen.refusals else seen.status,
        seen.checked_ms,
        permissions=row.permissions if refusals else seen.permissions,
        ip_restricted=seen.ip_restricted,
        address=kept,
        refusals=tuple(refusals),
        detail=seen.detail,
    )


def door_to(settings: Settings, environment: str) -> DoorConfig | None:
    """The door to the exchange that a key of `environment` belongs to; None for a replay without a venue."""
    if environment == "replay":
        return DoorConfig.for_settings(settings) if settings.market == "replay" and settings.venue_url else None
    rest, stream = HOSTS[environment]
    return DoorConfig(
        market="testnet" if environment == "testnet" else "mainnet",
        rest_url=rest,
        stream_url=stream,
        weight_per_minute=settings.weight_per_minute,
        timeout_s=settings.timeout_seconds,
    )


def _environment(row: KeyRow) -> Environment:
    return "mainnet" if row.environment == "mainnet" else "testnet" if row.environment == "testnet" else "replay"

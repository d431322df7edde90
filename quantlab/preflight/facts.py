"""What the checks look at, read once each: tables of the vault, the vault itself, `.env`, git, answers of the exchange.

A fact that cannot be read raises for every check that needs it, and for no other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from quantlab.environment import SECRET_NAMES, held_secrets
from quantlab.exchange.custody import Custodian
from quantlab.ledger.database import database_path
from quantlab.ledger.keys import CustodyRow, KeyRow, KeyStore, StatementRow, UseRow, VaultRow
from quantlab.model.errors import QuantlabError
from quantlab.preflight.git import Repository, find_repository
from quantlab.preflight.result import Found, Mode
from quantlab.settings import Settings, parse_env, read_env
from quantlab.vault import RolledBack, Seen, Tampered, Vault
from quantlab.vault.password import Found as FoundPassword
from quantlab.vault.password import find_password

#: Seconds that each request may take here, whatever a run would grant it: somebody waits.
PATIENCE_S = 5.0
#: Shorter secrets would be found in ordinary words.
_SHORTEST_SECRET = 8
DAY_MS = 86_400_000
NO_KEY = Found("not applicable", "there is no key for this market: paper trading needs none")


@dataclass(frozen=True)
class Custody:
    """The tables of the vault, as of one moment."""

    headers: list[VaultRow]
    keys: list[KeyRow]
    uses: list[UseRow]
    statements: list[StatementRow]
    events: list[CustodyRow]
    backups: list[Path]


@dataclass(frozen=True)
class Audited:
    """A key as it is now. `seen` is what the exchange said of it just now; None where it was not asked, see `why`."""

    row: KeyRow
    seen: Seen | None
    why: str = ""


@dataclass
class Facts:
    """Everything there is to know, found out when it is asked for first."""

    settings: Settings
    mode: Mode
    ask_exchange: bool
    given: Vault | None = None
    fleet_sha256: str | None = None
    now_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    _opened: Vault | None = None

    def close(self) -> None:
        """Lock the vault again, if it was opened here."""
        if self._opened is not None:
            self._opened.close()

    @property
    def env_path(self) -> Path:
        return self.settings.root / ".env"

    @property
    def environment(self) -> str:
        """Whose keys matter in this mode. A replay rehearses both."""
        if self.settings.market == "replay" or self.mode == "paper":
            return self.settings.market
        return "testnet" if self.mode == "testnet" else "mainnet"

    # -- the vault --------------------------------------------------------------------------------------------------

    @cached_property
    def custody(self) -> Custody:
        if not database_path(self.settings.home).exists():
            return Custody([], [], [], [], [], [])
        with KeyStore.open(self.settings.home) as store, store.snapshot():
            return Custody(
                store.headers(),
                store.key_rows(),
                store.uses(),
                store.statements(),
                store.events(),
                [Path(row.path) for row in store.backups()],
            )

    @property
    def held(self) -> list[KeyRow]:
        """All keys that hold a secret."""
        return [row for row in self.custody.keys if row.holds_secret]

    @property
    def keys(self) -> list[KeyRow]:
        """Those of the environment that this mode uses."""
        return [row for row in self.held if row.environment == self.environment]

    @property
    def has_pair(self) -> bool:
        """Whether half a pair or a whole one stands in the settings, in plain text."""
        return self.settings.binance_api_key is not None or self.settings.binance_api_secret is not None

    @cached_property
    def password(self) -> FoundPassword | None:
        """The password that this machine has without asking a person. Raises QuantlabError as `find_password`."""
        return find_password(self.settings)

    @cached_property
    def opening(self) -> tuple[Vault | None, QuantlabError | None]:
        """The open vault, or why it is not open: (None, None) where there is none, or nobody to ask."""
        if self.given is not None:
            return self.given, None
        try:
            if not self.custody.headers or self.password is None:
                return None, None
            self._opened = Vault.open(self.settings.home, self.password.password)
            self.__dict__.pop("custody", None)  # opening an old vault raises its parameters, or ends a change cut short
            return self._opened, None
        except QuantlabError as error:
            return None, error

    @property
    def vault(self) -> Vault | None:
        return self.opening[0]

    @property
    def damage(self) -> QuantlabError | None:
        """What is wrong with the vault itself, where it does not open for that reason."""
        error = self.opening[1]
        return error if isinstance(error, Tampered | RolledBack) else None

    def why_closed(self) -> str:
        """Why the vault is not open, in words."""
        error = self.opening[1]
        return str(error) if error else "the vault's password is not kept here, and nobody was asked"

    # -- the exchange -----------------------------------------------------------------------------------------------

    @cached_property
    def hasty(self) -> Settings:
        """The settings, for requests that somebody waits for."""
        patience_s = min(self.settings.timeout_seconds, PATIENCE_S)
        return self.settings.model_copy(update={"timeout_seconds": patience_s})

    @cached_property
    def custodian(self) -> Custodian:
        return Custodian(self.hasty)

    @cached_property
    def audits(self) -> list[Audited]:
        """Each key of this environment, audited now where that is possible. What an audit finds is kept in the vault,
        as a run's own watch does: nobody was there to mean a new permission."""
        return [self._audited(row) for row in self.keys]

    def _audited(self, row: KeyRow) -> Audited:
        if not self.ask_exchange:
            return Audited(row, None, "the exchange was not asked (offline)")
        if self.vault is None:
            return Audited(row, None, self.why_closed())
        try:
            return Audited(*self.custodian.audit_key(self.vault, row.fingerprint, by_hand=False))
        except QuantlabError as error:
            return Audited(row, None, str(error))

    # -- plain text -------------------------------------------------------------------------------------------------

    @cached_property
    def env(self) -> dict[str, str]:
        """What `.env` sets; empty without one. Raises as `read_env` and `parse_env`."""
        data = read_env(self.env_path)
        return {} if data is None else {line.name: line.value for line in parse_env(data, self.env_path)}

    def place_of(self, name: str) -> str:
        """Where a setting's value stands, in words."""
        if os.environ.get(name, "").strip() or held_secrets().get(name, "").strip():
            return "the environment"
        return ".env" if self.env.get(name, "").strip() else "the settings"

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Every secret that is known here, under a name that may be shown."""
        found = {}
        for name in sorted(SECRET_NAMES):
            value = getattr(self.settings, name.lower())
            if value is not None:
                found[name] = value.get_secret_value()
        if self.vault is not None:
            found |= self.vault.secrets()
        return {name: value for name, value in found.items() if len(value.strip()) >= _SHORTEST_SECRET}

    @cached_property
    def repository(self) -> Repository | None:
        """The git repository that the root lies in. Raises QuantlabError when git cannot tell."""
        return find_repository(self.settings.root)


Progress = Callable[[int, int, str], object]

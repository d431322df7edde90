"""Checks of keys at rest: encrypted, whole, not an older copy, for the right environment, the password well kept."""

from __future__ import annotations

from pathlib import Path

from quantlab.ledger.database import database_path
from quantlab.model.errors import QuantlabError
from quantlab.preflight.facts import Facts
from quantlab.preflight.result import Check, Found, severities
from quantlab.settings import load_settings
from quantlab.vault import WrongPassword
from quantlab.vault.anchor import anchor_path, read_anchor
from quantlab.vault.kdf import DEFAULT_ITERATIONS
from quantlab.vault.sweep import Place, sweep

#: Beyond it a look at the database's bytes would take longer than somebody waits.
_LARGEST_BYTES = 512 << 20
_NO_VAULT = Found("not applicable", "there is no vault: there is no key to keep")
_PAIR = ("BINANCE_API_KEY", "BINANCE_API_SECRET")


def _encrypted(facts: Facts) -> Found:
    plain = [name for name in _PAIR if getattr(facts.settings, name.lower()) is not None]
    if plain:
        where = sorted({facts.place_of(name) for name in plain})
        return Found(
            "fail",
            f"{' and '.join(plain)} in plain text in {' and '.join(where)}",
            "`quantlab vault import-env` moves them into the vault"
            + (", then unset them in the shell" if "the environment" in where else ""),
        )
    _ = facts.vault  # opening it raises old parameters
    if not facts.custody.headers:
        return _NO_VAULT
    least = min(header.iterations for header in facts.custody.headers)
    if least < DEFAULT_ITERATIONS:
        return Found(
            "fail",
            f"the password is hardened by {least:,} iterations, {DEFAULT_ITERATIONS:,} are today's advice",
            "open the vault once, it raises them by itself: `quantlab vault audit --offline`",
        )
    where_found, left_out = _in_the_database(facts)
    if where_found:
        return Found(
            "fail",
            f"in plain text in the database: {'; '.join(where_found)}",
            "rotate the key at the exchange, then `quantlab vault rotate LABEL`, then `quantlab vault sweep`",
        )
    looked = left_out or "no known secret stands in the database's files"
    return Found("pass", f"sealed under {least:,} iterations of PBKDF2; {looked}")


def _in_the_database(facts: Facts) -> tuple[list[str], str]:
    """Which known secrets stand readable in the database's files; and why these were not looked at, if so."""
    path = database_path(facts.settings.home)
    files = [file for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")) if file.exists()]
    if not facts.secrets or facts.vault is None:
        return [], f"the database's bytes were not compared ({facts.why_closed()})"
    if sum(file.stat().st_size for file in files) > _LARGEST_BYTES:
        return [], "the database is too large to look through here: `quantlab vault sweep` does"
    report = sweep(facts.secrets, [Place("database", file, file.name, named=False) for file in files])
    return sorted({f"{finding.secret} ({finding.form}) in {finding.path}" for finding in report}), ""


def _whole(facts: Facts) -> Found:
    headers = facts.custody.headers
    if facts.damage is not None:
        return Found(
            "fail", str(facts.damage), "`quantlab vault restore BACKUP`, and find out who changed it; rotate the keys"
        )
    if not headers:
        if facts.held:
            return Found("fail", "there are keys here whose vault was removed", "`quantlab vault restore BACKUP`")
        return _NO_VAULT
    now = max(header.generation for header in headers)
    known = read_anchor(headers[0].vault_id)
    remember = "open the vault once: `quantlab vault audit --offline`"
    if not known.generation:
        return Found("fail", f"generation {now}; this machine has no memory of this vault", remember)
    if now < known.generation:
        return Found(
            "fail",
            f"generation {now}, this machine has seen {known.generation}: an old copy was put back",
            "`quantlab vault restore BACKUP` takes a backup in; find out who did this, rotate the keys",
        )
    if now > known.generation:
        return Found("fail", f"generation {now}, this machine remembers {known.generation}", remember)
    path = anchor_path(headers[0].vault_id)
    if path.stat().st_mode & 0o077:
        return Found("fail", f"others can read {path}", f"`chmod 600 {path}`")
    how = "opened and checked" if facts.vault is not None else f"not opened: {facts.why_closed()}"
    return Found("pass", f"generation {now}, the newest that this machine has seen; {how}")


def _password(facts: Facts) -> Found:
    if not facts.custody.headers:
        return _NO_VAULT
    error = facts.opening[1]
    if isinstance(error, WrongPassword):
        return Found(
            "fail",
            f"the password that is kept does not open the vault: {error}",
            "put the right one into .env, or `quantlab vault passwd`",
            severities("alert", "block", "block"),
        )
    found = facts.password
    if found is None:
        return Found("pass", "kept nowhere here: it is typed when it is needed")
    if found.where != "VAULT_PASSWORD":
        return Found("pass", f"from {found.where}")
    where = facts.place_of("VAULT_PASSWORD")
    return Found(
        "fail",
        f"VAULT_PASSWORD in {where}: it protects copies of the database, not a machine that was stolen",
        "`quantlab vault passwd --keyring`, or a systemd credential, then take the line out",
    )


def _environment(facts: Facts) -> Found:
    chosen = facts.settings
    flagged = _flag_fault(facts)
    if flagged:
        return Found("fail", flagged, "make QUANTLAB_MARKET and BINANCE_TESTNET say the same")
    if facts.mode == "testnet" and chosen.market == "mainnet":
        return Found("fail", "the market in use is mainnet", "set QUANTLAB_MARKET=testnet")
    if facts.mode == "live" and chosen.market == "testnet":
        return Found("fail", "the market in use is testnet", "set QUANTLAB_MARKET=mainnet")
    held = sorted({row.environment for row in facts.held})
    if held and facts.environment not in held:
        return Found(
            "fail",
            f"the market is {facts.environment}, the vault's keys are for {', '.join(held)}: none of them is used",
            f"`quantlab vault add --label LABEL --environment {facts.environment}`, or nothing",
            severities("info", "alert", "block"),
        )
    keys = f"; keys in the vault for {', '.join(held)}" if held else "; no key in the vault"
    return Found("pass", f"the market is {chosen.market}{keys}")


def _flag_fault(facts: Facts) -> str:
    """How the settings as they stand contradict themselves, or the market that was started. A replay is nobody's
    exchange."""
    if facts.settings.market == "replay":
        return ""
    try:
        named = load_settings(facts.settings.root).market
    except QuantlabError as error:
        return str(error)
    if named in ("replay", facts.settings.market):
        return ""
    return f"started on {facts.settings.market}, and the settings say {named}"


CHECKS = (
    Check(
        "encrypted",
        "Keys encrypted at rest",
        "a copy of the folder (backup, sync, bug report) must not be a copy of the keys",
        severities("alert", "block", "block"),
        _encrypted,
    ),
    Check(
        "rollback",
        "The vault whole and the newest",
        "an old copy put back would bring back keys that were revoked",
        severities("alert", "block", "block"),
        _whole,
    ),
    Check(
        "vault-password",
        "The vault password's home",
        "a password beside the database goes where the database goes",
        severities("info", "info", "alert"),
        _password,
    ),
    Check(
        "environment",
        "Testnet and mainnet not mixed up",
        "a key or an order meant for play money must not meet the real exchange",
        severities("alert", "block", "block"),
        _environment,
    ),
)

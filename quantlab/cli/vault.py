"""`quantlab vault …`: keys at rest, from the first to the last day of each. No secret is ever an argument."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from quantlab.cli import typed
from quantlab.cli.output import Json, emit
from quantlab.cli.runs import settings
from quantlab.model.errors import ConfigurationError, ExchangeUnreachable, NotFound, QuantlabError, Refused

app = typer.Typer(
    name="vault",
    help="Keys at rest: encrypted in the database, audited, rotated, revoked.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Label = Annotated[str, typer.Argument(help="The key's label, or its fingerprint.", autocompletion=lambda: _labels())]
Stdin = Annotated[bool, typer.Option("--stdin", help="Key and secret come as two lines on standard input.")]
SecretFile = Annotated[
    Path | None, typer.Option(help="PEM file of an Ed25519 or RSA private key, instead of typing the secret.")
]


@app.command()
def init(
    generate: Annotated[bool, typer.Option("--generate", help="Make a password and keep it in .env.")] = False,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep the password in the desktop's keyring.")] = False,
    as_json: Json = False,
) -> None:
    """Make the vault. Its password is VAULT_PASSWORD, or typed here, or made here."""
    from quantlab.cli.custody import make_vault

    vault, where = make_vault(settings(), generate=generate, keyring=keyring)
    with vault:
        result = {"vault_id": vault.vault_id, "generation": vault.generation, "password": where}
    emit(result, as_json, f"vault made; its password: {where}. Next: `quantlab vault add --label LABEL`")


@app.command()
def add(
    label: Annotated[str, typer.Option(help="What the key is for, such as Paper Trading.")],
    environment: Annotated[
        str | None, typer.Option(help="mainnet, testnet or replay (default: the market of the settings).")
    ] = None,
    stdin: Stdin = False,
    secret_file: SecretFile = None,
    notes: Annotated[str, typer.Option(help="Words to keep with the key (in the clear).")] = "",
    as_json: Json = False,
) -> None:
    """Take a key in: it is audited first, and refused when it could move funds."""
    from quantlab.exchange.custody import Custodian
    from quantlab.vault.rows import UNREACHABLE, check_label

    chosen = settings()
    where = _environment(environment or chosen.market)
    check_label(label)
    custodian = Custodian(chosen)
    with _open(chosen) as vault:
        credential = typed.pair(stdin, secret_file)
        _tell_address(custodian, as_json)
        seen = custodian.audit(credential.signer(), where)
        if seen.refusals:
            raise Refused(f"this key is not taken in: {'; '.join(seen.refusals)}")
        row = vault.add(label, credential, where, seen=seen, notes=notes)
    words = f'key "{row.label}" ({row.fingerprint}) is in the vault: {_words(row, seen)}'
    if seen.status == UNREACHABLE:
        words += "; `quantlab vault audit` tries again"
    emit(_entry(chosen, row.fingerprint), as_json, words)


@app.command(name="import-env")
def import_env(
    label: Annotated[str | None, typer.Option(help="Label of the key (default: the one it replaces).")] = None,
    as_json: Json = False,
) -> None:
    """Move BINANCE_API_KEY and BINANCE_API_SECRET from .env into the vault; the lines leave .env once it is safe."""
    from quantlab.cli.custody import import_pair

    taken = import_pair(settings(), label=label)
    if taken is None:
        raise NotFound("no BINANCE_API_KEY and BINANCE_API_SECRET in .env or the environment: nothing to move")
    emit({"outcome": taken.outcome, "label": taken.label, "line": taken.line}, as_json, taken.line)
    if taken.outcome == "refused":
        raise typer.Exit(3)
    if taken.outcome == "waiting":
        raise typer.Exit(4)


@app.command(name="list")
def list_(as_json: Json = False) -> None:
    """The inventory: every key, its state, and who opened it. Needs no password."""
    from quantlab.cli.inventory import print_table
    from quantlab.vault.inventory import inventory

    entries = inventory(settings().home)
    emit(entries, as_json, lambda: print_table(entries))


@app.command()
def show(label: Label, as_json: Json = False) -> None:
    """One key: permissions, dates, users, history. Never its secret. Needs no password."""
    from quantlab.cli.inventory import print_entry
    from quantlab.vault.inventory import history, inventory

    chosen = settings()
    entry = _entry(chosen, label)
    events = [event for event in history(chosen.home) if event["label"] == entry["label"]]
    same = [other for other in inventory(chosen.home) if other["label"] == entry["label"]]
    result = entry | {"versions": [other["fingerprint"] for other in same], "history": events}
    emit(result, as_json, lambda: print_entry(result))


@app.command()
def rotate(label: Label, stdin: Stdin = False, secret_file: SecretFile = None, as_json: Json = False) -> None:
    """Put a new pair in the place of a key, after its audit. Running engines take it without a restart."""
    from quantlab.cli.custody import tell_engine
    from quantlab.exchange.custody import Custodian
    from quantlab.vault.rows import UNREACHABLE

    chosen = settings()
    custodian = Custodian(chosen)
    with _open(chosen) as vault:
        old = vault.key(label)
        credential = typed.pair(stdin, secret_file)
        seen = custodian.audit(credential.signer(), _environment(old.environment))
        if seen.refusals:
            raise Refused(f"the new key is not taken in: {'; '.join(seen.refusals)}. The old one stays")
        if seen.status == UNREACHABLE and old.holds_secret:
            raise ExchangeUnreachable(f"the new key could not be audited, the old one stays: {seen.detail}")
        row = vault.rotate(old.fingerprint, credential, seen=seen)
    engine = tell_engine(chosen.home)
    differences = _differences(old, row)
    before = "is replaced" if old.holds_secret else f"was {old.state} already"
    words = [f'key "{row.label}" is {row.fingerprint} now, {old.fingerprint} {before}: {_words(row, seen)}']
    words += [f"unlike the old key: {line}" for line in differences]
    words += [engine] if engine else []
    words.append("delete the old key at https://www.binance.com/en/my/settings/api-management if it still exists")
    result = _entry(chosen, row.fingerprint) | {"replaced": old.fingerprint, "differences": differences}
    emit(result | {"engine": engine}, as_json, "\n".join(words))


@app.command()
def revoke(
    label: Label,
    why: Annotated[str, typer.Option(help="Why, for the history.")] = "revoked by hand",
    as_json: Json = False,
) -> None:
    """Mark a key as revoked and erase its secret here. Needs no password. Delete it at Binance yourself."""
    from quantlab.cli.custody import tell_engine
    from quantlab.vault import revoke as revoke_keys
    from quantlab.vault.rows import check_words

    chosen = settings()
    check_words("reason", why)
    rows = revoke_keys(chosen.home, [label], why)
    if not rows:
        raise NotFound(f'"{label}" holds no secret any more: `quantlab vault show` tells why')
    tell_engine(chosen.home)
    words = f'key "{rows[0].label}" ({rows[0].fingerprint}) is revoked, its secret is erased here. Now delete it at '
    emit(_entry(chosen, rows[0].fingerprint), as_json, words + "Binance: only that stops who has a copy")


@app.command()
def passwd(
    generate: Annotated[bool, typer.Option("--generate", help="Make a password instead of asking for one.")] = False,
    keyring: Annotated[bool, typer.Option("--keyring", help="Keep it in the desktop's keyring from now on.")] = False,
    as_json: Json = False,
) -> None:
    """Change the password: a new data key, everything encrypted anew, the old bytes erased."""
    from quantlab.cli.custody import change_password, tell_engine
    from quantlab.vault import password

    chosen = settings()
    with _open(chosen) as vault:
        secret = password.generate() if generate else typed.typed_twice()
        result = change_password(chosen, vault, secret, keyring=keyring, generated=generate)
    tell_engine(chosen.home)
    lines = [f"the password is changed; it is kept in {result['password']}"]
    if not result["erased"]:
        lines.append("another process reads the old state just now: the next change of the vault erases its last bytes")
    for path in result["old_copies"]:
        lines.append(f"the backup {path} still opens with the old password")
    lines.append("copies of the database made before open with the old password too: if one of them got away, rotate")
    emit(result, as_json, "\n".join(lines))


@app.command()
def audit(
    label: Annotated[str | None, typer.Argument(help="One key (default: all that hold a secret).")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Only the vault's own integrity.")] = False,
    as_json: Json = False,
) -> None:
    """Ask Binance what each key may do. What may move funds, or is not bound to addresses, is locked."""
    from quantlab.cli.custody import tell_engine
    from quantlab.exchange.custody import Custodian

    chosen = settings()
    custodian = Custodian(chosen)
    keys: list[dict[str, Any]] = []
    with _open(chosen) as vault:
        rows = [vault.key(label)] if label else [row for row in vault.rows if row.holds_secret]
        for row in rows:
            if offline:
                keys.append({"label": row.label, "fingerprint": row.fingerprint, "state": row.state})
                continue
            now, seen = custodian.audit_key(vault, row.fingerprint)
            keys.append(
                {"label": now.label, "fingerprint": now.fingerprint, "state": now.state, "audit": seen.status}
                | {"permissions": list(seen.permissions or ()), "ip_restricted": seen.ip_restricted}
                | {"refusals": list(seen.refusals), "detail": seen.detail, "address": seen.address}
            )
        result = {"integrity": "whole", "generation": vault.generation, "keys": keys}
    if not offline:
        tell_engine(chosen.home)
        _tell_address(custodian, as_json)
    emit(result, as_json, lambda: _print_audit(result))
    if any(key.get("refusals") for key in keys):
        raise typer.Exit(3)
    if any(key.get("audit") == "unreachable" for key in keys):
        raise typer.Exit(4)


@app.command()
def fees(
    label: Label,
    symbol: Annotated[str, typer.Option(help="A symbol: Binance has rates of its own for some.")] = "BTCUSDT",
    as_json: Json = False,
) -> None:
    """What the key's account pays, as lines for a fleet file's [paper] table."""
    from quantlab.exchange.custody import Custodian

    chosen = settings()
    with _open(chosen) as vault:
        found = Custodian(chosen).commission(vault, label, symbol)
    maker, taker = (f"{(rate * 100).normalize():f}" for rate in (found.maker, found.taker))
    words = f"[paper]                     # what this account pays on {found.symbol}\n"
    words += f"maker_fee_pct = {maker}\ntaker_fee_pct = {taker}"
    if found.bnb_discount:
        words += "\nbnb_discount = true         # this account pays in BNB, at a discount"
    result = {"symbol": found.symbol, "maker_fee_pct": maker, "taker_fee_pct": taker}
    emit(result | {"bnb_discount": found.bnb_discount}, as_json, words)


@app.command(name="export-inventory")
def export_inventory(
    path: Annotated[Path, typer.Argument(help="A .json, .csv or .html file; - prints JSON.")], as_json: Json = False
) -> None:
    """Write the inventory to a file, for the drawer or the auditor. It holds no secret."""
    from quantlab.cli.inventory import write_inventory

    written = write_inventory(settings().home, path)
    if str(path) != "-":
        emit({"file": str(path), "keys": written}, as_json, f"{written} keys in {path}")


@app.command()
def backup(path: Annotated[Path, typer.Argument(help="A new file.")], as_json: Json = False) -> None:
    """Copy the sealed vault to a file. It opens with today's password, whatever happens to the vault."""
    from quantlab.vault.backup import backup as make

    row = make(settings().home, path)
    result = {"file": row.path, "generation": row.generation, "sha256": row.sha256}
    emit(result, as_json, f"{row.path} written, generation {row.generation}; it opens with today's password")


@app.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A file that `vault backup` made.")],
    confirm: Annotated[str | None, typer.Option(help='The word "restore", instead of typing it.')] = None,
    as_json: Json = False,
) -> None:
    """Put the vault back as a backup has it. A rollback: everything newer is lost, every key is audited anew."""
    from quantlab.vault import password
    from quantlab.vault.backup import read_backup, restore, rollback

    chosen = settings()
    taken = read_backup(path)
    change = rollback(chosen.home, taken)
    print(
        f"now: generation {change.generation_now}; the backup: generation {change.generation_then} with "
        f"{', '.join(change.labels_then) or 'no key'}",
        file=sys.stderr,
    )
    if change.lost:
        print(f"secrets that would be lost: {', '.join(change.lost)}", file=sys.stderr)
    if (confirm or typed.line('type "restore" to go on: ')) != "restore":
        raise ConfigurationError("not restored: nothing was changed")
    found = password.find_password(chosen, prompt=password.ask)
    if found is None:
        raise Refused("the backup's password is needed: set VAULT_PASSWORD, or run this in a terminal")
    rows = restore(chosen.home, taken, found.password)
    now = rollback(chosen.home, taken).generation_now
    result = {"generation": now, "keys": [row.label for row in rows]}
    emit(result, as_json, f"{len(rows)} keys are back, locked: `quantlab vault audit` before use")


@app.command()
def note(label: Label, words: Annotated[str, typer.Argument(help="Words to keep with the key.")]) -> None:
    """Change the words that stand beside a key. They are kept in the clear."""
    with _open(settings()) as vault:
        vault.note(label, words)


@app.command()
def sweep(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Where to look (default: all that quantlab touches).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for your own secrets where they must not be: logs, notebooks, histories, git, reports, processes."""
    from quantlab.cli.vault_sweep import print_sweep, run_sweep

    result = run_sweep(settings(), paths or [], quiet=as_json)
    emit(result, as_json, lambda: print_sweep(result))
    if result["findings"]:
        raise typer.Exit(3)


# -- what the commands share ----------------------------------------------------------------------------------------


def _open(chosen: Any) -> Any:
    from quantlab.vault.opening import open_vault
    from quantlab.vault.password import ask

    return open_vault(chosen, prompt=ask)


def _labels() -> list[str]:
    """Completions: labels are no secret."""
    from quantlab.vault.inventory import inventory

    try:
        return [entry["label"] for entry in inventory(settings().home)]
    except QuantlabError:
        return []


def _environment(name: str) -> Any:
    from quantlab.vault import ENVIRONMENTS

    if name not in ENVIRONMENTS:
        raise ConfigurationError(f'--environment "{name}" is not one of {", ".join(ENVIRONMENTS)}')
    return name


def _entry(chosen: Any, label: str) -> dict[str, Any]:
    from quantlab.vault.inventory import inventory

    entries = [entry for entry in inventory(chosen.home) if label in (entry["label"], entry["fingerprint"])]
    if not entries:
        raise NotFound(f'no key "{label}" in the vault: `quantlab vault list` shows them')
    return entries[0]


def _words(row: Any, seen: Any) -> str:
    if row.state == "locked":
        return f"locked, {row.state_why}" + (f" ({seen.detail})" if seen.detail else "")
    allowed = ", ".join(seen.permissions) if seen.permissions else seen.status
    return f"{allowed}; bound to addresses" if seen.ip_restricted else allowed


def _differences(old: Any, new: Any) -> list[str]:
    """How a new key differs from the one it replaces, in lines for people."""
    lines = []
    if old.permissions is not None and new.permissions is not None:
        more, less = set(new.permissions) - set(old.permissions), set(old.permissions) - set(new.permissions)
        lines += [f"it also has {', '.join(sorted(more))}"] if more else []
        lines += [f"it lacks {', '.join(sorted(less))}"] if less else []
    if old.ip_restricted is not None and new.ip_restricted is not None and old.ip_restricted != new.ip_restricted:
        lines.append("bound to addresses" if new.ip_restricted else "NOT bound to addresses")
    if old.type != new.type:
        lines.append(f"its type is {new.type}, was {old.type}")
    return lines


def _tell_address(custodian: Any, as_json: bool) -> None:
    if as_json:
        return
    address, why = custodian.address()
    words = f"this machine's public address is {address}: it belongs into the key's whitelist" if address else why
    print(words, file=sys.stderr)


def _print_audit(result: dict[str, Any]) -> None:
    print(f"the vault is whole (generation {result['generation']})")
    for key in result["keys"]:
        print(f'key "{key["label"]}" ({key["fingerprint"]}): {key.get("audit", "not asked")}, {key["state"]}')
        for line in [*key.get("refusals", ()), *([key["detail"]] if key.get("detail") else ())]:
            print(f"  {line}")

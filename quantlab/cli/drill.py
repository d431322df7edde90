"""`quantlab panic --drill`: the emergency rehearsed on a replay venue, with a running engine and a stopwatch.

Everything happens in a folder that is removed afterwards: the user's keys, vault and runs are not touched.
"""

from __future__ import annotations

import json
import os
import secrets
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quantlab.cli.custody import tell_engine
from quantlab.cli.panic import panic
from quantlab.environment import scrubbed
from quantlab.exchange.custody import Custodian
from quantlab.fleet.control import send
from quantlab.fleet.process import running
from quantlab.ledger.raw import Raw
from quantlab.model import QuantlabError
from quantlab.settings import Settings, load_settings
from quantlab.vault import Credential, has_vault, password
from quantlab.vault.anchor import anchor_path
from quantlab.vault.inventory import inventory
from quantlab.vault.opening import open_vault
from quantlab.venue.child import VenueChild
from quantlab.venue.control import delete_key

LABEL = "Drill"
#: The machine's part of the drill, at most.
GOAL_S = 5.0
_START_S = 60.0
_FLEET = """
[fleet]
name = "drill"
capital_usdt = 1000

[[bot]]
name = "btc"
strategy = "ema_cross"
symbol = "BTCUSDT"
timeframe = "1m"
"""


def rehearse() -> dict[str, Any]:
    """Play a compromise through.

    Returns {"steps": [{"step", "seconds", "who"}], "machine_seconds", "in_time", "checks", "ok"}: the seconds of each
    step, and what was checked afterwards by name. Raises QuantlabError when it cannot be set up.
    """
    steps: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="quantlab-drill-") as folder:
        root = Path(folder)
        old, new = _pair(), _pair()
        keys = _owner_only(root / "venue-keys.json", json.dumps([_row(old), _row(new)]))
        with VenueChild(hours=2, speed=1.0, keys=keys, environment=scrubbed(os.environ)) as venue:
            chosen = _home(root, venue.url, old)
            with _engine(chosen, root):
                try:
                    checks = _act(chosen, venue.url, Credential.parse(*old), Credential.parse(*new), steps)
                finally:
                    _forget_anchor(chosen)
    seconds = sum(step["seconds"] for step in steps if step["who"] == "machine")
    return {
        "steps": steps,
        "machine_seconds": round(seconds, 3),
        "in_time": seconds < GOAL_S,
        "checks": checks,
        "ok": all(checks.values()),
    }


def _act(chosen: Settings, url: str, old: Credential, new: Credential, steps: list[dict[str, Any]]) -> dict[str, bool]:
    before = _sealed(chosen)
    with _timed(steps, "panic: revoked here, secret erased, the engine told", "machine"):
        panic([LABEL], lambda line: None, chosen)
    engine_knew = bool(_keys(chosen)["alerts"])
    with _timed(steps, "the key deleted at the exchange (here: the venue)", "you"):
        delete_key(url, old.fingerprint)
    with _timed(steps, "a look whether the exchange still takes it", "machine"):
        dead = Custodian(chosen).audit(old.signer(), "replay").status == "rejected"
    with _timed(steps, "the new key audited, taken in, and in use by the running engine", "machine"):
        with open_vault(chosen) as vault:
            seen = Custodian(chosen).audit(new.signer(), "replay")
            vault.rotate(LABEL, new, seen=seen)
        tell_engine(chosen.home)
    state = _keys(chosen)
    entries = {entry["fingerprint"]: entry for entry in inventory(chosen.home)}
    home = b"".join(Raw(file).read() for file in chosen.home.glob("quantlab.sqlite*"))
    return {
        "the engine heard of it": engine_knew,
        "the old key is dead at the exchange": dead,
        "the engine uses the new key, without a restart": [key["fingerprint"] for key in state["keys"]]
        == [new.fingerprint]
        and not state["alerts"]
        and running(chosen.home) is not None,
        "the old secret is gone from database and log": not any(token.encode() in home for token in before),
        "the inventory names who used the old key": bool(entries[old.fingerprint]["used_by"]),
        "the inventory calls the old key revoked": entries[old.fingerprint]["state"] == "revoked",
    }


def print_steps(result: dict[str, Any]) -> None:
    """The stopwatch as a table, and what was checked."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Compromise drill on a replay venue")
    table.add_column("step")
    table.add_column("whose part")
    table.add_column("seconds", justify="right")
    for step in result["steps"]:
        table.add_row(step["step"], step["who"], f"{step['seconds']:.2f}")
    table.add_row("the machine's part", "machine", f"{result['machine_seconds']:.2f}")
    console = Console()
    console.print(table)
    if not result["in_time"]:
        console.print(f"slower than {GOAL_S:g} s: is this machine busy?", highlight=False)
    for name, held in result["checks"].items():
        console.print(f"{'yes' if held else 'NO '}  {name}", highlight=False)


# -- the stage --------------------------------------------------------------------------------------------------------


def _home(root: Path, url: str, pair: tuple[str, str]) -> Settings:
    """A user as tutorials make them: the pair and a password in `.env`."""
    lines = f"BINANCE_API_KEY={pair[0]}\nBINANCE_API_SECRET={pair[1]}\nVAULT_PASSWORD={password.generate()}\n"
    _owner_only(root / ".env", lines)
    return load_settings(root, environ={"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": url})


@contextmanager
def _engine(chosen: Settings, root: Path) -> Iterator[None]:
    """A run of one bot at the market's own pace, which takes the pair in and watches it."""
    from quantlab.cli.custody import import_pair

    import_pair(chosen, label=LABEL)
    fleet = root / "fleet.toml"
    fleet.write_text(_FLEET, encoding="utf-8")
    command = [sys.executable, "-m", "quantlab", "run", "--foreground", "--json", "--no-report", "--no-record"]
    command += ["--fleet", str(fleet), "--run-id", "drill", "--reports", str(root / "reports")]
    environment = scrubbed(os.environ) | {
        "QUANTLAB_MARKET": "replay",
        "QUANTLAB_VENUE_URL": str(chosen.venue_url),
        "QUANTLAB_ROOT": str(root),
    }
    log = root / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + _START_S
        while not _watched(chosen):
            if process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(errors="replace").strip().splitlines()
                raise QuantlabError(f"the drill's run did not start: {words[-1] if words else 'no word from it'}")
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(30.0)


def _watched(chosen: Settings) -> bool:
    if running(chosen.home) is None:
        return False
    try:
        return bool(_keys(chosen)["looks"])
    except QuantlabError:
        return False


def _keys(chosen: Settings) -> dict[str, Any]:
    return send(chosen.home, "status").get("keys") or {"looks": 0, "keys": [], "alerts": []}


def _sealed(chosen: Settings) -> list[str]:
    from quantlab.vault.locked import open_store

    with open_store(chosen.home) as store:
        return [token for header in store.headers() for token in store.documents(header.epoch).values()]


def _forget_anchor(chosen: Settings) -> None:
    from quantlab.vault.locked import open_store

    if has_vault(chosen.home):
        with open_store(chosen.home) as store:
            anchor_path(store.headers()[0].vault_id).unlink(missing_ok=True)


@contextmanager
def _timed(steps: list[dict[str, Any]], step: str, who: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    steps.append({"step": step, "seconds": round(time.monotonic() - began, 3), "who": who})


def _pair() -> tuple[str, str]:
    letters = string.ascii_letters + string.digits
    return ("".join(secrets.choice(letters) for _ in range(64)), "".join(secrets.choice(letters) for _ in range(64)))


def _row(pair: tuple[str, str]) -> dict[str, str]:
    return {"api_key": pair[0], "secret": pair[1]}


def _owner_only(path: Path, text: str) -> Path:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path

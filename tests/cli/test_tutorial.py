"""The plain way of a tutorial works: both keys in `.env`, a run of 45 bots, a report, a new pair and a restart.

And it ends better than the tutorial: the keys leave `.env` for the vault, what may withdraw is refused, and nothing
about keys ever keeps a paper run from starting.
"""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from quantlab.venue.child import VenueChild
from tests.cli.test_errors import fails, quantlab

ROOT = Path(__file__).resolve().parents[2]
OLD = ("oldKEY01" * 8, "oldSECR3" * 8)
NEW = ("newKEY02" * 8, "newSECR4" * 8)
THIEF = ("badKEY05" * 8, "badSECR6" * 8)
PASSWORD = "VAULT_PASSWORD=a-long-passphrase-of-the-user-42"
RUN = ("run", "--foreground", "--fleet", str(ROOT / "notebooks" / "fleet.toml"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The keys that the venue knows. One of them may withdraw."""
    file = tmp_path / "venue-keys.json"
    rows = [{"api_key": key, "secret": secret} for key, secret in (OLD, NEW)]
    rows.append({"api_key": THIEF[0], "secret": THIEF[1], "restrictions": {"enableWithdrawals": True}})
    file.touch(0o600)
    file.write_text(json.dumps(rows))
    return file


@contextmanager
def venue(keys: Path) -> Iterator[dict[str, str]]:
    with VenueChild(hours=0.2, speed=None, keys=keys) as child:
        yield {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": child.url}


def write_env(root: Path, pair: tuple[str, str], *more: str, mode: int = 0o600) -> None:
    lines = ["# my settings", f"BINANCE_API_KEY={pair[0]}", f'BINANCE_API_SECRET="{pair[1]}"  # shown once', *more]
    (root / ".env").touch(mode)
    (root / ".env").write_text("\n".join(lines) + "\n")
    (root / ".env").chmod(mode)


def inventory(root: Path) -> list[dict[str, str]]:
    done = quantlab("vault", "list", "--json", root=root)
    assert done.returncode == 0, done.stderr
    listed: list[dict[str, str]] = json.loads(done.stdout)
    return listed


def holds(root: Path, *secrets: str) -> list[str]:
    """Files under `root` that hold one of `secrets`."""
    return [
        str(file.relative_to(root))
        for file in sorted(root.rglob("*"))
        if file.is_file() and file.name != "venue-keys.json" and any(s.encode() in file.read_bytes() for s in secrets)
    ]


def test_from_env_to_a_report_of_45_bots_and_a_restart_with_a_new_pair(tmp_path: Path, keys: Path) -> None:
    write_env(tmp_path, OLD, PASSWORD, mode=0o644)  # as a Mac's editor leaves it
    with venue(keys) as where:
        fails(quantlab(*RUN, "--run-id", "one", root=tmp_path, environment=where), 3, "chmod 600")
        (tmp_path / ".env").chmod(0o600)
        done = quantlab(*RUN, "--run-id", "one", "--minutes", "10", root=tmp_path, environment=where)
    assert done.returncode == 0, done.stderr
    assert "is in the vault now" in done.stderr
    summary = json.loads((tmp_path / "reports" / "one" / "summary.json").read_text())
    assert summary["bots"] == 45 and summary["requests"]["order_requests"] == 0 and summary["key_alerts"] == []
    manifest = json.loads((tmp_path / "reports" / "one" / "manifest.json").read_text())
    assert manifest["preflight"]["mode"] == "paper" and manifest["preflight"]["blocked"] == []
    assert (tmp_path / "reports" / "one" / "report.html").stat().st_size > 100_000
    env = (tmp_path / ".env").read_text()
    assert "# my settings" in env and PASSWORD in env and stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert holds(tmp_path, *OLD) == []
    (key,) = inventory(tmp_path)
    assert key["state"] == "active" and key["audit"] == "passed" and key["environment"] == "replay"

    write_env(tmp_path, NEW, PASSWORD)
    assert ".env" in holds(tmp_path, *NEW)  # the control: what is there is found
    with venue(keys) as where:
        done = quantlab(*RUN, "--run-id", "two", "--minutes", "2", "--no-report", root=tmp_path, environment=where)
    assert done.returncode == 0, done.stderr
    assert "was rotated" in done.stderr
    assert [(key["generation"], key["state"]) for key in inventory(tmp_path)] == [(2, "active"), (1, "replaced")]
    assert holds(tmp_path, *OLD, *NEW) == []


def test_a_pair_that_may_withdraw_is_refused_and_the_old_one_stays(tmp_path: Path, keys: Path) -> None:
    write_env(tmp_path, OLD, PASSWORD)
    with venue(keys) as where:
        assert quantlab("vault", "import-env", root=tmp_path, environment=where).returncode == 0
        write_env(tmp_path, THIEF, PASSWORD)
        refused = quantlab("vault", "import-env", root=tmp_path, environment=where)
        assert refused.returncode == 3 and "enableWithdrawals" in refused.stdout
        run = quantlab(*RUN, "--run-id", "x", "--minutes", "2", "--no-report", root=tmp_path, environment=where)
    assert run.returncode == 0 and "enableWithdrawals" in run.stderr  # paper goes on, and says so
    assert [key["state"] for key in inventory(tmp_path)] == ["active"]
    assert THIEF[1] in (tmp_path / ".env").read_text()  # bad input loses nothing
    assert THIEF[1] not in run.stderr + refused.stdout + refused.stderr


def test_paper_runs_over_a_vault_that_cannot_be_read(tmp_path: Path, keys: Path) -> None:
    write_env(tmp_path, OLD, PASSWORD)
    with venue(keys) as where:
        assert quantlab("vault", "import-env", root=tmp_path, environment=where).returncode == 0
        with closing(sqlite3.connect(tmp_path / ".quantlab" / "quantlab.sqlite")) as database, database:
            database.execute("UPDATE keys SET state = 'foo'")
        run = quantlab(*RUN, "--run-id", "x", "--minutes", "2", "--no-report", root=tmp_path, environment=where)
    assert run.returncode == 0 and "not what quantlab wrote" in run.stderr, run.stderr


@pytest.mark.parametrize("lines", [None, (), (PASSWORD,)], ids=["no .env", "keys without a password", "a full .env"])
def test_paper_runs_whatever_env_holds(tmp_path: Path, lines: tuple[str, ...] | None) -> None:
    if lines is not None:
        write_env(tmp_path, OLD, *lines, "BINANCE_TESTNET=false", "API_BEARER_TOKEN=" + "t0k" * 15)
    done = quantlab(
        *RUN, "--run-id", "x", "--minutes", "2", "--no-report", root=tmp_path, environment={"QUANTLAB_MARKET": "replay"}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "reports" / "x" / "summary.json").read_text())["bots"] == 45

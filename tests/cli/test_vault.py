"""`quantlab vault …` as a user types it: nothing secret is an argument, errors are one line, results JSON too."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quantlab.venue.child import VenueChild
from tests.cli.test_errors import fails, quantlab

KEY, SECRET = "firstKEY" * 8, "frstSEC1" * 8
KEY2, SECRET2 = "secndKEY" * 8, "scndSEC2" * 8
READ_ONLY = ("readKEY3" * 8, "readSEC3" * 8)
OPEN = ("openKEY4" * 8, "openSEC4" * 8)
PASSWORD = "a-long-passphrase-of-the-user-42"
ALL = (KEY, SECRET, KEY2, SECRET2, PASSWORD)


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    keys = tmp_path_factory.mktemp("venue") / "keys.json"
    rows: list[dict[str, Any]] = [{"api_key": KEY, "secret": SECRET}, {"api_key": KEY2, "secret": SECRET2}]
    rows.append(
        {"api_key": READ_ONLY[0], "secret": READ_ONLY[1], "restrictions": {"enableSpotAndMarginTrading": False}}
    )
    rows.append({"api_key": OPEN[0], "secret": OPEN[1], "restrictions": {"ipRestrict": False}})
    keys.touch(0o600)
    keys.write_text(json.dumps(rows))
    with VenueChild(hours=1, speed=1.0, keys=keys) as child:
        yield child.url


class Shell:
    """The command in a root of its own, with the password in `.env`."""

    def __init__(self, root: Path, url: str) -> None:
        self.root = root
        self._environment = {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": url}
        (root / ".env").touch(0o600)
        (root / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")

    def __call__(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        if stdin is None:
            done = quantlab("vault", *arguments, root=self.root, environment=self._environment)
        else:
            ours = ("QUANTLAB_", "BINANCE_", "API_", "VAULT_")
            clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
            done = subprocess.run(
                [sys.executable, "-m", "quantlab", "vault", *arguments],
                cwd=self.root,
                env=clean | self._environment | {"QUANTLAB_ROOT": str(self.root)},
                input=stdin,
                capture_output=True,
                text=True,
                timeout=60,
            )
        for value in ALL:
            assert value not in done.stdout + done.stderr
        return done

    def json(self, *arguments: str, stdin: str | None = None) -> Any:
        done = self(*arguments, "--json", stdin=stdin)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def vault(tmp_path: Path, venue: str) -> Shell:
    shell = Shell(tmp_path, venue)
    assert shell.json("init")["password"] == "VAULT_PASSWORD"
    return shell


def test_a_key_from_its_first_to_its_last_day(vault: Shell) -> None:
    added = vault.json("add", "--label", "Paper Trading", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    assert added["state"] == "active" and added["permissions"] == ["enableReading", "enableSpotAndMarginTrading"]
    assert added["ip_restricted"] is True and added["environment"] == "replay"
    audited = vault.json("audit")
    assert [key["audit"] for key in audited["keys"]] == ["passed"]
    (listed,) = vault.json("list")
    assert listed["used_by"][0]["purpose"] == "permission audit" and listed["used_by"][0]["program"].endswith("vault")
    paid = vault.json("fees", "Paper Trading", "--symbol", "ETHUSDT")
    assert paid == {"symbol": "ETHUSDT", "maker_fee_pct": "0.1", "taker_fee_pct": "0.1", "bnb_discount": False}
    rotated = vault.json("rotate", "Paper Trading", "--stdin", stdin=f"{KEY2}\n{SECRET2}\n")
    assert rotated["replaced"] == added["fingerprint"] and rotated["differences"] == []
    shown = vault.json("show", "Paper Trading")
    assert [event["kind"] for event in shown["history"]] == ["key added", "key audited", "key rotated"]
    assert shown["versions"] == [rotated["fingerprint"], added["fingerprint"]]
    assert vault.json("revoke", "Paper Trading")["state"] == "revoked"
    fails(vault("audit", "Paper Trading"), 5, "its secret is gone")
    fails(vault("revoke", "Paper Trading"), 5, "holds no secret any more")


def test_what_an_audit_refuses_is_not_taken_in(vault: Shell) -> None:
    refused = vault("add", "--label", "Open", "--stdin", stdin=f"{OPEN[0]}\n{OPEN[1]}\n")
    assert refused.returncode == 3 and "ipRestrict" in refused.stderr
    unknown = vault("add", "--label", "Nobody", "--stdin", stdin=f"{'nobodyK7' * 8}\n{'nobodyS7' * 8}\n")
    assert unknown.returncode == 3 and "-2015" in unknown.stderr
    assert vault.json("list") == []
    read_only = vault.json("add", "--label", "Read", "--stdin", stdin="\n".join(READ_ONLY))
    assert read_only["state"] == "active" and read_only["permissions"] == ["enableReading"]  # a reader is enough


def test_wrong_input_is_one_line_and_changes_nothing(vault: Shell) -> None:
    fails(vault("add", "--label", "A", "--stdin", stdin=KEY), 2, "two lines")
    fails(vault("add", "--label", "A", "--stdin", stdin=f"{KEY}\n{KEY}\n"), 2, "same as the API key")
    fails(vault("add", "--label", "A", "--stdin", stdin=f"{KEY[:-1]}\n{SECRET}\n"), 2, "63 characters")
    fails(vault("add", "--label", SECRET, "--stdin", stdin=f"{KEY}\n{SECRET}\n"), 2, "a label has")
    fails(vault("add", "--label", "A", "--environment", "moon", "--stdin", stdin=f"{KEY}\n{SECRET}\n"), 2, "mainnet")
    fails(vault("add", "--label", "A", stdin=f"{KEY}\n{SECRET}\n"), 2, "--stdin")
    fails(vault("show", "A"), 5, "quantlab vault list")
    fails(vault("init"), 3, "vault here already")
    fails(vault("export-inventory", "inventory.docx"), 2, ".csv")
    assert vault.json("list") == []
    vault.json("add", "--label", "A", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    again = vault("add", "--label", "B", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    assert again.returncode == 3 and "one key has one label" in again.stderr


def test_a_password_that_is_wrong_weak_or_nowhere(vault: Shell, tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("VAULT_PASSWORD=another-long-passphrase-17\n")
    fails(vault("audit"), 3, "VAULT_PASSWORD does not open the vault")
    env.write_text("")
    fails(vault("audit"), 3, "needs its password")
    assert vault.json("list") == []  # needs none
    fails(vault("passwd", "--generate"), 3, "needs its password")
    (tmp_path / ".quantlab" / "quantlab.sqlite").unlink()
    env.write_text("VAULT_PASSWORD=password123\n")
    fails(vault("init"), 3, "too weak")


def test_passwd_moves_env_and_the_old_password_opens_nothing(vault: Shell, tmp_path: Path) -> None:
    vault.json("add", "--label", "A", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    made = vault.json("backup", "copy.json")
    changed = vault.json("passwd", "--generate")
    assert changed["password"] == "VAULT_PASSWORD in .env" and changed["erased"]
    assert changed["old_copies"] == [made["file"]]
    new = (tmp_path / ".env").read_text()
    assert PASSWORD not in new
    assert [key["state"] for key in vault.json("audit")["keys"]] == ["active"]
    (tmp_path / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\n")
    fails(vault("audit"), 3, "does not open the vault")
    restored = vault("restore", "copy.json", "--confirm", "restore", "--json")  # of the old password's day
    assert restored.returncode == 0, restored.stderr
    assert [key["state"] for key in vault.json("list")] == ["locked"]
    assert [key["state"] for key in vault.json("audit")["keys"]] == ["active"]


def test_two_that_make_the_vault_at_once_leave_one_that_opens(tmp_path: Path, venue: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QUANTLAB_", "VAULT_"))}
    environment |= {"QUANTLAB_ROOT": str(tmp_path), "QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": venue}
    command = [sys.executable, "-m", "quantlab", "vault", "init", "--generate"]
    both = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert sorted(process.wait(60) for process in both) == [0, 3]
    for process in both:
        process.communicate()
    done = quantlab("vault", "audit", "--offline", root=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_password_that_is_there_is_not_replaced(tmp_path: Path, venue: str) -> None:
    shell = Shell(tmp_path, venue)
    fails(shell("init", "--generate"), 3, "a password already, in VAULT_PASSWORD")
    assert PASSWORD in (tmp_path / ".env").read_text()


def test_an_exported_password_is_not_changed_behind_its_back(tmp_path: Path) -> None:
    exported = {"VAULT_PASSWORD": PASSWORD}
    assert quantlab("vault", "init", root=tmp_path, environment=exported).returncode == 0
    fails(quantlab("vault", "passwd", "--generate", root=tmp_path, environment=exported), 3, "exported in this shell")
    assert quantlab("vault", "audit", "--offline", root=tmp_path, environment=exported).returncode == 0
    assert quantlab("vault", "backup", "copy.json", root=tmp_path, environment=exported).returncode == 0  # none pends


def test_a_pair_waits_in_env_while_the_exchange_does_not_answer(vault: Shell, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"VAULT_PASSWORD={PASSWORD}\nBINANCE_API_KEY={KEY}\nBINANCE_API_SECRET={SECRET}\n")
    elsewhere = {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": "http://127.0.0.1:9"}
    done = quantlab("vault", "import-env", root=tmp_path, environment=elsewhere)
    assert done.returncode == 4 and "waits there" in done.stdout
    assert SECRET in (tmp_path / ".env").read_text() and vault.json("list") == []
    assert vault("import-env").returncode == 0 and SECRET not in (tmp_path / ".env").read_text()  # the control


def test_a_restore_needs_its_word(vault: Shell) -> None:
    vault.json("backup", "copy.json")
    fails(vault("backup", "copy.json"), 2, "is there already")
    done = vault("restore", "copy.json", "--confirm", "yes")
    assert done.returncode == 2 and "nothing was changed" in done.stderr


def test_an_old_copy_put_back_is_refused(vault: Shell, tmp_path: Path) -> None:
    database = tmp_path / ".quantlab" / "quantlab.sqlite"
    old = database.read_bytes()
    vault.json("add", "--label", "A", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    for name in ("-wal", "-shm"):
        database.with_name(database.name + name).unlink(missing_ok=True)
    database.write_bytes(old)
    fails(vault("audit", "--offline"), 3, "an old copy was put back")


@pytest.mark.parametrize("suffix", ["json", "csv", "html"])
def test_the_inventory_as_a_file(vault: Shell, tmp_path: Path, suffix: str) -> None:
    vault.json("add", "--label", "A <b>", "--notes", "desk 4", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    assert vault("export-inventory", f"keys.{suffix}").returncode == 0
    text = (tmp_path / f"keys.{suffix}").read_text()
    assert "desk 4" in text and ("A &lt;b&gt;" if suffix == "html" else "A <b>") in text


def test_the_sweep_finds_what_was_planted_and_nothing_else(vault: Shell, tmp_path: Path) -> None:
    vault.json("add", "--label", "A", "--stdin", stdin=f"{KEY}\n{SECRET}\n")
    clean = vault.json("sweep")
    assert clean["findings"] == [] and clean["places"] > 3 and PASSWORD not in json.dumps(clean)
    (tmp_path / "notes.txt").write_text(f"do not lose: {SECRET}")
    found = vault("sweep", "--json")
    assert found.returncode == 3
    assert [finding["path"] for finding in json.loads(found.stdout)["findings"]] == ["notes.txt"]


def test_prompts_show_nothing(vault: Shell, tmp_path: Path, venue: str) -> None:
    """On a real terminal: what is typed is not echoed, and not in argv."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("QUANTLAB_", "VAULT_"))}
    environment |= {"QUANTLAB_ROOT": str(tmp_path), "QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": venue}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "quantlab", "vault", "add", "--label", "Typed"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    seen = b""
    for prompt, answer in ((b"API key: ", KEY), (b"Secret: ", SECRET)):
        while prompt not in seen:
            seen += os.read(ours, 1024)
        time.sleep(0.3)  # getpass turns the echo off before it reads
        os.write(ours, answer.encode() + b"\n")
    try:
        while piece := os.read(ours, 1024):
            seen += piece
    except OSError:
        pass  # the terminal is gone with the process
    assert process.wait(30) == 0, seen
    assert b"is in the vault" in seen and KEY.encode() not in seen and SECRET.encode() not in seen
    assert vault.json("list")[0]["state"] == "active"

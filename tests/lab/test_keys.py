"""Promise: a notebook shows all there is to know of the keys but the keys themselves; what is typed at its prompts is
in nothing that it shows, returns or raises; a set-up ends in one line; nobody is asked where nobody is."""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from quantlab.lab import Workbench
from quantlab.lab import keys as lab_keys
from quantlab.lab.key_setup import KeySetup
from quantlab.model import ConfigurationError, NotFound, QuantlabError, Refused
from quantlab.vault import Credential, Seen, Vault, WrongPassword, has_vault
from quantlab.vault.kdf import Parameters
from quantlab.venue.child import VenueChild

from ..vault.kit import PASSWORD, ed25519_pem, letters, pair, quick_derive

PASSED = Seen("passed", 1_700_000_000_000, ("enableReading", "enableSpotAndMarginTrading"), True, "203.0.113.7")
TYPED = (letters("typed key"), letters("typed secret"))
THIEFS = (letters("withdrawing key"), letters("withdrawing secret"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Parameters, "derive", quick_derive)


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VenueChild]:
    """A venue that knows a careful key, and one that may withdraw."""
    file = tmp_path_factory.mktemp("venue") / "keys.json"
    rows = [
        {"api_key": TYPED[0], "secret": TYPED[1]},
        {"api_key": THIEFS[0], "secret": THIEFS[1], "restrictions": {"enableWithdrawals": True, "ipRestrict": False}},
    ]
    file.touch(0o600)
    file.write_text(json.dumps(rows))
    with VenueChild(hours=1, speed=1.0, keys=file) as venue:
        yield venue


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None) -> Workbench:
    monkeypatch.setenv("QUANTLAB_ROOT", str(tmp_path))
    monkeypatch.setenv("QUANTLAB_HOME", str(tmp_path / ".quantlab"))
    return Workbench.open("replay")


@pytest.fixture
def there(lab: Workbench, venue: VenueChild, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """The workbench on the venue."""
    monkeypatch.setenv("QUANTLAB_VENUE_URL", venue.url)
    return Workbench.open("replay")


@pytest.fixture
def stored(lab: Workbench, monkeypatch: pytest.MonkeyPatch) -> Workbench:
    """A vault with two keys, one opened twice and one locked."""
    with Vault.create(lab.settings.home, PASSWORD) as vault:
        vault.add("Paper Trading", pair(1), "mainnet", seen=PASSED, notes="for the <b>fleet</b>")
        vault.signer("Paper Trading", "permission audit")
        vault.signer("Paper Trading", "permission audit")
        vault.add("Spare", pair(2), "testnet")
    return lab


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`person("a", "b")`: somebody at a terminal who types these; returns what was asked."""

    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    def sits_down(*answers: str | BaseException) -> list[str]:
        asked: list[str] = []
        coming = list(answers)

        def answer(words: str = "", stream: Any = None) -> str:
            asked.append(words)
            given = coming.pop(0)
            if isinstance(given, BaseException):
                raise given
            return given

        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(getpass, "getpass", answer)
        return asked

    return sits_down


def shown(thing: Any) -> str:
    """All that a notebook could show of it."""
    return repr(thing) + str(thing) + thing._repr_html_() + (repr(vars(thing)) if hasattr(thing, "__dict__") else "")


# -- looking --------------------------------------------------------------------------------------------------------


def test_without_a_vault_everything_can_be_looked_at_and_nothing_is_made(lab: Workbench) -> None:
    assert "none yet" in shown(lab.vault())
    assert lab.keys().frame.is_empty()
    assert "paper trading needs none" in lab.keys()._repr_html_()
    assert lab.key_users().frame.is_empty()
    assert lab.audit().frame.is_empty()
    assert lab.permissions().frame["keys"].unique().to_list() == [""]
    assert "1. paper trading needs no key" in repr(lab.setup_keys(ask=False))
    with pytest.raises(NotFound, match="Nobody's"):
        lab.key("Nobody's")
    assert list(lab.settings.root.iterdir()) == []


def test_the_inventory_needs_no_password_and_shows_no_secret(stored: Workbench, person: Callable[..., Any]) -> None:
    asked = person()
    frame = stored.keys().frame
    assert frame["label"].to_list() == ["Paper Trading", "Spare"]
    assert frame["fingerprint"].to_list() == [pair(1).fingerprint, pair(2).fingerprint]
    assert frame["permissions"].to_list() == [["enableReading", "enableSpotAndMarginTrading"], None]
    assert frame["ip_restricted"].to_list() == [True, None]
    assert frame["last_audited"][0].isoformat() == "2023-11-14T22:13:20+00:00"
    users = stored.key_users().frame
    assert users.select("label", "purpose", "times").rows() == [("Paper Trading", "permission audit", 2)]
    detail = stored.key(pair(1).fingerprint)
    assert detail.entry["label"] == "Paper Trading"
    assert detail.history.frame["what"].to_list() == ["key added"]
    page = "".join(map(shown, (stored.vault(), stored.keys(), stored.key_users(), detail, stored.permissions())))
    assert "600,000 iterations" in page
    assert "&lt;b&gt;fleet" in page
    assert pair(1).fingerprint in page  # control: the page is about this key
    assert not [word for word in (PASSWORD, *_halves(pair(1)), *_halves(pair(2))) if word in page]
    assert asked == []


def test_permissions_say_what_each_means_and_which_keys_have_it(stored: Workbench) -> None:
    rules = {row["permission"]: row for row in stored.permissions().frame.iter_rows(named=True)}
    assert rules["enableWithdrawals"]["rule"] == "REFUSED"
    assert "empty the account" in rules["enableWithdrawals"]["meaning"]
    assert rules["enableReading"]["rule"] == rules["ipRestrict"]["rule"] == "needed"
    assert "against himself" in rules["enableSpotAndMarginTrading"]["meaning"]
    assert rules["enableSpotAndMarginTrading"]["keys"] == rules["ipRestrict"]["keys"] == "Paper Trading"
    assert rules["enableWithdrawals"]["keys"] == ""


def test_the_preflight_is_one_of_this_workbench_and_shows_no_secret(stored: Workbench) -> None:
    result = stored.preflight(ask_exchange=False)
    assert result.mode == "paper"
    assert len(result.lines) > 10
    page = shown(result)
    assert not [word for word in (PASSWORD, *_halves(pair(1)), *_halves(pair(2))) if word in page]


# -- setting up -----------------------------------------------------------------------------------------------------


def test_a_careful_key_is_taken_in_and_what_was_typed_is_nowhere(
    there: Workbench, person: Callable[..., list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = person(PASSWORD, PASSWORD, *TYPED)
    done = there.setup_keys("Mine")
    assert (done.outcome, len(asked)) == ("added", 4)
    assert "enableReading, enableSpotAndMarginTrading; bound to addresses" in done.line
    assert repr(done) == done.line
    printed = "".join(capsys.readouterr())
    assert "1. paper trading needs no key" in printed
    assert not [word for word in (PASSWORD, *TYPED) if word in shown(done) + printed]
    with Vault.open(there.settings.home, PASSWORD) as vault:
        assert vault.holds(vault.key("Mine"), Credential.parse(*TYPED))
    assert not (there.settings.root / ".env").exists()


def test_the_audit_repeats_it_with_a_password_that_is_asked_for(
    there: Workbench, person: Callable[..., list[str]]
) -> None:
    person(PASSWORD, PASSWORD, *TYPED)
    there.setup_keys("Mine")
    asked = person(PASSWORD)
    found = there.audit("Mine")
    assert asked == ["Vault password: "]
    assert found.frame.select("label", "audit", "state").rows() == [("Mine", "passed", "active")]
    assert not [word for word in (PASSWORD, *TYPED) if word in shown(found)]


def test_a_key_that_may_withdraw_is_refused_in_one_line(there: Workbench, person: Callable[..., list[str]]) -> None:
    person(PASSWORD, PASSWORD, *THIEFS)
    done = there.setup_keys("Bad")
    assert done.outcome == "refused"
    assert "withdrawals are allowed" in done.line and "works from every address" in done.line
    assert "\n" not in done.line
    assert there.keys().frame.is_empty()
    assert not [word for word in (PASSWORD, *THIEFS) if word in shown(done)]


def test_a_password_can_be_made_into_env(there: Workbench, person: Callable[..., list[str]]) -> None:
    person("", *TYPED)
    assert there.setup_keys("Mine").outcome == "added"
    env = there.settings.root / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    name, _, made = env.read_text().strip().partition("=")
    assert (name, len(made)) == ("VAULT_PASSWORD", 43)
    Vault.open(there.settings.home, made).close()
    asked = person(*THIEFS)  # it is found there from now on, by this kernel too
    assert there.setup_keys("Bad").outcome == "refused"
    assert len(asked) == 2


def test_an_ed25519_key_comes_from_a_file_that_only_its_owner_reads(
    there: Workbench, person: Callable[..., list[str]], tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_text(ed25519_pem(1))
    file.chmod(0o644)
    person(PASSWORD, PASSWORD, letters("ed key"), str(file))
    assert "others can read key.pem" in there.setup_keys("Signing").line
    file.chmod(0o600)
    person(PASSWORD, letters("ed key"), str(file))
    done = there.setup_keys("Signing")  # the venue does not know it; it came that far
    assert "Binance refuses" in done.line
    person(PASSWORD, letters("ed key"), str(tmp_path / "no.pem"))
    assert "no PEM file" in there.setup_keys("Signing").line


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (("short", "short"), "too weak"),
        ((PASSWORD, PASSWORD + "x"), "not the same"),
        ((PASSWORD, PASSWORD, "nonsense", TYPED[1]), "64 letters and digits"),
        ((PASSWORD, PASSWORD, TYPED[0], TYPED[0]), "same as the API key"),
        ((PASSWORD, PASSWORD, TYPED[0], KeyboardInterrupt()), "stopped"),
    ],
)
def test_what_goes_wrong_is_one_line_and_takes_no_key_in(
    there: Workbench, person: Callable[..., list[str]], answers: tuple[Any, ...], words: str
) -> None:
    person(*answers)
    done = there.setup_keys("Mine")
    assert words in done.line and "\n" not in done.line
    assert done.outcome in ("refused", "stopped")
    assert there.keys().frame.is_empty()
    assert not [word for word in answers if isinstance(word, str) and len(word) > 8 and word in shown(done)]


def test_a_wrong_password_and_a_taken_label_are_said_before_the_key_is_asked_for(
    stored: Workbench, person: Callable[..., list[str]]
) -> None:
    asked = person()
    assert "vault rotate" in stored.setup_keys("Paper Trading", "mainnet").line
    assert asked == []
    asked = person("Wrong-quartz-93-Mk7")
    done = stored.setup_keys("Other", "mainnet")
    assert done.outcome == "refused" and len(asked) == 1
    for label in ('"', "a" * 61, ""):
        with pytest.raises(ConfigurationError, match="label"):
            stored.setup_keys(label, "mainnet")
    with pytest.raises(ConfigurationError, match="one of mainnet"):
        stored.setup_keys("Other", "nowhere")


def test_nobody_is_asked_where_nobody_is(stored: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getpass", lambda *_: pytest.fail("somebody was asked"))
    done = stored.setup_keys("Other", "mainnet")
    assert done.outcome == "told"
    assert "nobody is here" in done.line
    assert "<ol>" in done._repr_html_()
    with pytest.raises(Refused, match="needs its password"):
        stored.audit()
    assert has_vault(stored.settings.home)


def test_an_error_brings_no_frame_that_holds_the_password(stored: Workbench, person: Callable[..., list[str]]) -> None:
    """What IPython's verbose tracebacks print: the variables of each frame."""
    wrong = "Wrong-quartz-93-Mk7"
    person(wrong)
    with pytest.raises(WrongPassword) as caught:
        stored.audit()
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    mine = [frame for frame in report.stack if "/quantlab/" in frame.filename]
    assert mine and wrong not in str([frame.locals for frame in mine])
    person(wrong)
    with pytest.raises(WrongPassword) as caught:  # control: without the guard it is there
        lab_keys._unlock(stored.settings)
    report = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert wrong in str([frame.locals for frame in report.stack])


# -- the drill ------------------------------------------------------------------------------------------------------

RESULT = {
    "steps": [
        {"step": "panic: revoked here", "seconds": 0.2, "who": "machine"},
        {"step": "the key deleted at the exchange", "seconds": 9.0, "who": "you"},
    ],
    "machine_seconds": 0.2,
    "checks": {"the old key is dead": True},
    "ok": True,
}


@pytest.fixture
def rehearsed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The drill's process, played: what it was started with."""
    calls: list[dict[str, Any]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append({"command": command, **options})
        return subprocess.CompletedProcess(command, 0, json.dumps(RESULT), "")

    monkeypatch.setattr(lab_keys.subprocess, "run", run)
    return calls


def test_the_drill_is_a_process_without_secrets_and_its_stopwatch_a_table(
    lab: Workbench, rehearsed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_PASSWORD", "canary-in-the-environment")
    table = lab.drill()
    assert table.frame["seconds"].to_list() == [0.2, 9.0]
    assert "the machine&#x27;s part" in table._repr_html_() and "passed" in table._repr_html_()
    call = rehearsed[0]
    assert call["command"][1:] == ["-m", "quantlab", "panic", "--drill", "--json"]
    assert "canary-in-the-environment" not in str(call["env"])
    assert not [name for name in call["env"] if name.startswith(("QUANTLAB_", "BINANCE_", "VAULT_"))]


def test_a_drill_that_did_not_hold_says_so() -> None:
    failed = RESULT | {"ok": False, "checks": {"the old key is dead": False}}
    page = lab_keys.drill_table(failed)._repr_html_()
    assert "NOT PASSED" in page and "the old key is dead" in page


def test_a_drill_that_cannot_be_set_up_says_why_in_its_own_words(
    lab: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 4, "", "quantlab: the replay venue did not start\n")

    monkeypatch.setattr(lab_keys.subprocess, "run", run)
    with pytest.raises(QuantlabError, match=r"^the replay venue did not start$") as caught:
        lab.drill()
    assert caught.value.exit_code == 4


def test_a_setup_shows_its_steps_once() -> None:
    steps = ("a < b", "c")
    told, done = KeySetup("told", "line", steps), KeySetup("added", "line", steps, True)
    assert repr(told) == "1. a < b\n2. c\nline" and "<li>a &lt; b</li>" in told._repr_html_()
    assert repr(done) == "line" and "<ol>" not in done._repr_html_()


def _halves(credential: Credential) -> tuple[str, str]:
    return credential.api_key, credential.secret

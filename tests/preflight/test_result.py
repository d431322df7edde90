"""A pre-flight never raises for what it finds, a check that breaks hides no other and is no pass, each mode demands its
own, and no text of it holds a secret or asks another machine for anything."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from quantlab.model.errors import QuantlabError
from quantlab.preflight import Line, Mode, Result, checklist, handed, mode_of, preflight
from quantlab.preflight.checklist import CHECKS
from quantlab.preflight.facts import Facts
from quantlab.preflight.result import MODES, Check, Found, Verdict, line_of, severities
from quantlab.redact import register_secret
from quantlab.settings import Settings

from ..vault.kit import PASSWORD, letters, pair
from .kit import passed, settings_in, with_key

CANARY = letters("a canary of the pre-flight")


def a_line(verdict: Verdict, *severity: str, id: str = "one") -> Line:
    weights = dict(zip(MODES, severity or ("info", "alert", "block"), strict=True))
    return Line(id, "What", verdict, "seen", "why", "mend", weights)


def a_result(*lines: Line, mode: Mode = "paper") -> Result:
    return Result(lines, mode, 1_700_000_000_000)


@pytest.mark.parametrize(
    ("verdict", "mode", "blocked"),
    [
        ("fail", "paper", True),
        ("fail", "live", True),
        ("unknown", "paper", False),  # paper is stopped by what is known to be wrong only
        ("unknown", "testnet", True),
        ("unknown", "live", True),
        ("pass", "live", False),
        ("not applicable", "live", False),
    ],
)
def test_a_line_that_blocks(verdict: Verdict, mode: Mode, blocked: bool) -> None:
    result = a_result(a_line(verdict, "block", "block", "block"), mode=mode)
    assert bool(result.blocked) is blocked
    assert result.ok is not blocked


def test_the_same_line_weighs_differently_in_each_mode() -> None:
    line = a_line("fail", "info", "alert", "block")
    found = {mode: a_result(line, mode=mode) for mode in MODES}
    assert [found[mode].ok for mode in MODES] == [True, True, False]
    assert [len(found[mode].alerts) for mode in MODES] == [0, 1, 0]


def test_what_blocks_stands_first_and_what_passed_last() -> None:
    lines = [a_line("pass", id="passed"), a_line("fail", "info", "info", "info", id="said")]
    lines += [
        a_line("unknown", "alert", "alert", "alert", id="asked"),
        a_line("fail", "block", "block", "block", id="no"),
    ]
    assert [line.id for line in a_result(*lines).worst_first()] == ["no", "asked", "said", "passed"]


def test_a_check_that_breaks_is_an_unknown_with_its_reason_and_hides_no_other(
    chosen: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(facts: Facts) -> Found:
        raise RuntimeError(f"it fell over {CANARY}")

    weights = severities("alert", "block", "block")
    bad = Check("bad", "Breaks", "it does", weights, broken)
    good = Check("good", "Works", "it does", weights, lambda facts: Found("pass", "fine"))
    monkeypatch.setattr(checklist, "CHECKS", (bad, good))
    result = preflight(chosen, ask_exchange=False)
    assert [line.verdict for line in result.lines] == ["unknown", "pass"]
    assert "RuntimeError" in result.lines[0].detail
    assert CANARY not in result.lines[0].detail
    assert result.ok
    assert not preflight(chosen, ask_exchange=False, mode="testnet").ok


def test_facts_that_cannot_be_read_break_only_the_lines_that_need_them(chosen: Settings) -> None:
    with_key(chosen, pair("unreadable"), seen=passed())
    (chosen.home / "quantlab.sqlite").chmod(0o644)
    result = preflight(chosen, ask_exchange=False)
    assert result.line("no-withdrawal").verdict == "unknown"
    assert result.line("files").verdict == "fail"
    assert result.line("server").verdict == "pass"
    (chosen.home / "quantlab.sqlite").chmod(0o600)
    assert preflight(chosen, ask_exchange=False).line("no-withdrawal").verdict == "pass"


def test_every_check_says_what_and_why_and_every_failure_how_to_mend_it(chosen: Settings) -> None:
    assert len({check.id for check in CHECKS}) == len(CHECKS)
    for mode in MODES:
        for line in preflight(chosen, ask_exchange=False, mode=mode).lines:
            assert line.what
            assert line.why
            assert line.detail
            assert set(line.severity) == set(MODES)
            assert bool(line.mend) is line.counts, line.id
            assert "\n" not in line.detail + line.mend


def test_paper_without_a_key_or_with_a_full_env_is_never_blocked(chosen: Settings) -> None:
    without = preflight(chosen, ask_exchange=False)
    assert without.ok
    for id in ("dedicated-key", "no-withdrawal", "ip-whitelist", "encrypted", "rollback", "record-of-use", "2fa"):
        assert without.line(id).verdict == "not applicable", id
    (chosen.root / ".env").touch(0o600)
    key = {"binance_api_key": letters("plain"), "binance_api_secret": letters("plain secret")}
    (chosen.root / ".env").write_text("".join(f"{name.upper()}={value}\n" for name, value in key.items()))
    full = preflight(settings_in(chosen.root, **key, api_bearer_token="short"), ask_exchange=False)
    assert full.ok
    assert "encrypted" in [line.id for line in full.alerts]
    assert not preflight(settings_in(chosen.root, **key), ask_exchange=False, mode="testnet").ok


def test_a_refused_key_never_blocks_paper_and_blocks_where_orders_would_need_it(chosen: Settings) -> None:
    refused = passed(permissions=("enableWithdrawals",), refusals=("withdrawals are allowed (enableWithdrawals)",))
    with_key(chosen, pair("refused"), seen=refused)
    assert preflight(chosen, ask_exchange=False).ok
    assert "no-withdrawal" in handed(preflight(chosen, ask_exchange=False, mode="live"))["blocked"]


def test_the_mode_is_the_markets(chosen: Settings) -> None:
    markets = {"mainnet": "paper", "replay": "paper", "testnet": "testnet"}
    for market, mode in markets.items():
        changed = chosen.model_copy(update={"market": market})
        assert mode_of(changed) == mode
        assert preflight(changed, ask_exchange=False).mode == mode


def test_what_a_manifest_keeps_is_small_and_plain() -> None:
    result = a_result(a_line("fail"), a_line("pass", id="two"), a_line("unknown", id="three"), mode="live")
    kept = handed(result)
    expected = {"checked_ms": 1_700_000_000_000, "mode": "live", "passed": 1, "failed": ["one", "three"]}
    assert kept == expected | {"blocked": ["one", "three"]}
    assert json.loads(json.dumps(result.to_json()))["blocked"] == ["one", "three"]


def test_no_output_holds_a_secret(chosen: Settings) -> None:
    """The control: the label, which is no secret, is in all of them."""
    credential = pair("in no output")
    with_key(chosen, credential, label="My <b>label</b>", seen=passed())
    (chosen.root / "notes.txt").write_text(f"key {credential.api_key} secret {credential.secret} {PASSWORD}")
    register_secret(CANARY)
    result = preflight(chosen, ask_exchange=False, mode="live")
    assert result.line("tree").verdict == "fail", result.line("tree")
    texts = [json.dumps(result.to_json()), result.to_html(), result._repr_html_(), repr(result), str(handed(result))]
    for text in texts:
        for secret in (credential.api_key, credential.secret, PASSWORD, CANARY):
            assert secret not in text
    assert all("My" in text for text in texts[:4])


class References(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_needs_nothing_else_and_tells_verdicts_by_sign_and_word(chosen: Settings) -> None:
    with_key(chosen, pair("a page"), label="<script>alert(1)</script>", seen=passed())
    result = preflight(chosen, ask_exchange=False, mode="live")
    parsed = References()
    parsed.feed(result.to_html())
    assert not parsed.links
    assert not parsed.tags & {"script", "img", "link", "iframe", "object", "b"}
    assert not re.search(r"url\(|@import|https?://", result.to_html())
    words = " ".join(parsed.text)
    assert "✓ pass" in words
    assert "✗ fail (blocks)" in words
    assert "– not applicable" in words
    assert "<script>" in words  # as text


def test_a_terminal_is_not_given_orders(chosen: Settings) -> None:
    check = Check("x", "X", "y", severities("info", "info", "info"), lambda facts: Found("pass", "a\x1b[2Jb\nc\u202ed"))
    assert line_of(check, Facts(chosen, "paper", False)).detail == "a [2Jb c d"


def test_progress_is_told(chosen: Settings) -> None:
    told: list[tuple[int, int, str]] = []
    preflight(chosen, ask_exchange=False, progress=lambda done, of, what: told.append((done, of, what)))
    assert [done for done, _, _ in told] == list(range(len(CHECKS) + 1))


def test_a_readable_reason_is_kept() -> None:
    def broken(facts: Facts) -> Found:
        raise QuantlabError("git took longer than 20 s")

    check = Check("x", "X", "y", severities("info", "info", "info"), broken)
    assert "longer than 20 s" in line_of(check, None).detail  # type: ignore[arg-type]

"""Promise: a traceback in a notebook shows no secret, however much of its frames it is asked to show."""

from __future__ import annotations

import secrets
import string
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from quantlab.lab.tracebacks import guard_tracebacks, masked
from quantlab.redact import MASK, register_secret

KEY = "aZ0" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(61))
PASSWORD = f"correct horse {secrets.token_hex(8)}"
CELL = f"""
def deep(password, named):
    raise ValueError("broken on purpose with " + named)
def call():
    deep({PASSWORD!r}, named={KEY!r})
call()
"""


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Any:
    register_secret(PASSWORD)
    made = InteractiveShell()
    made.history_manager.enabled = False
    return made


def shown(shell: Any, capsys: pytest.CaptureFixture[str], *cells: str) -> str:
    for cell in cells:
        shell.run_cell(cell)
    said = capsys.readouterr()
    return said.out + said.err


@pytest.mark.parametrize("mode", ["Plain", "Context", "Verbose", "Minimal", "Docs"])
@pytest.mark.parametrize("colours", ["nocolor", "linux"])
def test_no_mode_shows_a_secret(shell: Any, capsys: pytest.CaptureFixture[str], mode: str, colours: str) -> None:
    guard_tracebacks(shell)
    guard_tracebacks(shell)  # twice is once
    said = shown(shell, capsys, f"%colors {colours}", f"%xmode {mode}", CELL, "%tb", "%tb Verbose")
    assert "broken on purpose" in said and MASK in said
    assert PASSWORD not in said and KEY not in said


def test_the_control_without_the_guard_it_is_shown(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = shown(shell, capsys, "%colors nocolor", "%xmode Verbose", CELL)
    assert PASSWORD in said and KEY in said


def test_colours_hide_nothing_and_nothing_else_changes() -> None:
    register_secret(PASSWORD)
    assert masked(f"\x1b[31m{PASSWORD[:9]}\x1b[0m{PASSWORD[9:]}") == MASK
    assert masked("\x1b[31mred\x1b[0m words") == "\x1b[31mred\x1b[0m words"
    assert masked(f"\x1b[31mred\x1b[0m {PASSWORD}") == f"\x1b[31mred\x1b[0m {MASK}"

"""Promise: what quantlab's processes log holds no secret and no local variable, is one JSON object a line where nobody
watches, and libraries do not chat about requests."""

from __future__ import annotations

import json
import os
import secrets
import string
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

KEY = "aZ0" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(61))
#: Looks like nothing: registered as the settings do it.
PASSWORD = "correct horse battery staple"
START = f"""
import logging, sys
from quantlab.cli.logs import configure
from quantlab.redact import register_secret
register_secret({PASSWORD!r})
log = logging.getLogger("quantlab.test")
"""


def said(code: str, *, as_json: bool = True, configured: bool = True) -> str:
    """What a process that runs `code` writes to stderr."""
    start = START + (f"configure(as_json={as_json})\n" if configured else "logging.basicConfig(level=logging.DEBUG)\n")
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_a_line_is_one_json_object() -> None:
    (line,) = said("log.info('%d bots', 45, extra={'run': 'run-1', 'seconds': 1.5})").splitlines()
    event = json.loads(line)
    assert datetime.fromisoformat(event.pop("timestamp")).utcoffset() is not None
    assert event == {
        "event": "45 bots", "level": "info", "logger": "quantlab.test", "run": "run-1", "seconds": 1.5,
    }  # fmt: skip


def test_in_a_terminal_a_line_is_read_by_people() -> None:
    line = said("log.warning('no requests for %.0f s', 60)", as_json=False)
    assert "warning" in line and "no requests for 60 s" in line and "{" not in line and "\x1b" not in line


LEAKS = {
    "a message": "log.warning('password %s', secret)",
    "a field": "log.warning('x', extra={'field': secret, 'deep': {'list': [secret, {secret: secret}]}})",
    "an object": "log.warning('x', extra={'thing': type('T', (), {'__repr__': lambda self: secret})()})",
    "bytes": "log.warning('x', extra={'body': secret.encode()})",
    "wrong arguments": "log.warning('%d', secret)",
    "an object that cannot be shown": "log.warning(type('T', (), {'__str__': lambda self: 1 / 0, 's': secret})())",
    "an exception": """
def sign(api_secret):
    raise ValueError(f"cannot sign with {api_secret}")
try:
    sign(secret)
except ValueError:
    log.exception("failed")
""",
    "an exception's notes and cause": """
try:
    try:
        raise KeyError(secret)
    except KeyError as error:
        other = RuntimeError("second")
        other.add_note("noted " + secret)
        raise other from error
except RuntimeError:
    log.error("failed", exc_info=True)
""",
    "local variables": """
def sign(nothing):
    held = secret
    return 1 / nothing
try:
    sign(0)
except ZeroDivisionError:
    log.exception("failed")
""",
    "a stack": "log.warning('x ' + secret, stack_info=True)",
    "a warning": "import warnings; warnings.warn('odd ' + secret)",
    "a thread": """
import threading
def work():
    raise ValueError(secret)
thread = threading.Thread(target=work); thread.start(); thread.join()
""",
    "a task nobody waited for": """
import asyncio, gc
async def fail():
    raise ValueError(secret)
async def main():
    asyncio.create_task(fail()); await asyncio.sleep(0.01); gc.collect()
asyncio.run(main())
""",
    "structlog": """
log.warning("first")
import structlog
structlog.get_logger("other").warning("x " + secret, field=secret)
""",
}


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "terminal"])
@pytest.mark.parametrize("leak", LEAKS)
def test_no_line_holds_a_secret(leak: str, as_json: bool) -> None:
    for secret in (PASSWORD, KEY):
        text = said(f"secret = {secret!r}\n" + LEAKS[leak], as_json=as_json)
        assert text.strip(), "it is logged"
        assert secret not in text
        if as_json:
            assert all(isinstance(json.loads(line), dict) for line in text.splitlines())


@pytest.mark.parametrize("leak", ["a message", "an exception", "a thread", "wrong arguments"])
def test_control_plain_logging_shows_them(leak: str) -> None:
    assert PASSWORD in said(f"secret = {PASSWORD!r}\n" + LEAKS[leak], configured=False)


def test_control_structlogs_own_terminal_shows_local_variables() -> None:
    code = LEAKS["local variables"].replace("log.exception", "structlog.get_logger().exception")
    done = subprocess.run(
        [sys.executable, "-c", f"import structlog\nsecret = {PASSWORD!r}\n{code}"],
        capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert "held" in done.stdout and PASSWORD in done.stdout


CHATTER = """
for name in ("ccxt.base.exchange", "httpx", "httpcore.http11", "aiohttp.client", "urllib3.connectionpool", "asyncio"):
    logging.getLogger(name).debug("GET /api/v3/account"); logging.getLogger(name).info("HTTP Request: GET")
    logging.getLogger(name).warning("worth knowing")
"""


def test_libraries_are_quiet_below_warnings() -> None:
    lines = said("logging.getLogger().setLevel(logging.DEBUG)\n" + CHATTER).splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["worth knowing"] * 6
    assert said(CHATTER, configured=False).count("HTTP Request") == 6, "control"


def test_configured_twice_a_line_is_written_once() -> None:
    assert len(said("configure(as_json=True)\nlog.warning('x')").splitlines()) == 1


def test_a_closed_stderr_ends_nobody() -> None:
    assert said("import io; sys.stderr = io.StringIO(); sys.stderr.close(); log.warning('x'); sys.stderr = None") == ""


def test_the_command_logs_so_and_its_help_stays_light(tmp_path: Path) -> None:
    code = f"""
import logging, sys
import quantlab.cli
quantlab.cli.run(["--help"])
print("structlog" in sys.modules, file=sys.stderr)
logging.getLogger("ccxt").warning("seen &signature={"ab12" * 16}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    imported, line = done.stderr.splitlines()
    assert imported == "False"
    assert json.loads(line)["event"] == "seen &signature=[redacted]"

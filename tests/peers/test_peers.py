"""Clients that others wrote complete a session against the venue: what passes, and what fails with which reason, is
what docs/peers.md says.

Makes throwaway environments from PyPI: by hand, with `make peers` (about two minutes).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
API_KEY, SECRET = "p" * 64, "known to the peers"
#: Methods of ccxt's tests that fail, by options: docs/peers.md gives the reasons.
FAILS = {
    (): set(),
    ("--private",): {
        "fetchTradingFees", "fetchLeverageTiers", "fetchDeposits", "fetchWithdrawals", "fetchTransfers",
        "fetchBorrowInterest", "fetchMarginModes",
    },
    ("--guarded",): {"fetchStatus"},
    ("--ws",): set(),
    ("--ws", "--guarded"): set(),
}  # fmt: skip
#: Fields that Binance does not tell of a spot book, in the form of ccxt's list of what to skip.
_NO_TIME = {"timestamp": "not told of a snapshot", "datetime": "not told of a snapshot"}
_BOOKS = ("fetchOrderBook", "watchOrderBook", "watchOrderBookForSymbols")

pytestmark = pytest.mark.campaign


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A generated market at twenty times real time, in a process of its own."""
    keys = tmp_path_factory.mktemp("peers") / "keys.json"
    keys.write_text(json.dumps([{"api_key": API_KEY, "secret": SECRET}]))
    keys.chmod(0o600)
    command = [sys.executable, "-m", "quantlab", "venue", "--port", "0", "--speed", "20", "--hours", "24"]
    process = subprocess.Popen([*command, "--keys", str(keys)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
        else:
            pytest.fail("the venue did not start")
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("package", "script"),
    [("python-binance", "session_python_binance.py"), ("binance-sdk-spot", "session_binance_sdk_spot.py")],
)
def test_a_peer_completes_a_session(package: str, script: str, venue: str, tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(tmp_path / "env")], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", str(python), package], check=True)
    done = subprocess.run(
        [str(python), str(HERE / script), venue, API_KEY, SECRET], capture_output=True, text=True, timeout=300
    )  # fmt: skip
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(steps) >= 15, done.stderr
    assert [step for step in steps if not step["ok"]] == []


@pytest.mark.parametrize("options", FAILS, ids=lambda options: " ".join(options) or "plain")
def test_ccxts_own_tests_pass_but_for_those_that_are_listed(
    options: tuple[str, ...], venue: str, tmp_path: Path
) -> None:
    import ccxt

    folder = tmp_path / "python"
    shutil.copytree(Path(ccxt.__file__).parent, folder / "ccxt", ignore=shutil.ignore_patterns("__pycache__"))
    skipped: dict[str, object] = dict.fromkeys(_BOOKS, _NO_TIME)
    (tmp_path / "skip-tests.json").write_text(json.dumps({"binance": {"skipMethods": skipped}}))
    (tmp_path / "keys.json").write_text(json.dumps({"binance": {"apiKey": API_KEY, "secret": SECRET}}))
    done = subprocess.run(
        [sys.executable, str(HERE / "ccxt_runner.py"), venue, str(folder), *options],
        capture_output=True, text=True, timeout=400, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert told.count("TESTING DONE") >= 6, told[-2000:]
    failed = {name for names in re.findall(r"Failed methods : ([\w, ]+)", told) for name in names.split(", ")}
    assert failed == FAILS[options], told[-4000:]
    if "--ws" in options:  # the runner takes a socket that never opens for the network's fault
        assert "refused before the socket" not in told

"""What a user meets when something is wrong: one clear line, the right exit code, nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from quantlab.venue.child import VenueChild

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "notebooks" / "fleet.toml"


def quantlab(
    *arguments: str, root: Path, environment: dict[str, str] | None = None, limit_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command in `root` with nothing of the user's environment."""

    def limited() -> None:
        if limit_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    ours = ("QUANTLAB_", "BINANCE_", "API_", "VAULT_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    clean |= {"QUANTLAB_ROOT": str(root), "QUANTLAB_HOME": str(root / ".quantlab")} | (environment or {})
    return subprocess.run(
        [sys.executable, "-m", "quantlab", *arguments],
        cwd=root,
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limited,
    )


def fails(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert len(lines) == 1 and lines[0].startswith("quantlab: "), done.stderr
    for word in words:
        assert word in lines[0], done.stderr


RUN = ("run", "--foreground", "--fleet", str(FLEET), "--run-id", "x", "--minutes", "2", "--no-report")


def test_a_wrong_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "fleet.toml").write_text(FLEET.read_text().replace('timeframe = "5m"', 'timeframe = "7m"', 1))
    done = quantlab("run", "--foreground", "--fleet", "fleet.toml", root=tmp_path)
    fails(done, 2, "fleet.toml:", 'timeframe "7m"', "1m 3m 5m")
    assert not (tmp_path / ".quantlab").exists()


def test_a_missing_fleet_file(tmp_path: Path) -> None:
    fails(quantlab("run", "--fleet", "absent.toml", root=tmp_path), 5, "absent.toml")


@pytest.mark.parametrize(
    ("environment", "code", "word"),
    [
        ({"QUANTLAB_MARKT": "replay"}, 2, "QUANTLAB_MARKET"),
        ({"BINANCE_TESNET": "true"}, 2, "BINANCE_TESTNET"),
        ({"QUANTLAB_MARKET": "moon"}, 2, "mainnet, testnet, replay"),
        ({"QUANTLAB_MARKET": "mainnet", "BINANCE_TESTNET": "true"}, 2, "contradict"),
        ({"QUANTLAB_EXECUTION": "live"}, 3, "nothing is armed"),
        ({"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": "http://10.0.0.1:1"}, 3, "loopback"),
        ({"QUANTLAB_WEIGHT_PER_MINUTE": "many"}, 2, "QUANTLAB_WEIGHT_PER_MINUTE"),
    ],
)
def test_wrong_settings(tmp_path: Path, environment: dict[str, str], code: int, word: str) -> None:
    fails(quantlab(*RUN, root=tmp_path, environment=environment), code, word)


def test_an_env_file_that_others_can_read_and_one_with_an_unknown_name(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("QUANTLAB_MARKET=replay\n")
    env.chmod(0o644)
    fails(quantlab("status", root=tmp_path), 3, "chmod 600")
    env.chmod(0o600)
    fails(quantlab("status", root=tmp_path), 5, "no run was made here")  # the control: the same file, owner-only
    env.write_text("# mine\nQUANTLAB_MARKT=replay\n")
    fails(quantlab("status", root=tmp_path), 2, ".env:2", "QUANTLAB_MARKET")


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (("demo", "--data", "absent", "--derive-filters"), 5, "absent"),
        (("demo", "--exchange-info", "x.json"), 2, "--data"),
        (("demo", "--speed", "fast"), 2, "--speed"),
        (("demo", "--from", "yesterday"), 2, "--from"),
        (("demo", "--hours", "0"), 2, "--hours"),
        (("run", "--minutes", "1", "--hours", "1"), 2, "--minutes and --hours"),
        (("run", "--run-id", "../x"), 2, "--run-id"),
        (("venue", "--data", "absent", "--derive-filters"), 5, "absent"),
        (("verify", "absent"), 5, "absent"),
        (("report",), 5, "no run"),
        (("stop",), 5, "no engine"),
        (("nonsense",), 2, "nonsense"),
        (("run", "--nonsense"), 2, "--nonsense"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: tuple[str, ...], code: int, word: str) -> None:
    (tmp_path / "notebooks").mkdir()
    shutil.copy(FLEET, tmp_path / "notebooks")
    fails(quantlab(*arguments, root=tmp_path), code, word)
    assert not (tmp_path / "reports").exists()


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        fails(quantlab("venue", "--port", port, root=tmp_path), 2, port, "taken")
        fails(quantlab("serve", "--port", port, root=tmp_path), 2, port, "taken")


def test_serving_other_machines_needs_a_strong_token(tmp_path: Path) -> None:
    for token in ("", "short", "a" * 64):
        done = quantlab(
            "serve", "--host", "0.0.0.0", "--port", "0", root=tmp_path, environment={"API_BEARER_TOKEN": token}
        )
        fails(done, 3, "API_BEARER_TOKEN", "32 random bytes")
        assert not token or token not in done.stderr


def test_no_venue_reachable(tmp_path: Path, free_port: Callable[[], int]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    environment = {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": url, "QUANTLAB_TIMEOUT_SECONDS": "2"}
    fails(quantlab(*RUN, root=tmp_path, environment=environment), 4, url.removeprefix("http://"))
    assert not (tmp_path / "reports").exists()


def test_a_full_disk_says_so_and_the_run_can_be_resumed(tmp_path: Path) -> None:
    """Files may not grow beyond 600 KB: recording or database meets the end first, as on a full disk."""
    with VenueChild(hours=4, seed=2) as venue:
        environment = {"QUANTLAB_MARKET": "replay", "QUANTLAB_VENUE_URL": venue.url}
        run = ("run", "--foreground", "--fleet", str(FLEET), "--run-id", "x", "--hours", "3", "--no-report", "--json")
        done = quantlab(*run, root=tmp_path, environment=environment, limit_bytes=600_000)
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert "free" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
        assert not (tmp_path / "reports" / "x" / "summary.json").exists()
        again = quantlab(*run, root=tmp_path, environment=environment)
        assert again.returncode == 0, again.stderr
        assert '"accounting_ok": true' in again.stdout


def test_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    """An interrupt at any moment of the start: one line, no traceback, no child left behind."""
    environment = {**os.environ, "QUANTLAB_MARKET": "replay", "QUANTLAB_ROOT": str(tmp_path)}
    for delay in (0.4, 1.0, 1.8):
        process = subprocess.Popen(
            [sys.executable, "-m", "quantlab", *RUN],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
        assert process.returncode in (130, -signal.SIGINT), (delay, error)
        assert "Traceback" not in error or process.returncode == -signal.SIGINT, error

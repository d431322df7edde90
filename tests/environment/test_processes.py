"""Promise: once a command has begun, no process of it shows an exported secret in `/proc`, and no other process of the
user can look into its memory."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from quantlab.environment import DESCRIPTOR_NAME

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")

CANARY = "canary-of-nobody-4f1c9a27d3e8b650"
FLEET = """
[[bot]]
name = "one"
strategy = "ema_cross"
symbol = "BTCUSDT"
timeframe = "1m"
"""


def forms(secret: str) -> list[bytes]:
    """The secret as bytes, in hex, and in base64 at each of the three places where it can begin."""
    raw = secret.encode()
    hexes = [raw.hex().encode(), raw.hex().upper().encode()]
    return [raw, *hexes, *(base64.b64encode(b"\0" * pad + raw)[pad + 1 : -4] for pad in range(3))]


def leaks(pid: int) -> list[str]:
    """Where `/proc` shows the canary of a process. What is gone, or closed to us, shows nothing."""
    found = []
    for name in ("environ", "cmdline"):
        try:
            shown = Path(f"/proc/{pid}/{name}").read_bytes()
        except OSError:
            continue
        found += [name for form in forms(CANARY) if form in shown]
    return found


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def marked(mark: str) -> list[int]:
    """The processes that have `mark` in their arguments or working directory, and their descendants."""
    parents: dict[int, int] = {}
    family: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        try:
            parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if mark in words(pid) or mark in os.readlink(entry / "cwd"):
                family.add(pid)
        except OSError:
            continue
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return sorted(family)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "QUANTLAB_ROOT": str(tmp_path),
        "QUANTLAB_HOME": str(tmp_path / ".quantlab"),
        "QUANTLAB_MARKET": "replay",
        "VAULT_PASSWORD": CANARY,
        "API_BEARER_TOKEN": CANARY + "-token",
    }


@contextmanager
def started(command: list[str], folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def until(is_so: Callable[[], object], timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def has_left(pid: int) -> bool:
    """Whether the process has started again; where we may not look, it has gone further than that."""
    try:
        return DESCRIPTOR_NAME.encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return True


COMMANDS = [[sys.executable, "-m", "quantlab"]]
if (script := shutil.which("quantlab", path=str(Path(sys.executable).parent))) is not None:
    COMMANDS.append([script])


def test_control_an_ordinary_process_shows_what_was_exported(tmp_path: Path, environ: dict[str, str]) -> None:
    code = "import os, sys, time; del os.environ['VAULT_PASSWORD']; open('up', 'w').close(); time.sleep(60)"
    with started([sys.executable, "-c", code], tmp_path, environ) as process:
        until((tmp_path / "up").exists)
        assert "environ" in leaks(process.pid), "dropped from os.environ, and still there"
    for hidden in (CANARY.encode().hex(), base64.b64encode(b"x" + CANARY.encode()).decode()):
        with started([sys.executable, "-c", code, hidden], tmp_path, {**environ, "VAULT_PASSWORD": "x"}) as process:
            until(lambda: "time.sleep" in words(process.pid))
            assert "cmdline" in leaks(process.pid)


@pytest.mark.parametrize("command", COMMANDS, ids=["module", "script"][: len(COMMANDS)])
def test_the_venue(tmp_path: Path, environ: dict[str, str], command: list[str]) -> None:
    ready = tmp_path / "ready"
    with started([*command, "venue", "--port", "0", "--ready-file", str(ready)], tmp_path, environ) as process:
        until(ready.exists)
        assert has_left(process.pid) and process.poll() is None
        assert leaks(process.pid) == []
        assert marked(str(tmp_path)) == [process.pid], "the process itself, not a child of it"


def test_the_server_and_it_knows_its_token(
    tmp_path: Path, environ: dict[str, str], free_port: Callable[[], int]
) -> None:
    port = free_port()

    def status(token: str) -> int:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/fleet", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    with started([*COMMANDS[0], "serve", "--port", str(port)], tmp_path, environ) as process:
        until(lambda: status("wrong"))
        assert status("wrong") == 401
        assert status(CANARY + "-token") == 404, "control: let in by what was handed over, and no fleet runs"
        assert has_left(process.pid) and leaks(process.pid) == []


def test_a_detached_run_with_its_venue_and_its_report(tmp_path: Path, environ: dict[str, str]) -> None:
    """Every process, all the time: the first must have left once it was seen to leave, the others never hold it."""
    (tmp_path / "fleet.toml").write_text(FLEET)
    command = [*COMMANDS[0], "run", "--fleet", str(tmp_path / "fleet.toml"), "--run-id", "r", "--minutes", "30"]
    summary = tmp_path / "reports" / "r" / "report.html"
    seen: dict[str, int] = {}
    bad: list[str] = []
    left = False
    with started([*command, "--speed", "1200"], tmp_path, environ) as process:

        def look() -> bool:
            nonlocal left
            for pid in marked(str(tmp_path)):
                said = words(pid)
                if pid == process.pid and not left:
                    left = has_left(pid)
                    continue
                kinds = {"--foreground": "run", " venue ": "venue", "quantlab.report": "report", "ipykernel": "kernel"}
                for part, kind in kinds.items():
                    if part in said:
                        seen[kind] = seen.get(kind, 0) + 1
                bad.extend(f"{said}: {place}" for place in leaks(pid))
            return summary.exists()

        until(look, 90)
    assert bad == []
    assert left and seen.keys() == {"run", "venue", "report", "kernel"}, "control: all were there to be seen"
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert not any(form in file.read_bytes() for form in forms(CANARY)), file.name


def test_what_is_wrong_with_the_descriptor_is_one_line_and_exit_code_2(tmp_path: Path, environ: dict[str, str]) -> None:
    for value in ("0", "7", "7:1:2", "rubbish", ""):
        done = subprocess.run(
            [*COMMANDS[0], "version"],
            cwd=tmp_path,
            env={**environ, DESCRIPTOR_NAME: value},
            capture_output=True,
            text=True,
            input="mine",
        )
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr == f"quantlab: {DESCRIPTOR_NAME} is quantlab's own, between its processes: unset it\n"


def test_arguments_and_exit_codes_are_the_same_with_and_without(tmp_path: Path, environ: dict[str, str]) -> None:
    plain = {name: value for name, value in environ.items() if CANARY not in value}
    for arguments in (["version"], ["report", "no such run ü"], ["--no-such-option"], []):
        answers = []
        for given in (plain, environ):
            done = subprocess.run([*COMMANDS[0], *arguments], cwd=tmp_path, env=given, capture_output=True, text=True)
            answers.append((done.returncode, done.stdout, done.stderr))
        assert answers[0] == answers[1]


# -- memory ----------------------------------------------------------------------------------------------------------

#: Two processes of one user who is not root; the second tries to look into the first. Prints what it could open.
LOOK = """
import json, os, sys
from quantlab import environment
environment.dumps_forbidden()  # imports what it needs while root may still read it
reading, writing = os.pipe()
back, forth = os.pipe()
first = os.fork()
if first == 0:
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(54321); os.setuid(54321)
        environment._prctl(environment._PR_SET_DUMPABLE, 1)  # setuid took it away
    if sys.argv[1] == "forbid":
        environment.forbid_core_dumps()
    os.write(writing, json.dumps(environment.dumps_forbidden()).encode())
    os.read(back, 1)
    os._exit(0)
forbidden = json.loads(os.read(reading, 10))
second = os.fork()
if second == 0:
    if os.geteuid() == 0:
        os.setgroups([]); os.setgid(54321); os.setuid(54321)
    opened = []
    for name in ("environ", "mem", "fd"):
        try:
            os.close(os.open(f"/proc/{first}/{name}", os.O_RDONLY | os.O_NONBLOCK))
            opened.append(name)
        except OSError:
            pass
    print(json.dumps([forbidden, opened]), flush=True)
    os._exit(0)
os.waitpid(second, 0)
os.write(forth, b"x")
os.waitpid(first, 0)
"""


def look(mode: str) -> list[object]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, mode], capture_output=True, text=True, timeout=30, stdin=subprocess.PIPE
    )
    assert done.stderr == ""
    answer: list[object] = json.loads(done.stdout)
    return answer


def test_other_processes_of_the_user_cannot_look_in() -> None:
    assert look("forbid") == [True, []]
    opened = look("allow")[1]
    assert isinstance(opened, list) and {"environ", "fd"} <= set(opened), "control; Yama may keep mem closed anyway"


def test_a_crash_leaves_no_core(tmp_path: Path) -> None:
    code = "import os; from quantlab.environment import *; forbid_core_dumps(); assert dumps_forbidden(); os.abort()"
    done = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE)
    _, status = os.waitpid(done.pid, 0)
    assert os.WTERMSIG(status) == 6, "it crashed"
    assert not os.WCOREDUMP(status) and os.listdir(tmp_path) == []
    done.returncode = status
    assert done.stderr is not None
    done.stderr.close()


def test_the_command_forbids_it(tmp_path: Path, environ: dict[str, str]) -> None:
    for given in (environ, {name: value for name, value in environ.items() if CANARY not in value}):
        code = "import sys; sys.argv[1:] = ['version']; from quantlab import cli, environment\n"
        code += "try: cli.main()\nexcept SystemExit: print(environment.dumps_forbidden())"
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=given, capture_output=True, text=True)
        assert done.stdout.splitlines()[-1] == "True", done.stderr
    done = subprocess.run(
        [sys.executable, "-c", "from quantlab.environment import *; print(dumps_forbidden())"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "False\n", "control"

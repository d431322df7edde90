"""One user's whole day with keys, over real processes and sockets. What it leaves is what `test_canary` sweeps."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from quantlab.fleet.process import running
from quantlab.lab.jupyter import environment as jupyter_environment
from quantlab.venue.child import VenueChild
from tests.custody.canaries import letters, pair, password
from tests.custody.failing_exchange import FAULTS, failing_exchanges
from tests.custody.machine import Machine, Watch

HERE = Path(__file__).parent
FLEET = "notebooks/fleet.toml"
LABEL = "Paper Trading"
RUN = ("run", "--fleet", FLEET, "--run-id", "two", "--speed", "10", "--no-report", "--json")
_JUPYTER_TOKEN = "t0ken-of-this-day"
_CORS = "Access-Control-Request"


class Day:
    """`secrets` are the canaries by name, `at_home` the names of those that live in `.env` by design. `heard` are the
    signed requests that a failing exchange got, `statuses` the server's answers, `saved` JupyterLab's to a save,
    `roles` the programs that were seen while they ran, `closed` those whose environment was closed to us, `crash` how
    the server ended that was made to crash."""

    def __init__(self, base: Path) -> None:
        self.machine = Machine(base)
        self.first, self.second, self.third = pair(), pair(), pair()
        self.password, self.token = password(), letters()
        self.secrets: dict[str, str] = {"the first password": self.password, "API_BEARER_TOKEN": self.token}
        for name, keys in (("first", self.first), ("second", self.second), ("third", self.third)):
            self.secrets |= {f"the {name} API key": keys.api_key, f"the {name} secret": keys.secret}
        self.at_home: frozenset[str] = frozenset()
        self.heard: list[str] = []
        self.statuses: dict[str, int] = {}
        self.roles: set[str] = set()
        self.closed: set[str] = set()
        self.saved = 0
        self.crash: int = 0

    def live(self) -> None:
        """From the tutorial's `.env` to the day a key is lost."""
        machine = self.machine
        machine.write_env(
            f"BINANCE_API_KEY={self.first.api_key}",
            f'BINANCE_API_SECRET="{self.first.secret}"',
            f'VAULT_PASSWORD="{self.password}"',
            f"API_BEARER_TOKEN={self.token}",
        )
        keys = machine.write_keys(self.first, self.second, self.third)
        with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
            watch = stack.enter_context(Watch(machine))
            clean = machine.environment()
            fast = VenueChild(hours=0.2, speed=None, keys=keys, environment=clean)
            slow = VenueChild(hours=1, speed=10.0, keys=keys, environment=clean)
            for started in (pool.submit(fast.start), pool.submit(slow.start)):
                started.result()
            stack.callback(fast.close)
            stack.callback(slow.close)
            machine.venue = slow.url
            jupyter = stack.enter_context(self._jupyter())
            machine.quantlab("vault", "import-env", "--label", LABEL)
            failing = [pool.submit(self._fail, *faults) for faults in (FAULTS[:4], FAULTS[4:])]
            typing = pool.submit(self._type_in_a_terminal)
            self._run_a_while(fast.url)
            typing.result()
            self._trade(pool, jupyter, failing)
            self._lose_a_key(pool, slow.url)
            watch.look()
        self.roles, self.closed = watch.roles, watch.closed
        machine.quantlab("vault", "sweep", "--json", code=0)
        machine.commit("the end of the day")

    # -- the parts of the day -----------------------------------------------------------------------------------------

    def _run_a_while(self, venue: str) -> None:
        run = ("run", "--foreground", "--fleet", FLEET, "--run-id", "one", "--minutes", "5", "--no-report")
        self.machine.quantlab(*run, environment=self.machine.environment(QUANTLAB_VENUE_URL=venue))

    def _fail(self, *faults: str) -> None:
        """Audits that fail in every way, with the loggers of all libraries at DEBUG."""
        log = self.machine.seen / "debug" / f"libraries-{faults[0]}.log"
        log.parent.mkdir(exist_ok=True)
        with failing_exchanges(faults, self.heard) as urls:
            environment = self.machine.environment(QUANTLAB_TIMEOUT_SECONDS="1", PYTHONASYNCIODEBUG="1")
            command = [sys.executable, str(HERE / "failing_audits.py"), str(log), *urls]
            self.machine.run(command, environment=environment, name="failing-audits")

    def _type_in_a_terminal(self) -> None:
        """A second key, typed at hidden prompts in a shell that keeps its history."""
        environment = self.machine.environment(HISTFILE=str(self.machine.user / ".bash_history"), PS1="$ ", TERM="dumb")
        ours, theirs = pty.openpty()
        shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            cwd=self.machine.root, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        add = f"{sys.executable} -m quantlab vault add --label Typed"
        seen = b""
        for prompt, answer in (("$ ", add), ("API key: ", self.second.api_key), ("Secret: ", self.second.secret)):
            seen += _read_until(ours, prompt)
            time.sleep(0.2)  # the echo is turned off before the answer is read
            os.write(ours, answer.encode() + b"\n")
        seen += _read_until(ours, "is in the vault")
        os.write(ours, f"{sys.executable} -m quantlab vault list\nhistory -w; exit\n".encode())
        seen += _read_until(ours, None)
        assert shell.wait(30) == 0
        os.close(ours)
        self.machine.keep("terminal/transcript.txt", seen)

    def _trade(self, pool: ThreadPoolExecutor, jupyter: str, failing: list[Future[None]]) -> None:
        """A fleet in the background; beside it a notebook, the server, the control socket, and looks at keys."""
        machine = self.machine
        machine.quantlab(*RUN)
        session = pool.submit(self._use_a_notebook, jupyter)
        server = pool.submit(self._serve)
        self._ask_the_engine()
        self._look_at_keys()
        server.result()
        machine.quantlab("report", "one")
        for done in failing:
            done.result()
        machine.quantlab("vault", "audit")  # what a failed audit locked is open again
        session.result()

    def _lose_a_key(self, pool: ThreadPoolExecutor, venue: str) -> None:
        """A kill -9 and a restart, a rotation, a new password, the emergency."""
        machine = self.machine
        wal = machine.home / "quantlab.sqlite-wal"
        _until(lambda: wal.stat().st_size > 0)  # the audit emptied it; the next order fills it
        machine.keep_database("running")
        engine = running(machine.home)
        assert engine is not None
        os.kill(engine.pid, signal.SIGKILL)
        machine.keep_database("killed")
        papermill = pool.submit(self._papermill)
        machine.quantlab(*RUN)  # resumes
        pair = f"{self.third.api_key}\n{self.third.secret}\n"
        machine.quantlab("vault", "rotate", LABEL, "--stdin", "--json", stdin=pair)
        machine.keep_database("rotated")
        papermill.result()  # its kernel reads the password that is there when it starts
        machine.quantlab("vault", "passwd", "--generate", "--json")
        self._learn_the_new_password()
        machine.keep_database("password-changed")
        machine.quantlab("vault", "revoke", "Typed", "--why", "not used")
        machine.quantlab("panic")
        machine.quantlab("status")
        self._ask_the_venue(venue)
        machine.quantlab("stop")
        machine.quantlab("vault", "show", LABEL)

    def _look_at_keys(self) -> None:
        machine = self.machine
        machine.quantlab("vault", "list")
        machine.quantlab("vault", "backup", "vault-backup.json")
        for suffix in ("json", "csv", "html"):
            machine.quantlab("vault", "export-inventory", f"inventory.{suffix}")
        machine.quantlab("preflight", "--json", "--html", "preflight.html")
        machine.quantlab("--debug", "vault", "show", "nobody", code=5)

    def _learn_the_new_password(self) -> None:
        lines = (self.machine.root / ".env").read_text().splitlines()
        new = next(line.partition("=")[2].strip("\"'") for line in lines if line.startswith("VAULT_PASSWORD"))
        assert new != self.password and len(new) >= 43
        self.secrets["VAULT_PASSWORD"] = new
        self.at_home = frozenset({"VAULT_PASSWORD", "API_BEARER_TOKEN"})

    def _serve(self) -> None:
        """Serve the API, ask it everything politely and otherwise, and crash it: no core is left."""
        log = self.machine.seen / "server" / "serve.log"
        log.parent.mkdir()
        port = free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "quantlab", "serve", "--port", str(port)],
                cwd=self.machine.root, env=self.machine.environment(), stdout=output, stderr=output,
                preexec_fn=_cores_wanted,
            )  # fmt: skip
        until_listening(port, process)
        host = f"Host: 127.0.0.1:{port}"
        own = (self.machine.home / "api-token").read_text().strip()
        self.secrets["the server's own token"] = own
        told, mine = f"Authorization: Bearer {self.token}", f"Authorization: Bearer {own}"
        requests = {
            "health": ("GET /healthz", host, told),
            "fleet": ("GET /v1/fleet", host, told),
            "fleet-own": ("GET /v1/fleet", host, mine),
            "no-token": ("GET /v1/fleet", host),
            "wrong-token": ("GET /v1/fleet", host, told + "x"),
            "odd-token": ("GET /v1/fleet", host, "Authorization: Bearer ü\x80"),
            "token-in-address": (f"GET /v1/fleet?token={self.token}", host),
            "token-in-path": (f"GET /v1/{self.token}", host, told),
            "command": (f"POST /v1/fleet/{self.first.secret}", host, mine, f'{{"secret": "{self.first.secret}"}}'),
            "malformed": ("POST /v1/fleet/resume", host, mine, '{"VAULT_PASSWORD": '),
            "not-found": ("GET /nothing", host, mine),
            "method": ("DELETE /v1/fleet", host, mine),
            "preflight": ("OPTIONS /v1/fleet", host, "Origin: http://localhost:3000", f"{_CORS}-Method: GET"),
            "bad-origin": ("GET /v1/fleet", host, told, "Origin: http://evil.example"),
            "bad-host": ("GET /v1/fleet", "Host: evil.example", told),
            "docs": ("GET /openapi.json", host, mine),
            "no-http": ("\x00\x01", host),
        }  # fmt: skip
        for name, (line, *rest) in requests.items():
            body = rest.pop() if rest and rest[-1].startswith("{") else ""
            self.statuses[name] = self._ask(port, name, line, rest, body)
        process.send_signal(signal.SIGABRT)
        _, self.crash = os.waitpid(process.pid, 0)
        process.returncode = self.crash

    def _ask(self, port: int, name: str, line: str, headers: list[str], body: str) -> int:
        head = "\r\n".join([f"{line} HTTP/1.1", *headers, "Connection: close", f"Content-Length: {len(body)}"])
        with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
            connection.sendall(f"{head}\r\n\r\n{body}".encode())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        answered, _, content = answer.partition(b"\r\n\r\n")
        self.machine.keep(f"http/{name}.headers", answered)
        self.machine.keep(f"http/{name}.body", content)
        return int(answered.split()[1]) if answered else 0

    def _ask_the_engine(self) -> None:
        engine = running(self.machine.home)
        assert engine is not None
        asked = ('{"command": "status"}', '{"command": "keys"}', f'{{"command": "{self.first.secret}"}}', '{"command"')
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(15)
            connection.connect(engine.socket)
            with connection.makefile("rb") as answers:
                for number, line in enumerate(asked):
                    if self.first.secret in line:
                        continue  # an unknown command is told back to whoever typed it
                    connection.sendall(line.encode() + b"\n")
                    self.machine.keep(f"control/{number}.json", answers.readline())

    def _ask_the_venue(self, venue: str) -> None:
        """The venue's own log of all that it was asked."""
        with urllib.request.urlopen(f"{venue}/__venue__/requests", timeout=15) as answer:
            self.machine.keep("venue/requests.json", answer.read())

    def _papermill(self) -> None:
        command = [sys.executable, "-m", "papermill", "notebooks/04_key_custody.ipynb", "keys-of-the-day.ipynb"]
        kept = self.machine.root / "notebooks" / "04_key_custody.ipynb"
        notebook = json.loads(kept.read_text())
        notebook["cells"] = [cell for cell in notebook["cells"] if "drill()" not in "".join(cell["source"])]
        kept.write_text(json.dumps(notebook, indent=1))
        self.machine.run([*command, "-p", "label", "Of the day", "-k", "python3"], name="papermill")

    @contextmanager
    def _jupyter(self) -> Iterator[str]:
        """JupyterLab as `quantlab lab` starts it."""
        port = free_port()
        machine = self.machine
        given = jupyter_environment(machine.environment(), machine.root, _JUPYTER_TOKEN)
        log = machine.seen / "jupyter" / "server.log"
        log.parent.mkdir()
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--ServerApp.port={port}", "--debug"]
        command += [f"--ServerApp.root_dir={machine.root}", "--LabApp.core_mode=True", "--allow-root"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=machine.root, env=given, stdout=output, stderr=output)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)

    def _use_a_notebook(self, jupyter: str) -> None:
        """Executed in a kernel of its own, saved through JupyterLab, with a checkpoint."""
        machine = self.machine
        executed = machine.temp / "executed.ipynb"
        environment = jupyter_environment(machine.environment(), machine.root, _JUPYTER_TOKEN)
        machine.run(
            [sys.executable, str(HERE / "session.py"), str(machine.root / "notebooks"), str(executed)],
            environment=environment, name="session",
        )  # fmt: skip
        content = json.loads(executed.read_text())
        until_listening(int(jupyter.rpartition(":")[2]))
        model = {"type": "notebook", "format": "json", "content": content}
        self.saved = self._tell_jupyter(jupyter, "PUT", "contents/notebooks/day.ipynb", model)
        self._tell_jupyter(jupyter, "POST", "contents/notebooks/day.ipynb/checkpoints", None)
        self._tell_jupyter(jupyter, "GET", "contents/notebooks/day.ipynb", None)

    def _tell_jupyter(self, jupyter: str, method: str, path: str, model: Any) -> int:
        request = urllib.request.Request(
            f"{jupyter}/api/{path}",
            method=method,
            data=None if model is None else json.dumps(model).encode(),
            headers={"Authorization": f"token {_JUPYTER_TOKEN}"},
        )
        name = f"{method}-{path.rpartition('/')[2]}"
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self.machine.keep(f"http/jupyter-{name}.body", answer.read())
                self.machine.keep(f"http/jupyter-{name}.headers", str(answer.headers))
                return int(answer.status)
        except urllib.error.HTTPError as error:
            self.machine.keep(f"http/jupyter-{name}.body", error.read())
            return error.code


def _read_until(terminal: int, words: str | None, timeout_s: float = 40) -> bytes:
    """What a terminal shows until `words`; None: until it is closed."""
    seen = b""
    deadline = time.monotonic() + timeout_s
    while words is None or words.encode() not in seen:
        assert time.monotonic() < deadline, seen[-500:]
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            break
        if not piece:
            break
        seen += piece
    return seen


def _until(is_so: Callable[[], bool], timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def _cores_wanted() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def until_listening(port: int, process: subprocess.Popen[bytes] | None = None, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            assert process is None or process.poll() is None, "the server ended"
            time.sleep(0.1)

"""A user's machine in a folder: checkout, home, temporary files; and whatever was seen of the outside, kept as files.

Beside it, and never swept, lies the exchange's own copy of the keys.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from tests.custody.canaries import Pair

CHECKOUT = Path(__file__).resolve().parents[2]
_NOT_HANDED_ON = ("QUANTLAB_", "BINANCE_", "API_", "VAULT_", "PYTEST_", "JUPYTER", "IPYTHON", "XDG_", "HIST")


def plain_environment() -> dict[str, str]:
    """What any program needs of the environment of the tests."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_NOT_HANDED_ON)}


class Machine:
    """`root` is the checkout, `home` its state, `user` the user's folder, `seen` what commands and servers said."""

    def __init__(self, base: Path) -> None:
        self.base = base / "m"
        self.root, self.user, self.temp, self.seen = (self.base / name for name in ("lab", "user", "tmp", "seen"))
        self.home = self.root / ".quantlab"
        self.exchange = base / "exchange"
        for folder in (self.root, self.user, self.temp, self.seen, self.exchange):
            folder.mkdir(parents=True)
        for name in ("notebooks", "jupyter_config"):
            ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
            shutil.copytree(CHECKOUT / name, self.root / name, ignore=ignored)
        shutil.copy(CHECKOUT / ".gitignore", self.root)
        self.git("init", "--quiet")
        self.commit("as cloned")
        self.venue = ""
        self._commands = 0
        self._lock = threading.Lock()

    def environment(self, **more: str) -> dict[str, str]:
        """A shell's on this machine, with the market's address."""
        ours = {"HOME": str(self.user), "TMPDIR": str(self.temp), "QUANTLAB_MARKET": "replay"}
        return plain_environment() | ours | {"QUANTLAB_ROOT": str(self.root), "QUANTLAB_VENUE_URL": self.venue} | more

    def write_env(self, *lines: str) -> None:
        path = self.root / ".env"
        path.touch(0o600)
        path.write_text("\n".join(["# my settings", *lines]) + "\n")

    def write_keys(self, *pairs: Pair) -> Path:
        """The keys that the venue knows."""
        path = self.exchange / "keys.json"
        path.touch(0o600)
        path.write_text(json.dumps([pair._asdict() for pair in pairs]))
        return path

    def quantlab(
        self, *arguments: str, code: int = 0, stdin: str | None = None, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run the command as a user types it and keep what it says; returns its standard output."""
        return self.run([sys.executable, "-m", "quantlab", *arguments], code=code, stdin=stdin, environment=environment)

    def run(
        self,
        command: list[str],
        *,
        code: int = 0,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
        name: str = "",
    ) -> str:
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment() if environment is None else dict(environment),
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=110,
        )
        with self._lock:
            self._commands += 1
            number = self._commands
        words = name or "-".join(part for part in command[2:6] if not part.startswith(("-", "/")))
        self.keep(f"stdout/{number:02}-{words}.txt", f"exit code {done.returncode}\n{done.stdout}")
        self.keep(f"stderr/{number:02}-{words}.txt", f"exit code {done.returncode}\n{done.stderr}")
        assert done.returncode == code, (command[2:], done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def keep(self, name: str, content: str | bytes) -> Path:
        """Keep something that was seen, as a file that is swept."""
        path = self.seen / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogateescape"))
        return path

    def keep_database(self, moment: str) -> None:
        """A copy of the database with its log and its shared memory, as a thief or a backup program would take it."""
        for path in sorted(self.home.glob("quantlab.sqlite*")):
            self.keep(f"{moment}/{path.name}", path.read_bytes())

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, *arguments], cwd=self.root, check=True, capture_output=True)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)


class Watch:
    """Sees every process of a machine while it lives, and keeps its environment and arguments as files; Jupyter's
    connection files too, which are gone when their kernel is.

    `roles` are the programs that were seen; `closed` those whose environment no one may read but root.
    """

    _ROLES: ClassVar = {
        "ipykernel": "kernel", "jupyterlab": "JupyterLab", "papermill": "papermill", "quantlab.report": "report",
        "quantlab report": "report", "quantlab venue": "venue", "quantlab run": "engine", "quantlab serve": "server",
        "quantlab vault": "vault", "quantlab preflight": "pre-flight", "quantlab panic": "panic",
    }  # fmt: skip

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._mark = str(machine.base.parent).encode()
        self._known: dict[tuple[int, bytes], bool] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self.roles: set[str] = set()
        self.closed: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._end.wait(0.2):
            self.look()

    def look(self) -> None:
        runtime = self._machine.user / ".local" / "share" / "jupyter" / "runtime"
        for path in (*runtime.glob("*.json"), *self._machine.temp.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):
                kind = "jpserver" if path.name.startswith("jpserver") else f"kernel-{path.stem}"
                if content := path.read_bytes():
                    self._machine.keep(f"runtime/{kind}.json", content)
        for folder in Path("/proc").glob("[0-9]*"):
            if int(folder.name) == os.getpid():
                continue
            try:
                arguments = (folder / "cmdline").read_bytes()
                key = (int(folder.name), arguments)
                if key in self._known or not arguments:
                    continue
                self._known[key] = self._look_at(folder, arguments)
            except OSError:
                continue  # it has ended

    def _look_at(self, folder: Path, arguments: bytes) -> bool:
        role = self._role(arguments)
        try:
            environ = (folder / "environ").read_bytes()
        except PermissionError:
            environ = None
        if self._mark not in (environ or b"") + arguments and self._mark.decode() not in os.readlink(folder / "cwd"):
            return False
        number = f"{role.replace(' ', '-')}-{folder.name}-{len(self._known)}"
        self._machine.keep(f"proc/{number}.cmdline", arguments)
        self.roles.add(role)
        if environ is None:
            self.closed.add(role)
        else:
            self._machine.keep(f"proc/{number}.environ", environ)
        return True

    def _role(self, arguments: bytes) -> str:
        words = arguments.replace(b"\0", b" ").decode(errors="replace")
        return next((role for part, role in self._ROLES.items() if part in words), "another")

"""What git knows of files, asked by its own command: never through a shell, never for long, and never with a secret
among the arguments, which anybody on the machine can read."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from quantlab.environment import scrubbed
from quantlab.model.errors import QuantlabError

_TIMEOUT_S = 20.0
#: A repository's own settings may name programs to run; none of them is needed here.
_CONFIG = ("core.fsmonitor=false", "log.showSignature=false", "log.showRoot=true")
_QUIET = ("--no-replace-objects", *(word for entry in _CONFIG for word in ("-c", entry)))
#: Where an inherited variable would have git look elsewhere than at the folder it was given.
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_CONFIG")


@dataclass(frozen=True)
class Repository:
    """The repository around `folder`. Paths are relative to `folder`. All methods raise QuantlabError when git fails or
    takes longer than 20 s."""

    folder: Path

    def tracks(self, path: str) -> bool:
        return _run(self.folder, "ls-files", "--error-unmatch", "--", path).returncode == 0

    def ignores(self, path: str) -> bool:
        """Whether git would leave `path` out of `git add .`."""
        done = _run(self.folder, "check-ignore", "-q", "--no-index", "--", path)
        if done.returncode not in (0, 1):
            raise QuantlabError(f"git check-ignore failed: {_words(done)}")
        return done.returncode == 0

    def files(self) -> list[Path]:
        """Tracked files, and those that are neither tracked nor ignored: what could be pushed."""
        out = self._out("ls-files", "-z", "--cached", "--others", "--exclude-standard")
        names = {name for name in out.split(b"\0") if name}
        return sorted(self.folder / os.fsdecode(name) for name in names)

    def commits_of(self, *paths: str) -> list[str]:
        """Commits that added, changed or removed one of `paths` (git's patterns): of every branch, tag, stash and of
        what the reflog still holds."""
        return self._log("--full-history", "--", *paths)

    def commits_with_line(self, expression: str) -> list[str]:
        """Commits that added or removed a line which `expression` (POSIX extended) matches, in files of text."""
        return self._log(f"-G{expression}", "--no-textconv", "--no-ext-diff")

    def added_lines(self, commit: str) -> str:
        """The lines that a commit added, one below the other."""
        out = self._out(
            "show", "--format=", "--unified=0", "--no-color", "--no-textconv", "--no-ext-diff", "--root", commit, "--"
        )
        lines = out.decode(errors="replace").splitlines()
        return "\n".join(line[1:] for line in lines if line.startswith("+") and not line.startswith("+++ "))

    def _log(self, *arguments: str) -> list[str]:
        out = self._out("log", "--all", "--reflog", "--no-color", "--format=%h", *arguments)
        return out.decode().split()

    def _out(self, *arguments: str) -> bytes:
        done = _run(self.folder, *arguments)
        if done.returncode:
            raise QuantlabError(f"git {arguments[0]} failed: {_words(done)}")
        return done.stdout


def find_repository(folder: Path) -> Repository | None:
    """The repository around `folder`, None where there is none. Raises QuantlabError when there is one that git cannot
    read, or no git to read it."""
    try:
        done = _run(folder, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        if not any((above / ".git").exists() for above in (folder, *folder.parents)):
            return None
        raise QuantlabError("git is not installed here, and this is a git checkout: install it to look") from None
    if done.returncode == 0:
        return Repository(folder) if done.stdout.strip() == b"true" else None
    if b"not a git repository" in done.stderr:
        return None
    raise QuantlabError(f"git cannot read this repository: {_words(done)}")


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    environ = {name: value for name, value in scrubbed(os.environ).items() if name not in _ELSEWHERE}
    try:
        return subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environ | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "cat"},
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise QuantlabError(f"git {arguments[0]} took longer than {_TIMEOUT_S:.0f} s") from None


def _words(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[0] if lines else f"it ended with code {done.returncode}"

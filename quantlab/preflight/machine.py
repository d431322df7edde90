"""Checks of this machine: who can read the state, reach the server, or find memory on the disk."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from quantlab.environment import dumps_forbidden
from quantlab.ledger.database import database_path
from quantlab.preflight.facts import Facts
from quantlab.preflight.result import Check, Found, severities

#: Names that `quantlab serve` takes for this machine alone; any other asks for a strong token.
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: What 32 random bytes have in URL-safe base64, and how many different letters at the least: the server's own rule.
_STRONG_LENGTH, _STRONG_DISTINCT = 43, 16
_TO_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
_CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")
_MOST_TOLD = 3


def _server(facts: Facts) -> Found:
    host, token = facts.settings.api_host, facts.settings.api_bearer_token
    if host in _LOOPBACK:
        return Found("pass", f"API_HOST is {host}: this machine alone; the local token is asked for all the same")
    value = token.get_secret_value() if token is not None else ""
    if len(value) >= _STRONG_LENGTH and len(set(value)) >= _STRONG_DISTINCT and value.isascii():
        return Found("pass", f"API_HOST is {host}, behind a strong API_BEARER_TOKEN")
    missing = "API_BEARER_TOKEN is weaker than 32 random bytes" if value else "there is no API_BEARER_TOKEN"
    return Found(
        "fail",
        f"API_HOST is {host}, which other machines may reach, and {missing}",
        f"put API_BEARER_TOKEN into .env, as `{_TO_MAKE_ONE}` makes it, or set API_HOST=127.0.0.1",
    )


def _api_token(facts: Facts) -> Found:
    path = facts.settings.home / "api-token"
    try:
        about = path.stat()
    except FileNotFoundError:
        return Found("not applicable", "the server was never started here: there is no local token")
    if fault := _fault(about):
        return Found("fail", f"{path}: {fault}", f"`rm {shlex.quote(str(path))}`: the next start makes a new one")
    return Found("pass", "readable by its owner alone")


def _files(facts: Facts) -> Found:
    home = facts.settings.home
    if not home.exists():
        return Found("not applicable", "nothing was kept here yet")
    faults = [f"{path} {fault}" for path in _kept(facts) if (fault := _fault_of(path))]
    if faults:
        more = f" and {len(faults) - _MOST_TOLD} more" if len(faults) > _MOST_TOLD else ""
        outside = [str(path) for path in _readable_backups(facts) if home not in path.parents and _fault_of(path)]
        also = "".join(f" && chmod 600 {shlex.quote(path)}" for path in outside)
        whose = ", `sudo chown -R $USER` what is another user's" if any("belongs" in line for line in faults) else ""
        return Found(
            "fail",
            f"{'; '.join(faults[:_MOST_TOLD])}{more}",
            f"`chmod -R go-rwx {shlex.quote(str(home))}{also}`{whose}",
        )
    return Found("pass", "state, database, logs, recordings and backups are their owner's alone")


def _kept(facts: Facts) -> Iterator[Path]:
    """What only its owner may read: the folder, the database with its companions, what runs leave, and backups."""
    home = facts.settings.home
    yield home
    database = database_path(home)
    yield from (Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm"))
    for name in ("logs", "recordings", "backups"):
        yield from sorted(path for path in (home / name).rglob("*") if path.is_file() and not path.is_symlink())
    yield from _readable_backups(facts)


def _readable_backups(facts: Facts) -> Iterator[Path]:
    """Nothing where the database cannot be read: that it can be read by others is one of the reasons."""
    try:
        yield from facts.custody.backups
    except Exception:  # the lines about keys say why
        return


def _fault_of(path: Path) -> str:
    try:
        return _fault(path.stat())
    except OSError:  # not there, or not ours to look at
        return ""


def _fault(about: os.stat_result) -> str:
    mode = stat.S_IMODE(about.st_mode)
    if mode & 0o077:
        return f"can be read by others (mode {mode:03o})"
    return "belongs to another user" if about.st_uid != os.getuid() else ""


def _core_dumps(facts: Facts) -> Found:
    try:
        import resource
    except ImportError:
        return Found("unknown", "this system does not tell", "switch crash dumps off in the system's settings")
    limit = resource.getrlimit(resource.RLIMIT_CORE)[0]
    pattern = _core_pattern()
    words = f"RLIMIT_CORE is {'unlimited' if limit == resource.RLIM_INFINITY else limit}"
    words += f", kernel.core_pattern is {pattern!r}" if pattern else ""
    if limit != 0:
        return Found("fail", words, "`ulimit -c 0` before the start, or start it with `quantlab`, which does so itself")
    # A pattern that is a pipe is not held back by the limit. Source: core(5), "Piping core dumps to a program".
    if pattern.startswith("|") and not dumps_forbidden():
        return Found(
            "fail",
            f"{words}: a pipe, which the limit does not hold back",
            "start it with the `quantlab` command, which makes its processes undumpable",
        )
    return Found("pass", words)


def _core_pattern() -> str:
    if sys.platform != "linux":
        return ""
    try:
        return _CORE_PATTERN.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


CHECKS = (
    Check(
        "server",
        "Server for this machine, or behind a token",
        "who reaches the server reads the fleet and may stop it",
        severities("alert", "block", "block"),
        _server,
    ),
    Check(
        "api-token",
        "Local API token for its owner alone",
        "this token may do everything that the server can",
        severities("alert", "block", "block"),
        _api_token,
    ),
    Check(
        "files",
        "State for its owner alone",
        "database, logs and recordings tell what the fleet does, and hold the sealed keys",
        severities("alert", "block", "block"),
        _files,
    ),
    Check(
        "core-dumps",
        "No core dumps",
        "a crash would write the process's memory, keys too, to the disk",
        severities("info", "alert", "block"),
        _core_dumps,
    ),
)

"""Checks of secrets in plain text: `.env` for its owner alone and never in git, and nothing in the rest of the tree."""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from quantlab.preflight.facts import Facts
from quantlab.preflight.result import Check, Found, severities
from quantlab.redact import SecretKind, Sighting, secrets_in
from quantlab.settings import parse_env
from quantlab.vault.credentials import fingerprint

_NO_ENV = Found("not applicable", "there is no .env")
_NO_GIT = Found("not applicable", "this folder is in no git repository")
_REWRITE = (
    "first replace what stood in it (a pushed secret is a known one), then `git filter-repo --invert-paths --path .env`"
)
#: `.env` in this folder and in all folders of the repository.
_ENV_ANYWHERE = (".env", ":(top,glob)**/.env")
_NAMES = "BINANCE_API_KEY|BINANCE_API_SECRET|VAULT_PASSWORD|API_BEARER_TOKEN"
#: A line that sets one of our secrets to something, as POSIX knows expressions.
_SETS_ONE = f"({_NAMES})[ ]*=[ ]*.{{8}}"
_LINE = re.compile(
    rf"(?P<name>{_NAMES}) *= *(?P<quote>[\"']?)(?P<value>[A-Za-z0-9_+/=.~-]{{32,}})(?P=quote)\s*(?:#.*)?$",
    re.MULTILINE,
)
#: What random bytes have and words such as "your-binance-api-secret-goes-here" have not.
_LEAST_DISTINCT = 20
_MOST_COMMITS = 200

#: An Ed25519 key, the shortest there is, has 64 characters of base64 between its two lines.
_KEY_BODY = re.compile(r"[A-Za-z0-9+/]{48}")
#: Fingerprints of the pair that Binance's documents sign with. Source: spot REST docs, "SIGNED endpoint examples for
#: POST /api/v3/order", checked 2026-11-23.
_PRINTED = frozenset({"5ba1ed8425baaa72", "23e9efa3ced6e70c"})
#: What only looks like a secret is somebody's to judge; before money is at stake it must be judged.
_ALIKE = severities("alert", "alert", "block")
_LARGEST_BYTES = 5 << 20
_LOOK_S = 8.0
_MOST_TOLD = 3
_OTHERS_FOLDERS = frozenset(
    {".git", ".hg", ".venv", "venv", ".tox", ".nox", "node_modules", "__pycache__", "site-packages", "dist", "build"}
)


def _owner_only(facts: Facts) -> Found:
    path = facts.env_path
    try:
        about = path.stat()
    except FileNotFoundError:
        return _NO_ENV
    mode = about.st_mode & 0o777
    if mode & 0o077:
        return Found("fail", f"others can read .env (mode {mode:03o})", f"`chmod 600 {shlex.quote(str(path))}`")
    if about.st_uid != os.getuid():
        return Found("fail", ".env belongs to another user", f"`sudo chown $USER {shlex.quote(str(path))}`")
    return Found("pass", f"readable by its owner alone (mode {mode:03o})")


def _ignored(facts: Facts) -> Found:
    if facts.repository is None:
        return _NO_GIT
    if facts.repository.tracks(".env"):
        return Found("fail", "git tracks .env", "`git rm --cached .env`, add the line .env to .gitignore, and commit")
    if facts.repository.ignores(".env"):
        return Found("pass", "git leaves .env out")
    if not facts.env_path.exists():
        return _NO_ENV
    return Found("fail", "`git add .` would take .env along", "`echo .env >> .gitignore`")


def _never_committed(facts: Facts) -> Found:
    repository = facts.repository
    if repository is None:
        return _NO_GIT
    commits = repository.commits_of(*_ENV_ANYWHERE)
    if commits:
        return Found("fail", f".env was committed: {_some(commits)}", _REWRITE)
    with_lines = repository.commits_with_line(_SETS_ONE)
    if len(with_lines) > _MOST_COMMITS:
        return Found(
            "unknown",
            f"{len(with_lines)} commits set one of our secrets to something: too many to look at here",
            "`quantlab vault sweep` looks through the whole history",
        )
    leaks = [f"{commit} ({name})" for commit in with_lines if (name := _secret_line(repository.added_lines(commit)))]
    if leaks:
        return Found(
            "fail",
            f"a line that sets a secret was committed: {_some(leaks)}",
            "replace that secret, a pushed one is a known one; then take it out: `git filter-repo --replace-text FILE`",
        )
    return Found("pass", "in no commit of any branch, tag, stash or the reflog")


def _secret_line(text: str) -> str:
    """The name of a setting that a line of `text` sets to a real secret, not to words about one; else nothing."""
    for line in _LINE.finditer(text):
        value = line["value"]
        if len(set(value)) >= _LEAST_DISTINCT or any(found.kind == SecretKind.KNOWN for found in secrets_in(value)):
            return line["name"]
    for line in re.finditer(r"^.*(?:BINANCE_API_|VAULT_PASSWORD|API_BEARER_TOKEN).*$", text, re.MULTILINE):
        if any(found.kind == SecretKind.KNOWN for found in secrets_in(line[0])):
            return "a value that is in use"
    return ""


def _tree(facts: Facts) -> Found:
    """What could be pushed, or in no repository everything, is read as text. `.env` is where secrets may be."""
    with suppress(Exception):  # what `.env` sets is to be known, so that it is recognised elsewhere; other lines tell
        list(parse_env(facts.env_path.read_bytes(), facts.env_path))
    _ = facts.vault  # opening it makes its secrets known too
    files = _files(facts)
    deadline = time.monotonic() + _LOOK_S
    known: list[str] = []
    alike: list[str] = []
    looked = 0
    complete = True
    for path in files:
        if time.monotonic() > deadline:
            complete = False
            break
        text = _text(path)
        if text is None:
            continue
        looked += 1
        kinds = [seen.kind for seen in secrets_in(text) if _is_telling(seen, text)]
        if kinds:
            (known if SecretKind.KNOWN in kinds else alike).append(f"{_below(path, facts.settings.root)} ({kinds[0]})")
    if known or alike:
        are = "hold a secret that is in use" if known else "hold what looks like a secret"
        return Found(
            "fail",
            f"{len(known or alike)} of {looked} files {are}: {_some(known or alike)}",
            "replace what is a real secret, and take it out; `quantlab vault sweep` looks further",
            None if known else _ALIKE,
        )
    if not complete:
        words = f"{looked} files are clean, not all could be read in {_LOOK_S:.0f} s"
        return Found("unknown", words, "`quantlab vault sweep` looks at everything")
    return Found("pass", f"{looked} files of text, no secret in them; `quantlab vault sweep` looks further")


def _is_telling(seen: Sighting, text: str) -> bool:
    """Whether it may be somebody's: a private key has a body, and what Binance's own documents print is nobody's."""
    what = text[seen.start : seen.end]
    if seen.kind == SecretKind.PRIVATE_KEY:
        return _KEY_BODY.search(what) is not None
    return seen.kind != SecretKind.KEY or fingerprint(what) not in _PRINTED


def _files(facts: Facts) -> Iterator[Path]:
    root, kept = facts.settings.root, (facts.env_path, facts.settings.home)
    listed = facts.repository.files() if facts.repository is not None else _walk(root)
    return (path for path in listed if not any(path == place or place in path.parents for place in kept))


def _walk(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in _OTHERS_FOLDERS)
        yield from (Path(folder) / name for name in sorted(files))


def _text(path: Path) -> str | None:
    """The file as text; None for what is none, is too large, or cannot be read. Links are looked at where they lead."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return None if b"\0" in data[:8192] else data.decode("utf-8", errors="replace")


def _below(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _some(items: list[str]) -> str:
    more = len(items) - _MOST_TOLD
    return ", ".join(items[:_MOST_TOLD]) + (f" and {more} more" if more > 0 else "")


CHECKS = (
    Check(
        "env-owner-only",
        ".env for its owner alone",
        "every program of every user of this machine could read the secrets in it",
        severities("block", "block", "block"),
        _owner_only,
    ),
    Check(
        "env-ignored",
        ".env left out of git",
        "one `git add .` and a push, and the secrets are everybody's",
        severities("alert", "block", "block"),
        _ignored,
    ),
    Check(
        "env-history",
        ".env never in git history",
        "what was committed once stays in every copy of the repository",
        severities("alert", "block", "block"),
        _never_committed,
    ),
    Check(
        "tree",
        "No secret in the tree",
        "notebooks, logs and notes are copied, shown and sent along",
        severities("alert", "block", "block"),
        _tree,
    ),
)

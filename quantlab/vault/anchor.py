"""What this machine knows of a vault beside the vault: its newest generation, its headers, the keys that were revoked.

A copy of the database put back over a newer one is whole and consistent; only something outside can tell that it is
old. The anchor lies in the user's state folder, owner-only, outside QUANTLAB_HOME, one file a vault.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from quantlab.model.errors import QuantlabError, Refused
from quantlab.vault.errors import Tampered


class Anchor(msgspec.Struct, frozen=True):
    """The newest generation seen, the digests of its headers, and the fingerprints of revoked keys."""

    generation: int = 0
    headers: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()


def anchor_path(vault_id: str) -> Path:
    """Where the anchor of a vault lies. Source of the folder: XDG Base Directory Specification, XDG_STATE_HOME.

    Raises Tampered for an id that quantlab does not give: it is read before anything is verified, and names a file.
    """
    if not re.fullmatch(r"[0-9a-f]{16}", vault_id):
        raise Tampered("the vault's id was changed outside quantlab: restore the vault from a backup")
    named = os.environ.get("XDG_STATE_HOME")
    base = Path(named) if named and Path(named).is_absolute() else Path.home() / ".local" / "state"
    return base / "quantlab" / "vaults" / f"{vault_id}.json"


def read_anchor(vault_id: str) -> Anchor:
    """What is known; nothing, on a machine that has not seen this vault. Raises Refused when it is not readable."""
    path = anchor_path(vault_id)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Anchor)
    except FileNotFoundError:
        return Anchor()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(
            f"{path}, which guards against an old copy of the vault, cannot be read ({type(error).__name__}): find "
            "out who changed it, then remove it"
        ) from None


def raise_anchor(
    vault_id: str, generation: int = 0, headers: tuple[str, ...] = (), revoked: tuple[str, ...] = ()
) -> None:
    """Remember a generation with its headers, or a revocation, where it is news. Never goes back.

    Raises QuantlabError when the folder refuses.
    """
    if _with(known := read_anchor(vault_id), generation, headers, revoked) == known:
        return
    path = anchor_path(vault_id)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(path.with_suffix(".lock")):  # two that remember at once must not forget each other's news
            news = _with(read_anchor(vault_id), generation, headers, revoked)
            descriptor, name = tempfile.mkstemp(dir=path.parent)  # 0600
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(news))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
    except OSError as error:
        raise QuantlabError(
            f"{path} cannot be written ({error.strerror}): it guards against an old copy of the vault; make its "
            "folder writable or point XDG_STATE_HOME elsewhere"
        ) from None


def _with(known: Anchor, generation: int, headers: tuple[str, ...], revoked: tuple[str, ...]) -> Anchor:
    newer = generation >= known.generation and headers
    return Anchor(
        max(known.generation, generation),
        headers if newer else known.headers,
        tuple(sorted({*known.revoked, *revoked})),
    )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

"""The engine as it stood at a place of its input log: a restart runs over what came since, and not over the whole run.

A checkpoint is worth nothing by itself. It is of one log, one fleet and this very code, and only those take it up;
where anything differs, or it is damaged, the log is run over from its beginning, which gives the same. It is a pickle,
and a pickle can run code: it lies in the owner-only home beside the database, and is read only where nobody else could
write.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import platform
import zlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from quantlab.fleet.engine import Engine
from quantlab.model import Journal
from quantlab.recording import Position, Recording
from quantlab.strategies import Strategy

_MAGIC = b"quantlab checkpoint 1\n"
#: The rooms whose code decides what an engine's state means.
_ROOMS = ("model", "market", "risk", "paper", "strategies", "fleet", "recording")
_LIBRARIES = ("polars", "msgspec", "numpy")


class Checkpoint(NamedTuple):
    """`calls` of its journal were made when the engine had consumed its log up to `position`."""

    engine: Engine
    position: Position
    calls: int


class _Head(msgspec.Struct):
    code: str
    run: str
    offset: int
    entries: int
    calls: int
    check: int


def identity(recording: Recording, fleet_sha256: str, seed: int) -> str:
    """What a checkpoint must be of: the log (by when its first entry came), the fleet and the seed."""
    return f"{next(iter(recording)).wall_ns} {fleet_sha256} {seed}"


def checkpoint_path(log: Path) -> Path:
    return log.with_suffix(".state")


def save(path: Path, checkpoint: Checkpoint, journal: Journal, *, run: str) -> None:
    """Keep `checkpoint` at `path`, instead of the one before. `run` is its `identity`. Raises OSError."""
    written = io.BytesIO()
    _Pickler(written, checkpoint.engine, journal).dump(checkpoint.engine)
    body = written.getbuffer()
    position = checkpoint.position
    head = _Head(code_fingerprint(), run, position.offset, position.entries, checkpoint.calls, zlib.crc32(body))
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(_MAGIC + msgspec.json.encode(head) + b"\n")
        file.write(body)
        file.flush()
        os.fsync(descriptor)
    beside.replace(path)


def load(path: Path, fresh: Engine, journal: Journal, *, run: str) -> Checkpoint | None:
    """The checkpoint at `path`, where it can be trusted and is of this `run` and this code; else None. What it does not
    hold it takes from `fresh`, an engine of the same fleet that has consumed nothing, and `journal`."""
    try:
        state = path.stat()
        if state.st_uid != os.getuid() or state.st_mode & 0o077:
            return None
        with path.open("rb") as file:
            if file.readline() != _MAGIC:
                return None
            head = msgspec.json.decode(file.readline(), type=_Head)
            body = file.read()
    except (OSError, msgspec.MsgspecError):
        return None
    if (head.code, head.run, head.check) != (code_fingerprint(), run, zlib.crc32(body)):
        return None
    try:
        engine: Engine = _Unpickler(io.BytesIO(body), fresh, journal).load()
    except Exception:  # whatever a pickle raises: the log gives the same, only later
        return None
    return Checkpoint(engine, Position(head.offset, head.entries), head.calls)


@cache
def code_fingerprint() -> str:
    """Of the code that an engine's state belongs to, and of the libraries that its parts are of."""
    digest = hashlib.sha256(platform.python_version().encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}".encode())
    package = Path(__file__).parents[1]
    for room in _ROOMS:
        for file in sorted((package / room).rglob("*.py")):
            digest.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()


class _Pickler(pickle.Pickler):
    """Leaves out the journal and the strategies (a user's own are of a file that is no module)."""

    def __init__(self, file: io.BytesIO, engine: Engine, journal: Journal) -> None:
        super().__init__(file, protocol=5)
        self._journal = journal
        self._strategies = {id(bot.strategy): bot.index for crew in engine.crews for bot in crew.bots}

    def persistent_id(self, thing: Any) -> Any:
        if thing is self._journal:
            return "journal"
        if isinstance(thing, Strategy) and id(thing) in self._strategies:
            return self._strategies[id(thing)]
        return None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, fresh: Engine, journal: Journal) -> None:
        super().__init__(file)
        self._journal = journal
        self._strategies = [bot.strategy for bot in fresh.bots]

    def persistent_load(self, name: Any) -> Any:
        return self._journal if name == "journal" else self._strategies[name]

"""One engine a database: the lock that says so, and the note that tells others where the engine is."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

import msgspec

from quantlab.model import Refused

_TRIES, _TRY_S = 20, 0.02


class EngineInfo(msgspec.Struct, frozen=True):
    """The engine that holds a home's lock."""

    pid: int
    run_id: str
    started_ms: int
    socket: str


class EngineLock:
    """An exclusive `flock` on `<home>/engine.lock`, held for the engine's life: the kernel drops it when the process
    dies, however it dies. Raises Refused, naming the run, when another engine holds it."""

    def __init__(self, home: Path, run_id: str, socket: str) -> None:
        self._home = home
        self._info = EngineInfo(os.getpid(), run_id, time.time_ns() // 1_000_000, socket)
        self._descriptor = -1

    def __enter__(self) -> EngineLock:
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(_lock(self._home), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._take():
            os.close(self._descriptor)
            other = _read(self._home)
            who = f'run "{other.run_id}" (process {other.pid})' if other else "another engine"
            raise Refused(f"{who} already runs on this database: `quantlab stop` ends it, `quantlab status` shows it")
        note = _note(self._home)
        temporary = note.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(self._info))
        temporary.chmod(0o600)
        temporary.replace(note)
        return self

    def _take(self) -> bool:
        """Take the lock; somebody who only looks whether it is held holds it for a moment himself."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_TRY_S)
            else:
                return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _note(self._home).unlink(missing_ok=True)
        os.close(self._descriptor)


def running(home: Path) -> EngineInfo | None:
    """The engine that runs on `home`'s database now, or None. A note left by a dead engine does not count: only the
    lock does."""
    try:
        descriptor = os.open(_lock(home), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(home)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(home: Path) -> Path:
    return home / "engine.lock"


def _note(home: Path) -> Path:
    return home / "engine.json"


def _read(home: Path) -> EngineInfo | None:
    try:
        return msgspec.json.decode(_note(home).read_bytes(), type=EngineInfo)
    except (OSError, msgspec.DecodeError):
        return None

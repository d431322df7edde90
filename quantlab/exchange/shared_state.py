"""The state of an address's weight, shared by the processes of a user: one small file and its lock, no server.

One machine has one address, however many homes quantlab has on it: so the file lies in the user's state folder, one for
each exchange. It holds weights and times, no secret and nothing of what was asked. Other machines behind the same
address are not seen here: only the exchange's own count (`X-MBX-USED-WEIGHT-1M`) tells of them.

The file is locked for microseconds and never over an `await`; a process that is killed loses its lock with its life,
and what it held returns by time. The clock is the monotonic one, which all processes of one boot share. A file that is
torn, foreign or of another boot is not trusted: what it may stand for is held until it cannot count any more.
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import struct
import time
import zlib
from pathlib import Path
from typing import Protocol

import msgspec

from quantlab.exchange.config import DoorConfig
from quantlab.exchange.window import State, WeightRule

_log = logging.getLogger(__name__)

#: Magic with the format's version, generation, length and CRC-32 of what follows.
_HEADER = struct.Struct("<8sQII")
_MAGIC = b"qlbudg01"
_MOST_BYTES = 1 << 20
_TRIES, _PAUSE_S = 5, 0.0002
#: Files of replay venues that nobody used for so long are removed: each venue has a port of its own.
_VENUE_FILES_S = 3600.0


class Busy(Exception):
    """Somebody else is at the state right now."""


class Store(Protocol):
    """Where the state is kept. Between `lock` and `unlock` it belongs to the caller."""

    def lock(self) -> State:
        """Raises Busy."""

    def unlock(self, *, write: bool) -> None: ...

    def close(self) -> None: ...


class OwnState:
    """The state of one process alone."""

    def __init__(self, rule: WeightRule | None = None) -> None:
        self._state = State()

    def lock(self) -> State:
        return self._state

    def unlock(self, *, write: bool) -> None:
        """Nothing to write."""

    def close(self) -> None:
        """Nothing to close."""


class SharedState:
    """The state in a file that is the user's alone. `rule` says what to hold where the file cannot be trusted.

    Raises OSError when the file cannot be had, or not locked.
    """

    def __init__(self, path: Path, rule: WeightRule) -> None:
        self._path = path
        self._rule = rule
        self._boot = _boot()
        self._state: State | None = None
        self._seen = b""  # the header of what `_state` was read from or written as
        self._generation = 0
        self._unwritten = False  # what stands in the file is not to be trusted
        self._pid = os.getpid()
        self._file = _open_owned(path)
        try:
            self.lock()
            self.unlock(write=False)
        except Busy:
            pass
        except OSError:
            self.close()
            raise

    def lock(self) -> State:
        """The state as it is now. Raises Busy when another process holds it for longer than a moment."""
        if os.getpid() != self._pid:  # a fork shares the lock of its parent: it needs one of its own
            self._reopen()
        self._flock()
        try:
            known = None
            if not os.fstat(self._file).st_nlink:
                known = self._state
                self._reopen()
                self._flock()
            self._state = self._read()
            if known is not None and self._state is not known:
                self._rule.add_known(self._state, known, time.monotonic())
                self._unwritten = True
        except BaseException:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            raise
        return self._state

    def unlock(self, *, write: bool) -> None:
        """Let others have it, written where it was changed."""
        try:
            if (write or self._unwritten) and self._state is not None:
                self._write(self._state)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._file)

    def _flock(self) -> None:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_PAUSE_S)
            else:
                return
        raise Busy

    def _reopen(self) -> None:
        """The file was removed, or we are a fork. What we know goes on."""
        os.close(self._file)
        self._file = _open_owned(self._path)
        self._pid = os.getpid()

    def _read(self) -> State:
        header = os.pread(self._file, _HEADER.size, 0)
        known = self._state
        if header == self._seen and known is not None:
            return known
        now = time.monotonic()
        if not header:
            if known is None:
                return State(boot=self._boot, written_s=now)
            return known
        found = self._decoded(header)
        if found is None:
            _log.warning(
                "%s cannot be read: the whole weight of this address is held for %.0f s", self._path, self._rule.lost_s
            )
        elif found.boot == self._boot and found.written_s <= now + 1.0:
            self._seen = header
            return found
        self._unwritten = True
        return self._rule.cautious(found, self._boot, now, time.time_ns() // 1_000_000)

    def _decoded(self, header: bytes) -> State | None:
        try:
            magic, generation, length, checksum = _HEADER.unpack(header)
            if magic != _MAGIC or length > _MOST_BYTES:
                return None
            body = os.pread(self._file, length, _HEADER.size)
            if len(body) != length or zlib.crc32(body) != checksum:
                return None
            self._generation = generation
            return _DECODER.decode(body)
        except (struct.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def _write(self, state: State) -> None:
        state.written_s = time.monotonic()
        body = _ENCODER.encode(state)
        self._generation += 1
        header = _HEADER.pack(_MAGIC, self._generation, len(body), zlib.crc32(body))
        self._seen = b""  # a write that breaks off leaves nothing that passes for what we know
        os.pwrite(self._file, header + body, 0)
        self._seen, self._unwritten = header, False


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(State)


def store_for(config: DoorConfig, rule: WeightRule) -> Store:
    """The state that all doors of this user to the same exchange share; one of its own, with a word in the log, where
    no file can be had."""
    path = state_path(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_old(path.parent)
        return SharedState(path, rule)
    except OSError as error:
        _log.warning(
            "%s cannot be used (%s): the weight budget is this process's alone. Make its folder writable, or point "
            "XDG_STATE_HOME elsewhere",
            path,
            error.strerror or error,
        )
        return OwnState()


def state_path(config: DoorConfig) -> Path:
    """Where the state of an exchange lies. Source of the folder: XDG Base Directory Specification, XDG_STATE_HOME."""
    named = os.environ.get("XDG_STATE_HOME")
    base = Path(named) if named and Path(named).is_absolute() else Path.home() / ".local" / "state"
    exchange = config.market if config.is_real else f"venue-{config.address.rpartition(':')[2]}"
    return base / "quantlab" / "weight" / exchange


def _open_owned(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
        os.close(file)
        raise PermissionError(0, "it is not a file of this user")
    if about.st_mode & 0o077:
        os.fchmod(file, 0o600)
    return file


def _remove_old(folder: Path) -> None:
    for path in folder.glob("venue-*"):
        try:
            if path.stat().st_mtime < time.time() - _VENUE_FILES_S:
                path.unlink()
        except OSError:  # somebody else was faster
            continue


def _boot() -> str:
    """This boot and its clock. Elsewhere than on Linux a clock that went back tells of a new boot."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/time').stat().st_ino}"
    except OSError:
        return ""

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

import msgspec

from quantlab.exchange.config import DoorConfig
from quantlab.exchange.weight.budget import Budget
from quantlab.exchange.weight.store import Busy, OwnState, Store
from quantlab.exchange.weight.window import WINDOW_S, State, WeightRule

_log = logging.getLogger(__name__)

#: Magic with the format's version, generation, length and CRC-32 of what follows.
_HEADER = struct.Struct("<8sQII")
_MAGIC = b"qlbudg01"
_MOST_BYTES = 1 << 20
_TRIES, _PAUSE_S = 5, 0.0002
#: Files of replay venues that nobody used for so long are removed: each venue has a port of its own.
_VENUE_FILES_S = 3600.0


def shared_budget(config: DoorConfig, window_s: float = WINDOW_S) -> Budget:
    """The budget that all doors of this user to the same exchange share, whatever process they are in."""
    return Budget(
        config.weight_per_minute,
        timeout_s=config.timeout_s,
        window_s=window_s,
        open_store=lambda rule: store_for(config, rule),
    )


def store_for(config: DoorConfig, rule: WeightRule) -> Store:
    """The state that all doors of this user to the same exchange share; one of its own, with a word in the log, where
    no file can be had."""
    path = state_path(config)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _remove_old(path.parent)
        return SharedState(path, rule)
    except OSError as error:
        _warn_alone(path, error)
        return OwnState()


def state_path(config: DoorConfig) -> Path:
    """Where the state of an exchange lies. Source of the folder: XDG Base Directory Specification, XDG_STATE_HOME."""
    named = os.environ.get("XDG_STATE_HOME")
    base = Path(named) if named and Path(named).is_absolute() else Path.home() / ".local" / "state"
    exchange = config.market if config.is_real else f"venue-{config.address.rpartition(':')[2]}"
    return base / "quantlab" / "weight" / exchange


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
        self._is_alone = False  # the file failed: what is known goes on in this process
        self._tries = _TRIES
        self._pid = os.getpid()
        self._file = _open_owned(path)
        try:
            self._flock()
            fcntl.flock(self._file, fcntl.LOCK_UN)
        except Busy:
            pass
        except OSError:
            os.close(self._file)
            raise

    def lock(self) -> State:
        """The state as it is now. Raises Busy when another process holds it for longer than a moment."""
        if not self._is_alone:
            try:
                self._state = self._locked()
            except OSError as error:
                self._go_alone(error)
        self._state = self._state or State()
        return self._state

    def unlock(self) -> None:
        """Write it down, and let others have it."""
        if self._is_alone:
            return
        try:
            try:
                if self._state is not None:
                    self._write(self._state)
            finally:  # whatever is wrong here, others are not kept out
                fcntl.flock(self._file, fcntl.LOCK_UN)
        except OSError as error:
            self._go_alone(error)

    def close(self) -> None:
        if not self._is_alone:
            os.close(self._file)
        self._is_alone = True

    def _go_alone(self, error: OSError) -> None:
        """The disk is full, the folder is gone: asking goes on, by what this process knows."""
        _warn_alone(self._path, error)
        self.close()

    def _locked(self) -> State:
        if os.getpid() != self._pid:  # a fork shares the lock of its parent: it needs one of its own
            self._reopen()
        self._flock()
        try:
            if os.fstat(self._file).st_nlink:
                return self._read()
            known = self._state  # the file was removed: what we know goes on
            self._reopen()
            self._flock()
            state = self._read()
            if known is not None and state is not known:
                self._rule.add_known(state, known, time.monotonic())
            return state
        except Busy:
            raise
        except BaseException:
            fcntl.flock(self._file, fcntl.LOCK_UN)
            raise

    def _flock(self) -> None:
        for again in range(self._tries):
            if again:
                time.sleep(_PAUSE_S)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            self._tries = _TRIES
            return
        self._tries = 1  # it may stand still: from now on look without waiting
        raise Busy

    def _reopen(self) -> None:
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
        self._seen = header


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(State)


def _open_owned(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid():
        os.close(file)
        raise PermissionError(0, "it is not a file of this user")
    if about.st_mode & 0o077:
        os.fchmod(file, 0o600)
    return file


def _warn_alone(path: Path, error: OSError) -> None:
    _log.warning(
        "%s cannot be used (%s): the weight budget is this process's alone. Make its folder writable, or point "
        "XDG_STATE_HOME elsewhere",
        path,
        error.strerror or error,
    )


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

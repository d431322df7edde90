"""The bytes of a database's files, for those who look whether a secret stands in them.

SQLite's locks are POSIX's, and closing *any* descriptor of a file gives up every lock that the process has on it. After
a plain open, read and close, another process takes this one's connection for gone, and deletes the write-ahead log
under it: committed rows are lost, pages overwritten. So each file is opened once in a process and never closed.
SQLite's own page "How To Corrupt An SQLite Database File" warns of it; tests/ledger/test_raw.py shows the loss.
"""

from __future__ import annotations

import os
import re
import stat
import threading
from pathlib import Path

_NAMES = re.compile(r"\.(?:sqlite3?|db)(?:-wal|-shm|-journal)?$")
#: (device, inode) → descriptor. An inode that is held open is given to no other file.
_opened: dict[tuple[int, int], int] = {}
_alone = threading.Lock()


class Raw:
    """A database's file from its first byte to its last. It is not closed, and may be left where it is.

    Raises OSError when the file cannot be opened, or is none.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = _descriptor_of(path)
        self._place = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, all that are left when it is negative; none at the end."""
        if size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        data = os.pread(self._descriptor, size, self._place)
        self._place += len(data)
        return data


def is_databases(path: Path) -> bool:
    """Whether a file is a database's by its name: somebody in this process may have a connection to it."""
    return _NAMES.search(path.name) is not None


def _descriptor_of(path: Path) -> int:
    with _alone:
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise OSError("not a file")
        known = _opened.get((state.st_dev, state.st_ino))
        if known is not None:
            return known
        # Never waits: what was a file a moment ago may be a pipe now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        state = os.fstat(descriptor)  # another file may have taken the name meanwhile
        return _opened.setdefault((state.st_dev, state.st_ino), descriptor)

"""The newest entries of an input log, before they are a chunk of it: in a file that is mapped into memory.

What was written into such a map is the kernel's at once: it is there after `kill -9` of the process that wrote it. A
failure of the machine itself may lose it, as anything that was not synced.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

#: Where in the log the chunk will begin; how many bytes are used, and how many entries they are.
_HEAD = struct.Struct("<QQQ")
_BEGIN = _HEAD.size
_USED_AT = 8
_note_used = struct.Struct("<QQ").pack_into
#: Room for a chunk and for an entry that does not fit into it any more.
ROOM = (1 << 18) + (1 << 16)


def tail_path(path: Path) -> Path:
    """Where the tail of the log at `path` lies."""
    return path.with_name(f"{path.name}.tail")


class Tail:
    """Collects entries for the chunk that begins at `offset`, behind the `entries` in `raw` that a tail left behind
    held. Raises OSError when the disk has no room for it; the one left behind is there then as it was."""

    def __init__(self, path: Path, offset: int, raw: bytes = b"", entries: int = 0) -> None:
        self._path = tail_path(path)
        new = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            # Real blocks and no hole: writing into a map of a full disk would end the process.
            size = _BEGIN + ROOM
            if os.write(descriptor, bytes(size)) < size:
                raise OSError(f"no room for {self._path}")
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.begin(offset)
        self._map[_BEGIN : _BEGIN + len(raw)] = raw
        self.used, self.entries = len(raw), entries
        _note_used(self._map, _USED_AT, self.used, self.entries)
        new.replace(self._path)  # whole, or not at all: until here the one left behind is in force

    def begin(self, offset: int) -> None:
        """Empty it: the next chunk begins at `offset`."""
        self.used = self.entries = 0
        _HEAD.pack_into(self._map, 0, offset, 0, 0)

    def append(self, entry: bytes) -> int:
        """Take an entry; the caller has looked that `ROOM` suffices. It counts once its length is noted, as a whole.
        Returns how many bytes are used."""
        begin = _BEGIN + self.used
        self.used = used = self.used + len(entry)
        self._map[begin : _BEGIN + used] = entry
        self.entries += 1
        _note_used(self._map, _USED_AT, used, self.entries)
        return used

    def raw(self) -> bytes:
        """All it holds."""
        return self._map[_BEGIN : _BEGIN + self.used]

    def remove(self) -> None:
        """Close it and delete the file: all it held is a chunk now."""
        self._map.close()
        self._path.unlink(missing_ok=True)


def left_behind(path: Path, offset: int) -> tuple[bytes, int]:
    """What the tail of the log at `path` holds, and how many entries that is, where the log's chunks end at `offset`:
    nothing when there is none, or when it was made a chunk already."""
    try:
        found = tail_path(path).read_bytes()
    except FileNotFoundError:
        return b"", 0
    if len(found) < _BEGIN:
        return b"", 0
    at, used, entries = _HEAD.unpack_from(found)
    if at != offset or used > len(found) - _BEGIN:
        return b"", 0
    return found[_BEGIN : _BEGIN + used], entries

"""Appends to an input log."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from quantlab.model.errors import MalformedMessage
from quantlab.recording.layout import ENTRY_HEAD, MAGIC, Kind, Position, packed_chunk, whole_chunks
from quantlab.recording.tail import ROOM, Tail, left_behind

#: Raw bytes gathered before a chunk is compressed and written: some 1,700 frames.
_CHUNK_BYTES = 1 << 18


class RecordingWriter:
    """Appends entries to a new file, readable by its owner alone. `header` is any JSON object.

    An entry is safe from the end of this process as soon as `append` has returned. Every call may raise OSError when
    the disk is full; the file then ends with its last whole chunk, the tail keeps what it has, and the next call tries
    again.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)  # a file that was there before keeps its mode otherwise
        self._file: IO[bytes] = os.fdopen(descriptor, "wb", buffering=0)
        self._write(MAGIC + packed_chunk(msgspec.json.encode(header)))
        self._tail = Tail(path, self._file.tell())

    @classmethod
    def reopen(cls, path: Path) -> Self:
        """Go on with the log at `path`: behind its last whole chunk and what its tail holds. Whatever lies behind is
        cut off. Raises FileNotFoundError, and MalformedMessage when it is no recording."""
        writer = cls.__new__(cls)
        writer._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CLOEXEC), "r+b", buffering=0)
        try:
            with path.open("rb") as file:
                end = len(MAGIC) if file.read(len(MAGIC)) == MAGIC else 0
                for chunk_end, _ in whole_chunks(file) if end else ():
                    end = chunk_end
            if end <= len(MAGIC):
                raise MalformedMessage(f"{path} is not a recording of quantlab")
            writer._file.truncate(end)
            writer._file.seek(end)
            writer._tail = Tail(path, end, *left_behind(path, end))
        except BaseException:
            writer._file.close()
            raise
        return writer

    @property
    def position(self) -> Position:
        """Behind the newest entry."""
        return Position(self._file.tell(), self._tail.entries)

    def append(self, kind: Kind, name: str, payload: bytes, wall_ns: int) -> None:
        """Add one entry."""
        encoded = name.encode()
        entry = ENTRY_HEAD.pack(kind, wall_ns, len(encoded), len(payload)) + encoded + payload
        if self._tail.used + len(entry) > ROOM:
            self.flush()
            if len(entry) > ROOM:
                self._write(packed_chunk(entry))
                self._tail.begin(self._file.tell())
                return
        if self._tail.append(entry) >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Make a chunk of what the tail holds."""
        if self._tail.used:
            self._write(packed_chunk(self._tail.raw()))
            self._tail.begin(self._file.tell())

    def close(self) -> None:
        """Flush and close; closing twice is fine."""
        if not self._file.closed:
            try:
                self.flush()
                self._tail.remove()
            finally:
                self._file.close()

    def _write(self, packed: bytes) -> None:
        rest = memoryview(packed)
        start = self._file.tell()
        try:
            while rest:  # a disk about to be full takes a part, and refuses only then
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.seek(start)
            self._file.truncate()
            raise

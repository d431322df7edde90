"""The input log of a run on disk: every frame, answer, command and mark the engine consumed, in order.

A file is a magic line, then chunks: length (4 bytes, little endian), CRC-32 (4 bytes), and a zstd frame. The first
chunk is the header, a JSON object; each further one holds entries as (kind, wall ns, name length, payload length, name,
payload). A chunk is written in one piece, so a file cut anywhere (`kill -9`, a full disk) reads up to its last whole
chunk and says that it was cut.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import zstandard

from quantlab.model.errors import MalformedMessage, NotFound

_MAGIC = b"quantlab input log 1\n"
_CHUNK_HEAD = struct.Struct("<II")
_ENTRY_HEAD = struct.Struct("<BQHI")
#: Raw bytes gathered before a chunk is compressed and written: some 1,700 frames.
_CHUNK_BYTES = 1 << 18
_LEVEL = 1


class Kind(IntEnum):
    FRAME = 0
    ANSWER = 1
    COMMAND = 2
    MARK = 3


class Entry(NamedTuple):
    """One thing the engine consumed. `wall_ns` is when it arrived by this machine's clock; decisions never read it."""

    kind: Kind
    wall_ns: int
    name: str
    payload: bytes


class RecordingWriter:
    """Appends entries to a new file, readable by its owner alone. `header` is any JSON object.

    Every call may raise OSError when the disk is full; the file then ends with its last whole chunk.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)  # a file that was there before keeps its mode otherwise
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._compress = zstandard.ZstdCompressor(level=_LEVEL).compress
        self._parts: list[bytes] = []
        self._size = 0
        self._write(msgspec.json.encode(header), before=_MAGIC)

    def append(self, kind: Kind, name: str, payload: bytes, wall_ns: int) -> None:
        """Queue one entry; it is on disk with its chunk, at the latest at `flush` or `close`."""
        encoded = name.encode()
        head = _ENTRY_HEAD.pack(kind, wall_ns, len(encoded), len(payload)) + encoded
        self._parts += (head, payload)
        self._size += len(head) + len(payload)
        if self._size >= _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write out what is queued."""
        if self._parts:
            raw = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._write(raw)

    def close(self) -> None:
        """Flush and close; closing twice is fine."""
        if not self._file.closed:
            try:
                self.flush()
            finally:
                self._file.close()

    def _write(self, raw: bytes, before: bytes = b"") -> None:
        body = self._compress(raw)
        rest = memoryview(before + _CHUNK_HEAD.pack(len(body), zlib.crc32(body)) + body)
        start = self._file.tell()
        try:
            while rest:  # a disk about to be full takes a part, and refuses only then
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.seek(start)
            self._file.truncate()
            raise


class Recording:
    """A recording to read: `header`, and its entries by iterating (as often as wanted).

    Raises NotFound when there is no such file, MalformedMessage when it is not a recording. `truncated` is known once
    the entries were read to their end: true when the file was cut or damaged there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated = False
        try:
            with path.open("rb") as file:
                if file.read(len(_MAGIC)) != _MAGIC:
                    raise MalformedMessage(f"{path} is not a recording of quantlab")
                head = next(self._chunks(file), None)
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound(f"no recording at {path}") from None
        if head is None:
            raise MalformedMessage(f"{path} was cut before its header was written")
        self.header: dict[str, Any] = msgspec.json.decode(head, type=dict)

    def __iter__(self) -> Iterator[Entry]:
        with self.path.open("rb") as file:
            file.seek(len(_MAGIC))
            chunks = self._chunks(file)
            next(chunks)
            for chunk in chunks:
                yield from _entries(chunk)

    def sha256(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _chunks(self, file: Any) -> Iterator[bytes]:
        decompress = zstandard.ZstdDecompressor().decompress
        while head := file.read(_CHUNK_HEAD.size):
            if len(head) < _CHUNK_HEAD.size:
                self.truncated = True
                return
            size, check = _CHUNK_HEAD.unpack(head)
            body = file.read(size)
            # No chunk is empty: zeros are what a power failure leaves at the end of a file.
            if not size or len(body) < size or zlib.crc32(body) != check:
                self.truncated = True
                return
            yield decompress(body)


def _entries(chunk: bytes) -> Iterator[Entry]:
    position, unpack, head = 0, _ENTRY_HEAD.unpack_from, _ENTRY_HEAD.size
    while position < len(chunk):
        kind, wall_ns, name_size, payload_size = unpack(chunk, position)
        position += head
        name = chunk[position : position + name_size].decode()
        position += name_size
        yield Entry(Kind(kind), wall_ns, name, chunk[position : position + payload_size])
        position += payload_size

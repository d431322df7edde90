"""How an input log lies on disk.

A file is a magic line, then chunks: length (4 bytes, little endian), CRC-32 (4 bytes), and a zstd frame. The first
chunk is the header, a JSON object; each further one holds entries as (kind, wall ns, name length, payload length, name,
payload). A chunk is written in one piece, so a file cut anywhere (a power failure, a full disk) reads up to its last
whole chunk and says that it was cut. What is not a chunk yet lies beside it, in the tail.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import IO, NamedTuple

import zstandard

MAGIC = b"quantlab input log 1\n"
CHUNK_HEAD = struct.Struct("<II")
ENTRY_HEAD = struct.Struct("<BQHI")
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


class Position(NamedTuple):
    """A place between two entries: where in the file their chunk begins, or will begin, and how many of that chunk's
    entries stand before it."""

    offset: int
    entries: int


def packed_chunk(raw: bytes | memoryview) -> bytes:
    """`raw` as a chunk of the file."""
    body = zstandard.ZstdCompressor(level=_LEVEL).compress(raw)
    return CHUNK_HEAD.pack(len(body), zlib.crc32(body)) + body


def whole_chunks(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """From where `file` stands: each chunk's end and what is in it, up to the last whole one."""
    decompress = zstandard.ZstdDecompressor().decompress
    end = file.tell()
    while len(head := file.read(CHUNK_HEAD.size)) == CHUNK_HEAD.size:
        size, check = CHUNK_HEAD.unpack(head)
        body = file.read(size)
        # No chunk is empty: zeros are what a power failure leaves at the end of a file.
        if not size or len(body) < size or zlib.crc32(body) != check:
            return
        end += CHUNK_HEAD.size + size
        yield end, decompress(body)


def entries_of(raw: bytes) -> Iterator[Entry]:
    """What a chunk or a tail holds."""
    position, unpack, head = 0, ENTRY_HEAD.unpack_from, ENTRY_HEAD.size
    while position < len(raw):
        kind, wall_ns, name_size, payload_size = unpack(raw, position)
        position += head
        name = raw[position : position + name_size].decode()
        position += name_size
        yield Entry(Kind(kind), wall_ns, name, raw[position : position + payload_size])
        position += payload_size

"""Files as streams, read once each, together with what they hold: gzip, bzip2, xz, zstd, tar, zip, input logs.

Whatever is inside is opened by its first bytes, not by its name, down to a depth and up to a size; what is not opened
is told to `note`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Protocol, cast

import zstandard

#: How many containers within each other are opened.
DEPTH = 4
#: Decompressed bytes that one file may yield: more is a bomb, or an archive that deserves a sweep of its own.
UNPACKED_BYTES = 2 << 30
#: A zip file within another file is held in memory.
_ZIP_BYTES = 64 << 20
_CHUNK = 1 << 20
_HEAD = 600
#: The magic line of quantlab's own input logs; their chunks are zstd frames behind a length and a checksum.
_INPUT_LOG = b"quantlab input log 1\n"

Note = Callable[[str], None]


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Source:
    """A stream that is read once, by two: whoever opens it as a container, and whoever looks at its own bytes."""

    def __init__(self, stream: Readable, feed: Callable[[bytes], None], budget: list[int]) -> None:
        self._stream, self._feed, self._budget = stream, feed, budget
        self._head = b""

    def peek(self, size: int) -> bytes:
        while len(self._head) < size and (more := self._pull(size - len(self._head))):
            self._head += more
        return self._head

    def read(self, size: int = -1, /) -> bytes:
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(_CHUNK), b""))
        if self._head:
            head, self._head = self._head[:size], self._head[size:]
            return head
        return self._pull(size)

    def exactly(self, size: int) -> bytes:
        """`size` bytes, fewer only at the end."""
        parts = bytearray()
        while len(parts) < size and (more := self.read(size - len(parts))):
            parts += more
        return bytes(parts)

    def drain(self) -> None:
        """Read to the end, for those who look at the bytes."""
        while self.read(_CHUNK):
            pass

    def _pull(self, size: int) -> bytes:
        if self._budget[0] <= 0:
            raise _TooMuch
        data = self._stream.read(size)
        self._budget[0] -= len(data)
        if data:
            self._feed(data)
        return data


class _TooMuch(Exception):
    """The file has yielded as much as it may."""


#: Makes, for the stream within the containers named, what its bytes are fed to; called with b"" at its end.
Watch = Callable[[tuple[str, ...]], Callable[[bytes], None]]


def walk(stream: Readable, watch: Watch, note: Note) -> None:
    """Feed `stream`, and every stream packed in it, to its own watcher. Raises OSError as the stream does; anything
    wrong within a container is a note."""
    budget = [1 << 62]  # the file itself is read whole
    _walk(stream, (), watch, note, budget, [UNPACKED_BYTES])


def _walk(
    stream: Readable, names: tuple[str, ...], watch: Watch, note: Note, budget: list[int], inner: list[int]
) -> None:
    feed = watch(names)
    source = _Source(stream, feed, budget)
    try:
        opener = _opener(source.peek(_HEAD))
        if opener is not None and len(names) >= DEPTH:
            note(f"{_shown(names)}not opened: more than {DEPTH} containers within each other")
        elif opener is not None:
            _open(opener, source, names, watch, note, inner)
        source.drain()
    finally:
        feed(b"")


def _open(opener: _Opener, source: _Source, names: tuple[str, ...], watch: Watch, note: Note, inner: list[int]) -> None:
    try:
        for name, member in opener(source, note):
            _walk(member, (*names, name), watch, note, inner, inner)
    except _TooMuch:
        if names:
            raise  # the budget is the file's, not this container's
        note("opened only in part: it unpacks to too much")
    except _DAMAGE as error:
        note(f"{_shown(names)}opened only in part: {type(error).__name__}")


#: What a damaged container may raise. OSError is bzip2's and gzip's word for it; of the file itself, reading the rest
#: raises it again.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, RuntimeError, struct.error, zlib.error, lzma.LZMAError, tarfile.TarError,
    zipfile.BadZipFile, zstandard.ZstdError,
)  # fmt: skip


def _shown(names: tuple[str, ...]) -> str:
    return "!".join(names) + ": " if names else ""


_Opener = Callable[[_Source, Note], Iterator[tuple[str, Readable]]]


def _opener(head: bytes) -> _Opener | None:
    for magic, opener in _OPENERS.items():
        if head.startswith(magic):
            return opener
    return _tar if head[257:262] == b"ustar" else None


def _gzip(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    yield "gzip", cast(Readable, gzip.GzipFile(fileobj=cast(IO[bytes], source)))


def _bzip2(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    yield "bzip2", bz2.BZ2File(cast(IO[bytes], source))


def _xz(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    yield "xz", lzma.LZMAFile(cast(IO[bytes], source))  # noqa: SIM115 - closing it would close nothing of ours


def _zstd(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    # One that was cut off is read up to its last whole block, and ends there without a word.
    reader = zstandard.ZstdDecompressor().stream_reader(cast(IO[bytes], source), read_across_frames=True)
    yield "zstd", cast(Readable, reader)


def _tar(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    with tarfile.open(fileobj=cast(IO[bytes], source), mode="r|") as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            yield member.name, cast(Readable, file) if file is not None else io.BytesIO(member.linkname.encode())


def _zip(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    data = io.BytesIO()
    while piece := source.read(_CHUNK):
        if data.tell() + len(piece) > _ZIP_BYTES:
            note(f"a zip file not opened: larger than {_ZIP_BYTES >> 20} MB")
            return
        data.write(piece)
    with zipfile.ZipFile(data) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                note(f"{member.filename}: not opened: encrypted")
                continue
            with archive.open(member) as file:
                yield member.filename, cast(Readable, file)


def _input_log(source: _Source, note: Note) -> Iterator[tuple[str, Readable]]:
    source.exactly(len(_INPUT_LOG))
    number = 0
    while len(head := source.exactly(8)) == 8:
        packed = source.exactly(int.from_bytes(head[:4], "little"))
        yield f"chunk {number}", io.BytesIO(zstandard.ZstdDecompressor().decompress(packed, max_output_size=16 << 20))
        number += 1


_OPENERS: dict[bytes, _Opener] = {
    b"\x1f\x8b\x08": _gzip,
    b"BZh": _bzip2,
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": _zstd,
    b"PK\x03\x04": _zip,
    _INPUT_LOG: _input_log,
}

"""Reads an input log."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from quantlab.model.errors import MalformedMessage, NotFound
from quantlab.recording.layout import MAGIC, Entry, Position, entries_of, whole_chunks
from quantlab.recording.tail import left_behind


class Recording:
    """A recording to read: `header`, and its entries by iterating (as often as wanted).

    Raises NotFound when there is no such file, MalformedMessage when it is not a recording. `truncated` is known once
    the entries were read to their end: true when the file was cut or damaged there, and no tail goes on from there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated = False
        try:
            with path.open("rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise MalformedMessage(f"{path} is not a recording of quantlab")
                self._begin, head = next(whole_chunks(file), (0, b""))
        except (FileNotFoundError, IsADirectoryError):
            raise NotFound(f"no recording at {path}") from None
        if not self._begin:
            raise MalformedMessage(f"{path} was cut before its header was written")
        self.header: dict[str, Any] = msgspec.json.decode(head, type=dict)

    def __iter__(self) -> Iterator[Entry]:
        return self.since(Position(self._begin, 0))

    def since(self, position: Position) -> Iterator[Entry]:
        """The entries behind `position`. Raises MalformedMessage when the log ends before it."""
        entries = self._entries(position.offset)
        if sum(1 for _ in islice(entries, position.entries)) < position.entries:
            where = f"entry {position.entries} of its chunk at {position.offset}"
            raise MalformedMessage(f"{self.path} ends before {where}")
        yield from entries

    def _entries(self, offset: int) -> Iterator[Entry]:
        with self.path.open("rb") as file:
            file.seek(offset)
            whole_to = offset
            for end, chunk in whole_chunks(file):
                yield from entries_of(chunk)
                whole_to = end
            raw, _ = left_behind(self.path, whole_to)
            self.truncated = not raw and file.seek(0, os.SEEK_END) > whole_to
        yield from entries_of(raw)

    def sha256(self) -> str:
        """SHA-256 of the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

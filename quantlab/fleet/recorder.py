"""Writes the input log of a run, as the engine consumes it."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

from quantlab.recording import Kind, Position, RecordingWriter

_KINDS = {"answer": Kind.ANSWER, "command": Kind.COMMAND, "mark": Kind.MARK}


def recording_path(home: Path, run_id: str, part: int = 0) -> Path:
    """Where the recording of `run_id` lies. A run that could not go on in its log writes a further part."""
    return home / "recordings" / (f"{run_id}.qlog" if not part else f"{run_id}.{part}.qlog")


def next_part(home: Path, run_id: str) -> int:
    """The number of the part that `run_id` would write next: 0 for its first."""
    part = 0
    while recording_path(home, run_id, part).exists():
        part += 1
    return part


class LogRecorder:
    """Implements the engine's `Recorder` on a recording file."""

    def __init__(self, path: Path, writer: RecordingWriter) -> None:
        self.path = path
        self._writer = writer

    @classmethod
    def begin(cls, path: Path, header: dict[str, Any]) -> LogRecorder:
        """A new log at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(path, RecordingWriter(path, header))

    @classmethod
    def reopen(cls, path: Path) -> LogRecorder:
        """Go on with the log at `path`, behind its last entry."""
        return cls(path, RecordingWriter.reopen(path))

    def frame(self, raw: bytes) -> None:
        self._writer.append(Kind.FRAME, "", raw, time.time_ns())

    def entry(self, kind: str, name: str, payload: bytes) -> None:
        self._writer.append(_KINDS[kind], name, payload, time.time_ns())

    @property
    def position(self) -> Position:
        """Behind the newest entry."""
        return self._writer.position

    def close(self) -> None:
        """Write out what is buffered; closing twice is fine."""
        self._writer.close()

    def sha256(self) -> str:
        """SHA-256 of the closed file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

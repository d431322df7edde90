"""Promise: what a crash, a power failure or a full disk leaves of an input log is read as far as it is whole."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from quantlab.model import NotFound
from quantlab.recording import Entry, Kind, Recording, RecordingWriter
from quantlab.recording.tail import tail_path

ENTRIES = [Entry(Kind.FRAME, number, "", os.urandom(300)) for number in range(2_000)]


def append_all(writer: RecordingWriter) -> None:
    for entry in ENTRIES:
        writer.append(entry.kind, entry.name, entry.payload, entry.wall_ns)


def written(path: Path) -> Path:
    writer = RecordingWriter(path, {"seed": 7})
    append_all(writer)
    writer.close()
    return path


def test_zeros_at_the_end_are_not_entries(tmp_path: Path) -> None:
    path = written(tmp_path / "a.qlog")
    recording = Recording(path)
    assert list(recording) == ENTRIES and not recording.truncated, "control: the file as it was"
    with path.open("ab") as file:
        file.write(bytes(4096))
    recording = Recording(path)
    assert list(recording) == ENTRIES and recording.truncated


KILLED = """
import os, signal, sys
from pathlib import Path
from quantlab.recording import Kind, RecordingWriter
writer = RecordingWriter(Path(sys.argv[1]), {})
for number in range(5_000):
    writer.append(Kind.FRAME, "", os.urandom(300), number)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_every_entry(tmp_path: Path) -> None:
    path = tmp_path / "a.qlog"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=30)
    assert done.returncode == -signal.SIGKILL
    recording = Recording(path)
    assert [entry.wall_ns for entry in recording] == list(range(5_000)) and not recording.truncated
    tail_path(path).unlink()
    assert 3_000 < len(list(Recording(path))) < 5_000, "control: the newest were in the tail"


def test_a_full_disk_raises_once_and_leaves_whole_chunks(tmp_path: Path) -> None:
    """Files may grow to 400 KB: the write that meets the limit is taken in part, the next is refused."""
    path, limits = tmp_path / "a.qlog", resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    writer = RecordingWriter(path, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            append_all(writer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    writer.append(Kind.MARK, "full", b"", 1)  # there is space again
    writer.close()
    recording = Recording(path)
    *read, last = recording
    assert read == ENTRIES[: len(read)] and len(read) > 1_600, "what was refused as a chunk waited in the tail"
    assert last.name == "full" and not recording.truncated


def test_a_file_that_was_there_becomes_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.qlog"
    path.write_text("old")
    path.chmod(0o644)
    written(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(Recording(path)) == ENTRIES


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Recording(tmp_path)


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    first, second = written(tmp_path / "a.qlog"), written(tmp_path / "b.qlog")
    assert Recording(first).sha256() == Recording(second).sha256()
    with second.open("ab") as file:
        file.write(b"x")
    assert Recording(first).sha256() != Recording(second).sha256()

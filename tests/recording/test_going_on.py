"""Promise: a log whose writer vanished is read to its last entry, goes on there, and can be read from any place."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.model import MalformedMessage
from quantlab.recording import Entry, Kind, Position, Recording, RecordingWriter
from quantlab.recording.tail import tail_path

SIZES = st.one_of(st.integers(0, 3_000), st.sampled_from([200_000, 262_143, 300_000, 327_680, 400_000]))
#: Per sitting, the sizes of what was appended before the writer vanished.
SITTINGS = st.lists(st.lists(SIZES, max_size=12), min_size=1, max_size=5)


def entry(number: int, size: int) -> Entry:
    return Entry(Kind(number % 4), number, f"n{number}", bytes([number % 251]) * size)


@settings(max_examples=80, deadline=None)
@given(SITTINGS, st.lists(st.booleans(), min_size=5, max_size=5))
def test_writers_that_vanish_lose_nothing(sittings: list[list[int]], tidy: list[bool]) -> None:
    written: list[Entry] = []
    places: list[Position] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.qlog"
        RecordingWriter(path, {"seed": 7}).close()
        for sizes, closes in zip(sittings, tidy, strict=False):
            writer = RecordingWriter.reopen(path)
            for size in sizes:
                places.append(writer.position)
                new = entry(len(written), size)
                writer.append(new.kind, new.name, new.payload, new.wall_ns)
                written.append(new)
            if closes:
                writer.close()  # else it is left as a killed process leaves it
            recording = Recording(path)
            assert list(recording) == written and not recording.truncated
        for number, place in enumerate(places):
            assert list(Recording(path).since(place)) == written[number:]


def test_a_chunk_cut_while_it_was_written_is_read_from_the_tail(tmp_path: Path) -> None:
    path = tmp_path / "a.qlog"
    writer = RecordingWriter(path, {})
    for number in range(20):
        writer.append(Kind.FRAME, "", b"x" * 1_000, number)
    tail = tail_path(path).read_bytes()
    size = path.stat().st_size
    writer.flush()
    whole = path.read_bytes()
    for cut in range(size, len(whole)):
        path.write_bytes(whole[:cut])
        tail_path(path).write_bytes(tail)
        recording = Recording(path)
        assert len(list(recording)) == 20 and not recording.truncated
    path.write_bytes(whole)
    assert len(list(Recording(path))) == 20, "a tail that became a chunk is not read a second time"
    path.write_bytes(whole[:-1])
    RecordingWriter.reopen(path).close()
    assert len(list(Recording(path))) == 20 and not tail_path(path).exists()


def test_a_place_beyond_the_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.qlog"
    writer = RecordingWriter(path, {})
    writer.append(Kind.MARK, "a", b"", 1)
    offset, entries = writer.position
    writer.close()
    assert list(Recording(path).since(Position(offset, entries))) == []
    with pytest.raises(MalformedMessage, match="ends before entry 2"):
        list(Recording(path).since(Position(offset, 2)))


def test_what_is_no_recording_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "a.qlog"
    path.write_bytes(b"something else")
    with pytest.raises(MalformedMessage):
        RecordingWriter.reopen(path)
    assert path.read_bytes() == b"something else"


def test_a_writer_killed_while_it_reopens_the_log_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever call of the system is its last: what the first writer left behind is still read whole."""
    path = tmp_path / "a.qlog"
    writer = RecordingWriter(path, {})
    for number in range(300):
        writer.append(Kind.FRAME, "", b"x" * 1_000, number)
    whole = list(Recording(path))

    class Killed(BaseException):
        pass

    reopened = False
    for last in range(100):
        calls = 0

        def counted(call: Callable[..., Any], last: int = last) -> Callable[..., Any]:
            def counting(*args: Any, **kwargs: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls > last:
                    raise Killed
                return call(*args, **kwargs)

            return counting

        with monkeypatch.context() as patched:
            for name in ("open", "write", "fchmod", "replace", "rename", "truncate", "close"):
                patched.setattr(f"quantlab.recording.tail.os.{name}", counted(getattr(os, name)))
            patched.setattr("quantlab.recording.tail.mmap.mmap", counted(mmap.mmap))
            with suppress(Killed):
                RecordingWriter.reopen(path)
                reopened = True
        assert list(Recording(path)) == whole
        if reopened:
            break
    assert reopened and last > 4

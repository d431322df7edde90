"""An input log reads back as written, and a file cut anywhere reads up to its last whole chunk."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantlab.model import MalformedMessage, NotFound
from quantlab.recording import Entry, Kind, Recording, RecordingWriter

ENTRIES = st.lists(
    st.builds(Entry, st.sampled_from(Kind), st.integers(0, 2**63 - 1), st.text(max_size=40), st.binary(max_size=3000)),
    max_size=60,
)


def write(path: Path, entries: list[Entry]) -> None:
    writer = RecordingWriter(path, {"run_id": "x", "seed": 7})
    for number, entry in enumerate(entries):
        writer.append(entry.kind, entry.name, entry.payload, entry.wall_ns)
        if number % 7 == 6:
            writer.flush()
    writer.close()
    writer.close()


@given(ENTRIES)
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.qlog"
        write(path, entries)
        recording = Recording(path)
        assert recording.header == {"run_id": "x", "seed": 7}
        assert list(recording) == entries
        assert list(recording) == entries  # as often as wanted
        assert not recording.truncated
        assert path.stat().st_mode & 0o777 == 0o600


@settings(max_examples=60)
@given(ENTRIES.filter(bool), st.floats(0, 1))
def test_a_cut_file_reads_up_to_its_last_whole_chunk(entries: list[Entry], where: float) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.qlog"
        write(path, entries)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * where)])
        try:
            recording = Recording(path)
        except MalformedMessage:
            return  # cut before the header was whole
        read = list(recording)
        assert read == entries[: len(read)]
        assert recording.truncated or path.stat().st_size == len(whole) or len(read) < len(entries)


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.qlog"
    write(path, [Entry(Kind.FRAME, 1, "", b"x" * 500)] * 20)
    raw = bytearray(path.read_bytes())
    raw[-10] ^= 1
    path.write_bytes(raw)
    recording = Recording(path)
    assert len(list(recording)) < 20
    assert recording.truncated


def test_no_file_and_no_recording(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Recording(tmp_path / "absent")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(MalformedMessage):
        Recording(tmp_path / "text")

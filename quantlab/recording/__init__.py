"""The input log of a run on disk: every frame, answer, command and mark the engine consumed, in order."""

from quantlab.recording.layout import Entry, Kind, Position
from quantlab.recording.reader import Recording
from quantlab.recording.writer import RecordingWriter

__all__ = ["Entry", "Kind", "Position", "Recording", "RecordingWriter"]

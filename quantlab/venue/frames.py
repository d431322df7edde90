"""Server frames as bytes (RFC 6455, section 5.2): unmasked, so a header of two to ten bytes before the payload."""

from __future__ import annotations


def text_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)
    return b"\x81\x7f%b%b" % (size.to_bytes(8, "big"), payload)


def combined_frame(stream: str, data: bytes) -> bytes:
    """A frame of the combined stream: `{"stream": ..., "data": ...}`."""
    return text_frame(b'{"stream":"%b","data":%b}' % (stream.encode(), data))


def ping_frame(payload: bytes) -> bytes:
    """`payload` is at most 125 bytes."""
    return b"\x89%c%b" % (len(payload), payload)


def close_frame(code: int, reason: str) -> bytes:
    """`reason` is at most 123 bytes."""
    payload = code.to_bytes(2, "big") + reason.encode()
    return b"\x88%c%b" % (len(payload), payload)

"""What differs between an exchange and the reference, and whether quantlab minds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from quantlab.selftest.examine import Asked, Examination
from quantlab.selftest.shapes import Shape

#: "fails": quantlab would be wrong. "look": the reference differs from the exchange, quantlab reads both.
Verdict = Literal["pass", "look", "fails"]

#: A snapshot of 300 weight and a minute's figures: what the whole examination may cost.
MOST_WEIGHT = 300


class Finding(NamedTuple):
    verdict: Verdict
    what: str
    expected: str
    found: str


def compare(found: Examination, reference: Examination) -> list[Finding]:
    """One row for each question, stream and check, and one for each field that differs; what fails first."""
    rows: list[Finding] = []
    for name, asked in found.asked.items():
        rows += _of_answer(name, asked, reference.asked.get(name, Asked(asked.weight)))
    for kind, shape in reference.streams.items():
        rows += _of_stream(kind, found, shape)
    rows += _of_whole(found)
    order = {"fails": 0, "look": 1, "pass": 2}
    return sorted(rows, key=lambda row: order[row.verdict])


def _of_answer(name: str, asked: Asked, reference: Asked) -> Iterator[Finding]:
    if asked.fault:
        yield Finding("fails", name, "an answer quantlab can read", asked.fault)
    else:
        # Others at this address are counted too: a count that differs is to be looked at, it proves nothing.
        agrees = asked.counted in (None, asked.weight)
        counted = "not to be told" if asked.counted is None else str(asked.counted)
        words = f"{asked.bytes:,} bytes in {asked.milliseconds:g} ms, weight {counted}"
        yield Finding("pass" if agrees else "look", name, f"an answer quantlab can read, weight {asked.weight}", words)
    if asked.shape:
        yield from _of_fields(name, asked.shape, reference.shape)


def _of_stream(kind: str, found: Examination, reference: Shape) -> Iterator[Finding]:
    frames = sum(count for name, count in found.frames.items() if name.partition("@")[2] == kind)
    if not frames:
        yield Finding("look", f"stream {kind}", "frames", "none while it was listened to")
        return
    silent = [name for name, count in found.frames.items() if name.partition("@")[2] == kind and not count]
    words = f"{frames:,} frames" + (f", none of {', '.join(silent)}" if silent else "")
    yield Finding("pass", f"stream {kind}", "frames", words)
    yield from _of_fields(f"stream {kind}", found.streams.get(kind, {}), reference)


def _of_fields(name: str, found: Shape, reference: Shape) -> Iterator[Finding]:
    for path in sorted(found.keys() | reference.keys()):
        theirs, ours = found.get(path), reference.get(path)
        if theirs is None:
            yield Finding("look", f"{name}: {path}", str(ours), "no such field")
        elif ours is None:
            yield Finding("look", f"{name}: {path}", "no such field", theirs)
        elif theirs != ours and not _alike(theirs, ours):
            yield Finding("look", f"{name}: {path}", ours, theirs)


def _alike(one: str, other: str) -> bool:
    """Two lists of types that share one: what was null here may have been a number there."""
    return bool(set(one.split(" or ")) & set(other.split(" or ")))


def _of_whole(found: Examination) -> Iterator[Finding]:
    for fault in found.stream_faults:
        yield Finding("fails", "streams", "frames quantlab can read", fault)
    differing, compared = found.quotes_differing, found.quotes_compared
    yield Finding(
        "fails" if differing else "pass" if compared else "look",
        "book against bookTicker at the same update",
        "no difference",
        f"{differing} of {compared} differ; whole books: {', '.join(found.books_in_sync) or 'none'}",
    )
    offset, uncertainty = found.clock.get("offset_ms"), found.clock.get("uncertainty_ms")
    yield Finding(
        "look" if found.clock.get("alert") else "pass",
        "this machine's clock against the exchange's",
        "within 500 ms",
        f"{offset} ms ± {uncertainty} ms",
    )
    if found.late_ms:
        words = f"median {found.late_ms['median']:g} ms, p99 {found.late_ms['p99']:g} ms"
        yield Finding("pass", "frames: from the exchange's stamp to here", "milliseconds", words)
    yield Finding(
        "pass" if found.weight <= MOST_WEIGHT else "look", "weight spent", f"<= {MOST_WEIGHT}", str(found.weight)
    )
    yield Finding("fails" if found.order_requests else "pass", "orders sent", "0", str(found.order_requests))

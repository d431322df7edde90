"""The kernel's filter, read as the kernel reads it: a small interpreter of BPF runs the program over each system call.

`test_wall_and_seal` shows on this machine that the kernel keeps to it; this shows what the program says for both
architectures, and that nothing else is refused.
"""

from __future__ import annotations

import struct
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantlab.exchange.walls import seccomp
from quantlab.exchange.walls.seccomp import MACHINES, REFUSED, SENDS, SENDTO, SOCKETS, program, this_machine
from quantlab.model import Refused

ALLOWED, EPERM = 0x7FFF_0000, 0x0005_0001
FASTOPEN = 0x2000_0000
machines = pytest.mark.parametrize("machine", sorted(MACHINES))


def verdict(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the program answers, step by step."""
    given_arch = MACHINES[machine][0] if arch is None else arch
    data = struct.pack(
        "<iIQ6Q", number - (1 << 32) if number >> 31 else number, given_arch, 0, *(arguments + (0,) * 6)[:6]
    )
    steps, at, loaded = program(machine), 0, 0
    for _ in range(len(steps)):
        step = steps[at]
        at += 1
        if step.code == 0x06:
            return step.k
        if step.code == 0x20:
            loaded = struct.unpack_from("<I", data, step.k)[0]
        elif step.code == 0x54:
            loaded &= step.k
        else:
            true = {0x15: loaded == step.k, 0x35: loaded >= step.k, 0x45: bool(loaded & step.k)}[step.code]
            at += step.yes if true else step.no
    raise AssertionError("the program does not end")


@machines
def test_every_jump_lands_inside(machine: str) -> None:
    steps = program(machine)
    assert steps[-1].code == 0x06
    for at, step in enumerate(steps):
        assert at + 1 + max(step.yes, step.no) < len(steps) or step.code == 0x06
        assert max(step.yes, step.no) < 256


@machines
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_never(machine: str, name: str) -> None:
    assert verdict(machine, REFUSED[name][MACHINES[machine][1]]) == EPERM


@machines
@pytest.mark.parametrize("name", sorted(SOCKETS))
def test_local_streams_only(machine: str, name: str) -> None:
    number = SOCKETS[name][MACHINES[machine][1]]
    cloexec, nonblock = 0o2000000, 0o4000
    assert verdict(machine, number, 1, 1) == verdict(machine, number, 1, 1 | cloexec | nonblock) == ALLOWED
    for family in range(64):
        for kind in range(12):
            for flags in (0, cloexec | nonblock):
                expected = ALLOWED if (family, kind) == (1, 1) else EPERM
                assert verdict(machine, number, family, kind | flags) == expected


@machines
def test_the_kernel_reads_the_lower_half_of_a_family(machine: str) -> None:
    """`socket((1 << 32) | AF_INET)` makes an internet socket: what is above must not count."""
    number = SOCKETS["socket"][MACHINES[machine][1]]
    assert verdict(machine, number, (1 << 32) | 2, 1) == EPERM
    assert verdict(machine, number, (7 << 32) | 1, (7 << 32) | 1) == ALLOWED


@machines
def test_sendto_only_where_it_is_connected(machine: str) -> None:
    number = SENDTO[MACHINES[machine][1]]
    assert verdict(machine, number, 5, 0x7F00, 10, 0x4000, 0, 0) == ALLOWED
    for address in (1, 0x1000, 1 << 32, 0x7FFF_0000_0000):
        assert verdict(machine, number, 5, 0x7F00, 10, 0, address, 16) == EPERM
    assert verdict(machine, number, 5, 0x7F00, 10, FASTOPEN | 0x4000, 0, 0) == EPERM


@machines
@pytest.mark.parametrize("name", sorted(SENDS))
def test_no_fast_open(machine: str, name: str) -> None:
    numbers, flags = SENDS[name]
    arguments = [5, 0x7F00, 1, 1]
    arguments[flags] = 0x4000
    assert verdict(machine, numbers[MACHINES[machine][1]], *arguments) == ALLOWED
    arguments[flags] |= FASTOPEN
    assert verdict(machine, numbers[MACHINES[machine][1]], *arguments) == EPERM


@machines
def test_other_tables_of_system_calls(machine: str) -> None:
    """32-bit processes, x32, and the other architecture: nothing at all is let through there."""
    for number in (0, 1, 39, 359, 362):
        assert verdict(machine, number, arch=0x4000_0003) == EPERM
        assert verdict(machine, number, arch=0x4000_0028) == EPERM
        assert verdict(machine, 0x4000_0000 | number) == EPERM
    assert verdict(machine, 0xFFFF_FFFF) == EPERM


@machines
@given(number=st.integers(0, 600), arguments=st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_all_else_is_allowed(machine: str, number: int, arguments: list[int]) -> None:
    column = MACHINES[machine][1]
    named = [row[column] for row in (*REFUSED.values(), *SOCKETS.values(), SENDTO, *(row for row, _ in SENDS.values()))]
    if number not in named:
        assert verdict(machine, number, *arguments) == ALLOWED


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"platform": "darwin"}, "darwin"),
        ({"maxsize": 2**31 - 1}, "linux"),
        ({"machine": "riscv64"}, "riscv64"),
        ({"machine": "i686"}, "i686"),
    ],
    ids=["macOS", "a Python of 32 bits", "RISC-V", "x86"],
)
def test_no_seal_here(monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], words: str) -> None:
    about = {"platform": "linux", "maxsize": sys.maxsize, "byteorder": "little", "machine": "x86_64"} | changed
    machine = about.pop("machine")
    monkeypatch.setattr(seccomp, "sys", SimpleNamespace(**about))
    monkeypatch.setattr(seccomp, "platform", SimpleNamespace(machine=lambda: machine))
    with pytest.raises(Refused, match=words) as caught:
        this_machine()
    assert caught.value.exit_code == 3


def test_the_interpreter_sees_a_hole() -> None:
    """The control: without its first block the program lets 32-bit calls through."""
    steps = program("x86_64")
    assert verdict("x86_64", 359, arch=0x4000_0003) == EPERM
    without = steps[3:]
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(globals(), "program", lambda machine: without)
        assert verdict("x86_64", 359, arch=0x4000_0003) == ALLOWED

"""A filter in the kernel that no code can lift: this process and all it will ever start make no network connection.

Classic BPF over each system call's number and arguments (seccomp(2)); what is refused returns EPERM, so that code sees
an error it can report. Two things about it matter more than the list:

- `socket` makes local stream sockets only, and `connect` is refused altogether. The second closes what the first leaves
  open: a TCP connection that was handed to this process could be disconnected and connected anew elsewhere
  (`connect` with AF_UNSPEC), and a local socket could reach a daemon that connects for others (D-Bus, Docker).
- The filter is inherited by every thread and child, across `execve`, and a later one can only take more away.

Sources: seccomp(2), bpf filter format in <linux/filter.h>, system call tables of Linux 6.12 for x86_64 and arm64
(<asm/unistd_64.h>, <asm-generic/unistd.h>), checked 2026-11-23.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import NamedTuple

from quantlab.model.errors import Refused

#: The architectures: name in audit records, column in the table below.
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

#: Refused whatever their arguments. Numbers for x86_64 and arm64.
REFUSED = {
    "connect": (42, 203),
    # io_uring makes and connects sockets past every filter.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Another process's memory, and its sockets.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    # The kernel starts a helper that resolves names.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
}
#: Only local stream sockets.
SOCKETS = {"socket": (41, 198), "socketpair": (53, 199)}
#: Only to where the socket is connected already: without an address.
SENDTO = (44, 206)
#: Without MSG_FASTOPEN, which connects. The last number is the index of the flags.
SENDS = {"sendmsg": ((46, 211), 2), "sendmmsg": ((307, 269), 3)}

_SECCOMP = (317, 277)
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK, _MSG_FASTOPEN = 1, 1, 0xF, 0x2000_0000
#: On x86_64 numbers from here on are the x32 table: the same calls again.
_X32 = 0x4000_0000
_EPERM = 1
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_TSYNC = 1, 1


class Instruction(NamedTuple):
    """One step of BPF: `yes` and `no` are how many steps a comparison skips."""

    code: int
    k: int
    yes: int = 0
    no: int = 0


_ALLOW = Instruction(0x06, 0x7FFF_0000)
_REFUSE = Instruction(0x06, 0x0005_0000 | _EPERM)


def program(machine: str) -> list[Instruction]:
    """The filter. Each system call that matters has a block of its own that ends in a verdict; the rest is allowed."""
    arch, column = MACHINES[machine]
    local_stream = [
        *(_load_argument(0), *_unless_equal(_AF_UNIX)),
        *(_load_argument(1), Instruction(0x54, _SOCK_TYPE_MASK), *_unless_equal(_SOCK_STREAM)),
        _ALLOW,
    ]
    without_address = [
        *(_load_argument(3), *_if_set(_MSG_FASTOPEN)),
        *(_load_argument(4), *_unless_equal(0)),
        *(_load_argument(4, upper=True), *_unless_equal(0)),
        _ALLOW,
    ]
    steps = [_load(_ARCH), *_unless_equal(arch), _load(_NUMBER), *_if_at_least(_X32)]
    for refused in REFUSED.values():
        steps += _when(refused[column], [_REFUSE])
    for makes_socket in SOCKETS.values():
        steps += _when(makes_socket[column], local_stream)
    steps += _when(SENDTO[column], without_address)
    for sends, flags in SENDS.values():
        steps += _when(sends[column], [_load_argument(flags), *_if_set(_MSG_FASTOPEN), _ALLOW])
    return [*steps, _ALLOW]


def this_machine() -> str:
    """What this runs on. Raises Refused where the filter is not made for it."""
    name = platform.machine()
    if sys.platform != "linux" or name not in MACHINES or sys.maxsize < 2**32 or sys.byteorder != "little":
        raise Refused(
            f"--sealed needs Linux on {' or '.join(MACHINES)}, this is {sys.platform} on {name}: run without it, the "
            "guard and the wall inside the process still stand"
        )
    return name


def install() -> None:
    """Put the filter up in every thread of this process. Raises Refused where the kernel does not take it."""
    machine = this_machine()
    steps = program(machine)
    array = (_SockFilter * len(steps))(*(_SockFilter(step.code, step.yes, step.no, step.k) for step in steps))
    whole = _SockFprog(len(steps), array)
    libc = ctypes.CDLL(None, use_errno=True)
    long = ctypes.c_ulong
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, long(1), long(0), long(0), long(0)) != 0:
        raise Refused(f"--sealed: the kernel does not give up privileges ({os.strerror(ctypes.get_errno())})")
    done = libc.syscall(
        ctypes.c_long(_SECCOMP[MACHINES[machine][1]]),
        long(_SECCOMP_SET_MODE_FILTER),
        long(_SECCOMP_FILTER_FLAG_TSYNC),
        ctypes.byref(whole),
    )
    if done != 0:
        why = os.strerror(ctypes.get_errno()) if done < 0 else f"thread {done} cannot be sealed"
        raise Refused(f"--sealed: this kernel has no seccomp filter for us ({why}): run without it")


class _SockFilter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_uint16), ("filter", ctypes.POINTER(_SockFilter)))


#: Where things stand in `struct seccomp_data`: number, architecture, address (8 bytes), arguments (8 bytes each).
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16


def _load(offset: int) -> Instruction:
    return Instruction(0x20, offset)


def _load_argument(index: int, *, upper: bool = False) -> Instruction:
    """Half of an argument: the lower one is all that the kernel reads of an int."""
    return _load(_ARGUMENTS + 8 * index + (4 if upper else 0))


def _unless_equal(value: int) -> tuple[Instruction, Instruction]:
    """Refuse unless what was loaded is `value`."""
    return Instruction(0x15, value, 1, 0), _REFUSE


def _if_at_least(value: int) -> tuple[Instruction, Instruction]:
    return Instruction(0x35, value, 0, 1), _REFUSE


def _if_set(bits: int) -> tuple[Instruction, Instruction]:
    """Refuse if what was loaded has one of `bits`."""
    return Instruction(0x45, bits, 0, 1), _REFUSE


def _when(number: int, block: list[Instruction]) -> list[Instruction]:
    """`block` for this system call; for others the number stays loaded and the block is skipped."""
    return [Instruction(0x15, number, 0, len(block)), *block]

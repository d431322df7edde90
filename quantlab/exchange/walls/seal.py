"""`quantlab run --sealed`: a process that has shut itself in, with one gate to the exchange.

What is sealed is the engine's process, from before it reads the fleet file, with all that it starts: no code in it,
ours, a library's or a strategy's, in Python or in C, can make a TCP, UDP or raw socket, connect any socket, or take the
seal off. That is the kernel's word (`seccomp`, and `landlock` where there is one), not ours. It reaches the exchange
by the `gate` alone.

What it does not do: files stay as they are, so what is written to one that another process reads or runs later is out
of the seal; and root can still ask the kernel for help, so do not run a fleet as root.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import sys

from quantlab.exchange.walls import gate, landlock, seccomp
from quantlab.model.errors import Refused

#: What "sealed" means, for manifest, summary and report.
MEANING = (
    "The engine's process and all that it started could make no network socket and connect none: the kernel refused "
    "(seccomp). It got connections to the exchange's hosts, and to no other, from a gate started before. It held no "
    "API key."
)
_PR_SET_PDEATHSIG = 1


def seal(descriptor: int) -> None:
    """Shut this process in, for the rest of its life, with the gate at `descriptor` as its only way out.

    It ends with its parent, gracefully, from now on. Raises Refused where the system cannot seal: then the process must
    not go on.
    """
    machine_has_it()
    gate.use(descriptor)
    _end_with_parent()
    landlock.leave_only(())
    seccomp.install()
    if not is_sealed():
        raise Refused("--sealed: the kernel took the filter and does not keep to it: run without it")


def machine_has_it() -> None:
    """Raises Refused, with what to do, on a system for which there is no seal."""
    seccomp.this_machine()


def is_sealed() -> bool:
    """Whether the kernel keeps this process in: asked of the kernel, by trying."""
    if sys.platform != "linux":
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM):
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as local:
            local.connect(os.devnull)  # elsewhere: nobody listens there
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _end_with_parent() -> None:
    """SIGTERM when the process that started this one is gone: nobody would make its report."""
    long = ctypes.c_ulong
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, long(signal.SIGTERM), long(0), long(0), long(0))

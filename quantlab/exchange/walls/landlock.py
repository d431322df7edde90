"""Landlock, where the kernel has it: a second refusal beside seccomp, which knows ports and other processes.

For the gate it leaves TCP to the exchange's ports only. For a sealed process it leaves none, and keeps it from the
memory of processes outside (`/proc/PID/mem` asks the same question as ptrace), from signalling them, and from abstract
local sockets. Standard library only: the gate runs this file alone.

Source: landlock(7) and <linux/landlock.h>, Linux 6.12, checked 2026-11-23. TCP since ABI 4, scopes since ABI 6.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable

#: The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPE_ABSTRACT_UNIX_SOCKET, _SCOPE_SIGNAL = 1, 2
_RULE_NET_PORT = 2
_PR_SET_NO_NEW_PRIVS = 38
_long = ctypes.c_ulong


def leave_only(connect_ports: Iterable[int]) -> bool:
    """For this thread and all that it will start: no TCP but connections to these ports, and nothing done to processes
    outside. False, and nothing changed, where the kernel cannot (before ABI 4, or switched off)."""
    has = abi()
    if has < 4:
        return False
    scopes = _SCOPE_ABSTRACT_UNIX_SOCKET | _SCOPE_SIGNAL if has >= 6 else 0
    attributes = (ctypes.c_uint64 * 3)(0, _BIND_TCP | _CONNECT_TCP, scopes)
    ruleset = _call(_CREATE_RULESET, ctypes.byref(attributes), _long(24 if has >= 6 else 16), _long(0))
    if ruleset < 0:
        return False
    try:
        for port in connect_ports:
            rule = (ctypes.c_uint64 * 2)(_CONNECT_TCP, port)
            if _call(_ADD_RULE, _long(ruleset), _long(_RULE_NET_PORT), ctypes.byref(rule), _long(0)) != 0:
                return False
        if ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, _long(1), _long(0), _long(0), _long(0)) != 0:
            return False
        return _call(_RESTRICT_SELF, _long(ruleset), _long(0)) == 0
    finally:
        os.close(ruleset)


def abi() -> int:
    """Which Landlock this kernel has; 0 or less: none."""
    return _call(_CREATE_RULESET, None, _long(0), _long(_VERSION_FLAG)) if sys.platform == "linux" else 0


def _call(number: int, *arguments: object) -> int:
    answer: int = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
    return answer

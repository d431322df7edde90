"""Secrets out of the process environment: what children, kernels and `/proc` may see of ours.

What was exported stays in `/proc/PID/environ` for as long as a process lives, popped or not: the kernel shows the
memory that `execve` filled. So the `quantlab` command starts itself again without its secrets and hands them over in a
pipe. They stand in a shell's and in the first process's environment for the some 50 ms until then; a secret in `.env`,
the keyring or a systemd credential never does.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

#: The settings whose values are secret.
SECRET_NAMES = frozenset({"BINANCE_API_KEY", "BINANCE_API_SECRET", "VAULT_PASSWORD", "API_BEARER_TOKEN"})
#: Names the inherited descriptor, its inode and how much it holds: "7:255615:120". Between our own processes only.
DESCRIPTOR_NAME = "QUANTLAB_SECRETS_FD"
#: Prefixes under which secrets stand, ours or those of others (such as VAULT_TOKEN).
_SECRET_PREFIXES = ("BINANCE_", "VAULT_", "API_")
_PUBLIC_PREFIX = "QUANTLAB_"
#: From <linux/prctl.h>.
_PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 3, 4

#: What was handed over to this process. Never in `os.environ` again.
_held: dict[str, str] = {}


class CannotLeave(Exception):
    """The secrets cannot be taken out of the environment: one line that says why and what to do."""


def held_secrets() -> dict[str, str]:
    """The settings that were handed over to this process instead of standing in its environment."""
    return dict(_held)


def hold_secrets(secrets: Mapping[str, str]) -> None:
    """Keep settings (such as a password that was typed) for this process and for those that `popen_secretly` starts.
    They are registered as secrets; `load_settings` reads them as if they stood in the environment."""
    from quantlab.redact import register_secret

    for value in secrets.values():
        register_secret(value.strip())
    _held.update(secrets)


def scrubbed(environ: Mapping[str, str], *, public: bool = False) -> dict[str, str]:
    """`environ` for a child that needs no secret: without any setting of ours, or (`public`) with `QUANTLAB_*` only."""
    gone = _SECRET_PREFIXES if public else (*_SECRET_PREFIXES, _PUBLIC_PREFIX)
    return {name: value for name, value in environ.items() if not name.startswith(gone) and name != DESCRIPTOR_NAME}


def leave_environment() -> None:
    """Take the secrets out of this process's environment. For the start of the `quantlab` command: where there are
    any, the process is replaced by itself (same interpreter, arguments and process id) and this does not return.

    Raises CannotLeave when the system refuses, and for a `QUANTLAB_SECRETS_FD` that quantlab did not set.
    """
    announced = os.environ.pop(DESCRIPTOR_NAME, None)
    if announced is not None:
        hold_secrets(_received(announced))
    exported = _secrets_in(os.environ)
    if not any(value.strip() for value in exported.values()):
        return
    if not sys.executable:
        raise CannotLeave("this Python does not know its own path: put the secrets into .env and unset them here")
    clean = {name: value for name, value in os.environ.items() if name not in SECRET_NAMES}
    try:
        with _handed_over(_held | exported) as (descriptor, announcement):
            os.set_inheritable(descriptor, True)
            os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean | announcement)  # noqa: S606
    except OSError as error:
        raise CannotLeave(
            f"cannot start again without the secrets of the environment ({error.strerror}): put them into .env and "
            "unset them here"
        ) from None


def popen_secretly(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """`subprocess.Popen` for a `quantlab` command that needs this process's secrets: they go through a pipe, never
    through the child's environment (`env`, default: ours). Raises CannotLeave, and what Popen raises.
    """
    import subprocess

    base: Mapping[str, str] | None = options.pop("env", None)
    given = os.environ if base is None else base
    clean = {name: value for name, value in given.items() if name not in SECRET_NAMES and name != DESCRIPTOR_NAME}
    secrets = _held | _secrets_in(os.environ) | _secrets_in(given)
    if not any(value.strip() for value in secrets.values()):
        return subprocess.Popen(command, env=clean, **options)
    with _handed_over(secrets) as (descriptor, announcement):
        passed = (*options.pop("pass_fds", ()), descriptor)
        return subprocess.Popen(command, env=clean | announcement, pass_fds=passed, **options)


def forbid_core_dumps() -> None:
    """Keep this process's memory to itself, as far as the system can.

    RLIMIT_CORE 0, which children inherit, writes no core file. On Linux PR_SET_DUMPABLE 0 also forbids dumps that go to
    a collector such as systemd-coredump, and other processes of the same user can no longer attach (py-spy, gdb and
    strace stop working) or read `/proc/PID/environ`, `mem` and `fd`. It ends with `execve`, so each process calls this
    for itself. It does not stop root, swap, hibernation, or whoever can change our files or the shell that starts us.
    Source: prctl(2), core(5), proc(5). Where the system refuses, the process goes on: `dumps_forbidden` tells.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def dumps_forbidden() -> bool:
    """Whether `forbid_core_dumps` holds here: no core file and, on Linux, no attaching."""
    try:
        import resource
    except ImportError:
        return False
    no_file = resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
    return no_file and (sys.platform != "linux" or _prctl(_PR_GET_DUMPABLE) == 0)


def _prctl(option: int, argument: int = 0) -> int | None:
    """What prctl answers on Linux (-1: refused); None where there is none."""
    if sys.platform != "linux":
        return None
    try:
        import ctypes

        long = ctypes.c_ulong
        answer: int = ctypes.CDLL(None).prctl(option, long(argument), long(0), long(0), long(0))
    except (ImportError, OSError, AttributeError):  # a Python without ctypes
        return None
    return answer


# -- handing over ---------------------------------------------------------------------------------------------------


def _secrets_in(environ: Mapping[str, str]) -> dict[str, str]:
    """Our secrets in `environ`. Empty values count: they override `.env`."""
    return {name: environ[name] for name in SECRET_NAMES if name in environ}


@contextlib.contextmanager
def _handed_over(secrets: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str]]]:
    """A descriptor that holds the secrets, and what tells a child so. Closed here afterwards."""
    import json

    payload = json.dumps(secrets).encode()  # ASCII: bytes that are not UTF-8 survive as surrogates
    descriptor = _filled_pipe(payload)
    if descriptor is None:
        descriptor = _filled_memory(payload)
    try:
        inode = os.fstat(descriptor).st_ino
        yield descriptor, {DESCRIPTOR_NAME: f"{descriptor}:{inode}:{len(payload)}"}
    finally:
        os.close(descriptor)


def _filled_pipe(payload: bytes) -> int | None:
    """The reading end of a pipe that holds all of `payload`, None where it is too small (64 KiB, or less)."""
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)  # nobody reads yet: a full pipe would block for ever
        if os.write(writing, payload) == len(payload):
            return reading
    except BlockingIOError:
        pass
    finally:
        os.close(writing)
    os.close(reading)
    return None


def _filled_memory(payload: bytes) -> int:
    """An anonymous file in memory that holds `payload`. Raises CannotLeave where there are none (macOS)."""
    if not hasattr(os, "memfd_create"):
        raise CannotLeave("the secrets of the environment are too long for a pipe: put them into .env, unset them here")
    descriptor = os.memfd_create("quantlab")
    os.fchmod(descriptor, 0o600)
    left = memoryview(payload)
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _received(announced: str) -> dict[str, str]:
    """What another process of ours handed over. Raises CannotLeave, and reads nothing, unless the descriptor is the
    very pipe (or anonymous file) that was announced, filled as announced."""
    import json

    found = re.fullmatch(r"(\d{1,7}):(\d{1,20}):(\d{1,9})", announced, re.ASCII)
    descriptor, inode, length = map(int, found.groups()) if found else (-1, 0, 0)
    if not _is_ours(descriptor, inode, length):
        raise CannotLeave(f"{DESCRIPTOR_NAME} is quantlab's own, between its processes: unset it")
    try:
        payload = b""
        while len(payload) < length and (part := os.read(descriptor, length - len(payload))):
            payload += part
        secrets = dict(json.loads(payload))
    except (OSError, ValueError, TypeError):
        raise CannotLeave(f"{DESCRIPTOR_NAME} names something that quantlab did not write: unset it") from None
    finally:
        os.close(descriptor)
    return {name: str(value) for name, value in secrets.items() if name in SECRET_NAMES}


def _is_ours(descriptor: int, inode: int, length: int) -> bool:
    import fcntl
    import termios

    if descriptor <= 2:
        return False
    try:
        about = os.fstat(descriptor)
        if about.st_ino != inode:
            return False
        if stat.S_ISFIFO(about.st_mode):
            waiting = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
            reads_only = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
            return reads_only and int.from_bytes(waiting, sys.byteorder) == length
        return stat.S_ISREG(about.st_mode) and about.st_nlink == 0 and about.st_size == length
    except OSError:  # no such descriptor
        return False

"""`.env` edited in place: a secret taken out or put in, every other byte kept.

Readers see the old file or the new one, whole, whatever happens in between. Which line sets what is decided by
`quantlab.settings.parse_env`, the parser that reads the file at start, and its answer for the new text is compared with
what was asked before anything is written. What the old file's blocks hold on the disk until they are reused, nobody can
take back: a key that lay in a backup or on a stolen disk is replaced at the exchange.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from quantlab.environment import SECRET_NAMES
from quantlab.model.errors import ConfigurationError, QuantlabError, Refused
from quantlab.redact import register_secret
from quantlab.settings import SETTING_NAMES, parse_env, read_env

#: What the file of the next state is called until it takes its place; git and Docker ignore `.env.*`.
_NEXT = ".quantlab-next"
#: An edit takes milliseconds.
_WAIT_S = 10.0
#: Also means the same to a shell that reads the file, without quotes.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_BOM = "\ufeff"


def take_out(path: Path, names: Collection[str], note: str | None = None) -> None:
    """Remove the lines that set `names`; with a `note`, "# NAME: note" stands in their place. Names that are not set,
    and a file that is not there, change nothing.

    Raises what `load_settings` raises for this file; Refused for a file with a second name (hard link), which would
    keep what was taken out; QuantlabError when the folder or the disk refuses: then the file is as it was.
    """
    if note is not None and len(note.splitlines()) != 1:
        raise ConfigurationError("the note on a line of .env has to be one line")
    _edit(path, lambda lines, place: _without(lines, place, names, note), dict.fromkeys(names))


def put(path: Path, name: str, value: str) -> None:
    """Set `name` to `value`: in its line where it has one, else in a new last line; makes the file, 0600, where there
    is none. A comment behind the old value goes with it.

    Raises as `take_out` does, and ConfigurationError for a value that one line cannot hold or that a reader would
    change: line ends, control characters, outer spaces, nothing at all.
    """
    if name not in SETTING_NAMES:
        raise ConfigurationError(f"{name} is not a setting of quantlab; see .env.example for all there are")
    if name in SECRET_NAMES:
        register_secret(value)
    written = _quoted(name, value, path)
    _edit(path, lambda lines, place: _with(lines, place, name, written), {name: value}, create=True)


def clean_up(path: Path) -> None:
    """Remove what an edit of this `.env` left that was killed before it was done. Every edit does so first.

    Raises QuantlabError when the folder refuses.
    """
    target = _target(path)
    if target.parent.is_dir():
        with _said(path), _alone(target):
            _next(target).unlink(missing_ok=True)


# -- text -----------------------------------------------------------------------------------------------------------


def _without(lines: list[str], place: dict[str, int], names: Collection[str], note: str | None) -> None:
    for name in place.keys() & names:
        at = place[name]
        lines[at] = "" if note is None else f"# {name}: {note}{_end(lines[at])}"


def _with(lines: list[str], place: dict[str, int], name: str, written: str) -> None:
    if name in place:
        before = lines[place[name]].partition("=")[0]  # "export " and the like
        lines[place[name]] = f"{before}={written}{_end(lines[place[name]])}"
        return
    end = next((_end(line) for line in reversed(lines) if _end(line)), "\n")
    if lines and not _end(lines[-1]):
        lines.append(f"{end}{name}={written}")  # the file goes on to end without a line end
    else:
        lines.append(f"{name}={written}{end}")


def _end(line: str) -> str:
    """The line end of a line, "" where it has none."""
    return line[len(line.splitlines()[0]) :] if line else ""


def _quoted(name: str, value: str, path: Path) -> str:
    """`value` as a line holds it: plain, or in quotes. Only a form that is read back as it was given."""
    forms = [value] if _PLAIN.fullmatch(value) else [f"'{value}'", f'"{value}"']
    if value and value == value.strip() and value.isprintable():
        quotes = ["'", '"']
        for form, quote in zip(forms, quotes, strict=False):
            if form != value and quote in value:
                continue
            if [(line.name, line.value) for line in parse_env(f"{name}={form}".encode(), path)] == [(name, value)]:
                return form
    raise ConfigurationError(
        f"this value of {name} cannot be written on one line of .env: it must not be empty, hold line ends or control "
        "characters, begin or end with a space, or hold both kinds of quotes"
    )


# -- file -----------------------------------------------------------------------------------------------------------


def _edit(
    path: Path,
    change: Callable[[list[str], dict[str, int]], None],
    wanted: dict[str, str | None],
    *,
    create: bool = False,
) -> None:
    """Replace the file by what `change` makes of its lines. `wanted` is what it has to say afterwards (None: unset)."""
    target = _target(path)
    with _said(path), _alone(target) as folder:
        _next(target).unlink(missing_ok=True)
        was = _state(target)
        if was is not None and (not stat.S_ISREG(was.st_mode) or was.st_nlink > 1):
            raise Refused(
                f"{path} is no file of its own (a pipe, or a hard link with a second name): quantlab cannot replace "
                "it safely, edit it yourself"
            )
        if was is None and not create:
            return
        data = read_env(target)
        before = list(parse_env(data or b"", path))
        text = (data or b"").decode()
        mark = _BOM if text.startswith(_BOM) else ""
        lines = text.removeprefix(mark).splitlines(keepends=True)
        change(lines, {line.name: line.number - 1 for line in before})
        new = (mark + "".join(lines)).encode()
        if new == data:
            return
        expected = {line.name: line.value for line in before} | wanted
        if {line.name: line.value for line in parse_env(new, path)} != {
            name: value for name, value in expected.items() if value is not None
        }:
            raise QuantlabError(f"{path} would not say what it should after the edit: edit it yourself")
        _replace(target, new, was, folder)


def _replace(target: Path, data: bytes, was: os.stat_result | None, folder: int) -> None:
    """Put a file with `data` in the place of `target`: 0600 from its first byte, on disk before it takes the place."""
    following = _next(target)
    descriptor = os.open(following, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            os.fchmod(descriptor, 0o600)  # whatever the umask took away
            if was is not None and was.st_uid != os.geteuid():
                os.fchown(descriptor, was.st_uid, was.st_gid)
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            _flush(descriptor)
        finally:
            os.close(descriptor)
        if _stamp(_state(target)) != _stamp(was):
            raise QuantlabError(f"{target} was changed by somebody else just now: nothing was written, try again")
        following.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            following.unlink()
        raise
    try:
        _flush(folder)
    except OSError as error:
        raise QuantlabError(
            f"{target} was changed, but its disk does not confirm it ({error.strerror}): look at the disk before you "
            "rely on it"
        ) from None


def _state(target: Path) -> os.stat_result | None:
    try:
        return target.lstat()
    except FileNotFoundError:
        return None


def _stamp(state: os.stat_result | None) -> tuple[int, ...] | None:
    """What changes when somebody else writes or replaces the file."""
    return None if state is None else (state.st_ino, state.st_mtime_ns, state.st_size)


def _flush(descriptor: int) -> None:
    """To the disk itself; macOS's fsync stops at the drive's cache. Source: fsync(2) of macOS."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        with contextlib.suppress(OSError):  # not every file system knows it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _target(path: Path) -> Path:
    """The file itself, behind any symbolic links."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        raise ConfigurationError(f"{path} is a symbolic link that leads nowhere: remove it") from None


def _next(target: Path) -> Path:
    return target.with_name(target.name + _NEXT)


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[int]:
    """One edit at a time in this folder, whose descriptor this gives. The lock ends with the process."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _lock(folder, target)
        yield folder
    finally:
        os.close(folder)


def _lock(folder: int, target: Path) -> None:
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise QuantlabError(f"another process has been editing {target} for {_WAIT_S:.0f} s: end it") from None
            time.sleep(0.02)
        except OSError:  # network file systems may have no locks for folders
            return


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """What the system refuses, in one line."""
    try:
        yield
    except OSError as error:
        raise QuantlabError(f"{path} cannot be changed: {error.strerror or type(error).__name__}") from None

"""Every object git still has: of all branches, tags, stashes and the reflog, and those that nothing refers to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from quantlab.model.errors import QuantlabError
from quantlab.redact import redact


def git_folder(root: Path) -> Path | None:
    """The git folder that `root` belongs to (of all its worktrees), None where there is none or no git."""
    try:
        done = _git(root, "rev-parse", "--path-format=absolute", "--git-common-dir", stdout=subprocess.PIPE)
        out, _ = done.communicate()
    except OSError:
        return None
    return Path(out.decode(errors="surrogateescape").strip()) if done.returncode == 0 else None


class _Object:
    """The next `size` bytes of a pipe."""

    def __init__(self, pipe: IO[bytes], size: int) -> None:
        self._pipe, self._left = pipe, size

    def read(self, size: int = -1, /) -> bytes:
        data = self._pipe.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def objects(folder: Path) -> Iterator[tuple[str, _Object]]:
    """(name, stream) of each object in the git folder; the name holds its id and, where a branch, tag, stash or the
    reflog leads to it, a path. Each stream is to be read before the next. Raises QuantlabError when git fails."""
    paths = _paths(folder)
    with _git(folder, "cat-file", "--batch-all-objects", "--unordered", "--batch", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            while head := process.stdout.readline():
                fields = head.split()
                if len(fields) != 3 or not fields[2].isdigit():
                    raise QuantlabError(f"git cannot read an object: {redact(head.decode(errors='replace').strip())}")
                name, kind, size = fields[0].decode(), fields[1].decode(), int(fields[2])
                stream = _Object(process.stdout, size)
                yield f"{kind} {name[:12]}" + (f" ({paths[name]})" if name in paths else ""), stream
                while stream.read(1 << 20):
                    pass
                process.stdout.read(1)  # the line's end
        except GeneratorExit:
            process.kill()
            raise
    if process.returncode:
        raise QuantlabError(f"git cat-file ended with code {process.returncode}: the history was read only in part")


def _paths(folder: Path) -> dict[str, str]:
    """Object id → a path it had."""
    process = _git(folder, "rev-list", "--objects", "--all", "--reflog", stdout=subprocess.PIPE)
    out, _ = process.communicate()
    lines = (line.partition(" ") for line in out.decode(errors="replace").splitlines())
    return {name: path for name, _, path in lines if path}


def _git(folder: Path, *arguments: str, stdout: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["git", "--no-replace-objects", "-C", str(folder), *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )

"""Where a secret of a quantlab user may have got to, on this machine: the places that a sweep looks at, by kind.

Left out is `.env` itself, where secrets may be. What is left out otherwise stands in the list too, with its reason.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from quantlab.vault.sweep_git import git_folder

GIT_HISTORY = "git history"
THE_REST = "the rest of the tree"

#: Kind → patterns of names (with "/": of the path below the root), first match wins.
_BY_NAME: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Jupyter checkpoint", ("*.ipynb_checkpoints/*",)),
    ("copy of .env", (".env?*", "*.env", "*.env.*", "env.bak", "*.envrc", ".envrc")),
    ("write-ahead log", ("*.sqlite-wal", "*.sqlite3-wal", "*.db-wal")),
    ("shared memory of a database", ("*.sqlite-shm", "*.sqlite3-shm", "*.db-shm")),
    ("backup", ("*/backups/*", "*.bak", "*.backup", "*.old", "*.orig", "*.sqlite.*", "*.db.*")),
    ("database", ("*.sqlite", "*.sqlite3", "*.db", "*.sqlite-journal", "*.db-journal")),
    ("log", ("*/logs/*", "*.log", "*.log.*", "nohup.out")),
    ("recording", ("*/recordings/*", "*.qlog")),
    ("report page", ("reports/*.html",)),
    ("report notebook", ("reports/*.ipynb",)),
    ("manifest", ("reports/*/manifest.json",)),
    ("summary", ("reports/*/summary.json",)),
    ("core dump", ("core", "core.[0-9]*", "*.core")),
    ("pickle", ("*.pkl", "*.pickle", "*.joblib", "*.dill", "*.cloudpickle")),
    ("cache", ("*__pycache__/*", "*_cache/*", "*.hypothesis/*", "*.cache/*")),
    ("editor file", ("*.swp", "*.swo", "*~", ".#*", "#*#", "*.un~", "*.vscode/*", "*.idea/*")),
    ("built package", ("*.whl", "dist/*", "build/*", "*.egg-info/*")),
    ("shell history", (".*_history", ".histfile")),
)

#: Kind → patterns below the user's home folder.
_OF_THE_USER: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "shell history",
        (".*_history", ".histfile", ".zsh_sessions/*", ".local/share/fish/fish_history", ".lesshst", ".viminfo"),
    ),
    ("IPython history", (".ipython/profile_*/history.sqlite*", ".ipython/profile_*/db/**/*")),
    ("IPython start-up and settings", (".ipython/profile_*/*.py", ".ipython/profile_*/startup/*")),
    ("Jupyter runtime", (".local/share/jupyter/runtime/*", "Library/Jupyter/runtime/*")),
    (
        "Jupyter workspace and settings",
        (".jupyter/**/*", ".local/share/jupyter/*", "Library/Jupyter/*", ".local/share/jupyter/lab/**/*"),
    ),
    ("editor history", (".config/Code/User/History/**/*", "Library/Application Support/Code/User/History/**/*")),
    ("quantlab's state folder", (".local/state/quantlab/**/*",)),
)
#: Folders that such variables name instead, kind → (variable, patterns below).
_NAMED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("IPython history", "IPYTHONDIR", ("profile_*/history.sqlite*", "profile_*/db/**/*")),
    ("IPython start-up and settings", "IPYTHONDIR", ("profile_*/*.py", "profile_*/startup/*")),
    ("Jupyter runtime", "JUPYTER_RUNTIME_DIR", ("*",)),
    ("Jupyter workspace and settings", "JUPYTER_CONFIG_DIR", ("**/*",)),
    ("Jupyter workspace and settings", "JUPYTER_DATA_DIR", ("*", "lab/**/*")),
    ("quantlab's state folder", "XDG_STATE_HOME", ("quantlab/**/*",)),
)
_OURS_IN_TEMP = ("*quantlab*", "*jupyter*", "*ipykernel*", "*papermill*", "*nbconvert*", "*.env*", "kernel-*.json")
_CORE_DUMPS = ("/var/lib/systemd/coredump", "/var/crash", "/cores")
_MAY_BE_A_NOTEBOOK_BYTES = 64 << 20


_LeaveOut = Callable[[Path, str], None]


class Place(NamedTuple):
    """One file to look at; of kind "git history", a git folder all of whose objects are. `name` is how it is shown;
    `named` says whether the name itself may hold a secret. With `why_not` it is left out, and that is the reason."""

    kind: str
    path: Path
    name: str
    named: bool = True
    why_not: str = ""


def places_of(
    root: Path, home: Path, *, user: Path | None = None, temp: Path | None = None, proc: Path = Path("/proc")
) -> list[Place]:
    """Everything a user of quantlab should look through: the checkout at `root`, the state in `home`, the user's own
    histories and Jupyter files below `user`, what is ours in `temp`, and this user's processes. A file is listed once,
    under the first kind that fits. Empty only when there is nothing at all."""
    root, home, user = root.resolve(), home.resolve(), (user or Path.home()).resolve()
    temp = (temp or Path(tempfile.gettempdir())).resolve()
    places = _Places(root, home, user)
    for folder in (home, root):
        for path in _below(folder, places.leave_out):
            places.add(_kind(path, folder, home), path)
    for kind, patterns in _OF_THE_USER:
        places.add_all(kind, _glob(user, patterns))
    for kind, variable, patterns in _NAMED:
        if (named := os.environ.get(variable)) and Path(named).is_dir():
            places.add_all(kind, _glob(Path(named).resolve(), patterns))
    if history := os.environ.get("HISTFILE"):
        places.add("shell history", Path(history))
    for path in _glob(temp, _OURS_IN_TEMP):
        places.add_all("temporary file", _below(path, places.leave_out) if path.is_dir() else [path])
    for folder in map(Path, _CORE_DUMPS):
        places.add_all("core dump", _glob(folder, ("*",)))
    if (git := git_folder(root)) is not None:
        places.found.append(Place(GIT_HISTORY, git, places.name(git)))
        places.add_all("git's own files", _below(git, places.leave_out, without={"objects"}))
    places.found.extend(_processes(proc))
    return places.found


class _Places:
    """Gathers places, each file once."""

    def __init__(self, root: Path, home: Path, user: Path) -> None:
        self.found: list[Place] = []
        self._bases = ((root, ""), (home, f"{home.name}/"), (user, "~/"))
        self._seen: set[tuple[int, int]] = set()
        try:
            status = (root / ".env").stat()
            self._seen.add((status.st_dev, status.st_ino))
        except OSError:
            pass

    def add(self, kind: str, path: Path) -> None:
        try:
            status = path.stat()
        except FileNotFoundError:
            return  # gone meanwhile, or a link to nothing
        except OSError as error:
            self.leave_out(path, error.strerror or "not readable", kind)
            return
        if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in self._seen:
            return
        self._seen.add((status.st_dev, status.st_ino))
        self.found.append(Place(kind, path, self.name(path)))

    def add_all(self, kind: str, paths: Iterable[Path]) -> None:
        for path in paths:
            self.add(kind, path)

    def leave_out(self, path: Path, why: str, kind: str = THE_REST) -> None:
        place = Place(kind, path, self.name(path), why_not=why)
        if place not in self.found:
            self.found.append(place)

    def name(self, path: Path) -> str:
        for base, shown in self._bases:
            if path.is_relative_to(base):
                return f"{shown}{path.relative_to(base)}"
        return str(path)


def _kind(path: Path, folder: Path, home: Path) -> str:
    """The kind of a file below `folder`, by its name."""
    below = f"{home.name}/{path.relative_to(home)}" if path.is_relative_to(home) else str(path.relative_to(folder))
    for kind, patterns in _BY_NAME:
        if any(fnmatchcase(below if "/" in pattern else path.name, pattern) for pattern in patterns):
            return kind if path.name != ".env.example" else THE_REST
    if path.suffix == ".ipynb":
        return "papermill output" if _is_papermills(path) else "notebook"
    return THE_REST


def _is_papermills(path: Path) -> bool:
    try:
        return path.stat().st_size < _MAY_BE_A_NOTEBOOK_BYTES and b'"papermill"' in path.read_bytes()
    except OSError:
        return False  # said when it is looked at


def _below(folder: Path, leave_out: _LeaveOut, without: Iterable[str] = ()) -> Iterator[Path]:
    """The files below `folder`, without virtual environments and other git folders' objects; links to folders are not
    followed."""
    errors: list[OSError] = []
    for name, folders, files in os.walk(folder, onerror=errors.append):
        here = Path(name)
        if "pyvenv.cfg" in files or here.name == "node_modules":
            leave_out(here, "installed packages")
            folders.clear()
            continue
        if ".git" in folders and here != folder:
            leave_out(here / ".git", "another git repository: sweep it from its own folder")
        folders[:] = sorted(set(folders) - set(without) - {".git"})
        without = ()
        yield from (here / file for file in sorted(files))
    for error in errors:
        if not isinstance(error, FileNotFoundError):
            leave_out(Path(error.filename), error.strerror or "not readable")


def _glob(folder: Path, patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        try:
            yield from sorted(folder.glob(pattern))
        except OSError:
            continue  # the folder itself cannot be listed by this user


def _processes(proc: Path) -> Iterator[Place]:
    """Environment and arguments of this user's processes, as they were when the process started."""
    if not (proc / "self" / "environ").exists() and not any(proc.glob("[0-9]*")):
        why = f"{sys.platform} shows no process's environment as a file"
        yield Place("process environment", proc, "processes of this user", why_not=why)
        return
    for folder in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            if folder.stat().st_uid != os.getuid():
                continue
            name = (folder / "comm").read_text(errors="replace").strip()
        except OSError:
            continue  # it has ended
        for kind, file in (("process environment", "environ"), ("process arguments", "cmdline")):
            yield Place(kind, folder / file, f"process {folder.name} ({name})", named=False)

"""The SQLite file: made owner-only before its first byte, in WAL mode, migrated at open."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

from quantlab.model import NotFound, QuantlabError, Refused

FILE_NAME = "quantlab.sqlite"
#: The newest migration: a database that has it is opened without loading Alembic.
HEAD = "0006"


def database_path(home: Path) -> Path:
    return home / FILE_NAME


def prepare(home: Path, *, create: bool) -> Path:
    """Make sure that `home` has a database at the newest schema; returns its path.

    Raises NotFound when there is none and `create` is false, Refused when others can read it, QuantlabError when the
    file is no database or of a newer quantlab.
    """
    path = database_path(home)
    if not path.exists():
        if not create:
            raise NotFound(f"no database at {path}: no run was made here yet")
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))  # SQLite gives -wal and -shm the mode of this file
    if path.stat().st_mode & 0o077:
        raise Refused(f"others can read {path}: type `chmod 600 {path}`")
    try:
        with _alone(home):  # two processes that open a new home at once must not both make it
            if _revision(path) != HEAD:
                _migrate(path)
    except sqlite3.OperationalError as error:
        raise QuantlabError(f"{path} cannot be opened ({words(error)}): look at disk space and permissions") from error
    except sqlite3.DatabaseError as error:
        raise QuantlabError(
            f"{path} cannot be opened as a database ({words(error)}): restore it from a backup"
        ) from error
    return path


def connect(path: Path) -> sqlite3.Connection:
    """A connection in WAL mode with `synchronous=FULL`: what was committed survives a power failure.

    Readers take the same kind: in WAL mode they too write, to the shared index. Never makes a file.
    """
    uri = f"{path.resolve().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        if sys.platform == "darwin":  # there fsync alone does not reach the platter
            connection.execute("PRAGMA fullfsync=ON")
            connection.execute("PRAGMA checkpoint_fullfsync=ON")
    except BaseException:
        connection.close()
        raise
    return connection


def words(error: Exception) -> str:
    """An error's own words on one line. They may repeat what somebody wrote into the file, terminal codes too."""
    return "".join(char if char.isprintable() else "?" for char in " ".join(str(error).split()))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    descriptor = os.open(home / "migrate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _revision(path: Path) -> str | None:
    connection = connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return None
        raise
    finally:
        connection.close()


def _migrate(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", str(files("quantlab.ledger") / "migrations"))
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            # All of it or nothing, and one process at a time: the next one finds it done.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise QuantlabError(f"{path} was made by a newer quantlab: update this one ({error})") from error
    except SQLAlchemyError as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise QuantlabError(f"{path} cannot be written ({reason}): free disk space, then try again") from error
    finally:
        engine.dispose()

"""Promise: an edit of `.env` changes the lines it names and no other byte; whatever fails or dies in between, the old
file or the new one is there, whole and owner-only, and no copy of a secret lies beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantlab import redact
from quantlab.model import ConfigurationError, QuantlabError, Refused
from quantlab.settings import SECRET_NAMES, SETTING_NAMES, load_settings, parse_env
from quantlab.vault import envfile
from quantlab.vault.envfile import clean_up, put, take_out

SECRET = "canary-of-nobody-1234"
KEYS = ("BINANCE_API_KEY", "BINANCE_API_SECRET")
PEM = r"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_forms", ())


@pytest.fixture
def env(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o600)
    return path


def read(path: Path) -> dict[str, str]:
    return {line.name: line.value for line in parse_env(path.read_bytes(), path)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- taking out ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# a\nBINANCE_API_KEY=k\nAPI_PORT=1\n", "# a\nAPI_PORT=1\n"),
        ("BINANCE_API_KEY=k", ""),
        ("# a\nBINANCE_API_KEY=k", "# a\n"),
        ("BINANCE_API_KEY=k\nAPI_PORT=1", "API_PORT=1"),
        ("\ufeffBINANCE_API_KEY=k\r\nAPI_PORT = 1 \r\n", "\ufeffAPI_PORT = 1 \r\n"),
        ("\ufeff# grüße\nexport BINANCE_API_SECRET = 's # t' # mine\n\n\n", "\ufeff# grüße\n\n\n"),
        (f"  BINANCE_API_KEY=k  \n\tAPI_PORT='1' \nBINANCE_API_SECRET={PEM}\n", "\tAPI_PORT='1' \n"),
        ("# a\rBINANCE_API_KEY=k\r# b\n", "# a\r# b\n"),
        ("# BINANCE_API_KEY=old\n", "# BINANCE_API_KEY=old\n"),
        ("", ""),
    ],
)
def test_only_the_named_lines_go(env: Path, before: str, after: str) -> None:
    write(env, before)
    take_out(env, KEYS)
    assert env.read_bytes() == after.encode()
    assert mode(env) == 0o600


def test_a_note_stands_in_the_place_of_a_line(env: Path) -> None:
    write(env, "API_PORT=1\r\nexport BINANCE_API_KEY=k\r\nBINANCE_API_SECRET=s")
    take_out(env, KEYS, note="in the vault since 2026-11-23")
    note = "in the vault since 2026-11-23"
    assert env.read_bytes().decode() == f"API_PORT=1\r\n# BINANCE_API_KEY: {note}\r\n# BINANCE_API_SECRET: {note}"
    with pytest.raises(ConfigurationError, match="one line"):
        take_out(env, KEYS, note="two\nlines")


def test_where_nothing_is_to_do_nothing_is_touched(env: Path) -> None:
    take_out(env, KEYS)
    assert not env.exists()
    write(env, "API_PORT=1\n")
    before = env.stat()
    take_out(env, KEYS)
    put(env, "API_PORT", "1")
    after = env.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


# -- putting in ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "VAULT_PASSWORD=new\n"),
        ("", "VAULT_PASSWORD=new\n"),
        ("# a\n", "# a\nVAULT_PASSWORD=new\n"),
        ("# a\r\n", "# a\r\nVAULT_PASSWORD=new\r\n"),
        ("# a\r\n# b", "# a\r\n# b\r\nVAULT_PASSWORD=new"),
        ("# a", "# a\nVAULT_PASSWORD=new"),
        ("\ufeff# a\nVAULT_PASSWORD='old' # mine\n# b\n", "\ufeff# a\nVAULT_PASSWORD=new\n# b\n"),
        ("export VAULT_PASSWORD=old", "export VAULT_PASSWORD=new"),
        ("#VAULT_PASSWORD=\n", "#VAULT_PASSWORD=\nVAULT_PASSWORD=new\n"),
    ],
)
def test_a_value_is_set_in_its_line_or_in_a_new_one(env: Path, before: str | None, after: str) -> None:
    if before is not None:
        write(env, before)
    put(env, "VAULT_PASSWORD", "new")
    assert env.read_bytes() == after.encode()
    assert mode(env) == 0o600


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("plain-1_2.3/4+5=", "plain-1_2.3/4+5="),
        ("two words", "'two words'"),
        ("a # b", "'a # b'"),
        ("#b", "'#b'"),
        ("it's", '"it\'s"'),
        ('say "hi"', "'say \"hi\"'"),
        ("$HOME", "'$HOME'"),
        ("'quoted'", "\"'quoted'\""),
        ("schlüssel", "'schlüssel'"),
        (PEM, f"'{PEM}'"),
    ],
)
def test_what_is_put_is_read_back(env: Path, value: str, line: str) -> None:
    put(env, "VAULT_PASSWORD", value)
    assert env.read_text() == f"VAULT_PASSWORD={line}\n"
    password = load_settings(env.parent, environ={}).vault_password
    assert password is not None and password.get_secret_value() == value


@pytest.mark.parametrize(
    "value", ["", " ", "a\nb", "a\r", "a\x00b", "a\u2028b", "a\x85b", " a", "a ", "\"'", "a\x1b[0m", "a\udc80"]
)
def test_what_one_line_cannot_hold_is_refused_and_not_shown(env: Path, value: str) -> None:
    write(env, "# mine\n")
    with pytest.raises(ConfigurationError, match="cannot be written on one line") as raised:
        put(env, "VAULT_PASSWORD", value and value + SECRET + value)
    assert SECRET not in str(raised.value)
    assert env.read_text() == "# mine\n"


def test_a_name_that_settings_do_not_know_is_refused(env: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a setting"):
        put(env, "VAULT_PASSWORT", "x")
    assert not env.exists()


def test_what_is_put_is_a_secret_from_then_on(env: Path) -> None:
    put(env, "VAULT_PASSWORD", SECRET)
    assert redact.redact(SECRET) == redact.MASK
    put(env, "API_HOST", "public-host.example")
    assert redact.redact("public-host.example") == "public-host.example", "control: a public value"


# -- any file at all -------------------------------------------------------------------------------------------------

_VALUES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=12)
_ENDS = st.sampled_from(["\n", "\r\n", "\r", "\x0b", "\u2028"])


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Files that settings accept or refuse, with any line ends, quotes, comments and a mark or none."""
    text = draw(st.sampled_from(["", "\ufeff"]))
    for name in draw(st.lists(st.sampled_from(sorted(SETTING_NAMES)), unique=True, max_size=6)):
        text += draw(st.sampled_from(["", "# note\n", "\n", "  # " + draw(_VALUES) + "\r\n"]))
        quote = draw(st.sampled_from(["", "'", '"']))
        text += draw(st.sampled_from(["", " ", "export ", "\t"])) + name + draw(st.sampled_from(["=", " = "]))
        text += quote + draw(_VALUES) + quote + draw(st.sampled_from(["", " # why", " "])) + draw(_ENDS)
    return text.encode() if draw(st.booleans()) else text.rstrip("\r\n").encode()


@given(files(), st.sets(st.sampled_from(sorted(SECRET_NAMES))), st.sampled_from([None, "gone"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_file_says_the_same_but_for_what_was_taken_out(
    tmp_path: Path, data: bytes, names: set[str], note: str | None
) -> None:
    env = write(tmp_path / ".env", data)
    try:
        before = read(env)
    except ConfigurationError:
        with pytest.raises(ConfigurationError):
            take_out(env, names, note)
        assert env.read_bytes() == data
        return
    take_out(env, names, note)
    assert read(env) == {name: value for name, value in before.items() if name not in names}
    kept = [line for line in data.decode().splitlines(keepends=True) if not any(name in line for name in names)]
    if note is None and not any(name in data.decode() for name in names):
        assert env.read_bytes() == data
    for line in kept:
        assert line.removeprefix("\ufeff") in env.read_bytes().decode()


@given(files(), st.sampled_from(sorted(SETTING_NAMES)), _VALUES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_any_file_says_the_same_but_for_what_was_put(tmp_path: Path, data: bytes, name: str, value: str) -> None:
    env = write(tmp_path / ".env", data)
    try:
        before = read(env)
        put(env, name, value)
    except ConfigurationError:
        assert env.read_bytes() == data
    else:
        assert read(env) == before | {name: value}


# -- files that are not edited ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("edit", [lambda env: take_out(env, KEYS), lambda env: put(env, "API_PORT", "9")])
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (f"BINANCE_API_KEY={SECRET}\nBINANCE_API_KEY={SECRET}\n", ConfigurationError, "stands in line 1 already"),
        (f"BINANCE_API_SECRET={SECRET}\nno equals {SECRET}\n", ConfigurationError, "not NAME=value"),
        (f"BINANCE_API_SECRET='-----BEGIN\n{SECRET}==\n'\n", ConfigurationError, "not a setting|not NAME=value"),
        (b"BINANCE_API_KEY=\xff", ConfigurationError, "not UTF-8"),
    ],
)
def test_what_settings_refuse_is_not_edited(
    env: Path, edit: Callable[[Path], None], text: str | bytes, error: type[Exception], words: str
) -> None:
    write(env, text)
    before = env.read_bytes()
    with pytest.raises(error, match=words) as raised:
        edit(env)
    assert SECRET not in str(raised.value)
    assert env.read_bytes() == before and os.listdir(env.parent) == [".env"]


@pytest.mark.parametrize("others", [0o640, 0o604, 0o622])
def test_a_file_that_others_can_read_is_refused_with_the_words_to_type(env: Path, others: int) -> None:
    write(env, "BINANCE_API_KEY=k\n").chmod(others)
    with pytest.raises(Refused, match=r"chmod 600 .*\.env"):
        take_out(env, KEYS)
    assert env.read_text() == "BINANCE_API_KEY=k\n" and mode(env) == others
    env.chmod(0o600)
    take_out(env, KEYS)
    assert env.read_text() == "", "control: owner-only"


def test_a_file_with_a_second_name_is_refused(env: Path) -> None:
    write(env, "BINANCE_API_KEY=k\n")
    second = env.parent / "second"
    os.link(env, second)
    with pytest.raises(Refused, match="hard link"):
        take_out(env, KEYS)
    second.unlink()
    take_out(env, KEYS)
    assert env.read_text() == "", "control: one name"


def test_a_pipe_is_not_read(env: Path) -> None:
    os.mkfifo(env, 0o600)
    with pytest.raises(Refused, match="a pipe"):
        take_out(env, KEYS)


def test_a_symbolic_link_stays_and_its_target_is_replaced(env: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = write(elsewhere / "secrets.env", "BINANCE_API_KEY=k\n# kept\n")
    env.symlink_to(Path("elsewhere") / "secrets.env")
    take_out(env, KEYS)
    assert env.is_symlink() and env.resolve() == target
    assert target.read_text() == "# kept\n" and os.listdir(elsewhere) == ["secrets.env"]
    put(env, "VAULT_PASSWORD", "new")
    assert env.is_symlink() and target.read_text() == "# kept\nVAULT_PASSWORD=new\n"


def test_a_link_to_itself_is_one_line(env: Path) -> None:
    env.symlink_to(".env")
    with pytest.raises(QuantlabError, match=r"\.env"):
        take_out(env, KEYS)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root edits files of others")
def test_the_owner_stays_the_owner(env: Path) -> None:
    write(env, "BINANCE_API_KEY=k\n")
    os.chown(env, 12345, 23456)
    take_out(env, KEYS)
    assert (env.stat().st_uid, env.stat().st_gid, mode(env)) == (12345, 23456, 0o600)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_owner_only_whatever_the_umask(env: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        put(env, "VAULT_PASSWORD", "one")
        put(env, "VAULT_PASSWORD", "two")
    finally:
        os.umask(old)
    assert mode(env) == 0o600 and env.read_text() == "VAULT_PASSWORD=two\n"


def test_an_edit_by_somebody_else_meanwhile_is_not_lost(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(env, "BINANCE_API_KEY=k\n")
    flush = envfile._flush

    def meanwhile(descriptor: int) -> None:
        flush(descriptor)
        write(env, "BINANCE_API_KEY=k\nAPI_PORT=9\n")

    with monkeypatch.context() as patch:
        patch.setattr(envfile, "_flush", meanwhile)
        with pytest.raises(QuantlabError, match="changed by somebody else"):
            take_out(env, KEYS)
    assert env.read_text() == "BINANCE_API_KEY=k\nAPI_PORT=9\n" and os.listdir(env.parent) == [".env"]
    take_out(env, KEYS)
    assert env.read_text() == "API_PORT=9\n", "control: nobody meddles"


# -- faults ----------------------------------------------------------------------------------------------------------

OLD = f"# mine\nBINANCE_API_KEY={SECRET}\nVAULT_PASSWORD={SECRET}-too\n"
NEW = f"# mine\nVAULT_PASSWORD={SECRET}-too\n"
#: What an edit asks of the system, in this order.
CALLS = ["open", "flock", "read_env", "open", "fchmod", "write", "fsync", "close", "lstat", "replace", "fsync"]


@contextlib.contextmanager
def watched(monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], None], *, after: bool) -> Iterator[list[str]]:
    """Calls of the system during an edit, in order; `act` happens before (or after) the one numbered `at`."""
    seen: list[str] = []
    busy = [False]

    def wrap(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def call(*arguments: object, **options: object) -> object:
            if busy[0]:
                return real(*arguments, **options)
            seen.append(name)
            here = len(seen) - 1 == at
            busy[0] = True
            try:
                early = here and not after and name != "close"  # close(2) closes whatever it says
                if early:
                    act()
                result = real(*arguments, **options)
                if here and not early:
                    act()
            finally:
                busy[0] = False
            return result

        patch.setattr(owner, name, call)

    with monkeypatch.context() as patch:
        for name in ("open", "fchmod", "fchown", "write", "fsync", "close"):
            wrap(envfile.os, name)
        wrap(envfile.fcntl, "flock")
        wrap(envfile, "read_env")
        for name in ("replace", "unlink", "lstat"):
            wrap(Path, name)
        yield seen


def calls_of(monkeypatch: pytest.MonkeyPatch, env: Path) -> list[str]:
    write(env, OLD)
    with watched(monkeypatch, -1, lambda: None, after=False) as seen:
        take_out(env, KEYS)
    assert env.read_text() == NEW
    return list(seen)


def check_whole(env: Path) -> None:
    assert env.read_text() in (OLD, NEW)
    assert mode(env) == 0o600


@pytest.mark.skipif(sys.platform != "linux", reason="macOS flushes by another call")
def test_an_edit_asks_what_it_should_in_order(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter(calls_of(monkeypatch, env))
    assert all(call in seen for call in CALLS), "a subsequence: on disk first, in place then, the folder last"


@pytest.mark.parametrize("after", [False, True])
def test_a_fault_at_any_step_leaves_a_whole_file_and_no_copy(
    env: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    steps = calls_of(monkeypatch, env)
    cleaning = [OSError(5, "Input/output error"), OSError(28, "No space left on device"), KeyboardInterrupt()]
    for at in range(len(steps)):
        for error in cleaning:
            write(env, OLD)

            def fail(error: BaseException = error) -> None:
                raise error

            raised: BaseException | None = None
            with watched(monkeypatch, at, fail, after=after):
                try:
                    take_out(env, KEYS)
                except (QuantlabError, KeyboardInterrupt) as problem:
                    raised = problem
            check_whole(env)
            assert env.read_text() == NEW or raised is not None, (steps[at], "a failure is never silent")
            if steps[at] != "open":  # the very moment after the file was made: the next edit clears it away
                assert os.listdir(env.parent) == [".env"], steps[at]
            assert SECRET not in str(raised)
            clean_up(env)
            assert os.listdir(env.parent) == [".env"], steps[at]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_at_any_step_leaves_a_whole_file_and_the_next_edit_clears_up(
    env: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    steps = calls_of(monkeypatch, env)
    results = set()
    for at in range(len(steps)):
        write(env, OLD)
        child = os.fork()
        if child == 0:
            try:
                with watched(monkeypatch, at, lambda: os.kill(os.getpid(), signal.SIGKILL), after=after):
                    take_out(env, KEYS)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, steps[at]
        check_whole(env)
        results.add(env.read_text())
        for left in env.parent.iterdir():
            assert mode(left) & 0o077 == 0
        take_out(env, KEYS)
        assert env.read_text() == NEW and os.listdir(env.parent) == [".env"], steps[at]
    assert results == {OLD, NEW}, "control: some kills came before the new file stood there, some after"


def test_two_edits_at_once_wait_for_each_other(env: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(env, OLD)
    folder = os.open(env.parent, os.O_RDONLY)
    try:
        envfile.fcntl.flock(folder, envfile.fcntl.LOCK_EX)
        monkeypatch.setattr(envfile, "_WAIT_S", 0.0)
        with pytest.raises(QuantlabError, match="another process"):
            take_out(env, KEYS)
    finally:
        os.close(folder)
    assert env.read_text() == OLD
    take_out(env, KEYS)
    assert env.read_text() == NEW, "control: the lock ends with its owner"


def test_what_a_killed_edit_left_is_found_by_name(env: Path) -> None:
    write(env, OLD)
    left = write(env.parent / ".env.quantlab-next", SECRET)
    clean_up(env)
    assert not left.exists() and env.read_text() == OLD
    clean_up(env.parent / "absent" / ".env")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_refuses_is_one_line(env: Path) -> None:
    write(env, OLD)
    env.parent.chmod(0o500)
    try:
        with pytest.raises(QuantlabError, match="cannot be changed"):
            take_out(env, KEYS)
    finally:
        env.parent.chmod(0o700)
    assert env.read_text() == OLD

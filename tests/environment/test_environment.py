"""Promise: what is exported is handed over in a pipe that only the right process reads; children get what they need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from quantlab import environment, redact
from quantlab.environment import (
    DESCRIPTOR_NAME,
    SECRET_NAMES,
    CannotLeave,
    held_secrets,
    hold_secrets,
    leave_environment,
    popen_secretly,
    scrubbed,
)
from quantlab.model import ConfigurationError
from quantlab.settings import load_settings

CANARY = "canary-of-nobody-1234"
#: What a process that left its environment knows of it: as JSON, arguments and open descriptors too.
TELL = """
import json, os, sys
from quantlab.environment import held_secrets, leave_environment
leave_environment()
from quantlab.settings import SECRET_NAMES, load_settings
password = load_settings().vault_password
print(json.dumps({
    "held": held_secrets(),
    "names": sorted(set(os.environ) & (SECRET_NAMES | {"QUANTLAB_SECRETS_FD"})),
    "arguments": sys.argv[1:],
    "open": [n for n in range(3, 64) if os.path.exists(f"/dev/fd/{n}") and os.get_inheritable(n)],
    "pid": os.getpid(),
    "password": password and password.get_secret_value(),
    "initial": open("/proc/self/environ", "rb").read().hex() if sys.platform == "linux" else "",
}))
"""


@pytest.fixture(autouse=True)
def _nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_held", {})
    monkeypatch.setattr(redact, "_forms", ())


def tell(*arguments: str, **exported: str) -> dict[str, object]:
    """What a process says that started with these variables."""
    done = subprocess.run(
        [sys.executable, "-c", TELL, *arguments],
        env={**os.environ, **exported},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


# -- one place -------------------------------------------------------------------------------------------------------


def test_scrubbed_is_what_a_child_without_secrets_gets() -> None:
    given = dict.fromkeys(SECRET_NAMES, CANARY) | {"VAULT_TOKEN": CANARY, "API_KEY": CANARY, "PATH": "p"}
    given |= {"QUANTLAB_MARKET": "replay", DESCRIPTOR_NAME: "7:1:2"}
    assert scrubbed(given) == {"PATH": "p"}
    assert scrubbed(given, public=True) == {"PATH": "p", "QUANTLAB_MARKET": "replay"}


def test_what_is_held_counts_as_environment_and_is_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("VAULT_PASSWORD=from-the-file\n")
    (tmp_path / ".env").chmod(0o600)

    def password() -> str | None:
        found = load_settings(tmp_path).vault_password
        return found.get_secret_value() if found else None

    assert password() == "from-the-file"
    hold_secrets({"VAULT_PASSWORD": CANARY})
    assert password() == CANARY
    assert redact.redact(CANARY) == redact.MASK
    monkeypatch.setenv("VAULT_PASSWORD", "set-later-by-the-process")
    assert password() == "set-later-by-the-process"
    monkeypatch.delenv("VAULT_PASSWORD")
    hold_secrets({"VAULT_PASSWORD": ""})
    assert password() is None, "an empty value overrides the file, as it does in the environment"
    assert load_settings(tmp_path, environ={}).vault_password is not None, "control: only the process's own"


# -- leaving ---------------------------------------------------------------------------------------------------------


def test_a_process_leaves_its_environment_and_keeps_all_else() -> None:
    exported = dict.fromkeys(SECRET_NAMES, CANARY)
    told = tell("two words", "--ü", **exported)
    assert told["held"] == exported
    assert told["password"] == CANARY
    assert told["arguments"] == ["two words", "--ü"]
    assert (told["names"], told["open"]) == ([], []), "neither variable nor descriptor is left"
    if sys.platform == "linux":
        assert CANARY.encode().hex() not in str(told["initial"])
        assert DESCRIPTOR_NAME.encode().hex() in str(told["initial"]), "control: it started a second time"


def test_without_a_secret_nothing_happens() -> None:
    for exported in ({}, {"VAULT_PASSWORD": ""}, {"VAULT_PASSWORD": "  "}):
        told = tell(**exported)
        assert told["held"] == {} and told["password"] is None
        assert DESCRIPTOR_NAME.encode().hex() not in str(told["initial"])


def test_an_empty_value_leaves_with_the_others() -> None:
    assert tell(VAULT_PASSWORD=CANARY, API_BEARER_TOKEN="")["held"] == {
        "VAULT_PASSWORD": CANARY,
        "API_BEARER_TOKEN": "",
    }


def test_line_ends_and_bytes_that_are_no_text_arrive() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n"
    odd = os.fsdecode(b"not \xff\xfe UTF-8")
    assert tell(BINANCE_API_SECRET=pem, BINANCE_API_KEY=odd)["held"] == {
        "BINANCE_API_SECRET": pem,
        "BINANCE_API_KEY": odd,
    }


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
def test_more_than_a_pipe_holds_arrives_too() -> None:
    exported = {name: letter * 100_000 for name, letter in zip(sorted(SECRET_NAMES), "abcd", strict=True)}
    told = tell(**exported)
    assert told["held"] == exported and told["open"] == []


def test_more_than_a_pipe_holds_is_refused_where_there_is_no_memory_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("started without its secrets"))
    monkeypatch.setenv("VAULT_PASSWORD", "x" * 1_000_000)
    with pytest.raises(CannotLeave, match="too long"):
        leave_environment()


def test_the_same_command_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, list[str], dict[str, str], dict[str, str]]] = []

    def execve(path: str, arguments: list[str], environ: dict[str, str]) -> None:
        number, rest = environ[DESCRIPTOR_NAME].split(":", 1)
        assert os.get_inheritable(int(number))
        received = environment._received(f"{os.dup(int(number))}:{rest}")
        calls.append((path, arguments, environ, received))

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "dev", "-m", "quantlab", "status"])
    monkeypatch.setenv("VAULT_PASSWORD", CANARY)
    leave_environment()
    (path, arguments, environ, received), *_ = calls
    assert path == arguments[0] == sys.executable
    assert arguments[1:] == ["-X", "dev", "-m", "quantlab", "status"]
    assert CANARY not in environ.values() and environ["PATH"] == os.environ["PATH"]
    assert received == {"VAULT_PASSWORD": CANARY}


def test_a_system_that_refuses_is_one_line_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setenv("VAULT_PASSWORD", CANARY)
    monkeypatch.setattr(os, "execve", execve)
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(CannotLeave, match=r"Operation not permitted.*\.env") as raised:
        leave_environment()
    assert CANARY not in str(raised.value) and "\n" not in str(raised.value)
    assert set(os.listdir("/dev/fd")) == before, "no descriptor is left"
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(CannotLeave, match="its own path"):
        leave_environment()


# -- a descriptor that is not ours -----------------------------------------------------------------------------------


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of somebody's pipe, with something in it."""
    reading, writing = os.pipe()
    os.write(writing, json.dumps({"VAULT_PASSWORD": CANARY}).encode())
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


def announced(descriptor: int, length: int | None = None, inode: int | None = None) -> str:
    size = len(json.dumps({"VAULT_PASSWORD": CANARY}))
    return (
        f"{descriptor}:{os.fstat(descriptor).st_ino if inode is None else inode}:{size if length is None else length}"
    )


@pytest.mark.parametrize(
    "name",
    [
        lambda r, w: str(r),
        lambda r, w: "",
        lambda r, w: "0",
        lambda r, w: "-1:1:1",
        lambda r, w: "9999:1:1",
        lambda r, w: "99999999999999999999:1:1",
        lambda r, w: f" {announced(r)}",
        lambda r, w: "٣:1:1",
        lambda r, w: announced(r, length=5),
        lambda r, w: announced(r, length=500),
        pytest.param(
            lambda r, w: announced(r, inode=1),
            marks=pytest.mark.skipif(sys.platform == "darwin", reason="pipes have no inode there"),
        ),
        lambda r, w: announced(w),
    ],
)
def test_what_is_not_ours_is_refused_unread(
    name: Callable[[int, int], str], pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DESCRIPTOR_NAME, name(*pipe))
    with pytest.raises(CannotLeave, match=f"{DESCRIPTOR_NAME} is quantlab's own.*unset it"):
        leave_environment()
    assert held_secrets() == {}
    assert CANARY in os.read(pipe[0], 1000).decode(), "nobody read it, nobody closed it"


def test_what_is_ours_is_read_once_and_closed(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    copy = os.dup(pipe[0])
    monkeypatch.setenv(DESCRIPTOR_NAME, announced(copy))
    leave_environment()
    assert held_secrets() == {"VAULT_PASSWORD": CANARY}
    assert DESCRIPTOR_NAME not in os.environ
    with pytest.raises(OSError):
        os.fstat(copy)


@pytest.mark.parametrize("content", [b"no JSON at all", b"[1, 2]", b'"x"', b"\xff\xfe"])
def test_a_pipe_with_something_else_in_it_is_one_line(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    monkeypatch.setenv(DESCRIPTOR_NAME, announced(reading, length=len(content)))
    with pytest.raises(CannotLeave, match="did not write"):
        leave_environment()


def test_a_file_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text(json.dumps({"VAULT_PASSWORD": CANARY}))
    with (tmp_path / "file").open("rb") as file:
        monkeypatch.setenv(DESCRIPTOR_NAME, announced(file.fileno()))
        with pytest.raises(CannotLeave):
            leave_environment()
        assert file.tell() == 0


def test_standard_input_is_never_read() -> None:
    """Whatever it is: it belongs to the user."""
    code = "import os; os.environ['QUANTLAB_SECRETS_FD'] = f'0:{os.fstat(0).st_ino}:2'\n"
    code += "from quantlab.environment import leave_environment, CannotLeave\n"
    code += "try: leave_environment()\nexcept CannotLeave: print(input())"
    done = subprocess.run([sys.executable, "-c", code], input="{}", capture_output=True, text=True, timeout=30)
    assert done.stdout.strip() == "{}", done.stderr


def test_outside_the_command_the_name_is_refused_like_any_unknown_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"quantlab's own.*unset it"):
        load_settings(tmp_path, environ={DESCRIPTOR_NAME: "7:1:2"})
    assert load_settings(tmp_path, environ={}).market == "mainnet", "control"


# -- children --------------------------------------------------------------------------------------------------------


def told_by_child(**options: object) -> dict[str, object]:
    process = popen_secretly([sys.executable, "-c", TELL], stdout=subprocess.PIPE, **options)
    output, _ = process.communicate(timeout=30)
    answer: dict[str, object] = json.loads(output)
    return answer


def test_a_child_gets_secrets_by_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    hold_secrets({"VAULT_PASSWORD": CANARY})
    monkeypatch.setenv("API_BEARER_TOKEN", CANARY + "-token")
    before = set(os.listdir("/dev/fd"))
    told = told_by_child()
    assert told["held"] == {"VAULT_PASSWORD": CANARY, "API_BEARER_TOKEN": CANARY + "-token"}
    assert CANARY.encode().hex() not in str(told["initial"])
    assert (told["names"], told["open"]) == ([], [])
    assert set(os.listdir("/dev/fd")) == before
    assert os.environ["API_BEARER_TOKEN"] == CANARY + "-token", "the caller's own stays as it is"


def test_a_childs_given_environment_is_cleaned_as_well() -> None:
    told = told_by_child(env={**os.environ, "VAULT_PASSWORD": CANARY, DESCRIPTOR_NAME: "7:1:2"})
    assert told["held"] == {"VAULT_PASSWORD": CANARY}
    assert CANARY.encode().hex() not in str(told["initial"])


def test_a_child_of_a_process_without_secrets_gets_none() -> None:
    told = told_by_child()
    assert told["held"] == {} and DESCRIPTOR_NAME.encode().hex() not in str(told["initial"])


def test_other_descriptors_are_passed_on(pipe: tuple[int, int]) -> None:
    hold_secrets({"VAULT_PASSWORD": CANARY})
    code = f"import os; print(os.read({pipe[0]}, 7))"
    process = popen_secretly([sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=(pipe[0],), text=True)
    assert process.communicate(timeout=30)[0].strip() == "b'{\"VAULT'"


def test_a_child_that_does_not_start_leaves_no_descriptor() -> None:
    hold_secrets({"VAULT_PASSWORD": CANARY})
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(FileNotFoundError):
        popen_secretly(["/no/such/program"])
    assert set(os.listdir("/dev/fd")) == before


def test_the_secrets_have_one_list() -> None:
    from quantlab import settings

    assert settings.SECRET_NAMES is SECRET_NAMES
    assert not {name for name in settings.PUBLIC_NAMES if name in SECRET_NAMES}
    assert DESCRIPTOR_NAME not in settings.SETTING_NAMES

"""Promise: a secret that lies anywhere a quantlab user's secrets get to is found, in whatever form, and is not shown;
a sweep that looked at nothing, or could not look, never says "clean"."""

from __future__ import annotations

import base64
import bz2
import codecs
import gzip
import html
import io
import json
import lzma
import os
import pickle
import secrets
import string
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from quantlab import redact as redaction
from quantlab.model.errors import ConfigurationError, QuantlabError
from quantlab.vault.sweep import Place, Report, places_of, sweep, sweep_patterns

ALPHABET = string.ascii_letters + string.digits
#: Made anew for each run of the tests: no file of this repository holds it.
CANARY = "aZ0" + "".join(secrets.choice(ALPHABET) for _ in range(61))
AWKWARD = 'pä$$wörd/with?all&"kinds"=of\\<' + secrets.token_hex(4)


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_forms", ())


def look(path: Path, *values: str, kind: str = "a file") -> Report:
    named = {f"secret {number}": value for number, value in enumerate(values or (CANARY,))}
    return sweep(named, [Place(kind, path, path.name)])


# -- forms ------------------------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "base64 at 0": lambda text: base64.b64encode(text.encode()),
    "base64 at 1": lambda text: base64.b64encode(b"a" + text.encode() + b"bc"),
    "base64 at 2": lambda text: base64.b64encode(b"ab" + text.encode() + b"c"),
    "base64, URL-safe": lambda text: base64.urlsafe_b64encode(b"\xff\xfe" + text.encode()),
    "base64 in lines": lambda text: base64.encodebytes(b"." * 40 + text.encode() + b"." * 40),
    "base64 in lines, JSON": lambda text: json.dumps(base64.encodebytes(b"." * 9 + text.encode()).decode()).encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "HEX": lambda text: text.encode().hex().upper().encode(),
    "URL": lambda text: quote(text, safe="").encode(),
    "every byte escaped": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "JSON": lambda text: json.dumps({"a": text}).encode(),
    "JSON, UTF-8": lambda text: json.dumps({"a": text}, ensure_ascii=False).encode(),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"a": text})).encode(),
    "HTML": lambda text: html.escape(text).encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16, big end first": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
}  # fmt: skip


@pytest.mark.parametrize("secret", [CANARY, AWKWARD], ids=["key", "password"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_with_its_place(tmp_path: Path, form: str, secret: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before " + b"-" * 1000)
    assert not look(file, secret), "control: nothing there yet"
    assert look(file, secret).files == {"a file": 1}
    planted = FORMS[form](secret)
    file.write_bytes(b"before " + b"-" * 1000 + planted + b" after")
    found = look(file, secret)
    assert found and all(finding[:3] == ("a file", "file", "secret 0") for finding in found)
    assert all(1007 <= finding.offset < 1007 + len(planted) for finding in found)
    assert secret not in repr(found)


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=8, max_size=80).filter(lambda text: len(text.strip()) >= 8),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
)
def test_base64_is_found_whatever_stands_around(
    tmp_path_factory: pytest.TempPathFactory, secret: str, before: bytes, after: bytes
) -> None:
    file = tmp_path_factory.mktemp("any") / "file"
    for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.encodebytes):
        file.write_bytes(encode(before + secret.encode() + after))
        if encode is not base64.encodebytes or len(secret.strip().encode()) >= 16:  # else it may break inside
            assert look(file, secret)


@pytest.mark.parametrize("key_type", ["ed25519", "rsa"])
def test_a_private_key_is_found_by_its_lines_its_bytes_and_its_seed(tmp_path: Path, key_type: str) -> None:
    private, other = (
        (ed25519.Ed25519PrivateKey.generate() if key_type == "ed25519" else rsa.generate_private_key(65537, 2048))
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        .decode()
        for _ in range(2)
    )
    der = base64.b64decode("".join(private.splitlines()[1:-1]))
    file = tmp_path / "file"
    spellings = [private.encode(), private.replace("\n", "\\n").encode(), json.dumps(private).encode(), der]
    spellings += [der.hex().encode(), base64.b64encode(private.encode()), base64.b64encode(b"." + der)]
    for spelled in spellings:
        file.write_bytes(b"x" + spelled)
        assert look(file, private)
        assert look(file, private.replace("\n", "\\n").strip()), "as .env spells it"
        assert not look(file, other), "control: another key of the same type"


def test_half_a_key_is_enough_and_half_a_password_is_not(tmp_path: Path) -> None:
    file = tmp_path / "page-of-a-database"
    file.write_bytes(CANARY[:32].encode() + b"\x00\x00\x00\x07" + b"correct horse battery ")
    assert [finding.form for finding in look(file)] == ["raw"]
    assert not look(file, "correct horse battery staple is not a key")


@pytest.mark.parametrize("at", [(4 << 20) - 70, (4 << 20) - 32, (4 << 20) - 1, 4 << 20, (8 << 20) - 5, (9 << 20) + 11])
def test_a_secret_across_two_blocks_is_found_where_it_is(tmp_path: Path, at: int) -> None:
    file = tmp_path / "large"
    with file.open("wb") as out:
        out.truncate(10 << 20)
        out.seek(at)
        out.write(CANARY.encode())
    assert [finding.offset for finding in look(file)] == [at]
    assert look(file).bytes == {"a file": 10 << 20}


# -- containers -------------------------------------------------------------------------------------------------------


def in_tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("folder/file")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def in_zip(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("package/module.py", data)
    return out.getvalue()


def in_input_log(data: bytes) -> bytes:
    packed = zstandard.compress(data)
    return b"quantlab input log 1\n" + struct.pack("<II", len(packed), zlib.crc32(packed)) + packed


CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
    "tar.gz": in_tar,
    "whl": in_zip,
    "qlog": in_input_log,
    "zst in whl": lambda data: in_zip(zstandard.compress(data)),
    "whl in tar.gz": lambda data: in_tar(in_zip(data)),
}


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_containers_are_opened_and_the_damaged_ones_said(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"file.{suffix.replace(' ', '_')}"
    words = b"words " * 5_000
    for data, leaks in ((words, False), (words + CANARY.encode() + words, True)):
        file.write_bytes(CONTAINERS[suffix](data))
        report = look(file)
        assert bool(report) == leaks and not report.notes
    # zstd may leave letters as they are: then it is seen from outside too
    assert suffix in ("zst", "qlog") or CANARY.encode() not in file.read_bytes()
    assert any("!" in finding.path and finding.offset == len(words) for finding in report)
    damaged = bytearray(CONTAINERS[suffix](secrets.token_bytes(20_000)))
    damaged[60:90] = bytes(30)
    file.write_bytes(damaged[:9_000])
    if suffix != "zst":  # without a checksum nobody can tell; what it holds is looked at
        assert {note.path for note in look(file).notes} == {file.name}


def test_what_is_too_deep_too_large_or_encrypted_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = CANARY.encode()
    for _ in range(5):
        data = gzip.compress(data)
    deep = tmp_path / "deep"
    deep.write_bytes(data)
    report = look(deep)
    assert not report and "more than 4 containers" in report.notes[0].why
    deep.write_bytes(gzip.decompress(data))
    assert look(deep), "control: one less"

    bomb = tmp_path / "bomb"
    bomb.write_bytes(gzip.compress(bytes(30 << 20) + CANARY.encode()))
    assert look(bomb)
    monkeypatch.setattr("quantlab.vault.sweep_streams.UNPACKED_BYTES", 20 << 20)
    report = look(bomb)
    assert not report and "unpacks to too much" in report.notes[0].why


def test_a_name_can_be_the_leak_and_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / f"backup-{CANARY}.txt"
    file.write_text("nothing")
    (finding,) = look(file)
    assert finding.form == "raw, in the name" and finding.offset == -1
    assert finding.path == "backup-[redacted].txt"
    file.rename(tmp_path / "a.zip")
    (tmp_path / "a.zip").write_bytes(in_zip(b"").replace(b"package/module.py", CANARY[:17].encode()))
    assert not look(tmp_path / "a.zip"), "control: a part of it is none"


# -- places -----------------------------------------------------------------------------------------------------------


class Machine:
    """A user's machine in a folder: checkout, state, home, temporary files and processes."""

    def __init__(self, base: Path) -> None:
        self.root, self.user, self.temp, self.proc = (base / name for name in ("lab", "user", "tmp", "proc"))
        self.home = self.root / ".quantlab"
        for folder in (self.home, self.user, self.temp, self.proc):
            folder.mkdir(parents=True)
        self.git("init", "--quiet")
        (self.root / ".env").write_text(f"BINANCE_API_SECRET={CANARY}\n")
        (self.root / ".gitignore").write_text(".env\n")
        (self.root / "README.md").write_text("a checkout\n")
        self.commit("first")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def put(self, name: str, data: bytes | None = None) -> None:
        place, _, rest = name.partition("/")
        path = {"root": self.root, "home": self.home, "user": self.user, "tmp": self.temp, "proc": self.proc}[
            place
        ] / rest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if data is not None else b"words, then " + CANARY.encode())

    def places(self) -> list[Place]:
        return places_of(self.root, self.home, user=self.user, temp=self.temp, proc=self.proc)

    def sweep(self) -> Report:
        return sweep({"canary": CANARY}, self.places())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "HISTFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    return Machine(tmp_path)


NOTEBOOK = {"cells": [{"cell_type": "code", "source": f"key = '{CANARY}'", "outputs": []}], "metadata": {}}
PAPERMILL = {"cells": [], "metadata": {"papermill": {"parameters": {"key": CANARY}}}}
PICTURE = {"cells": [{"outputs": [{"data": {"image/png": base64.encodebytes(b"PNG" + CANARY.encode()).decode()}}]}]}

#: Kind of artefact → where a leak of that kind is planted, and what.
PLANTS: list[tuple[str, str, bytes | None]] = [
    ("copy of .env", "root/.env.bak", None),
    ("copy of .env", "root/old/.env", None),
    ("database", "home/quantlab.sqlite", bytes(5000) + CANARY.encode()),
    ("write-ahead log", "home/quantlab.sqlite-wal", bytes(5000) + CANARY.encode()),
    ("shared memory of a database", "home/quantlab.sqlite-shm", None),
    ("backup", "home/backups/vault.sqlite", None),
    ("log", "home/logs/run-1.log", json.dumps({"url": f"https://x/?a={CANARY}"}).encode()),
    ("recording", "home/recordings/run-1.qlog", in_input_log(CANARY.encode())),
    ("report page", "root/reports/run-1/report.html", None),
    ("report notebook", "root/reports/run-1/report.ipynb", None),
    ("manifest", "root/reports/run-1/manifest.json", None),
    ("summary", "root/reports/run-1/summary.json", None),
    ("notebook", "root/notebooks/mine.ipynb", json.dumps(NOTEBOOK).encode()),
    ("notebook", "root/notebooks/plot.ipynb", json.dumps(PICTURE).encode()),
    ("papermill output", "root/out.ipynb", json.dumps(PAPERMILL).encode()),
    ("Jupyter checkpoint", "root/notebooks/.ipynb_checkpoints/mine-checkpoint.ipynb", None),
    ("IPython history", "user/.ipython/profile_default/history.sqlite", None),
    ("IPython start-up and settings", "user/.ipython/profile_default/startup/00-keys.py", None),
    ("shell history", "user/.bash_history", None),
    ("shell history", "user/.zsh_history", None),
    ("shell history", "user/.python_history", None),
    ("shell history", "user/.sqlite_history", None),
    ("Jupyter runtime", "user/.local/share/jupyter/runtime/kernel-1.json", None),
    ("Jupyter workspace and settings", "user/.jupyter/lab/workspaces/default.jupyterlab-workspace", None),
    ("editor history", "user/.config/Code/User/History/1/abc.env", None),
    ("quantlab's state folder", "user/.local/state/quantlab/vaults/1.json", None),
    ("editor file", "root/notes.txt.swp", None),
    ("pickle", "root/result.pkl", pickle.dumps({"secret": CANARY})),
    ("cache", "root/.pytest_cache/v/cache/lastfailed", None),
    ("cache", "root/lib/__pycache__/settings.pyc", None),
    ("built package", "root/dist/quantlab-1.whl", in_zip(CANARY.encode())),
    ("core dump", "root/core.4711", b"\x7fELF" + bytes(9000) + CANARY.encode()),
    ("temporary file", "tmp/quantlab-x/part", None),
    ("git's own files", "root/.git/config", f"[remote]\nurl = https://{CANARY}@host/\n".encode()),
    ("process environment", "proc/17/environ", f"HOME=/\0BINANCE_API_SECRET={CANARY}\0".encode()),
    ("process arguments", "proc/17/cmdline", f"curl\0-H\0X-MBX-APIKEY: {CANARY}\0".encode()),
    ("the rest of the tree", "root/anything.txt", None),
    ("the rest of the tree", "home/fleets/run-1.toml", None),
]


def test_a_clean_machine_is_clean_though_its_env_holds_the_secret(machine: Machine) -> None:
    machine.put("proc/17/comm", b"python")
    machine.put("proc/17/environ", b"HOME=/")
    machine.put("proc/18/comm", b"python-that-ends")
    report = machine.sweep()
    assert not report and report.files["git history"] >= 3 and report.files["process environment"] == 1
    assert not report.notes


@pytest.mark.parametrize(("kind", "name", "data"), PLANTS, ids=[name for _, name, _ in PLANTS])
def test_a_leak_is_found_in_each_kind_of_artefact(machine: Machine, kind: str, name: str, data: bytes | None) -> None:
    machine.put("proc/17/comm", b"python")
    machine.put(name, data)
    found = {(finding.kind, finding.secret) for finding in machine.sweep()}
    assert found == {(kind, "canary")}


def test_the_kinds_are_at_least_twenty() -> None:
    assert len({kind for kind, _, _ in PLANTS}) + 1 >= 20  # and git's history


@pytest.mark.parametrize(
    "how", ["deleted", "branch", "stash", "amended away", "packed", "tag message", "never committed"]
)
def test_git_history_is_searched_to_its_last_object(machine: Machine, how: str) -> None:
    leak = machine.root / "settings.py"
    leak.write_text(f"SECRET = '{CANARY}'\n")
    if how == "stash":
        machine.git("add", "--all")
        machine.git("stash")
        machine.git("stash", "drop")
    elif how == "branch":
        machine.git("checkout", "--quiet", "-b", "other")
        machine.commit("leak")
        machine.git("checkout", "--quiet", "-")
    elif how == "tag message":
        leak.unlink()
        machine.git("tag", "--annotate", "--message", f"key {CANARY}", "v1")
    elif how == "never committed":
        machine.git("add", "--all")
        machine.git("rm", "--cached", "--quiet", "settings.py")
        leak.unlink()
    else:
        machine.commit("leak")
        leak.unlink()
        if how == "amended away":
            machine.git("add", "--all")
            machine.git("commit", "--quiet", "--amend", "--allow-empty", "--message", "clean")
        else:
            machine.commit("clean")
        if how == "packed":
            machine.git("gc", "--quiet")
    assert not leak.exists() or how == "stash"
    found = [finding for finding in machine.sweep() if finding.kind == "git history"]
    assert len(found) == 1
    if how in ("deleted", "branch", "packed"):
        assert "settings.py" in found[0].path


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
def test_a_live_process_is_looked_into(machine: Machine) -> None:
    for environment, leaks in (({}, False), ({"SOME_TOKEN": CANARY}, True)):
        command = [sys.executable, "-c", "print('up', flush=True); input()"]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None
            process.stdout.readline()
            link = machine.proc / str(process.pid)
            link.symlink_to(f"/proc/{process.pid}")
            found = [(finding.kind, str(process.pid) in finding.path) for finding in machine.sweep()]
            assert found == ([("process environment", True)] if leaks else [])
            link.unlink()
        finally:
            process.communicate(b"\n", timeout=10)


# -- honesty ----------------------------------------------------------------------------------------------------------


def test_nothing_looked_at_is_never_clean(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no place"):
        sweep({"canary": CANARY}, [])
    with pytest.raises(ConfigurationError, match="no secret"):
        sweep({}, [Place("a file", tmp_path, "x")])
    with pytest.raises(ConfigurationError, match=r"^password is shorter than 8"):
        sweep({"password": "short"}, [Place("a file", tmp_path, "x")])
    with pytest.raises(QuantlabError, match="none of the 1 places could be read"):
        sweep({"canary": CANARY}, [Place("a file", tmp_path / "gone", "gone")])
    with pytest.raises(ConfigurationError, match="no place"):
        sweep_patterns([])


@pytest.fixture
def unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that cannot be opened, for root neither."""
    path = tmp_path / "unreadable"
    path.write_text("words")
    real = os.open

    def refuse(name: str | Path, *rest: int, **options: int) -> int:
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(name))
        return real(name, *rest, **options)

    monkeypatch.setattr(os, "open", refuse)
    yield path
    monkeypatch.undo()


def test_one_unreadable_file_is_a_note_and_the_rest_is_looked_at(tmp_path: Path, unreadable: Path) -> None:
    leak = tmp_path / "leak"
    leak.write_text(CANARY)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    paths = (unreadable, pipe, leak)
    report = sweep({"canary": CANARY}, [Place("a file", path, path.name) for path in paths])
    assert [(note.path, note.why) for note in report.notes] == [
        ("unreadable", "Permission denied"),
        ("pipe", "not a file"),
    ]
    assert [finding.path for finding in report] == ["leak"] and report.files == {"a file": 1}


def test_what_is_left_out_is_said(machine: Machine) -> None:
    machine.put("root/env/pyvenv.cfg")
    machine.put("root/vendor/.git/config")
    report = machine.sweep()
    assert [(note.path, note.why.split(":")[0]) for note in report.notes] == [
        ("env", "installed packages"),
        ("vendor/.git", "another git repository"),
    ] or report.notes[-1].path.startswith("processes")
    assert not report


def test_progress_counts_up_to_all(machine: Machine) -> None:
    told: list[tuple[int, int]] = []
    places = machine.places()
    sweep({"canary": CANARY}, places, progress=lambda done, of: told.append((done, of)))
    assert told == [(done, len(places)) for done in range(len(places) + 1)]


# -- what is not known ------------------------------------------------------------------------------------------------


def resembling(text: str, tmp_path: Path) -> list[tuple[str, str]]:
    file = tmp_path / "file.txt"
    file.write_text(text)
    return [(finding.secret, finding.form) for finding in sweep_patterns([Place("a file", file, "file.txt")])]


def test_patterns_find_keys_nobody_told_of(tmp_path: Path) -> None:
    key, other = CANARY, CANARY[::-1]
    signed = "https://api.example/api/v3/order?symbol=BTCUSDT&signature=" + secrets.token_hex(32)
    words = {
        "64 letters and digits, as Binance's keys are": f"my key is {key}.",
        "the signature of a request": signed,
        "an API key header": f"X-MBX-APIKEY: {secrets.token_hex(32)}",
        "a bearer token": f"Authorization: Bearer 1{secrets.token_hex(16)}",
        "a private key": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQ\n-----END PRIVATE KEY-----",
    }
    for kind, text in words.items():
        assert [secret for secret, _ in resembling(text, tmp_path)] == [kind]
    pair = resembling(f"API Key: {key}\nSecret Key: {other}\n", tmp_path)
    assert [form for _, form in pair] == ["alone", "beside another: a pair of keys"]
    far = f"{key} {'-' * ((4 << 20) - 30)} {other}"
    assert [form for _, form in resembling(far, tmp_path)] == ["alone", "alone"]


def test_patterns_leave_hashes_pictures_and_words_alone(tmp_path: Path) -> None:
    picture = base64.b64encode(secrets.token_bytes(200_000)).decode()
    words = f"sha256 {secrets.token_hex(32)} Bearer tokens, signature=… {picture} X-MBX-APIKEY: <your key>"
    assert resembling(words, tmp_path) == []

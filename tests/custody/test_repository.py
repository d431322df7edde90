"""Promise: neither the history of this repository nor what is built from it holds a secret; and one that did get in
would be found."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from quantlab.redact import SecretKind, secrets_in
from quantlab.settings import PUBLIC_NAMES, parse_env
from quantlab.vault.sweep import Place, sweep
from quantlab.vault.sweep_git import git_folder, objects
from quantlab.vault.sweep_places import GIT_HISTORY
from tests.custody.canaries import letters

ROOT = Path(__file__).resolve().parents[2]
#: What looks like a secret and is nobody's, by its SHA-256, with the reason. Tests make theirs when they run instead.
ALLOWED = {
    "23e9efa3ced6e70c7f2dbe0d08295f18f94b0cbd5c6026677e3bc51897ee31f2": "the secret key of the examples in Binance's "
    'spot REST docs, "SIGNED endpoint security": signatures are checked against what is printed there',
}
#: The least that a private key in PEM has is Ed25519's: 48 bytes, 64 letters of base64. Shorter ones are words.
_KEY_BODY = re.compile(r"PRIVATE KEY-----(?:\\n|\s)*(?:[A-Za-z0-9+/=](?:\\n|\s)*){64}")

Secrets = dict[str, str]


def looks_secret(pieces: Iterator[tuple[str, bytes]]) -> Secrets:
    """Digest → kind and place of all that looks like a secret. Its own value is not kept."""
    found: Secrets = {}
    for name, data in pieces:
        text = data.decode(errors="replace")
        for seen in secrets_in(text, known=False):
            value = text[seen.start : seen.end]
            if seen.kind == SecretKind.PRIVATE_KEY and not _KEY_BODY.search(value):
                continue
            digest = hashlib.sha256(value.encode()).hexdigest()
            found.setdefault(digest, f"{seen.kind} in {name}")
    return found


# -- the history ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository() -> Path:
    found = git_folder(ROOT) if shutil.which("git") else None
    if found is None:
        pytest.skip("no git, or no git repository here")
    return found


def history(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every object but folders: all versions of all files, and the words of all commits and tags."""
    for name, stream in objects(folder):
        if not name.startswith("tree "):
            yield name, b"".join(iter(lambda stream=stream: stream.read(1 << 20), b""))


@pytest.fixture(scope="module")
def in_history(repository: Path) -> Secrets:
    return looks_secret(history(repository))


def test_the_history_holds_no_secret(in_history: Secrets) -> None:
    unknown = {digest: where for digest, where in in_history.items() if digest not in ALLOWED}
    assert unknown == {}, "a secret? Then it is burnt: revoke it first. A fixture? Make it when the test runs"


def test_what_is_allowed_is_there(in_history: Secrets) -> None:
    """The list excuses nothing that is not in the history, so it cannot grow beyond it."""
    assert set(ALLOWED) <= set(in_history)


def test_the_control_a_planted_commit_is_found(repository: Path, tmp_path: Path, in_history: Secrets) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", ROOT, clone], check=True, capture_output=True)
    key, pem = letters(), Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    signed = f"https://h/api/v3/account?timestamp=1&signature={hashlib.sha256(pem).hexdigest()}"
    (clone / "settings.py").write_text(f'API_KEY = "{key}"\n"""{pem.decode()}"""\nURL = "{signed}"\n')
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    for step in ("add settings.py", "commit -qm planted", "rm -qf settings.py", "commit -qm gone --allow-empty"):
        subprocess.run(["git", *who, *step.split()], cwd=clone, check=True, capture_output=True)
    found = looks_secret(history(clone / ".git"))
    planted = [where for digest, where in found.items() if digest not in in_history]
    kinds = (SecretKind.KEY, SecretKind.PRIVATE_KEY, SecretKind.SIGNATURE)
    assert sorted(where.partition(" in ")[0] for where in planted) == sorted(map(str, kinds))
    assert hashlib.sha256(key.encode()).hexdigest() in found


@pytest.mark.campaign
def test_no_value_of_the_env_beside_this_checkout_is_in_its_history(repository: Path) -> None:
    """By hand only: the other tests neither read nor change the user's `.env`."""
    path = ROOT / ".env"
    if not path.exists():
        pytest.skip("no .env here")
    lines = parse_env(path.read_bytes(), path)
    secrets = {line.name: line.value for line in lines if line.name not in PUBLIC_NAMES and len(line.value) >= 8}
    assert not secrets or not sweep(secrets, [Place(GIT_HISTORY, repository, "this repository")]).findings


# -- what is built ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the source distribution, built by hatchling from this environment, without a network."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {"wheel": next(folder.glob("*.whl")), "sdist": next(folder.glob("*.tar.gz"))}


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield name, archive.read(name)
        return
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            yield member.name, b"" if file is None else file.read()


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_what_is_built_holds_no_secret_and_no_state(built: dict[str, Path], kind: str) -> None:
    found = looks_secret(members(built[kind]))
    assert {digest: where for digest, where in found.items() if digest not in ALLOWED} == {}
    names = [name for name, _ in members(built[kind])]
    assert any(name.endswith("quantlab/redact.py") for name in names), "control: the package is in it"
    state = re.compile(r"(^|/)(\.env(?!\.example$)[^/]*|\.quantlab[^/]*/.*|.*\.sqlite[^/]*|.*\.qlog|keys\.json)$")
    assert [name for name in names if state.search(name)] == []


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_the_control_a_planted_file_is_found(built: dict[str, Path], kind: str, tmp_path: Path) -> None:
    key = letters()
    planted = f'API_KEY = "{key}"\n'.encode()
    copy = Path(shutil.copy(built[kind], tmp_path))
    if kind == "wheel":
        with zipfile.ZipFile(copy, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("quantlab/settings_of_mine.py", planted)
    else:
        with tarfile.open(built[kind]) as old, tarfile.open(copy, "w:gz") as new:
            for member in old:
                new.addfile(member, old.extractfile(member))
            member = tarfile.TarInfo("quantlab-0/settings_of_mine.py")
            member.size = len(planted)
            new.addfile(member, io.BytesIO(planted))
    assert hashlib.sha256(key.encode()).hexdigest() in looks_secret(members(copy))

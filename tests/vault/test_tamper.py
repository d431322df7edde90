"""Promise: whatever is done to the vault's rows and file, no wrong secret comes out and no locked or revoked key signs.

Each mutation is refused in one line, or harmless: every key that still signs has the pair that went in under the same
label and environment. Derivations are kept between mutations (the true ones: another salt or count derives anew), so
that a campaign of more than a thousand is over in seconds; a part of it unlocks by the full way.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from quantlab.ledger.database import FILE_NAME
from quantlab.ledger.keys import KeyRow, VaultRow
from quantlab.model.errors import QuantlabError
from quantlab.vault import Credential, RolledBack, Tampered, Vault
from quantlab.vault import sealed as sealed_module
from quantlab.vault import vault as vault_module
from quantlab.vault.anchor import Anchor
from quantlab.vault.kdf import FLOOR_ITERATIONS, Parameters
from quantlab.vault.sealing import Sealer

from .kit import NEW_PASSWORD, PASSWORD, PAYLOAD, anchored, content_of, copied, quick_disk, raw, state_of
from .mutations import (
    FAMILIES,
    LOCKED,
    MAIN,
    SOME,
    STAGES,
    TRUTH,
    TRUTH_AT,
    Life,
    Truth,
    execute,
    live,
    put,
    update,
)


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    return live(tmp_path_factory.mktemp("life"))


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each true derivation is made once, and the disk is not waited for."""
    quick_disk(monkeypatch)
    derive = functools.cache(Parameters.derive)
    monkeypatch.setattr(Parameters, "derive", lambda parameters, password: derive(parameters, password))
    monkeypatch.setattr(vault_module, "DEFAULT_ITERATIONS", FLOOR_ITERATIONS)


# -- the judge ------------------------------------------------------------------------------------------------------


def judge(home: Path, truth: Truth = TRUTH, passwords: Sequence[str] = (PASSWORD,)) -> str:
    """ "harmless" or the one line of the refusal. Raises AssertionError for a wrong secret or a key that must rest."""
    verdict = ""
    for password in passwords:
        try:
            with Vault.open(home, password) as vault:
                for row in vault.rows:
                    _try(vault, row, truth)
                vault.lock("Main", "the next change")  # what was harmless so far is not so for the next change only
            verdict = verdict or "harmless"
        except QuantlabError as error:
            verdict = line = str(error)
            assert line and line.isprintable() and len(line) < 500, f"not one line: {line!r}"
    return verdict


def _try(vault: Vault, row: KeyRow, truth: Truth) -> None:
    """Sign with a key as a program does, by its label, and for an audit."""
    for audited in (True, False) if row.state == "locked" else (True,):
        try:
            signer = vault.signer(row.label, "test", audited=audited)
        except QuantlabError:
            continue
        now = vault.key(row.label)
        told = (
            truth.get((now.label, now.environment))
            if audited
            else {**truth, ("Locked", "mainnet"): LOCKED}.get((now.label, now.environment))
        )
        assert told is not None, f"a key that must rest signs: {now.label}"
        assert signer.api_key == told.api_key, f"wrong key: {now.label}"
        assert signer.sign(PAYLOAD) == told.signer().sign(PAYLOAD), f"wrong secret: {now.label}"


def campaign(life: Life, tmp_path: Path, family: str, some: int | None = None) -> list[str]:
    """Judge each mutation of a family (or `some` of them, drawn); returns the verdicts."""
    stage, mutations = FAMILIES[family]
    passwords = (PASSWORD, NEW_PASSWORD) if stage == "changing" else (PASSWORD,)
    todo = list(mutations(life, stage))
    if some is not None:
        todo = random.Random(5).sample(todo, some)
    verdicts = []
    work = copied(life.stages[stage], tmp_path / "work")
    kept = {path: path.read_bytes() for path in (work / FILE_NAME, *state_of(work).rglob("*.json"))}
    with anchored(work):
        for name, mutate in todo:
            for leftover in work.glob(f"{FILE_NAME}-*"):
                leftover.unlink()
            for path, content in kept.items():
                path.write_bytes(content)
            mutate(work)
            try:
                verdicts.append(judge(work, passwords=passwords))
            except Exception as error:
                raise AssertionError(f"{family}, {name}: {error!r}") from error
    return verdicts


# -- the campaign ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_no_mutation_yields_a_wrong_secret(life: Life, tmp_path: Path, remembered: None, family: str) -> None:
    verdicts = campaign(life, tmp_path, family, SOME.get(family))
    refused = len(verdicts) - verdicts.count("harmless")
    # Most of the file is the ledger's: there, bits may flip without a word of the vault's.
    assert refused > len(verdicts) * (0.3 if family == "files" else 0.5)


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("family", SOME)
def test_no_mutation_of_any_column_yields_a_wrong_secret(
    life: Life, tmp_path: Path, remembered: None, family: str
) -> None:
    campaign(life, tmp_path, family)


def test_more_than_a_thousand_are_tried(life: Life) -> None:
    tried = {name: SOME.get(name, len(list(mutations(life, stage)))) for name, (stage, mutations) in FAMILIES.items()}
    assert sum(tried.values()) >= 1_400, tried


def test_the_full_way_refuses_the_same(life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a true derivation at each unlocking."""
    monkeypatch.setattr(vault_module, "DEFAULT_ITERATIONS", FLOOR_ITERATIONS)
    verdicts = [*campaign(life, tmp_path / "a", "forged", 40), *campaign(life, tmp_path / "b", "columns", 60)]
    assert len(verdicts) == 100 and verdicts.count("harmless") < 50


# -- the judge can see ----------------------------------------------------------------------------------------------


def test_an_untouched_vault_is_harmless_and_gives_every_key(life: Life, tmp_path: Path, remembered: None) -> None:
    home = copied(life.stages["audited"], tmp_path / "home")
    with anchored(home):
        with Vault.open(home, PASSWORD) as vault:
            for (label, _), credential in TRUTH.items():
                assert vault.holds(vault.key(label), credential)
        assert judge(home) == "harmless"


def _trusting(
    header: VaultRow, rows: Sequence[KeyRow], tokens: Mapping[int, str], data: Sealer, known: Anchor
) -> dict[int, Credential]:
    """What reads documents without comparing them with anything."""
    found = {}
    for row in rows:
        if row.holds_secret:
            document = data.open(tokens[row.id], "a document")
            found[row.id] = Credential.known(document["api_key"], document["secret"], document["row"]["type"])
    return found


@pytest.mark.parametrize(
    ("statement", "wrong"),
    [
        ("UPDATE keys SET label = CASE label WHEN 'Main' THEN 'Ed' ELSE 'Main' END WHERE id IN (1, 3)", "wrong"),
        ("UPDATE keys SET environment = 'mainnet' WHERE label = 'Test'", "must rest"),
        ("UPDATE keys SET state = 'active' WHERE label = 'Locked'", "must rest"),
        (
            "UPDATE key_documents SET token = (SELECT token FROM key_documents WHERE key_id = 2) WHERE key_id = 1",
            "wrong key",
        ),
    ],
)
def test_control_a_vault_that_compares_nothing_gives_wrong_secrets(
    life: Life, tmp_path: Path, remembered: None, monkeypatch: pytest.MonkeyPatch, statement: str, wrong: str
) -> None:
    home = copied(life.stages["audited"], tmp_path / "home")
    execute(home, statement)
    with anchored(home):
        assert judge(home) != "harmless"
        monkeypatch.setattr(sealed_module, "check_all", _trusting)
        with pytest.raises(AssertionError, match=wrong):
            judge(home)


# -- what a refusal says --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mutate", "error", "words"),
    [
        (
            update("keys", 1, environment="testnet"),
            Tampered,
            "key \"Main\": its row says environment 'testnet', .*'main",
        ),
        (update("keys", 6, state="active"), Tampered, "key \"Locked\": its row says state 'active', .* 'locked'"),
        (update("keys", 2, label="Live"), Tampered, "key \"Live\": its row says label 'Live', .* 'Test'"),
        (update("keys", 1, generation=9), Tampered, 'key "Main": its row says generation 9'),
        (update("key_documents", 2, token="gAAAAA"), Tampered, 'key "Test" is not the one that quantlab sealed last'),
        (update("vault", 1, iterations=99_999), Tampered, "99999 iterations"),
        (update("vault", 1, iterations=120_000), Tampered, "header was changed"),
        (update("vault", 1, salt=b"0" * 16), Tampered, "header was changed"),
        (update("vault", 1, salt=b"short"), Tampered, "salt has 5 bytes"),
        (update("vault", 1, kdf="none"), Tampered, "key derivation 'none'"),
        (update("vault", 1, generation=99), Tampered, "header says generation 99"),
        (update("vault", 1, state="pending"), Tampered, "headers do not belong together"),
        (lambda home: execute(home, "DELETE FROM keys WHERE id = 2"), Tampered, 'key "Test" was removed'),
        (lambda home: execute(home, "DELETE FROM vault"), Tampered, "header was removed"),
        (lambda home: execute(home, "DROP TABLE key_documents"), QuantlabError, "no such table: key_documents"),
    ],
)
def test_a_refusal_names_what_was_changed(
    life: Life,
    tmp_path: Path,
    remembered: None,
    mutate: Callable[[Path], object],
    error: type[QuantlabError],
    words: str,
) -> None:
    home = copied(life.stages["audited"], tmp_path / "home")
    mutate(home)
    with anchored(home), pytest.raises(error, match=words):
        Vault.open(home, PASSWORD)


def test_endless_headers_do_not_keep_the_machine_busy(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied(life.stages["audited"], tmp_path / "home")
    (row,) = life.rows("audited", "vault")
    for epoch in range(5, 500):
        execute(home, *put("vault", {**row, "epoch": epoch, "iterations": 20_000_000}))
    derived: list[object] = []
    monkeypatch.setattr(Parameters, "derive", lambda *_: derived.append(1))
    with anchored(home), pytest.raises(Tampered, match="do not belong together"):
        Vault.open(home, PASSWORD)
    assert not derived


# -- a whole file put back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES[:-2])
def test_an_old_file_is_refused_where_a_newer_one_was_seen(
    life: Life, tmp_path: Path, remembered: None, stage: str
) -> None:
    home = copied(life.stages["audited"], tmp_path / "home")
    (home / FILE_NAME).write_bytes(life.bytes(stage))
    with anchored(home), pytest.raises(RolledBack, match="an old copy was put back"):
        Vault.open(home, PASSWORD)


@pytest.mark.parametrize("stage", STAGES)
def test_an_old_file_on_a_machine_that_saw_no_newer_one_is_what_it_was_then(
    life: Life, tmp_path: Path, remembered: None, stage: str
) -> None:
    home = copied(life.stages[stage], tmp_path / "home", anchor=False)
    passwords = (PASSWORD, NEW_PASSWORD) if stage == "changing" else (PASSWORD,)
    with anchored(home):
        assert judge(home, TRUTH_AT[stage], passwords) == "harmless"


def test_a_revoked_key_stays_revoked_when_its_moment_before_is_put_back(
    life: Life, tmp_path: Path, remembered: None
) -> None:
    """Revoking needs no password, so it seals no new generation: the anchor remembers it by name."""
    home = copied(life.stages["revoked"], tmp_path / "home")
    (home / FILE_NAME).write_bytes(life.bytes("rotated"))
    with anchored(home), pytest.raises(RolledBack, match=r'key "Gone" .* was revoked on this machine'):
        Vault.open(home, PASSWORD)


def test_the_old_password_of_an_old_file_is_no_way_in(life: Life, tmp_path: Path, remembered: None) -> None:
    home = copied(life.stages["changing"], tmp_path / "home")
    with anchored(home):
        Vault.open(home, NEW_PASSWORD).close()  # ends the change
        (home / FILE_NAME).write_bytes(life.bytes("audited"))
        for password in (PASSWORD, NEW_PASSWORD):
            with pytest.raises(RolledBack):
                Vault.open(home, password)


def test_what_is_done_to_the_anchor_never_lets_a_wrong_secret_out(life: Life, tmp_path: Path, remembered: None) -> None:
    rng = random.Random(3)
    home = copied(life.stages["audited"], tmp_path / "home")
    (anchor,) = state_of(home).rglob("*.json")
    content = anchor.read_bytes()
    damaged = [b"", b"{", b"[]", b"null", b'{"generation": 1.5}', b'{"headers": 1}', b"\xff" * 9, b"[" * 99_999]
    for _ in range(60):
        place = rng.randrange(len(content))
        damaged.append(content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :])
        damaged.append(content[:place])
    verdicts = set()
    with anchored(home):
        for data in damaged:
            copied(life.stages["audited"], home)
            anchor.write_bytes(data)
            verdicts.add(judge(home).split(":")[0].partition(str(tmp_path))[0] or "the anchor cannot be read")
    assert {"harmless", "the anchor cannot be read"} <= verdicts


# -- the write-ahead log --------------------------------------------------------------------------------------------


def test_a_damaged_log_is_an_old_vault_or_none(life: Life, tmp_path: Path, remembered: None) -> None:
    """A log that was not emptied yet holds the newest change; without its frames the file is of the moment before."""
    home, rng = copied(life.stages["rotated"], tmp_path / "home"), random.Random(13)
    with anchored(home):
        with raw(home) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM keys").fetchone()
            with Vault.open(home, PASSWORD) as vault:
                vault.lock("Main", "the address changed")
            kept = {path: content_of(path) for path in (home / FILE_NAME, home / f"{FILE_NAME}-wal")}
        anchors = {path: path.read_bytes() for path in state_of(home).rglob("*.json")}
        log = kept[home / f"{FILE_NAME}-wal"]
        assert len(log) > 4096
        truth = {key: pair_ for key, pair_ in TRUTH_AT["rotated"].items() if key[0] != "Main"}
        variants = [log, b"", log[: len(log) // 2], log[:-1]]
        for _ in range(60):
            place = rng.randrange(len(log))
            variants.append(log[:place] + bytes([log[place] ^ 1 << rng.randrange(8)]) + log[place + 1 :])
        verdicts = []
        for variant in variants:
            (home / f"{FILE_NAME}-shm").unlink(missing_ok=True)
            for path, content in {**kept, **anchors, home / f"{FILE_NAME}-wal": variant}.items():
                path.write_bytes(content)
            verdicts.append(judge(home, {**truth, ("Main", "mainnet"): MAIN} if "Main" not in str(truth) else truth))
        assert verdicts[0] == "harmless", "control: the whole log is the newest vault"
        assert sum("old copy was put back" in verdict for verdict in verdicts) > 40

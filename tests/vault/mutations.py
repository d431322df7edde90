"""A vault at each stage of its life, and what somebody who can write its file would try."""

from __future__ import annotations

import functools
import itertools
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from quantlab.ledger.database import FILE_NAME
from quantlab.ledger.keys import KeyStore, VaultRow
from quantlab.vault import Credential, Seen, Vault, revoke
from quantlab.vault import vault as vault_module
from quantlab.vault.binding import seal_key
from quantlab.vault.header import make_header
from quantlab.vault.kdf import FLOOR_ITERATIONS, Parameters
from quantlab.vault.sealing import Sealer

from .kit import NEW_PASSWORD, PASSED, PASSWORD, anchored, copied, ed25519_pair, pair, raw, rsa_pair

Mutation = tuple[str, Callable[[Path], object]]
#: What went in: (label, environment) → the pair that may sign.
Truth = Mapping[tuple[str, str], Credential]
TABLES = {"vault": "epoch", "keys": "id", "key_documents": "key_id"}
STAGES = ("added", "locked", "rotated", "revoked", "audited", "changing")
AUDITED = Seen("passed", 1_900_000_000_000, ("reading",), True)

MAIN, TEST, ED, RSA = pair("main"), pair("test"), ed25519_pair("ed"), rsa_pair("rsa")
LOCKED, GONE, OLD, SWAPPED = pair("locked"), pair("gone"), pair("old"), pair("swapped")
ALWAYS: Truth = {
    ("Main", "mainnet"): MAIN,
    ("Test", "testnet"): TEST,
    ("Ed", "mainnet"): ED,
    ("Rsa", "testnet"): RSA,
}
TRUTH: Truth = {**ALWAYS, ("Swap", "replay"): SWAPPED}
#: What each stage of the vault's life may give out, for a file that is put back where nothing remembers a later one.
TRUTH_AT: dict[str, Truth] = {
    "added": {**ALWAYS, ("Swap", "replay"): OLD, ("Locked", "mainnet"): LOCKED, ("Gone", "mainnet"): GONE},
    "locked": {**ALWAYS, ("Swap", "replay"): OLD, ("Gone", "mainnet"): GONE},
    "rotated": {**TRUTH, ("Gone", "mainnet"): GONE},
    "revoked": TRUTH,
    "audited": TRUTH,
    "changing": TRUTH,
}


@dataclass
class Life:
    """A vault at each stage of its life, as closed homes; and another vault with the same password and labels."""

    stages: dict[str, Path]
    foreign: Path
    rng: random.Random = field(default_factory=lambda: random.Random(20_261_123))

    def rows(self, stage: str, table: str) -> list[dict[str, object]]:
        home = self.foreign if stage == "foreign" else self.stages[stage]
        with raw(home) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1")]

    def bytes(self, stage: str) -> bytes:
        return (self.stages[stage] / FILE_NAME).read_bytes()


def live(base: Path) -> Life:
    """Lead a vault through its life, in `base`."""
    home, stages = base / "home", {}

    def keep(stage: str) -> None:
        vault.close()
        stages[stage] = copied(home, base / stage)

    with anchored(home), pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault_module, "DEFAULT_ITERATIONS", FLOOR_ITERATIONS)  # so that opening raises nothing
        vault = Vault.create(home, PASSWORD, iterations=FLOOR_ITERATIONS)
        for (label, environment), credential in TRUTH_AT["added"].items():
            vault.add(label, credential, environment, seen=PASSED)  # type: ignore[arg-type]
        keep("added")
        vault = Vault.open(home, PASSWORD)
        vault.lock("Locked", "the address changed")
        keep("locked")
        vault = Vault.open(home, PASSWORD)
        vault.rotate("Swap", SWAPPED, seen=PASSED)
        keep("rotated")
        revoke(home, ["Gone"], "stolen")
        keep("revoked")
        vault = Vault.open(home, PASSWORD)
        vault.record_audit("Main", AUDITED)
        keep("audited")
        vault = Vault.open(home, PASSWORD)
        vault.begin_password_change(NEW_PASSWORD)
        keep("changing")
    foreign = base / "foreign"
    with anchored(foreign), Vault.create(foreign, PASSWORD, iterations=FLOOR_ITERATIONS) as vault:
        for label, environment in TRUTH_AT["added"]:
            vault.add(label, pair(f"foreign {label}"), environment, seen=PASSED)  # type: ignore[arg-type]
    return Life(stages, foreign)


# -- mutations ------------------------------------------------------------------------------------------------------


def execute(home: Path, *statements: str | tuple[str, Sequence[object]]) -> None:
    """Change the rows; the indices that would refuse it are taken away first."""
    with raw(home) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name IN ('vault', 'keys')"
        ).fetchall():
            connection.execute(f"DROP INDEX {name}")
        for statement in statements:
            one, values = (statement, ()) if isinstance(statement, str) else statement
            try:
                connection.execute(one, tuple(values))
            except (sqlite3.IntegrityError, OverflowError):  # a constraint of the table itself: it is rebuilt without
                _rebuild(connection)
                connection.execute(one, tuple(values))


def _rebuild(connection: sqlite3.Connection) -> None:
    """The same tables without keys, types or constraints."""
    for table in TABLES:
        connection.execute(f"CREATE TABLE loose AS SELECT * FROM {table}")
        connection.execute(f"DROP TABLE {table}")
        connection.execute(f"ALTER TABLE loose RENAME TO {table}")


def update(table: str, which: object, **columns: object) -> Callable[[Path], None]:
    names = ", ".join(f"{name} = ?" for name in columns)
    statement = f"UPDATE {table} SET {names} WHERE {TABLES[table]} = ?"
    return lambda home: execute(home, (statement, (*columns.values(), which)))


def put(table: str, *rows: Mapping[str, object]) -> list[tuple[str, Sequence[object]]]:
    """Statements that put whole rows, in the place of those with the same id."""
    made: list[tuple[str, Sequence[object]]] = []
    for row in rows:
        made.append((f"DELETE FROM {table} WHERE {TABLES[table]} = ?", (row[TABLES[table]],)))
        made.append((f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", (*row.values(),)))
    return made


def flipped(value: str | bytes, rng: random.Random) -> str | bytes:
    raw_value = bytearray(value.encode() if isinstance(value, str) else value)
    if not raw_value:
        return "x"
    place = rng.randrange(len(raw_value))
    if isinstance(value, bytes):
        raw_value[place] ^= 1 << rng.randrange(8)
        return bytes(raw_value)
    raw_value[place] = (raw_value[place] ^ 1 << rng.randrange(4)) & 0x7F or 0x41
    return raw_value.decode(errors="replace")


#: What somebody would try, column by column, besides what fits no column.
PLAUSIBLE: dict[str, tuple[object, ...]] = {
    "state": ("active", "locked", "replaced", "revoked", "current", "pending", "ACTIVE"),
    "environment": ("mainnet", "testnet", "replay", "Mainnet"),
    "type": ("hmac", "ed25519", "rsa"),
    "kdf": ("pbkdf2-hmac-sha1", "scrypt", "none", "PBKDF2-HMAC-SHA256"),
    "iterations": (1, 1_000, 99_999, 100_001, 150_000, 20_000_001, 2**62, -100_000),
    "epoch": (0, 1, 2, 3, -1),
    "generation": (0, 1, 2, 5, 10**12, -1),
    "permissions": ("[]", '["reading", "withdrawals"]', "[" * 20_000, '{"reading": true}', "["),
    "ip_restricted": (0, 1, 2),
    "state_why": ("", "because"),
    "audit": ("passed", "not auditable"),
    "vault_id": ("0123456789abcdef", "../../../x", "a\nb"),
    "label": ("Main", "Locked", "Gone", "a\nb\x1b[2J", 'x"y'),
}
RUBBISH: tuple[object, ...] = (None, 0, -1, 2**63 - 1, 1.5, "", "x", "a\nb", b"", b"\x00\xff", "\x00", "é" * 9)


def columns(life: Life, stage: str, each: int) -> Iterator[Mutation]:
    """Each column of each row: rubbish, other types, what is plausible, a neighbour's value, cut, flipped."""
    rng = random.Random(7)
    for table in TABLES:
        rows = life.rows(stage, table)
        for row, column in itertools.product(rows, rows[0]):
            now = row[column]
            values: list[object] = [*PLAUSIBLE.get(column, ()), *(other[column] for other in rows)]
            if isinstance(now, int):
                values += [now + 1, now - 1, str(now), float(now) + 0.5]
            values += rng.sample(RUBBISH, min(each, len(RUBBISH)))
            if isinstance(now, str | bytes) and now:
                values += [flipped(now, rng) for _ in range(each)]
                values += [now[: rng.randrange(len(now))], now[1:], now + now[:1]]
            seen: list[tuple[type, object]] = [(type(now), now)]
            for value in values:
                if (type(value), value) not in seen:
                    seen.append((type(value), value))
                    change = update(table, row[TABLES[table]], **{column: value})
                    yield f"{table} {row[TABLES[table]]}: {column} = {value!r:.40}", change


def swaps(life: Life, stage: str) -> Iterator[Mutation]:
    """Columns, rows and documents exchanged between keys, or given to both."""
    keys, documents = life.rows(stage, "keys"), life.rows(stage, "key_documents")
    groups = (
        ("label",),
        ("environment",),
        ("label", "environment"),
        ("label", "fingerprint"),
        ("fingerprint", "type"),
        ("state", "state_why", "state_ms"),
        ("generation",),
    )
    for one, other in itertools.combinations(keys, 2):
        for names in (*groups, tuple(name for name in one if name != "id")):
            swapped = [{**one, **{n: other[n] for n in names}}, {**other, **{n: one[n] for n in names}}]
            yield f"{names} of {one['label']} and {other['label']}", lambda h, s=swapped: execute(h, *put("keys", *s))
    for one, other in itertools.permutations(documents, 2):
        pair_of = f"{one['key_id']} and {other['key_id']}"
        given = [{**one, "token": other["token"]}, {**other, "token": one["token"]}]
        yield f"documents of {pair_of}", lambda h, g=given: execute(h, *put("key_documents", *g))
        yield f"one document for {pair_of}", lambda h, g=given: execute(h, *put("key_documents", *g[:1]))
        a, b = (next(key for key in keys if key["id"] == document["key_id"]) for document in (one, other))
        rows = [{**a, "id": b["id"]}, {**b, "id": a["id"]}]
        yield f"ids of {pair_of}", lambda h, r=rows: execute(h, *put("keys", *r))
        named = [{**a, "label": b["label"], "environment": b["environment"]}, {**b, "label": "other"}]
        yield (
            f"documents and labels of {pair_of}",
            lambda h, g=given, n=named: execute(h, *put("key_documents", *g), *put("keys", *n)),
        )


def rollbacks(life: Life, stage: str) -> Iterator[Mutation]:
    """Rows of an earlier stage: singly, and in all combinations of header, manifest, keys and documents."""
    for earlier in STAGES[: STAGES.index(stage)]:
        then = {table: life.rows(earlier, table) for table in TABLES}
        for table, rows in then.items():
            for row in rows:
                yield f"{table} row of {earlier}", lambda h, t=table, r=row: execute(h, *put(t, r))
        for key in then["keys"]:
            both = put("keys", key) + [
                put_it
                for document in then["key_documents"]
                if document["key_id"] == key["id"]
                for put_it in put("key_documents", document)
            ]
            yield f"key and document of {earlier}: {key['label']}", lambda h, b=both: execute(h, *b)
        for manifest, numbers in itertools.product((True, False), (True, False)):
            head = {"manifest": then["vault"][0]["manifest"]} if manifest else {}
            head |= {"generation": then["vault"][0]["generation"]} if numbers else {}
            for parts in itertools.product((True, False), repeat=2):
                chosen = [table for table, taken in zip(("keys", "key_documents"), parts, strict=True) if taken]
                if not head and not chosen:
                    continue
                statements = [s for table in chosen for s in (f"DELETE FROM {table}", *put(table, *then[table]))]
                if head:
                    names = ", ".join(f"{name} = ?" for name in head)
                    statements.append((f"UPDATE vault SET {names}", tuple(head.values())))
                yield f"{[*head, *chosen]} of {earlier}", lambda h, s=statements: execute(h, *s)


def additions(life: Life, stage: str) -> Iterator[Mutation]:
    """Rows deleted, given twice, added; tables emptied, dropped, rebuilt without constraints."""
    for table, key in TABLES.items():
        rows = life.rows(stage, table)
        for row in rows:
            yield (
                f"{table} without a row",
                lambda h, t=table, k=key, r=row: execute(h, (f"DELETE FROM {t} WHERE {k} = ?", (r[k],))),
            )
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"
            yield f"{table} row twice", lambda h, i=insert, r=row: execute(h, (i, (*r.values(),)))
            for number in (0, 99, -5):
                values = (*{**row, key: number}.values(),)
                yield f"{table} row added", lambda h, i=insert, v=values: execute(h, (i, v))
                if table == "keys":
                    row_like = {**row, "id": number, "label": "New", "fingerprint": "0" * 16}
                    yield "keys row made up", lambda h, i=insert, r=row_like: execute(h, (i, (*r.values(),)))
            if table == "vault":
                for state in ("current", "pending"):
                    for handover in (None, row["manifest"], row["wrapped_key"]):
                        many = [
                            (insert, (*{**row, "epoch": n, "state": state, "handover": handover}.values(),))
                            for n in range(5, 60)
                        ]
                        yield "many headers", lambda h, m=many: execute(h, *m)
                        yield "a second header", lambda h, m=many: execute(h, m[0])
        yield f"{table} emptied", lambda h, t=table: execute(h, f"DELETE FROM {t}")
        yield f"{table} dropped", lambda h, t=table: execute(h, f"DROP TABLE {t}")
    yield "keys and documents emptied", lambda h: execute(h, "DELETE FROM keys", "DELETE FROM key_documents")
    yield "tables without constraints", lambda h: _loosened(h)
    yield "another schema version", lambda h: execute(h, "UPDATE alembic_version SET version_num = '0001'")
    for statement in (
        "CREATE TRIGGER t AFTER UPDATE ON keys BEGIN UPDATE keys SET state = 'active', state_why = ''; END",
        "CREATE TRIGGER t AFTER INSERT ON key_uses BEGIN UPDATE keys SET environment = 'mainnet'; END",
        "CREATE TRIGGER t BEFORE DELETE ON key_documents BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER t AFTER UPDATE ON vault BEGIN SELECT RAISE(ABORT, 'a\nb'); END",
    ):
        yield statement[:40], lambda h, s=statement: execute(h, s)


def _loosened(home: Path) -> None:
    with raw(home) as connection:
        _rebuild(connection)


def foreign(life: Life, stage: str) -> Iterator[Mutation]:
    """Pieces of another vault that has the same password and the same labels."""
    theirs = {table: life.rows("foreign", table) for table in TABLES}
    ours = {table: life.rows(stage, table) for table in TABLES}
    (their_header,) = theirs["vault"]
    for column in their_header:
        yield f"their {column}", update("vault", 1, **{column: their_header[column]})
    for size in (2, 3, 4):
        for names in itertools.combinations(("salt", "verifier", "wrapped_key", "manifest", "vault_id"), size):
            yield f"their {names}", update("vault", 1, **{name: their_header[name] for name in names})
    yield "their header", lambda h: execute(h, *put("vault", their_header))
    for key, document in zip(theirs["keys"], theirs["key_documents"], strict=True):
        yield "their document", lambda h, d=document: execute(h, *put("key_documents", d))
        yield "their key", lambda h, k=key: execute(h, *put("keys", k))
        yield (
            "their key and document",
            lambda h, k=key, d=document: execute(h, *put("keys", k), *put("key_documents", d)),
        )
        yield (
            "their key, document and manifest",
            lambda h, k=key, d=document: execute(
                h,
                *put("keys", k),
                *put("key_documents", d),
                ("UPDATE vault SET manifest = ?", (their_header["manifest"],)),
            ),
        )
    tokens = [ours["vault"][0][name] for name in ("verifier", "wrapped_key", "manifest")]
    tokens += [document["token"] for document in ours["key_documents"]]
    for column, token in itertools.product(("verifier", "wrapped_key", "manifest", "handover"), tokens):
        if ours["vault"][0][column] != token:
            yield f"{column} from elsewhere in the vault", update("vault", 1, **{column: token})
    for document, token in itertools.product(ours["key_documents"], tokens[:3]):
        yield "a document from the header", update("key_documents", document["key_id"], token=token)


def forged(life: Life, stage: str) -> Iterator[Mutation]:
    """Headers and documents made by somebody who knows everything but the password."""
    mine = Sealer.fresh()
    row = life.rows(stage, "vault")[0]
    vault_id, epoch = str(row["vault_id"]), int(str(row["epoch"]))
    made = make_header(
        NEW_PASSWORD + "!",
        mine,
        vault_id=vault_id,
        epoch=epoch + 1,
        parameters=Parameters.fresh(FLOOR_ITERATIONS),
        now_ms=1,
    )
    for generation in (0, int(str(row["generation"])), 99):
        manifest = mine.seal({"version": 1, "vault_id": vault_id, "epoch": epoch + 1, "generation": generation})
        for handover in (None, "", mine.wrap(mine), str(row["wrapped_key"]), str(row["manifest"]), manifest):
            for state in ("pending", "current"):
                values = _values(made) | {
                    "state": state,
                    "handover": handover,
                    "manifest": manifest,
                    "generation": generation,
                }
                yield f"header made up, {state}", lambda h, v=values: execute(h, *put("vault", v))
                at = {**values, "epoch": epoch}
                yield f"header replaced, {state}", lambda h, v=at: execute(h, *put("vault", v))
    with closing(KeyStore(life.stages[stage] / FILE_NAME)) as store:
        keys = store.key_rows()
    for key in keys:
        token = seal_key(key, pair("thief"), epoch, mine)
        yield f"document of {key.label} made up", update("key_documents", key.id, token=token)
        yield f"document of {key.label} in the clear", update("key_documents", key.id, token=pair("thief").secret)


def _values(row: VaultRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in row.__struct_fields__}


def handovers(life: Life, stage: str) -> Iterator[Mutation]:
    """While the password is being changed: headers exchanged, cut off from each other, taken from before."""
    old, new = life.rows(stage, "vault")
    for one, other in ((old, new), (new, old)):
        for column in old:
            yield f"{column} of the other epoch", update("vault", one["epoch"], **{column: other[column]})
        yield "one header gone", lambda h, e=one["epoch"]: execute(h, ("DELETE FROM vault WHERE epoch = ?", (e,)))
        yield (
            "one epoch gone",
            lambda h, e=one["epoch"]: execute(
                h,
                ("DELETE FROM vault WHERE epoch = ?", (e,)),
                ("DELETE FROM key_documents WHERE epoch = ?", (e,)),
            ),
        )
        yield (
            "one epoch's documents gone",
            lambda h, e=one["epoch"]: execute(h, ("DELETE FROM key_documents WHERE epoch = ?", (e,))),
        )
    yield (
        "states exchanged",
        lambda h: execute(h, *put("vault", old | {"state": "pending"}, new | {"state": "current"})),
    )
    yield (
        "states and handover exchanged",
        lambda h: execute(
            h,
            *put(
                "vault",
                old | {"state": "pending", "handover": new["handover"]},
                new | {"state": "current", "handover": None},
            ),
        ),
    )
    yield (
        "epochs exchanged",
        lambda h: execute(
            h,
            *put("vault", old | {"epoch": new["epoch"]}, new | {"epoch": old["epoch"]}),
            "UPDATE key_documents SET epoch = 3 - epoch WHERE 0",
        ),
    )
    for token in (Fernet(Fernet.generate_key()).encrypt(Fernet.generate_key()).decode(), old["wrapped_key"], "", "x"):
        yield "handover forged", update("vault", new["epoch"], handover=token)
    for earlier in ("revoked", "audited"):
        (then,) = life.rows(earlier, "vault")
        yield f"current header of {earlier}", lambda h, t=then: execute(h, *put("vault", t))
    for document in life.rows(stage, "key_documents"):
        where = (document["key_id"], document["epoch"])
        statement = "UPDATE key_documents SET token = ? WHERE key_id = ? AND epoch = ?"
        for other in life.rows(stage, "key_documents"):
            if other["token"] != document["token"]:
                values = (other["token"], *where)
                yield "document of another epoch or key", lambda h, s=statement, v=values: execute(h, (s, v))


def files(life: Life, stage: str) -> Iterator[Mutation]:
    """The file's bytes: bits flipped in each page, pages zeroed, exchanged, put back from before; the file cut."""
    rng, content, page = random.Random(11), life.bytes(stage), 4096
    pages = len(content) // page
    sealed = [place for place in range(len(content)) if content.startswith(b"gAAAA", place)]

    def written(data: bytes) -> Callable[[Path], object]:
        return lambda home: (home / FILE_NAME).write_bytes(data)

    def bit(place: int) -> bytes:
        place += 2 * (place in (18, 19))  # the file's read and write version: SQLite waits 30 s before it refuses them
        return content[:place] + bytes([content[place] ^ 1 << rng.randrange(8)]) + content[place + 1 :]

    for number in range(pages):
        start = number * page
        for _ in range(2):
            yield f"a bit of page {number}", written(bit(start + rng.randrange(page)))
        yield f"a bit of the head of page {number}", written(bit(start + rng.randrange(100 if number == 0 else 12)))
        yield f"page {number} zeroed", written(content[:start] + bytes(page) + content[start + page :])
        noise = rng.randbytes(64)
        middle = start + rng.randrange(page - 64)
        yield f"noise in page {number}", written(content[:middle] + noise + content[middle + 64 :])
        other = rng.randrange(pages) * page
        swapped = bytearray(content)
        swapped[start : start + page], swapped[other : other + page] = (
            content[other : other + page],
            content[start : start + page],
        )
        yield f"page {number} exchanged", written(bytes(swapped))
        for earlier in ("added", "locked", "rotated", "revoked"):
            then = life.bytes(earlier)[start : start + page]
            if then and then != content[start : start + page]:
                yield f"page {number} of {earlier}", written(content[:start] + then + content[start + page :])
        yield f"cut at page {number}", written(content[:start])
    for place in sealed:
        for _ in range(3):
            yield "a bit of a sealed document", written(bit(place + rng.randrange(300)))
    for _ in range(10):
        yield "cut", written(content[: rng.randrange(len(content))])
    yield "longer", written(content + rng.randbytes(page))


#: How many of the largest families are tried by default; the campaign tries all.
SOME = {"columns": 420, "columns while the password is changed": 120, "handovers": 90, "files": 200, "swaps": 200}
FAMILIES: dict[str, tuple[str, Callable[[Life, str], Iterator[Mutation]]]] = {
    "columns": ("audited", functools.partial(columns, each=4)),
    "columns while the password is changed": ("changing", functools.partial(columns, each=1)),
    "swaps": ("audited", swaps),
    "rollbacks": ("audited", rollbacks),
    "additions": ("audited", additions),
    "another vault": ("audited", foreign),
    "forged": ("audited", forged),
    "handovers": ("changing", handovers),
    "files": ("audited", files),
}

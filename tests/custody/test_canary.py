"""Promise: after a whole day with keys, no secret is anywhere that it should not be: in no file that quantlab, Jupyter,
a shell or git wrote, no answer of a server, no process, no log; in raw, base64, hex or URL form. And a leak in any of
those places, in any of those forms, would have been found."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantlab import redact as redaction
from quantlab.vault.sweep import Place, Report, sweep
from quantlab.vault.sweep_places import GIT_HISTORY
from tests.custody.canaries import FORMS, LEAK, PLANTED
from tests.custody.day import Day
from tests.custody.kinds import KINDS, OTHER, kinds_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
    pytest.mark.skipif(not all(map(shutil.which, ("git", "bash"))), reason="needs git and bash"),
    pytest.mark.timeout(300),
]

#: Secrets that live in a file by design, by the file's name: looked for everywhere but there.
AT_HOME = {
    ".env": frozenset({"VAULT_PASSWORD", "API_BEARER_TOKEN"}),
    "api-token": frozenset({"the server's own token"}),
}


class Swept:
    """What a sweep of the whole machine found, by kind; and the artefacts of each kind."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.artefacts: dict[str, list[Path]] = defaultdict(list)
        self.reports: dict[str, Report] = {}
        base = day.machine.base
        files = sorted(path for path in base.rglob("*") if path.is_file() and not path.is_symlink())
        for path in files:
            for kind in kinds_of(str(path.relative_to(base))):
                self.artefacts[kind].append(path)
        self.artefacts["git history"] = [day.machine.root / ".git"]
        by_files: dict[tuple[Path, ...], Report] = {}  # a notebook is swept once for its four kinds
        for kind, paths in self.artefacts.items():
            key = tuple(paths)
            if key not in by_files:
                by_files[key] = self._sweep(kind, paths)
            self.reports[kind] = by_files[key]

    def _sweep(self, kind: str, paths: list[Path]) -> Report:
        whole = Report()
        for names, group in self._by_what_may_be_there(paths).items():
            secrets = {name: value for name, value in self.day.secrets.items() if name not in names}
            report = sweep(secrets, [place(kind, path, self.day.machine.base) for path in group])
            whole.findings += report.findings
            whole.notes += report.notes
            whole.files += report.files
            whole.bytes += report.bytes
        return whole

    def _by_what_may_be_there(self, paths: list[Path]) -> dict[frozenset[str], list[Path]]:
        groups: dict[frozenset[str], list[Path]] = defaultdict(list)
        for path in paths:
            groups[AT_HOME.get(path.name, frozenset())].append(path)
        return groups


def place(kind: str, path: Path, base: Path) -> Place:
    return Place(GIT_HISTORY if kind == "git history" else kind, path, str(path.relative_to(base)))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("QUANTLAB_", "BINANCE_", "API_", "VAULT_", "XDG_")):
                patch.delenv(name)
        patch.setattr(redaction, "_forms", ())
        lived = Day(tmp_path_factory.mktemp("day"))
        lived.live()
        yield lived


@pytest.fixture(scope="module")
def swept(day: Day) -> Swept:
    return Swept(day)


# -- the day itself ---------------------------------------------------------------------------------------------------


def test_it_was_a_whole_day(day: Day) -> None:
    """What the sweep is worth: everything did happen, and every program was seen while it ran."""
    said = {name: status for name, status in day.statuses.items() if name.endswith(("token", "own"))}
    assert said == {"no-token": 401, "wrong-token": 401, "odd-token": 401, "fleet-own": 200}
    assert day.statuses["fleet"] == 200 and day.statuses["command"] == 422 and day.statuses["preflight"] in (200, 204)
    assert day.saved in (200, 201), "JupyterLab took the notebook: it holds no secret"
    signed = [request for request in day.heard if "signature=" in request]
    assert signed and all(day.first.api_key in request or day.second.api_key in request for request in signed)
    assert {"engine", "venue", "server", "kernel", "JupyterLab", "papermill", "report", "vault"} <= day.roles
    if os.geteuid() != 0:
        assert {"kernel", "papermill", "JupyterLab"}.isdisjoint(day.closed), "these are open to their user"
    else:
        assert day.closed == set()


def test_no_core_was_dumped(day: Day, tmp_path: Path) -> None:
    assert os.WIFSIGNALED(day.crash) and not os.WCOREDUMP(day.crash), "the server crashed and left no core"
    assert not [path for path in day.machine.base.rglob("core*") if path.name.split(".")[0] == "core"]
    code = "import os, resource as r; r.setrlimit(r.RLIMIT_CORE, r.getrlimit(r.RLIMIT_CORE)[1:] * 2); os.abort()"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.DEVNULL)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = status
    if not os.WCOREDUMP(status):
        pytest.skip("this system writes no cores at all: nothing to compare with")


def test_the_command_of_the_user_says_the_same(day: Day) -> None:
    """`quantlab vault sweep`, at the end of the day, from the user's own shell."""
    (said,) = (day.machine.seen / "stdout").glob("*vault-sweep*")
    assert said.read_text().startswith("exit code 0\n") and '"findings": []' in said.read_text()


def test_env_was_cleaned_and_the_rest_of_it_is_there(day: Day) -> None:
    env = (day.machine.root / ".env").read_text()
    assert "# my settings" in env and day.token in env and day.secrets["VAULT_PASSWORD"] in env
    assert "BINANCE_API_SECRET=" not in env and day.password not in env


# -- no leak ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, OTHER])
def test_no_canary_in(swept: Swept, kind: str) -> None:
    report = swept.reports.get(kind, Report())
    assert report.findings == []
    assert report.notes == []
    if kind != OTHER:
        assert sum(report.files.values()) >= 1 and sum(report.bytes.values()) > 0, "nothing of this kind was there"


def test_the_kinds_of_the_day(swept: Swept) -> None:
    """At least 20 kinds; shown with `-s`."""
    lines = [f"{'kind':34}{'files':>7}{'bytes':>12}"]
    for kind, report in sorted(swept.reports.items()):
        lines.append(f"{kind:34}{sum(report.files.values()):7}{sum(report.bytes.values()):12,}")
    print("\n" + "\n".join(lines))
    assert len(KINDS) >= 20
    assert len(swept.artefacts[OTHER]) <= 20, [path.name for path in swept.artefacts[OTHER]]


# -- the control: a leak of each kind, in each form, is found ---------------------------------------------------------


@pytest.fixture(scope="module")
def planted(swept: Swept, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, str]]]:
    """Kind → {(planted form, form that the sweep names)}, after a leak was planted into a copy of an artefact. Each
    form has a value of its own, so that what is found tells in which form it stood."""
    base = tmp_path_factory.mktemp("planted")
    found = {}
    for number, (kind, row) in enumerate(KINDS.items()):
        original = next((path for path in swept.artefacts[kind] if path.name == row.like), swept.artefacts[kind][0])
        folder = base / str(number)
        folder.mkdir()
        copy = folder / original.name
        if kind == "git history":
            subprocess.run(["git", "clone", "-q", "--local", original.parent, folder / "lab"], check=True)
            copy = folder / "lab" / ".git"
        else:
            shutil.copy(original, copy)
            assert not sweep(PLANTED, [place(kind, copy, base)]), "before it was planted"
        leaking = row.plant(copy, LEAK)
        found[kind] = {(one.secret, one.form) for one in sweep(PLANTED, [place(kind, leaking, base)])}
    return found


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_leak_is_found_in(planted: dict[str, set[tuple[str, str]]], kind: str, form: str) -> None:
    assert (form, FORMS[form].found_as) in planted[kind]


@pytest.mark.parametrize("form", FORMS)
def test_a_leak_in_a_running_process_is_found(form: str) -> None:
    """The kernel's own view of a process, not a copy of it."""
    leak = FORMS[form].write(PLANTED[form])
    for environment, arguments, file in (({"X": leak}, [], "environ"), ({}, [leak], "cmdline")):
        command = [sys.executable, "-c", "import sys; print('up', flush=True); sys.stdin.read()", *arguments]
        process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert process.stdout is not None and process.stdout.readline() == b"up\n"
            shown = Place("process", Path(f"/proc/{process.pid}/{file}"), "a process", named=False)
            assert {one.secret for one in sweep(PLANTED, [shown])} == {form}
        finally:
            process.communicate()

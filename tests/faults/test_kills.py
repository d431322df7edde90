"""Promise: a run that is killed at any moment, as often as one likes, goes on as if nothing had been.

On a venue that waits for its run, with the same fills and orders. On one that plays on, with nothing lost and nothing
counted twice, and each gap written down.
"""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from quantlab.cli.check import verify
from quantlab.ledger import Ledger, database_path
from quantlab.model import Fill
from quantlab.venue.child import VenueChild
from tests.faults.kills import Killed, rows, run_and_kill
from tests.fleet.conftest import FLEET, TOGGLE

#: Ten kills take a minute and a half, on a loaded machine more.
pytestmark = pytest.mark.timeout(300)

SPEED = 60.0
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    (tmp_path / "toggle.py").write_text(TOGGLE)
    (tmp_path / "fleet.toml").write_text(FLEET)
    return tmp_path / "fleet.toml"


def quiet(tmp_path: Path, fleet: Path, minutes: float) -> Killed:
    with VenueChild(hours=2, speed=20 * SPEED, seed=3) as venue:
        return run_and_kill(tmp_path / "quiet", venue.url, fleet, minutes=minutes, kills=0)


CAMPAIGN = [pytest.mark.campaign, pytest.mark.timeout(1_800)]


@pytest.mark.parametrize(
    ("bots", "minutes", "kills", "after_s"),
    [
        (45, 20, 10, (1.0, 4.0)),
        pytest.param(3, 118, 200, (0.3, 3.0), marks=CAMPAIGN),
        pytest.param(45, 118, 200, (1.0, 5.0), marks=CAMPAIGN),
    ],
)
def test_a_killed_run_is_in_every_row_one_that_was_not(
    tmp_path: Path, fleet: Path, bots: int, minutes: float, kills: int, after_s: tuple[float, float]
) -> None:
    fleet = fleet if bots == 3 else NOTEBOOKS / "fleet.toml"
    undisturbed = quiet(tmp_path, fleet, minutes)
    with VenueChild(hours=2, speed=SPEED, seed=3) as venue:
        killed = run_and_kill(tmp_path / "killed", venue.url, fleet, minutes=minutes, kills=kills, after_s=after_s)
    expected, found = rows(undisturbed.home), rows(killed.home)
    assert found.pop("not_taken_up") == expected.pop("not_taken_up") == []
    assert found.pop("resumed") > expected.pop("resumed") == 0
    for kind in expected:
        assert found[kind] == expected[kind], kind
    assert len(found["fills"]) > minutes / 3 and len(found["bounds"]) > bots * minutes / 2
    assert len(set(killed.reached_ms)) > 2
    assert killed.summary["fills_sha256"] == undisturbed.summary["fills_sha256"]


def test_the_comparison_sees_a_run_that_lost_its_log(tmp_path: Path, fleet: Path) -> None:
    """The control: taken up from the ledger alone, orders on their way and places in queues are lost."""
    undisturbed = quiet(tmp_path, fleet, 10)
    with VenueChild(hours=2, speed=SPEED, seed=3) as venue:
        forgetful = run_and_kill(
            tmp_path / "killed", venue.url, fleet, minutes=10, kills=6,
            meanwhile=lambda home: shutil.rmtree(home / "recordings", ignore_errors=True),
        )  # fmt: skip
    assert forgetful.summary["accounting_ok"]
    assert rows(forgetful.home)["not_taken_up"]
    assert rows(forgetful.home)["orders"] != rows(undisturbed.home)["orders"]


@pytest.mark.parametrize(
    ("bots", "minutes", "kills", "speed"),
    [(3, 28, 10, 24.0), pytest.param(45, 115, 200, 7.0, marks=CAMPAIGN)],
)
def test_while_the_market_goes_on_nothing_is_lost_and_nothing_counted_twice(
    tmp_path: Path, fleet: Path, bots: int, minutes: float, kills: int, speed: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = fleet if bots == 3 else NOTEBOOKS / "fleet.toml"
    had: list[Fill] = []

    def remember(home: Path) -> None:
        if not database_path(home).exists():
            return  # it was killed before it had one
        with Ledger.open(home, create=False) as ledger:
            now = ledger.fill_rows("r") if "r" in ledger.run_ids() else []
        assert [fill for fill in now if fill in had] == had
        had[:] = now

    with VenueChild(hours=2, speed=speed, seed=3) as venue:
        body = json.dumps({"hold": False}).encode()
        asked = urllib.request.Request(f"{venue.url}/__venue__/clock", body, {"Content-Type": "application/json"})
        urllib.request.urlopen(asked, timeout=10).close()
        killed = run_and_kill(
            tmp_path / "killed", venue.url, fleet, minutes=minutes, kills=kills, after_s=(1.0, 4.0), meanwhile=remember
        )
    found = rows(killed.home)
    assert found["not_taken_up"] == []
    assert killed.summary["accounting_ok"]
    assert [fill for fill in found["fills"] if fill in had] == had
    numbers = [(fill.bot, fill.number) for fill in found["fills"]]
    assert len(set(numbers)) == len(numbers) > len(had)
    with Ledger.open(killed.home, create=False) as ledger:
        kinds = ledger.events("r")["kind"].to_list()
    assert found["resumed"] > 0 and kinds.count("gap") > 0
    monkeypatch.setenv("QUANTLAB_ROOT", str(killed.home.parent))
    monkeypatch.setenv("QUANTLAB_HOME", str(killed.home))
    again = verify("r", egress_only=False)
    assert again["ok"], again

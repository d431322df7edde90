"""Promise: a notebook is a client. It finds runs again after a restart, never starts a second engine on one database,
names the source of everything it shows, and says in one line what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from quantlab.lab import Workbench
from quantlab.lab import launch as launching
from quantlab.model import ConfigurationError, NotFound, QuantlabError, Refused

FLEET = """
[[bot]]
name = "one"
strategy = "ema_cross"
symbol = "BTCUSDT"
timeframe = "1m"
"""


@pytest.fixture
def fleet(lab: Workbench) -> Path:
    path = lab.settings.root / "fleet.toml"
    path.write_text(FLEET)
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Processes that a launch would have started."""
    calls: list[dict[str, Any]] = []

    def popen(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        calls.append({"command": command, **options})
        return real([sys.executable, "-c", "print('quantlab: the venue is gone')"], stdout=options["stdout"])

    real = subprocess.Popen
    monkeypatch.setattr(launching.subprocess, "Popen", popen)
    return calls


def test_opening_touches_nothing_and_says_that_prices_are_not_live(lab: Workbench) -> None:
    assert "REPLAY: no live prices" in repr(lab)
    assert "no order leaves" in lab._repr_html_()
    assert lab.runs().is_empty()
    assert list(lab.settings.root.iterdir()) == []


def test_nothing_there_is_said_in_one_line(lab: Workbench) -> None:
    for ask in (lab.attach, lab.compare, lab.report, lambda: lab.run("x")):
        with pytest.raises(NotFound, match="no run yet"):
            ask()


def test_a_launch_is_a_detached_process_without_secrets(
    lab: Workbench, fleet: Path, started: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BINANCE_API_SECRET", "VAULT_PASSWORD", "API_BEARER_TOKEN"):
        monkeypatch.setenv(name, "canary")
    run = lab.launch(fleet, hours=2, speed="max", seed=7)
    call = started[0]
    words = " ".join(call["command"])
    assert f"--fleet {fleet}" in words
    assert f"--run-id {run.id} --seed 7 --hours 2 --speed max" in words
    assert call["start_new_session"] is True
    assert call["stdin"] is subprocess.DEVNULL
    assert "canary" not in call["env"].values()
    assert call["env"]["QUANTLAB_MARKET"] == "replay"
    assert call["env"]["PATH"] == os.environ["PATH"]
    log = lab.settings.home / "logs" / f"{run.id}.log"
    assert log.stat().st_mode & 0o777 == 0o600


def test_the_fleet_of_an_old_run_can_be_started_again(
    lab: Workbench, sample: ModuleType, started: list[dict[str, Any]]
) -> None:
    sample.write_run(lab.settings.home, "old", minutes=2, bots=2, seed=5, fleet_toml=FLEET)
    again = lab.attach("old").again_now()
    command = started[0]["command"]
    assert Path(command[command.index("--fleet") + 1]).read_text() == FLEET
    assert command[command.index("--seed") + 1] == "5"
    assert again.id != "old"


def test_a_run_that_dies_at_once_says_why(lab: Workbench, fleet: Path, started: list[dict[str, Any]]) -> None:
    run = lab.launch(fleet)
    run._process.wait()  # type: ignore[union-attr]
    with pytest.raises(QuantlabError, match="did not begin: the venue is gone"):
        run.wait(5, progress=False)


def test_a_second_launch_is_refused_with_the_running_id(
    lab: Workbench, fleet: Path, started: list[dict[str, Any]], start_engine: Callable[[str], Any]
) -> None:
    engine = start_engine("run-1")
    with pytest.raises(Refused, match='"run-1" already'):
        lab.launch(fleet)
    assert started == []
    engine.end()
    lab.launch(fleet)
    assert len(started) == 1


def test_a_wrong_fleet_or_speed_is_refused_before_anything_starts(
    lab: Workbench, fleet: Path, started: list[dict[str, Any]]
) -> None:
    with pytest.raises(NotFound, match=r"no\.toml"):
        lab.launch("no.toml")
    fleet.write_text(FLEET.replace("1m", "7m"))
    with pytest.raises(ConfigurationError, match="7m"):
        lab.launch(fleet)
    fleet.write_text(FLEET)
    with pytest.raises(ConfigurationError, match="speed is for a replay"):
        Workbench.open("mainnet").launch(fleet, speed=60)
    assert started == []


def test_fleets_are_found_as_written_from_a_notebook(lab: Workbench, tmp_path: Path, monkeypatch: Any) -> None:
    notebooks = tmp_path / "notebooks"
    notebooks.mkdir()
    (notebooks / "fleet.toml").write_text(FLEET)
    for folder, given in ((tmp_path, "notebooks/fleet.toml"), (notebooks, "fleet.toml"), (tmp_path, "fleet.toml")):
        monkeypatch.chdir(folder)
        assert launching.find_fleet(lab.settings.root, given) == notebooks / "fleet.toml"


def test_attach_takes_the_running_one_else_the_newest(
    lab: Workbench, sample: ModuleType, start_engine: Callable[[str], Any]
) -> None:
    sample.write_run(lab.settings.home, "old", minutes=3, bots=2, seed=1)
    sample.write_run(lab.settings.home, "new", minutes=3, bots=2, seed=2)
    assert lab.attach().id == "new"
    engine = start_engine("old")
    assert lab.attach().id == "old"
    assert lab.attach().state == "running"
    engine.end()
    assert lab.attach("old").state == "finished"
    with pytest.raises(NotFound, match="new, old"):
        lab.attach("nosuch")


def test_commands_reach_the_engine_and_only_its_own(
    lab: Workbench, sample: ModuleType, start_engine: Callable[[str], Any]
) -> None:
    sample.write_run(lab.settings.home, "mine", minutes=3, bots=2)
    engine = start_engine("mine")
    run = lab.run("mine")
    run.pause()
    assert run.state == "paused"
    run.resume().kill().kill("a")
    run.stop()
    assert engine.told == [("pause", {}), ("resume", {}), ("kill", {}), ("kill", {"bot": "a"}), ("stop", {})]
    engine.end()
    start_engine("other")
    with pytest.raises(NotFound, match='"mine" does not go on'):
        run.kill()


def test_every_frame_names_its_source_and_has_dates(lab: Workbench, sample: ModuleType) -> None:
    sample.write_run(lab.settings.home, "run", minutes=30)
    run = lab.run("run")
    for frame in (run.status(), run.bots(), run.fills(), run.orders(), run.equity(), run.events()):
        assert frame.height > 0
        assert frame["source"].unique().to_list() == ["generated: seed 1"]
        assert not [name for name in frame.columns if name.endswith("_ms")]
    assert run.fills().schema["time"] == pl.Datetime("us", "UTC")
    assert "GENERATED market seed 1; no real prices" in run.plot()._repr_html_()
    assert "GENERATED" in run._repr_html_()


def test_live_and_past_status_have_the_same_columns(
    lab: Workbench, sample: ModuleType, start_engine: Callable[[str], Any]
) -> None:
    sample.write_run(lab.settings.home, "run", minutes=30)
    run = lab.run("run")
    past = run.status()
    assert past.height == 45
    engine = start_engine("run")
    live = run.status()
    assert live.schema == past.schema
    assert live["name"].to_list() == ["a<b>"]
    engine.end()


def test_wait_ends_at_once_for_what_has_ended_and_times_out_for_what_goes_on(
    lab: Workbench, sample: ModuleType, start_engine: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    sample.write_run(lab.settings.home, "run", minutes=3, bots=2)
    run = lab.run("run")
    assert run.wait(1) is run
    start_engine("run")
    with pytest.raises(TimeoutError, match="goes on"):
        run.wait(0.3)
    assert "1,234 events" in capsys.readouterr().out


def test_a_comparison_has_baselines_and_leaves_as_csv(lab: Workbench, sample: ModuleType, tmp_path: Path) -> None:
    for seed, name in enumerate(("a", "b"), 1):
        sample.write_run(lab.settings.home, name, minutes=30, seed=seed)
    comparison = lab.compare(["a", "b"])
    assert comparison.frame["what"].to_list() == ["fleet", "buy and hold", "cash"] * 2
    assert comparison.frame.filter(what="cash")["net_pnl"].to_list() == [0.0, 0.0]
    assert set(comparison.baselines()) == {"a", "b"}
    assert "GENERATED market seed 1" in comparison._repr_html_()
    assert "GENERATED market seed 2" in comparison.plot()._repr_html_()
    assert comparison.bots().frame.columns == ["name", "a", "b", "difference"]
    exported = comparison.to_csv(tmp_path / "c.csv").read_text()
    assert exported.count("generated: seed 1") == exported.count("generated: seed 2") == 3
    assert [run.run_id for run in lab.compare().runs] == ["b", "a"]


def test_the_workbench_imports_neither_exchange_nor_widgets() -> None:
    heavy = ("ccxt", "aiohttp", "ipywidgets", "matplotlib", "nbconvert")
    code = f"import sys, quantlab.lab; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

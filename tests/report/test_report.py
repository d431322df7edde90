"""Promise: a report is one file that needs nothing from anywhere, says where its prices came from, states what left,
holds no secret and no path, and is never seen half-written."""

from __future__ import annotations

import html.parser
import os
import shutil
import sqlite3
from pathlib import Path
from types import ModuleType

import nbformat
import polars as pl
import pytest

from quantlab.model import NotFound, QuantlabError, Source
from quantlab.report import build, make_report, open_run, sections
from quantlab.report.table import Table, number, text

CANARY = "canary-f3b1c2d4e5"


class _Links(html.parser.HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.scripts = 0
        self.policy = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        if tag == "meta" and values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"] or ""
        if tag in ("img", "script", "link", "iframe", "object", "embed", "source", "video", "audio"):
            self.fetched += [v for k in ("src", "href", "data", "srcset") if (v := values.get(k))]


@pytest.fixture(scope="module")
def page(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of "first", made while secrets stand in the environment."""
    reports = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BINANCE_API_SECRET", "VAULT_PASSWORD", "API_BEARER_TOKEN"):
            patch.setenv(name, CANARY)
        return make_report(["first"], home=home, reports=reports)


def test_the_page_fetches_nothing_and_forbids_it(page: Path) -> None:
    links = _Links()
    links.feed(page.read_text())
    assert links.scripts == 0
    assert links.fetched, "the figures are images"
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links.fetched)
    assert links.policy.startswith("default-src 'none'")
    assert page.stat().st_size < 5_000_000


def test_the_page_says_what_it_must(page: Path) -> None:
    words = page.read_text()
    for part in (
        "Simulated market",
        "GENERATED market seed 1; no real prices",
        "No order left:",
        "5 requests, all GET, 0 order requests, 0 refused",
        "The money adds up.",
        "buy and hold",
        "Every bot",
        "halted at 03:59: loss of 10 %",
        "bot HALTED",
        "spread_capture's result is not evidence",
    ):
        assert part in words, part
    assert "Traceback" not in words
    assert "live prices" not in words


def test_no_secret_and_no_path_of_this_machine(page: Path, home: Path) -> None:
    for file in (page, page.with_name("report.ipynb")):
        words = file.read_text()
        assert CANARY not in words
        assert str(home) not in words
        assert str(home.parent) not in words


def test_the_notebook_beside_it_is_executed_and_can_be_run_again(page: Path) -> None:
    notebook = nbformat.read(page.with_name("report.ipynb"), as_version=4)
    nbformat.validate(notebook)
    shown = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) > 10
    assert notebook.cells[0].source == "run_ids = ['first']"


def test_a_comparison_warns_when_runs_saw_different_markets(home: Path, tmp_path: Path) -> None:
    path = make_report(["first", "second"], home=home, reports=tmp_path)
    words = path.read_text()
    assert path.parent.name == "first_vs_second"
    assert "different markets and windows" in words
    assert words.count("buy and hold") >= 2


def test_an_unknown_run_is_not_found_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="first"):
        make_report(["nosuch"], home=home, reports=tmp_path)
    with pytest.raises(NotFound, match="no ledger"):
        make_report(["first"], home=tmp_path / "none", reports=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_cell_leaves_the_old_report(
    home: Path, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(page.parent, tmp_path / "first")
    before = {file.name: file.read_bytes() for file in (tmp_path / "first").iterdir()}
    broken = tmp_path / "templates"
    broken.mkdir()
    text = (build._TEMPLATES / "run.ipynb").read_text().replace("sections.bot_section(run)", "1 / 0")
    (broken / "run.ipynb").write_text(text)
    monkeypatch.setattr(build, "_TEMPLATES", broken)
    with pytest.raises(QuantlabError, match="ZeroDivisionError"):
        make_report(["first"], home=home, reports=tmp_path)
    assert {file.name: file.read_bytes() for file in (tmp_path / "first").iterdir()} == before


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, *_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    target = tmp_path / "report.html"
    build._write(target, "old")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(QuantlabError, match=r"report\.html cannot be written: No space left"):
            build._write(target, "new")
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_children_get_no_setting_at_all() -> None:
    given = {"PATH": "p", "BINANCE_API_KEY": "k", "QUANTLAB_MARKET": "m", "VAULT_PASSWORD": "v", "API_PORT": "1"}
    assert build.scrubbed(given) == {"PATH": "p"}
    assert build.scrubbed(os.environ)["PATH"] == os.environ["PATH"]


def test_an_order_that_left_is_shouted(tmp_path: Path, sample: ModuleType) -> None:
    from quantlab.ledger import Ledger, LedgerWriter

    sample.write_run(tmp_path, "leaky", minutes=5, bots=2)
    assert "No order left" in sections.statement(open_run("leaky", tmp_path))
    with Ledger.open(tmp_path) as ledger:
        path = ledger.path
    with LedgerWriter(path, "leaky") as journal:
        journal.run_state("running")  # a finished run's log is closed
        journal.egress(sample.request("/api/v3/order", weight=1, wall_ms=sample.START_MS, method="POST"))
    words = sections.statement(open_run("leaky", tmp_path))
    assert "No order left" not in words
    assert "NOT ONLY READS LEFT" in words
    assert "1 order requests" in words


def test_a_log_that_is_not_as_it_was_written_proves_nothing(tmp_path: Path, sample: ModuleType) -> None:
    sample.write_run(tmp_path, "run", minutes=5, bots=2)
    whole = open_run("run", tmp_path)
    caption = sections.request_section(whole).caption
    assert "No order left" in sections.statement(whole)
    assert f"5 chained rows, last link {whole.requests['egress_head']}" in caption
    with sqlite3.connect(tmp_path / "quantlab.sqlite") as connection:
        connection.execute("DELETE FROM egress WHERE seq = 5")
    connection.close()
    words = sections.statement(open_run("run", tmp_path))
    assert "No order left" not in words
    assert "rows 5 to 5 were cut off: the summary counts 5" in words


def test_the_report_shows_what_was_shared_and_kept(tmp_path: Path, sample: ModuleType) -> None:
    sample.write_run(tmp_path, "run", minutes=5, bots=2)
    table = sections.request_section(open_run("run", tmp_path))
    klines = table.frame.filter(pl.col("path") == "/api/v3/klines").row(0, named=True)
    figures = {name: klines[name] for name in ("asked", "sent", "shared", "kept", "weight", "statuses")}
    assert figures == {"asked": 80, "sent": 2, "shared": 70, "kept": 8, "weight": 10, "statuses": "200 ×2"}
    assert "Shared: joined a request in flight" in table._repr_html_()


def test_live_execution_is_never_called_paper(tmp_path: Path, sample: ModuleType) -> None:
    sample.write_run(tmp_path, "run", minutes=2, bots=2, execution="live")
    words = sections.statement(open_run("run", tmp_path))
    assert "Execution: live." in words and "No order left" not in words


@pytest.mark.parametrize(
    ("source", "words", "kind"),
    [
        (Source(kind="mainnet", name="m"), "Real prices, simulated fills", "ql-mainnet"),
        (Source(kind="testnet", name="t"), "Test network prices", "ql-testnet"),
        (Source(kind="recording", name="r"), "Simulated market", "ql-simulated"),
        (Source(kind="candles", name="c"), "Simulated market", "ql-simulated"),
    ],
)
def test_a_replay_never_looks_live(tmp_path: Path, sample: ModuleType, source: Source, words: str, kind: str) -> None:
    sample.write_run(tmp_path, "run", minutes=2, bots=2, source=source)
    banner = sections.banner(open_run("run", tmp_path))
    assert words in banner
    assert kind in banner
    assert source.label().replace("'", "&#x27;") in banner


def test_tables_escape_what_they_show_and_zero_has_no_sign() -> None:
    frame = pl.DataFrame({"name": ["<script>"], "net": [-0.001]})
    shown = Table(frame, [text("name", "n"), number("net", "net", signed=True)], source="a & b")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "a &amp; b" in shown
    assert ">0.00<" in shown


def test_csv_export_names_the_source(tmp_path: Path) -> None:
    table = Table(pl.DataFrame({"x": [1]}), [number("x", "x")], source="GENERATED market")
    assert table.write_csv(tmp_path / "t.csv").read_text() == "x,source\n1,GENERATED market\n"

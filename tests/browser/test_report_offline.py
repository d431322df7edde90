"""Promise: `report.html` opens without a network, asks for nothing, complains about nothing, and shows what it must."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantlab.report import make_report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(__file__).parents[1] / "report" / "sample.py"
    spec = importlib.util.spec_from_file_location("report_sample", path)
    assert spec is not None
    assert spec.loader is not None
    sample = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = sample
    spec.loader.exec_module(sample)
    folder = tmp_path_factory.mktemp("report")
    sample.write_run(folder / ".quantlab", "run")
    return make_report(["run"], home=folder / ".quantlab", reports=folder / "reports")


def test_it_opens_offline_and_shows_equity_and_statement(report: Path, watched: Callable[..., Any]) -> None:
    seen = watched(offline=True)
    seen.page.goto(report.as_uri(), wait_until="load")
    assert seen.outside(report.as_uri()) == []
    assert seen.errors == []
    assert seen.page.locator(".ql-banner").inner_text().startswith("SIMULATED MARKET")
    assert "No order left:" in seen.page.locator(".ql-statement").first.inner_text()
    pictures = seen.page.locator("figure img")
    assert pictures.count() >= 6
    assert "Equity of the fleet" in pictures.first.get_attribute("alt")
    widths = pictures.evaluate_all("images => images.map(image => image.complete ? image.naturalWidth : 0)")
    assert all(width > 300 for width in widths)
    assert seen.page.locator(".ql-table").count() >= 8
    assert seen.page.locator("tr", has_text="btc-ema-cross").count() == 1
    # Nothing is wider than the window.
    assert seen.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_policy_stops_what_would_be_fetched(report: Path, watched: Callable[..., Any], tmp_path: Path) -> None:
    """The control: the same page with a script, a picture and a style from outside is kept from asking for them."""
    planted = '<script src="http://127.0.0.1:9/x.js"></script><img src="http://127.0.0.1:9/x.png"></main>'
    page = tmp_path / "planted.html"
    page.write_text(report.read_text().replace("</main>", planted))
    seen = watched()
    seen.page.goto(page.as_uri(), wait_until="load")
    assert [error for error in seen.errors if "Content Security Policy" in error]
    bare = tmp_path / "bare.html"
    bare.write_text(page.read_text().replace("Content-Security-Policy", "x-none"))
    open_page = watched()
    open_page.page.goto(bare.as_uri(), wait_until="load")
    assert [error for error in open_page.errors if "Content Security Policy" in error] == []
    assert "http://127.0.0.1:9/x.png" in open_page.requests

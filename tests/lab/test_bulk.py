"""Promise: whole months come from the archive once, each as its checksum says, and an interruption costs one month."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from quantlab import Workbench
from quantlab.lab.bulk import bulk, whole_months
from quantlab.ledger import Ledger
from quantlab.market.history import History
from quantlab.model import ConfigurationError, ExchangeUnreachable, NotFound

MINUTE_MS = 60_000
NOW_MS = int(datetime(2025, 3, 20, tzinfo=UTC).timestamp() * 1000)


def ms(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp() * 1000)


class Shelf:
    """What an archive on this machine has: bytes by path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.url = ""

    def put(self, year: int, month: int, *, hours: int = 24, symbol: str = "BTCUSDT") -> str:
        """A month of hourly candles, with its first `hours` only; microseconds from 2025 on, as Binance has them."""
        unit, rows = (1_000 if year >= 2025 else 1), []
        for hour in range(hours):
            open_ms, price = ms(year, month) + hour * 60 * MINUTE_MS, 100 + hour % 7
            close = (open_ms + 60 * MINUTE_MS) * unit - 1
            rows.append(f"{open_ms * unit},{price},{price + 1},{price - 1},{price},5,{close},500,9,2,200,0")
        name = f"{symbol}-1h-{year}-{month:02}"
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.csv", "\n".join(rows) + "\n")
        path = f"/data/spot/monthly/klines/{symbol}/1h/{name}.zip"
        self.files[path] = buffer.getvalue()
        self.files[f"{path}.CHECKSUM"] = f"{hashlib.sha256(buffer.getvalue()).hexdigest()}  {name}.zip\n".encode()
        return path


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    shelf = Shelf()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shelf.asked.append(self.path)
            found = shelf.files.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shelf.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield shelf
    server.shutdown()
    server.server_close()
    thread.join()


def test_whole_months() -> None:
    assert whole_months(ms(2024, 11), ms(2025, 2)) == [(2024, 11), (2024, 12), (2025, 1)]
    assert whole_months(ms(2024, 11, 2), ms(2025, 2) - 1) == [(2024, 12)]
    assert whole_months(ms(2024, 11, 2), ms(2024, 12, 31)) == []


def test_months_of_both_kinds_of_time_once(shelf: Shelf, tmp_path: Path) -> None:
    for year, month in ((2024, 12), (2025, 1), (2025, 2)):
        shelf.put(year, month)
    history, seen = History(tmp_path / "history"), []
    new = bulk(
        history, tmp_path, ["BTCUSDT"], "1h", ms(2024, 11), NOW_MS, now_ms=NOW_MS, address=shelf.url,
        on_progress=lambda symbol, done, of: seen.append((symbol, done, of)),
    )  # fmt: skip
    assert new == {"BTCUSDT": 72} and seen[-1] == ("BTCUSDT", 4, 4)
    frame = history.candles("BTCUSDT", "1h")
    assert frame["open_time"].to_list()[::24] == [ms(2024, 12), ms(2025, 1), ms(2025, 2)]
    assert history.sources("BTCUSDT", "1h")[0] == "BTCUSDT-1h-2024-12.zip"
    # November was not there; the rest is not asked for again.
    asked = len(shelf.asked)
    assert asked == 7
    again = bulk(
        history, tmp_path, ["BTCUSDT"], "1h", ms(2024, 11), NOW_MS, now_ms=NOW_MS, address=shelf.url
    )  # fmt: skip
    assert again == {"BTCUSDT": 0} and len(shelf.asked) == asked + 1
    with Ledger.open(tmp_path, create=False) as ledger:
        assert ledger.path.exists()


def test_a_wrong_checksum_keeps_the_months_before_and_none_of_its_own(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(2024, 12)
    path = shelf.put(2025, 1)
    shelf.files[path] = shelf.files[path][:-40]  # cut off on its way
    history = History(tmp_path / "history")

    def download() -> dict[str, int]:
        return bulk(
            history, tmp_path, ["BTCUSDT"], "1h", ms(2024, 12), ms(2025, 2), now_ms=NOW_MS, address=shelf.url
        )  # fmt: skip

    with pytest.raises(ConfigurationError, match=r"BTCUSDT-1h-2025-01.zip: does not have the SHA-256"):
        download()
    assert history.candles("BTCUSDT", "1h").height == 24
    shelf.put(2025, 1)
    assert download() == {"BTCUSDT": 24}


def test_what_the_archive_does_not_have(shelf: Shelf, tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    with pytest.raises(NotFound, match="the archive has no 1h candles of BTCUSDT"):
        bulk(history, tmp_path, ["BTCUSDT"], "1h", ms(2024, 12), NOW_MS, now_ms=NOW_MS, address=shelf.url)
    with pytest.raises(ConfigurationError, match="no whole month"):
        bulk(history, tmp_path, ["BTCUSDT"], "1h", ms(2025, 3), NOW_MS, now_ms=NOW_MS, address=shelf.url)
    with pytest.raises(ExchangeUnreachable):
        bulk(history, tmp_path, ["BTCUSDT"], "1h", ms(2024, 12), NOW_MS, now_ms=NOW_MS, address="http://127.0.0.1:9")


def test_from_a_shell(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(2024, 12)
    environment = {**os.environ, "QUANTLAB_ROOT": str(tmp_path), "QUANTLAB_HOME": str(tmp_path / "home")}
    asked = ["data", "bulk", "BTCUSDT", "--from", "2024-12", "--to", "2025-01", "--timeframe", "1h", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "quantlab", *asked, "--address", shelf.url],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["new"] == {"BTCUSDT": 24} and told["folder"] == str(tmp_path / "home" / "history")


def test_a_replay_has_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the archive has mainnet's candles"):
        Workbench.open("replay", root=tmp_path).pull("BTCUSDT", "2024-01-01", bulk=True)

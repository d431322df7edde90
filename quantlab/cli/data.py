"""`quantlab data …`: years of candles at hand, from the exchange, from Binance's zips, from other people's files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantlab.cli.output import Json, emit
from quantlab.model.errors import ConfigurationError, NotFound, QuantlabError

if TYPE_CHECKING:
    from quantlab.market.history import History

app = typer.Typer(
    name="data",
    help="History: candles on disk, with their sources and their gaps.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Folder = Annotated[Path | None, typer.Option(help="Another folder than the history of this workbench.")]
Timeframe = Annotated[str, typer.Option(help="Such as 1m, 5m, 1h.")]


@app.command()
def pull(
    symbols: Annotated[list[str], typer.Argument(help="Such as BTCUSDT ETHUSDT.")],
    from_: Annotated[str, typer.Option("--from", help="First day, such as 2024-01-01 (UTC).")],
    to: Annotated[str | None, typer.Option(help="Day to end before (default: now).")] = None,
    timeframe: Timeframe = "1m",
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Ask the exchange for candles, within the weight budget. Interrupted, it goes on where it stopped."""
    from quantlab.cli.progress import counting
    from quantlab.cli.runs import settings
    from quantlab.lab.pull import pull as pull_candles
    from quantlab.lab.reader import MarketReader
    from quantlab.model.timeframe import moment_ms

    chosen = settings()
    history = _history(folder, chosen.market)
    span = moment_ms(from_, "--from"), None if to is None else moment_ms(to, "--to")
    result: dict[str, Any] = {"folder": str(history.folder), "new": {}}
    reader = MarketReader(chosen)
    try:
        for symbol in symbols:
            with counting(symbol, quiet=as_json) as show:

                def told(_: str, done: int, of: int, show: Callable[[int, int], None] | None = show) -> None:
                    if show is not None:
                        show(done, of)

                result["new"] |= pull_candles(
                    history, reader, [symbol], timeframe, *span, now_ms=_now_ms(), on_progress=told
                )
    finally:
        reader.close()
    words = "\n".join(f"{symbol} {timeframe}: {new:,} new candles" for symbol, new in result["new"].items())
    emit(result, as_json, f"{words}\n{history.folder}")


@app.command()
def bulk(
    symbols: Annotated[list[str], typer.Argument(help="Such as BTCUSDT ETHUSDT.")],
    from_: Annotated[str, typer.Option("--from", help="First month, such as 2021-01.")],
    to: Annotated[str | None, typer.Option(help="Month to end before (default: the last whole one).")] = None,
    timeframe: Timeframe = "1m",
    folder: Folder = None,
    address: Annotated[str | None, typer.Option(help="An archive on this machine instead of Binance's.")] = None,
    as_json: Json = False,
) -> None:
    """Download whole months of mainnet's candles from data.binance.vision, each checked against its SHA-256.

    Costs no weight; `pull` adds the days since. Interrupted, it goes on with the month it was at.
    """
    from quantlab.cli.progress import counting
    from quantlab.cli.runs import settings
    from quantlab.exchange.archive import ARCHIVE
    from quantlab.lab.bulk import bulk as download

    chosen, now_ms = settings(), _now_ms()
    history = _history(folder, "mainnet")
    span = _month_ms(from_, "--from"), now_ms if to is None else _month_ms(to, "--to")
    result: dict[str, Any] = {"folder": str(history.folder), "new": {}}
    for symbol in symbols:
        with counting(symbol, quiet=as_json) as show:

            def told(_: str, done: int, of: int, show: Callable[[int, int], None] | None = show) -> None:
                if show is not None:
                    show(done, of)

            result["new"] |= download(
                history, chosen.home, [symbol], timeframe, *span, now_ms=now_ms, address=address or ARCHIVE,
                on_progress=told,
            )  # fmt: skip
    words = "\n".join(f"{symbol} {timeframe}: {new:,} new candles" for symbol, new in result["new"].items())
    emit(result, as_json, f"{words}\n{history.folder}")


@app.command("import")
def import_(
    files: Annotated[
        list[Path], typer.Argument(help="Zips of data.binance.vision, CSV, Parquet, Feather; or folders.")
    ],
    timeframe: Annotated[str | None, typer.Option(help="Where the files' names do not tell it.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Where the file's name does not tell it.")] = None,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="Take zips without a checksum beside them.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Where candles differ, take the new ones.")] = False,
    exchange_info: Annotated[
        Path | None, typer.Option(help="The exchangeInfo of that time, .json or .json.gz: the symbols' tick and step.")
    ] = None,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Take candles out of files. Each file is taken whole or not at all; one that is refused stops nothing else."""
    from quantlab.cli.progress import counting
    from quantlab.market.history import SUFFIXES, read_file

    history = _history(folder)
    paths = [path for given in files for path in (_inside(given, SUFFIXES) if given.is_dir() else [given])]
    if not paths:
        raise NotFound(f"no file of {', '.join(SUFFIXES)} in {', '.join(map(str, files))}")
    new: dict[str, int] = {}
    refused: list[str] = []
    with counting("files", quiet=as_json) as show:
        for number, path in enumerate(paths, 1):
            try:
                found = read_file(path, timeframe=timeframe, symbol=symbol, unchecked=unchecked)
                new[path.name] = history.add(
                    found.symbol, found.timeframe, found.frame, source=path.name, sha256=found.sha256,
                    now_ms=_now_ms(), replace=replace,
                )  # fmt: skip
            except QuantlabError as error:
                refused.append(str(error))
            if show is not None:
                show(number, len(paths))
    if exchange_info is not None:
        _keep_filters(history, exchange_info)
    words = f"{sum(new.values()):,} new candles from {len(new)} files in {history.folder}"
    if new or as_json:
        emit({"folder": str(history.folder), "new": new, "refused": refused}, as_json, words)
    if refused:
        raise ConfigurationError(f"{len(refused)} of {len(paths)} files were refused: {'; '.join(refused)}")


@app.command("list")
def list_(folder: Folder = None, as_json: Json = False) -> None:
    """What there is: spans, missing candles, outages, sources."""
    rows = _history(folder).catalogue().to_dicts()
    emit(
        rows, as_json, "\n".join(map(_line, rows)) or "the history is empty: `quantlab data pull` or `import` fills it"
    )


@app.command()
def gaps(symbol: str, timeframe: Timeframe = "1m", folder: Folder = None, as_json: Json = False) -> None:
    """Missing candles, and stretches of candles without a trade, one line each."""
    rows = _history(folder).gaps(symbol, timeframe).to_dicts()
    lines = (f"{_utc(row['from_ms'])} to {_utc(row['to_ms'])}  {row['candles']:>6,} {row['kind']}" for row in rows)
    emit(rows, as_json, "\n".join(lines) or "no gaps")


@app.command()
def check(folder: Folder = None, as_json: Json = False) -> None:
    """Read every file, and say which are damaged."""
    history = _history(folder)
    wrong = history.check()
    emit({"folder": str(history.folder), "wrong": wrong}, as_json, "\n".join(wrong) or "every file is whole")
    if wrong:
        raise typer.Exit(1)


@app.command()
def export(
    symbol: str,
    path: Annotated[Path, typer.Argument(help="A new .csv or .parquet file.")],
    timeframe: Timeframe = "1m",
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Write one symbol's candles into a file."""
    if path.exists():
        raise ConfigurationError(f"{path} is there already: name a new file")
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigurationError(f"{path.name} ends neither in .csv nor in .parquet")
    frame = _history(folder).candles(symbol, timeframe)
    (frame.write_csv if path.suffix == ".csv" else frame.write_parquet)(path)
    emit({"path": str(path), "candles": frame.height}, as_json, f"{frame.height:,} candles in {path}")


def _history(folder: Path | None, market: str = "mainnet") -> History:
    """The history of this workbench. What a testnet or a replay tells is kept apart from real prices."""
    from quantlab.cli.runs import settings
    from quantlab.market.history import History, folder_of

    return History(folder or settings().home / folder_of(market))


def _keep_filters(history: History, path: Path) -> None:
    """Of every symbol in the history that the file has."""
    import gzip

    try:
        raw = path.read_bytes()
        payload = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        read = json.loads(payload).get("serverTime", 0)
    except (OSError, EOFError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path}: not an exchangeInfo answer ({error})") from error
    symbols = history.catalogue()["symbol"].unique().to_list()
    history.keep_filters(payload, symbols, _utc(read)[:10] if read else "an unknown day")


def _inside(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in suffixes)


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['symbol']:12} {row['timeframe']:>3}  {_utc(row['from_ms'])} to {_utc(row['to_ms'])}  "
        f"{row['candles']:>10,} candles, {row['missing']:,} missing, {row['outages']} outages, "
        f"{row['bytes'] / 2**20:.1f} MiB  {row['sources']}"
    )


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _month_ms(text: str, option: str) -> int:
    """A month or a day, UTC."""
    from quantlab.model.timeframe import moment_ms

    return moment_ms(f"{text}-01" if len(text) == len("2021-01") else text, option)

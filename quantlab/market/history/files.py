"""Candles in other people's files: Binance's monthly and daily zips, CSV, Parquet and Feather.

Source of the zips' form: github.com/binance/binance-public-data, README: no header line, twelve columns, and a file
`<name>.zip.CHECKSUM` of SHA-256 beside each; times of spot data in microseconds from 2025-01-01 on (checked
2026-11-24).
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import polars as pl

from quantlab.market.history.frame import SCHEMA
from quantlab.model import TIMEFRAMES, ConfigurationError, NotFound

SUFFIXES = (".zip", ".csv", ".parquet", ".feather")

_COLUMNS = (*SCHEMA, "close_time", "quote_volume", "trades", "taker_base", "taker_quote", "unused")
#: What others call the open time.
_TIMES = ("open_time", "date", "timestamp", "time", "datetime")
_NAME = re.compile(
    r"(?P<base>[A-Z0-9]{1,15})[-_]?(?P<quote>USDT|FDUSD|USDC|TUSD|BUSD|BTC|ETH|BNB|EUR|TRY|BRL|DAI)"
    rf"(?:[-_](?P<timeframe>{'|'.join(TIMEFRAMES)})(?:[-_][0-9-]+)?)?"
)
#: Beyond this a time is in microseconds: as milliseconds it would be the year 5138.
_MICROSECONDS = 10**14


class Found(NamedTuple):
    """The candles of one file, and whose they are."""

    symbol: str
    timeframe: str
    frame: pl.DataFrame
    sha256: str


def read_file(path: Path, *, timeframe: str | None = None, symbol: str | None = None, unchecked: bool = False) -> Found:
    """The candles of `path`; symbol and timeframe are those of its name where they are not given.

    A zip must agree with the checksum beside it; with `unchecked` it may have none. Raises NotFound without the file,
    ConfigurationError for a name that tells nothing, a wrong checksum, and a file that cannot be read.
    """
    if not path.is_file():
        raise NotFound(f"no file {path}")
    name = _NAME.fullmatch(path.name.removesuffix(path.suffix))
    symbol = symbol or (name and f"{name['base']}{name['quote']}") or ""
    timeframe = timeframe or (name and name["timeframe"]) or ""
    if not symbol or timeframe not in TIMEFRAMES:
        what = "symbol" if not symbol else "timeframe"
        raise ConfigurationError(f"{path.name}: its name does not tell the {what}: give --{what}")
    raw = path.read_bytes()
    sha256 = hashlib.sha256(raw).hexdigest()
    if path.suffix == ".zip":
        _check_sum(path, sha256, unchecked=unchecked)
    try:
        frame = _read(path, raw)
    except (pl.exceptions.PolarsError, zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigurationError(f"{path.name}: cannot be read as candles: {line}") from error
    return Found(symbol, timeframe, _in_ms(frame, path.name), sha256)


def _check_sum(path: Path, sha256: str, *, unchecked: bool) -> None:
    beside = path.with_name(f"{path.name}.CHECKSUM")
    if not beside.exists():
        if unchecked:
            return
        raise ConfigurationError(f"{path.name}: no {beside.name} beside it: fetch that too, or give --unchecked")
    told = beside.read_text(encoding="utf-8", errors="replace").split()
    if not told or told[0].lower() != sha256:
        raise ConfigurationError(f"{path.name}: does not have the SHA-256 of {beside.name}: fetch it again")


def _read(path: Path, raw: bytes) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(io.BytesIO(raw))
    if path.suffix == ".feather":
        return pl.read_ipc(io.BytesIO(raw))
    if path.suffix == ".csv":
        return _read_csv(raw)
    if path.suffix != ".zip":
        raise ValueError(f"{path.suffix} is not one of {', '.join(SUFFIXES)}")
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        inside = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(inside) != 1:
            raise ValueError(f"it holds {len(inside)} CSV files, not one")
        return _read_csv(archive.read(inside[0]))  # checks the archive's own CRC


def _read_csv(raw: bytes) -> pl.DataFrame:
    """With a line of names, or as Binance writes it, without."""
    if raw[:1].isdigit():
        frame = pl.read_csv(raw, has_header=False)
        if frame.width > len(_COLUMNS) or frame.width < len(SCHEMA):
            raise ValueError(f"it has {frame.width} columns, candles have {len(SCHEMA)} to {len(_COLUMNS)}")
        return frame.rename(dict(zip(frame.columns, _COLUMNS, strict=False)))
    return pl.read_csv(raw)


def _in_ms(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    column = next((name for name in _TIMES if name in frame.columns), None)
    if column is None:
        raise ConfigurationError(f"{what}: has no column open_time (nor {', '.join(_TIMES[1:])})")
    time = frame[column]
    if time.dtype.is_temporal():
        time = time.cast(pl.Datetime("ms")).dt.epoch("ms")
    elif time.dtype.is_numeric():
        time = time.cast(pl.Int64, strict=False)
        largest = time.max()
        if isinstance(largest, int) and largest >= _MICROSECONDS:
            time = time // 1000
    else:
        raise ConfigurationError(f"{what}: its times are neither numbers nor dates")
    return frame.with_columns(time.alias("open_time"))

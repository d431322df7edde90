"""Candles on disk: one Parquet file a symbol, timeframe and month, written whole or not at all.

    history/BTCUSDT/1m/2024-03.parquet

A file's own footer says where its candles came from; there is no index beside the files that could disagree with them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from quantlab.market.history.frame import SCHEMA, checked, utc
from quantlab.market.history.gaps import MISSING, gaps
from quantlab.market.history.resample import disagreements, resample
from quantlab.market.history.rules import Filters, filters_of, keep_filters
from quantlab.model import ConfigurationError, NotFound, QuantlabError, timeframe_ms

#: Key of the footer under which the sources of a file stand: a JSON list of {"name", "sha256"}, newest last.
_SOURCES = "quantlab.sources"
_SYMBOL = re.compile(r"[A-Z0-9]{5,20}")
_LONGEST_SOURCES = 20


def folder_of(market: str) -> str:
    """The name of the folder for the candles of a market: made-up prices are never beside real ones."""
    return "history" if market == "mainnet" else f"history-{market}"


class History:
    """The candles in one folder. Reading takes no lock: a file is replaced in one step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # -- writing ------------------------------------------------------------------------------------------------------

    def add(
        self,
        symbol: str,
        timeframe: str,
        frame: pl.DataFrame,
        *,
        source: str,
        sha256: str = "",
        now_ms: int,
        replace: bool = False,
    ) -> int:
        """Keep the candles of `frame` (columns as in `SCHEMA`, more are left out); returns how many were new.

        `source` says where they came from, `sha256` is that of the file, if it was one. Candles that are known already
        must be the same; with `replace` the new ones take their place (Binance corrects old files now and then).
        Raises ConfigurationError naming the first candle that cannot be or that differs: then nothing was written.
        """
        if not _SYMBOL.fullmatch(symbol):
            raise ConfigurationError(f'"{symbol}" is not a symbol as Binance writes it, such as BTCUSDT')
        rows = checked(frame, timeframe, what=source, now_ms=now_ms)
        if rows.is_empty():
            return 0
        months = rows.with_columns(month=pl.from_epoch("open_time", time_unit="ms").dt.strftime("%Y-%m"))
        written = 0
        with self._locked():
            pending = []
            for (month,), part in months.group_by("month", maintain_order=True):
                path = self._path(symbol, timeframe, str(month))
                known = pl.read_parquet(path) if path.exists() else pl.DataFrame(schema=SCHEMA)
                merged = _merged(known, part.drop("month"), source, replace=replace)
                if not merged.equals(known):
                    pending.append((path, merged, merged.height - known.height))
            for path, merged, new in pending:  # only once every month has passed
                _write(path, merged, [*_sources(path), {"name": source, "sha256": sha256}])
                written += new
        return written

    # -- reading ------------------------------------------------------------------------------------------------------

    def candles(
        self, symbol: str, timeframe: str, from_ms: int | None = None, to_ms: int | None = None
    ) -> pl.DataFrame:
        """The candles that open in [from_ms, to_ms), in order of time. Raises NotFound where there are none."""
        timeframe_ms(timeframe)
        files = self._files(symbol, timeframe)
        if from_ms is not None:
            files = [path for path in files if path.stem >= utc(from_ms)[:7]]
        if to_ms is not None:
            files = [path for path in files if path.stem <= utc(to_ms - 1)[:7]]
        frame = pl.read_parquet(files) if files else pl.DataFrame(schema=SCHEMA)
        if from_ms is not None:
            frame = frame.filter(pl.col("open_time") >= from_ms)
        if to_ms is not None:
            frame = frame.filter(pl.col("open_time") < to_ms)
        if frame.is_empty():
            kept = ", ".join(sorted({row[1] for row in self._series() if row[0] == symbol})) or "nothing"
            raise NotFound(f"no {timeframe} candles of {symbol} there: the history has {kept} of it")
        return frame

    def scan(self, timeframe: str, symbols: list[str] | None = None) -> pl.LazyFrame:
        """All candles of a timeframe with a column `symbol`, as a lazy frame over the files."""
        found = [(symbol, path) for symbol, tf, path in self._series_files() if tf == timeframe]
        wanted = [(symbol, path) for symbol, path in found if symbols is None or symbol in symbols]
        if not wanted:
            raise NotFound(f"no {timeframe} candles there")
        return pl.concat([pl.scan_parquet(path).with_columns(symbol=pl.lit(symbol)) for symbol, path in wanted])

    def catalogue(self) -> pl.DataFrame:
        """One row a symbol and timeframe: symbol, timeframe, from_ms, to_ms (open times), candles, missing (candles),
        outages (stretches of missing candles or of none traded), bytes, sources."""
        rows = []
        for symbol, timeframe in self._series():
            files = self._files(symbol, timeframe)
            frame = self.candles(symbol, timeframe)
            found = gaps(frame, timeframe)
            missing = int(found.filter(kind=MISSING)["candles"].sum())
            rows.append(
                (symbol, timeframe, frame["open_time"][0], frame["open_time"][-1], frame.height, missing,
                 found.height, sum(path.stat().st_size for path in files), ", ".join(self.sources(symbol, timeframe)))
            )  # fmt: skip
        return pl.DataFrame(rows, schema=_CATALOGUE, orient="row")

    def sources(self, symbol: str, timeframe: str) -> list[str]:
        """The names of what the candles came from."""
        return sorted({source["name"] for path in self._files(symbol, timeframe) for source in _sources(path)})

    def filters(self, symbol: str, candles: pl.DataFrame) -> Filters:
        """See `rules.filters_of`; `candles` are the symbol's."""
        return filters_of(self.folder, symbol, candles)

    def keep_filters(self, payload: bytes, symbols: Collection[str], read: str) -> list[str]:
        """See `rules.keep_filters`."""
        with self._locked():
            return keep_filters(self.folder, payload, symbols, read)

    def gaps(self, symbol: str, timeframe: str) -> pl.DataFrame:
        """See `gaps.gaps`."""
        return gaps(self.candles(symbol, timeframe), timeframe)

    def check(self) -> list[str]:
        """Everything that is wrong with the files, one line each: damaged, off their grid, in the wrong month; and
        where two timeframes of a symbol disagree."""
        return self._damaged() or self._disagreeing()

    def _disagreeing(self) -> list[str]:
        """Each timeframe against the longest shorter one that divides it."""
        wrong = []
        kept = self._series()
        for symbol, long in kept:
            shorter = [tf for other, tf in kept if other == symbol and timeframe_ms(tf) < timeframe_ms(long)]
            dividing = [tf for tf in shorter if timeframe_ms(long) % timeframe_ms(tf) == 0]
            if not dividing:
                continue
            short = max(dividing, key=timeframe_ms)
            made = resample(self.candles(symbol, short), short, long)
            found = disagreements(made, self.candles(symbol, long))
            if found.height:
                at = utc(found["open_time"][0])
                wrong.append(f"{symbol}: {found.height} {long} candles are not what its {short} ones make, first {at}")
        return wrong

    def _damaged(self) -> list[str]:
        wrong = []
        for symbol, timeframe, path in self._series_files():
            what = f"{symbol} {timeframe} {path.stem}"
            try:
                frame = pl.read_parquet(path)
                rows = checked(frame, timeframe, what=what, now_ms=1 << 62)
            except (pl.exceptions.PolarsError, OSError) as error:
                wrong.append(f"{what}: cannot be read ({str(error).splitlines()[0]}): delete it and import it again")
                continue
            except QuantlabError as error:
                wrong.append(str(error))
                continue
            if not rows.equals(frame.select(list(SCHEMA))):
                wrong.append(f"{what}: its candles are not in order of time, each once")
            elif {utc(time)[:7] for time in (rows["open_time"][0], rows["open_time"][-1])} != {path.stem}:
                wrong.append(f"{what}: holds candles of another month")
        return wrong

    def _repr_html_(self) -> str:
        with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
            return str(self._shown()._repr_html_())

    def __repr__(self) -> str:
        return f"History({self.folder.name}: {len(self._series())} series)"

    def _shown(self) -> pl.DataFrame:
        times = (pl.from_epoch(name, time_unit="ms").alias(name.removesuffix("_ms")) for name in ("from_ms", "to_ms"))
        rows = self.catalogue().with_columns(times)
        return rows.select("symbol", "timeframe", "from", "to", "candles", "missing", "outages", "sources")

    # -- files --------------------------------------------------------------------------------------------------------

    def _path(self, symbol: str, timeframe: str, month: str) -> Path:
        return self.folder / symbol / timeframe / f"{month}.parquet"

    def _files(self, symbol: str, timeframe: str) -> list[Path]:
        return sorted((self.folder / symbol / timeframe).glob("*.parquet"))

    def _series(self) -> list[tuple[str, str]]:
        return sorted({(symbol, timeframe) for symbol, timeframe, _ in self._series_files()})

    def _series_files(self) -> list[tuple[str, str, Path]]:
        return [(path.parts[-3], path.parts[-2], path) for path in sorted(self.folder.glob("*/*/*.parquet"))]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, in whatever process."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


_CATALOGUE = {
    "symbol": pl.String,
    "timeframe": pl.String,
    "from_ms": pl.Int64,
    "to_ms": pl.Int64,
    "candles": pl.Int64,
    "missing": pl.Int64,
    "outages": pl.Int64,
    "bytes": pl.Int64,
    "sources": pl.String,
}


def _merged(known: pl.DataFrame, new: pl.DataFrame, source: str, *, replace: bool) -> pl.DataFrame:
    if not replace:
        both = known.join(new, on="open_time", suffix="_new")
        differs = both.filter(pl.any_horizontal(pl.col(name) != pl.col(f"{name}_new") for name in list(SCHEMA)[1:]))
        if differs.height:
            at = utc(differs["open_time"].min())  # type: ignore[arg-type]
            raise ConfigurationError(
                f"{source}: its candle of {at} differs from the one that is kept ({differs.height} do): "
                "--replace takes the new ones"
            )
    kept = known.join(new, on="open_time", how="anti")
    return pl.concat([kept, new.select(list(SCHEMA))]).sort("open_time")


def _sources(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        found: list[dict[str, Any]] = json.loads(pl.read_parquet_metadata(path).get(_SOURCES, "[]"))
    except (pl.exceptions.PolarsError, ValueError):
        return []
    return found[-_LONGEST_SOURCES:]


def _write(path: Path, frame: pl.DataFrame, sources: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        frame.write_parquet(temporary, metadata={_SOURCES: json.dumps(sources)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise QuantlabError(f"{path} cannot be written: {error.strerror or error}") from error

"""Binance's monthly files of candles: public, without a key, by a session that can ask for nothing else.

Source: github.com/binance/binance-public-data, checked 2026-11-24: `data/spot/monthly/klines/SYMBOL/INTERVAL/
SYMBOL-INTERVAL-YYYY-MM.zip`, its SHA-256 in a file of that name and `.CHECKSUM`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp
from yarl import URL

from quantlab.exchange.asking_once import asked_once, is_here, parsed
from quantlab.exchange.egress import Egress, EgressLog, unwritten
from quantlab.exchange.failure.retry import TRIES, Backoff
from quantlab.exchange.guard import Attempt, guarded_session
from quantlab.exchange.rules import HEADERS, header_fault, is_at
from quantlab.model.errors import ConfigurationError, ExchangeUnreachable, Refused

ARCHIVE = "https://data.binance.vision"
#: A month of one-second candles is below 100 MB.
MOST_BYTES = 300_000_000
_PATH = re.compile(
    r"/data/spot/monthly/klines/(?P<symbol>[A-Z0-9]{2,30})/(?P<interval>1s|[1-9][0-9]?[mhdw])/"
    r"(?P=symbol)-(?P=interval)-20[0-9]{2}-(0[1-9]|1[0-2])\.zip(\.CHECKSUM)?"
)


def month_path(symbol: str, timeframe: str, year: int, month: int) -> str:
    """Where the zip of a month lies."""
    return f"/data/spot/monthly/klines/{symbol}/{timeframe}/{symbol}-{timeframe}-{year}-{month:02}.zip"


class Archive:
    """Downloads from `address`: Binance's archive, or one on this machine. Used as an async context. Raises
    ConfigurationError for another address."""

    def __init__(self, address: str, timeout_s: float, egress: Egress = unwritten) -> None:
        self._origin = _checked(address)
        self._log = EgressLog(egress)
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Archive:
        self._session = guarded_session(_MonthsOnly(self._origin), self._log, self._timeout_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def read(self, path: str) -> bytes | None:
        """The file at `path`; None where there is none. Tried three times. Raises ExchangeUnreachable, Refused,
        MalformedMessage for a file that is too long."""
        assert self._session is not None, "an archive is used in `async with`"
        backoff = Backoff()
        for tried in range(1, TRIES + 1):
            attempt, url = Attempt(), self._origin.with_path(path)
            failed = f"{url.host} did not send {url.name} ({{kind}})"
            error = await asked_once(self._session, url, attempt, self._log, "archive", failed)
            broke = error is not None
            if error is None and attempt.status == 200:
                return attempt.body
            if error is None and attempt.status == 404:
                return None
            if error is None:
                error = ExchangeUnreachable(f"{self._origin.host} answered HTTP {attempt.status} for {path}")
            # Where the line broke, the status says nothing of the file.
            transient = isinstance(error, ExchangeUnreachable) and (broke or attempt.status >= 429)
            if not transient or tried == TRIES:
                raise error
            await asyncio.sleep(backoff.pause_s())
        raise AssertionError  # the last try returns or raises


@dataclass(frozen=True, slots=True)
class _MonthsOnly:
    """Rules of a session that asks for monthly files and nothing else."""

    origin: URL

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({self.origin.raw_host or ""})

    @property
    def creed(self) -> str:
        return "Only monthly files of candles are asked for here"

    @property
    def most_bytes(self) -> int | None:
        return MOST_BYTES

    def fault(self, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
        if method != "GET":
            return f"method {method} is not GET"
        if not is_at(url, self.origin):
            return f"host {url.scheme}://{url.raw_authority} is not that of the archive"
        if not _PATH.fullmatch(url.raw_path) or url.raw_query_string or url.user or url.password:
            return f"path {url.raw_path} is not a monthly file of candles"
        return header_fault(url, headers, HEADERS)

    def frame(self, raw: bytes) -> bytes:
        raise Refused(f"stream frame refused: there is no stream here. {self.creed}")


def _checked(address: str) -> URL:
    url = parsed(address)
    plain = url.user is None and url.password is None and url.path in ("", "/") and not url.query_string
    if not plain or not (is_here(url) or (url.host and url.origin() == URL(ARCHIVE))):
        raise ConfigurationError(f"candles are downloaded from {ARCHIVE}; `quantlab data import` takes other files")
    return url.origin()

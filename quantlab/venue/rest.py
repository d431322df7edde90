"""The REST side: every request is counted, checked, answered and logged, in this order."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from quantlab.venue import parameters
from quantlab.venue.account import Account
from quantlab.venue.answers import PUBLIC
from quantlab.venue.damage import aged, damaged
from quantlab.venue.errors import VenueError, not_played
from quantlab.venue.fault import Fault
from quantlab.venue.faults import Faults
from quantlab.venue.keys import KeyRing
from quantlab.venue.limits import WeightLimit, rate_limits, weight_of
from quantlab.venue.log import RequestLog
from quantlab.venue.masking import fingerprint
from quantlab.venue.source import Market

_COMPRESS_FROM_BYTES = 8_192
#: The testnet has no /sapi: 404, plain text, nothing in it and no weights. Source: binance-connector-js issue 125.
_TESTNET_HEADERS = {"Content-Type": "text/plain; charset=utf-8"}


class Rest:
    """Answers `/api/v3` and `/sapi/v1`, and records whatever else is asked."""

    def __init__(
        self,
        market: Market,
        account: Account,
        keys: KeyRing,
        log: RequestLog,
        faults: Faults,
        *,
        limit: WeightLimit,
        wallet_limit: WeightLimit,
        sapi: bool = True,
    ) -> None:
        self._market, self._account, self._keys = market, account, keys
        self._log, self._faults = log, faults
        self._limit, self._wallet_limit = limit, wallet_limit
        self._sapi = sapi

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        method, path = request.method, request.path
        query = request.raw_path.partition("?")[2]
        sent, weight, status = b"", 0, 0
        try:
            sent = await request.read() if method != "GET" else b""
            fault = self._faults.request(path)
            weight, status, content, headers = self._asked(request, query, sent, fault)
        finally:  # also what could not be read to its end was asked
            body = sent.decode("utf-8", "replace")
            self._log.add(
                "rest",
                method,
                path,
                query=f"{query}&{body}".strip("&"),
                weight=weight,
                signed="signature=" in f"{query}&{body}",
                key=key_fingerprint(request.headers),
                status=status,
            )
        if fault is not None and fault.kind != "status":
            return await _faulty(request, fault, status, content, headers)
        return _response(request, status, content, headers)

    def _asked(
        self, request: web.BaseRequest, query: str, sent: bytes, fault: Fault | None
    ) -> tuple[int, int, bytes, dict[str, str]]:
        """Weight, status, content and headers of the answer."""
        method, path = request.method, request.path
        on_wallet = path.startswith("/sapi/")
        if on_wallet and not self._sapi:
            return 0, 404, b"", dict(_TESTNET_HEADERS)
        limit = self._wallet_limit if on_wallet else self._limit
        weight, status, headers = 1, 200, {}
        try:
            try:
                params = parameters.parse(query, sent.decode("utf-8", "replace"))
                weight = weight_of(method, path, params)
            finally:
                if fault is not None and fault.kind == "ban":
                    limit.ban(fault.ban_s)
                limit.take(weight)
            answer: Any = None
            if fault is None or fault.reaches:
                answer = self._answer(request, query, sent, params)
                headers = _orders_counted(self._account.order_counts(method, path))
            if path == "/api/v3/depth" and fault is not None and fault.kind == "stale_snapshot":
                answer = aged(answer, fault.back)
            content = msgspec.json.encode(answer)
        except VenueError as error:
            status, headers, content = error.status, error.headers, msgspec.json.encode(error.body)
        limited = status in (418, 429)  # the address is told that first
        if fault is not None and fault.kind == "status" and not limited:
            status, headers, content = fault.told
        return weight, status, content, {**_used(limit, on_wallet), **headers}

    def _answer(self, request: web.BaseRequest, query: str, sent: bytes, params: Mapping[str, str]) -> Any:
        method, path = request.method, request.path
        if method == "GET" and path in PUBLIC:
            public = PUBLIC[path]
            parameters.check_names(params, public.known)
            answer = public.answer(self._market, params)
            if path == "/api/v3/time":
                answer["serverTime"] += self._faults.skew_ms(path)
            if path == "/api/v3/exchangeInfo":
                answer["rateLimits"] = rate_limits(answer["rateLimits"], self._limit.limit)
            return answer
        if (method, path) not in self._account.endpoints:
            raise not_played(f"{method} {path}")
        api_key = request.headers.get("X-MBX-APIKEY")
        encoded, skew_ms = query.encode("utf-8", "surrogateescape"), self._faults.skew_ms(path)
        key = self._keys.check_request(api_key, encoded, sent, params, request.remote, skew_ms=skew_ms)
        return self._account.answer(method, path, params, key)


def key_fingerprint(headers: Mapping[str, str]) -> str:
    """The fingerprint of the API key that a request carries; "" without one."""
    return fingerprint(headers["X-MBX-APIKEY"]) if "X-MBX-APIKEY" in headers else ""


async def _faulty(
    request: web.BaseRequest, fault: Fault, status: int, content: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    if fault.kind == "latency":
        await asyncio.sleep(fault.delay_s())
    elif fault.kind == "drop" and request.transport is not None:
        request.transport.abort()
    content, told = damaged(content, fault)
    return _response(request, status, content, {**headers, **told})


def _used(limit: WeightLimit, on_wallet: bool) -> dict[str, str]:
    if on_wallet:
        return {"X-SAPI-USED-IP-WEIGHT-1M": str(limit.used)}
    return {"X-MBX-USED-WEIGHT": str(limit.used), "X-MBX-USED-WEIGHT-1M": str(limit.used)}


def _orders_counted(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {f"X-MBX-ORDER-COUNT-{row['intervalNum']}{row['interval'][0]}": str(row["count"]) for row in rows}


def _response(request: web.BaseRequest, status: int, content: bytes, headers: Mapping[str, str]) -> web.Response:
    headers = {"Content-Type": "application/json;charset=UTF-8", **headers}
    if len(content) > _COMPRESS_FROM_BYTES and "gzip" in request.headers.get("Accept-Encoding", ""):
        content = gzip.compress(content, 1)
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=content, status=status, headers=headers)

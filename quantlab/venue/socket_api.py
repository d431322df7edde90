"""The WebSocket API (`/ws-api/v3`): the REST answers in request and response frames, and orders that are recorded.

Source: Binance spot WebSocket API docs, checked 2026-11-23. Sessions (`session.logon`) need Ed25519 keys and are not
played; what is not in the table is recorded and refused.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from quantlab.venue import parameters
from quantlab.venue.account import Account
from quantlab.venue.answers import PUBLIC
from quantlab.venue.damage import aged, damaged
from quantlab.venue.errors import VenueError, not_played
from quantlab.venue.fault import Fault
from quantlab.venue.faults import Faults
from quantlab.venue.keys import KeyRing
from quantlab.venue.limits import WeightLimit, weight_of
from quantlab.venue.log import RequestLog
from quantlab.venue.source import Market

#: Method of the WebSocket API → the REST request with the same answer.
METHODS = {
    "ping": ("GET", "/api/v3/ping"),
    "time": ("GET", "/api/v3/time"),
    "exchangeInfo": ("GET", "/api/v3/exchangeInfo"),
    "depth": ("GET", "/api/v3/depth"),
    "trades.recent": ("GET", "/api/v3/trades"),
    "trades.historical": ("GET", "/api/v3/historicalTrades"),
    "trades.aggregate": ("GET", "/api/v3/aggTrades"),
    "klines": ("GET", "/api/v3/klines"),
    "uiKlines": ("GET", "/api/v3/uiKlines"),
    "avgPrice": ("GET", "/api/v3/avgPrice"),
    "ticker.24hr": ("GET", "/api/v3/ticker/24hr"),
    "ticker.price": ("GET", "/api/v3/ticker/price"),
    "ticker.book": ("GET", "/api/v3/ticker/bookTicker"),
    "account.status": ("GET", "/api/v3/account"),
    "account.commission": ("GET", "/api/v3/account/commission"),
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.status": ("GET", "/api/v3/order"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
    "orderList.place.oco": ("POST", "/api/v3/orderList/oco"),
    "openOrders.status": ("GET", "/api/v3/openOrders"),
    "openOrders.cancelAll": ("DELETE", "/api/v3/openOrders"),
    "allOrders": ("GET", "/api/v3/allOrders"),
    "myTrades": ("GET", "/api/v3/myTrades"),
}
_CONNECTION_WEIGHT = 2


class SocketApi:
    """Serves connections to the WebSocket API."""

    def __init__(
        self, market: Market, account: Account, keys: KeyRing, log: RequestLog, faults: Faults, limit: WeightLimit
    ) -> None:
        self._market, self._account, self._keys = market, account, keys
        self._log, self._faults, self._limit = log, faults, limit

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=1 << 20)
        try:
            self._limit.take(_CONNECTION_WEIGHT)
        except VenueError as error:
            return web.Response(status=error.status, headers=error.headers, body=msgspec.json.encode(error.body))
        await socket.prepare(request)
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            answer, weight, fault = self._reply(message.data, request.remote)
            self._log.add_frame(request.path, message.data, weight=weight, status=answer["status"])
            content = msgspec.json.encode(answer)
            if fault is not None:
                if fault.kind == "latency":
                    await asyncio.sleep(fault.delay_s())
                elif fault.kind == "drop" and request.transport is not None:
                    request.transport.abort()
                    break
                content = damaged(content, fault)[0]
            await socket.send_str(content.decode())
        return socket

    def _reply(self, data: str | bytes, peer: str | None) -> tuple[dict[str, Any], int, Fault | None]:
        """The response to one request, its weight, and the fault that happens to it on its way."""
        number, weight, fault = None, 0, None
        try:
            try:
                command = msgspec.json.decode(data, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeError):
                raise VenueError(-1135, "Invalid JSON Request") from None
            number, method = command.get("id"), command.get("method")
            known = METHODS.get(method) if isinstance(method, str) else None
            params = {name: _text(value) for name, value in (command.get("params") or {}).items()}
            weight = 1 if known is None else weight_of(*known, params)
            fault = self._faults.request(method) if isinstance(method, str) else None
            if fault is not None and fault.kind == "ban":
                self._limit.ban(fault.ban_s)
            self._limit.take(weight)
            if known is None:
                raise not_played(f"method {method}")
            result = self._result(*known, params, peer, fault)
            return {"id": number, "status": 200, "result": result, "rateLimits": self._used()}, weight, fault
        except VenueError as error:
            refused = {"id": number, "status": error.status, "error": error.body, "rateLimits": self._used()}
            return refused, weight, fault

    def _result(self, method: str, path: str, params: dict[str, str], peer: str | None, fault: Fault | None) -> object:
        if fault is None:
            return self._answer(method, path, params, peer)
        result: Any = self._answer(method, path, params, peer) if fault.reaches else None
        if fault.kind == "status":
            raise VenueError(fault.code or 0, fault.msg or "", fault.status or 503)
        return aged(result, fault.back) if fault.kind == "stale_snapshot" and path == "/api/v3/depth" else result

    def _answer(self, method: str, path: str, params: dict[str, str], peer: str | None) -> Any:
        if path in PUBLIC:
            parameters.check_names(params, PUBLIC[path].known)
            answer = PUBLIC[path].answer(self._market, params)
            if path == "/api/v3/time":
                answer["serverTime"] += self._faults.skew_ms(path)
            return answer
        key = self._keys.check_frame(params, peer, skew_ms=self._faults.skew_ms(path))
        own = {name: value for name, value in params.items() if name != "apiKey"}
        return self._account.answer(method, path, own, key)

    def _used(self) -> list[dict[str, Any]]:
        return [
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self._limit.limit,
                "count": self._limit.used,
            }
        ]


def _text(value: object) -> str:
    """A JSON value as it would stand in a query."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

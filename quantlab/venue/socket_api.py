"""The WebSocket API (`/ws-api/v3`): the REST answers in frames, sessions, and the account's events.

Source: Binance spot WebSocket API docs, checked 2026-11-23. What is not in the tables is recorded and refused.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from quantlab.venue import errors, parameters
from quantlab.venue.account import Account
from quantlab.venue.answers import PUBLIC
from quantlab.venue.damage import aged, damaged
from quantlab.venue.errors import VenueError, not_played
from quantlab.venue.fault import Fault
from quantlab.venue.faults import Faults
from quantlab.venue.keys import Key, KeyRing
from quantlab.venue.limits import WeightLimit, weight_of
from quantlab.venue.log import RequestLog
from quantlab.venue.outbox import Outbox
from quantlab.venue.session import SESSION_METHODS, SESSION_WEIGHT, SIGNED_METHODS, Session, retry_data
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
    "account.rateLimits.orders": ("GET", "/api/v3/rateLimit/order"),
    "account.commission": ("GET", "/api/v3/account/commission"),
    "order.place": ("POST", "/api/v3/order"),
    "order.test": ("POST", "/api/v3/order/test"),
    "order.status": ("GET", "/api/v3/order"),
    "order.cancel": ("DELETE", "/api/v3/order"),
    "order.cancelReplace": ("POST", "/api/v3/order/cancelReplace"),
    "orderList.place.oco": ("POST", "/api/v3/orderList/oco"),
    "orderList.cancel": ("DELETE", "/api/v3/orderList"),
    "orderList.status": ("GET", "/api/v3/orderList"),
    "openOrderLists.status": ("GET", "/api/v3/openOrderList"),
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
        outbox = Outbox(
            socket, lambda: _abort(request), self._faults, lambda: self._market.now_ms - self._market.start_ms
        )
        shows_limits = request.query.get("returnRateLimits") != "false"
        session = Session(self._account, outbox.put, shows_limits=shows_limits)
        try:
            await self._converse(request, socket, session, outbox)
        finally:
            session.close()
            await outbox.close()
        return socket

    async def _converse(
        self, request: web.BaseRequest, socket: web.WebSocketResponse, session: Session, outbox: Outbox
    ) -> None:
        async for message in socket:
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                continue
            answer, weight, fault = self._reply(message.data, request.remote, session)
            self._log.add_frame(request.path, message.data, weight=weight, status=answer["status"])
            content = msgspec.json.encode(answer)
            if fault is not None:
                if fault.kind == "latency":
                    await asyncio.sleep(fault.delay_s())
                elif fault.kind == "drop":
                    _abort(request)
                    break
                content = damaged(content, fault)[0]
            if not outbox.muted:
                await socket.send_str(content.decode())

    def _reply(self, data: str | bytes, peer: str | None, session: Session) -> tuple[dict[str, Any], int, Fault | None]:
        """The response to one request, its weight, and the fault that happens to it on its way."""
        number, weight, fault, known, logged_on = None, 0, None, None, session.key
        limits = session.shows_limits
        try:
            try:
                command = msgspec.json.decode(data, type=dict[str, Any])
            except (msgspec.DecodeError, UnicodeError):
                raise VenueError(-1135, "Invalid JSON Request") from None
            number, method = command.get("id"), command.get("method")
            known = METHODS.get(method) if isinstance(method, str) else None
            params = {name: _text(value) for name, value in (command.get("params") or {}).items()}
            limits = params.pop("returnRateLimits", "true" if limits else "false") == "true"
            weight = _weight(method, known, params)
            fault = self._faults.request(method) if isinstance(method, str) else None
            if fault is not None and fault.kind == "ban":
                self._limit.ban(fault.ban_s)
            self._limit.take(weight)
            result: Any = None
            if fault is None or fault.reaches:
                result = self._result(str(method), known, params, peer, session)
            if fault is not None and fault.kind == "status":
                raise VenueError(fault.code or 0, fault.msg or "", fault.status or 503)
            if fault is not None and fault.kind == "stale_snapshot" and method == "depth":
                result = aged(result, fault.back)
            reply = {"id": number, "status": 200, "result": result}
        except VenueError as error:
            was_revoked = logged_on is not None and session.key is None
            reply = {"id": None if was_revoked else number, "status": error.status, "error": retry_data(error)}
        return {**reply, "rateLimits": self._used(known)} if limits else reply, weight, fault

    def _result(
        self, method: str, known: tuple[str, str] | None, params: dict[str, str], peer: str | None, session: Session
    ) -> Any:
        if known is not None:
            return self._answer(*known, params, peer, session)
        if method not in SESSION_METHODS:
            raise not_played(f"method {method}")
        key = None
        if method in SIGNED_METHODS:
            key = self._keys.check_frame(params, peer, skew_ms=self._faults.skew_ms(method))
        return session.answer(method, params, key)

    def _answer(self, method: str, path: str, params: dict[str, str], peer: str | None, session: Session) -> Any:
        if path in PUBLIC:
            parameters.check_names(params, PUBLIC[path].known)
            answer = PUBLIC[path].answer(self._market, params)
            if path == "/api/v3/time":
                answer["serverTime"] += self._faults.skew_ms(path)
            return answer
        key = self._key(params, peer, session, self._faults.skew_ms(path))
        own = {name: value for name, value in params.items() if name != "apiKey"}
        return self._account.answer(method, path, own, key)

    def _key(self, params: dict[str, str], peer: str | None, session: Session, skew_ms: int) -> Key:
        """The key that signed a request, or that its session is logged on with."""
        if session.key is None or "apiKey" in params or "signature" in params:
            return self._keys.check_frame(params, peer, skew_ms=skew_ms)
        key = session.key
        try:
            self._keys.check_session(key, params, peer, skew_ms=skew_ms)
        except VenueError as error:
            if error.code == errors.rejected_key().code:
                session.log_out()
            raise
        return key

    def _used(self, known: tuple[str, str] | None) -> list[dict[str, Any]]:
        return [
            *(self._account.order_counts(*known) if known is not None else ()),
            {
                "rateLimitType": "REQUEST_WEIGHT",
                "interval": "MINUTE",
                "intervalNum": 1,
                "limit": self._limit.limit,
                "count": self._limit.used,
            },
        ]


def _weight(method: object, known: tuple[str, str] | None, params: dict[str, str]) -> int:
    if known is not None:
        return weight_of(*known, params)
    return SESSION_WEIGHT if method in SESSION_METHODS else 1


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _text(value: object) -> str:
    """A JSON value as it would stand in a query."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()

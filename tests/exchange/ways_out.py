"""Ways to get an order, a key or a signature out of a paper process. Each is a coroutine `(session, url)`.

They were collected from what ccxt, aiohttp and careless code can do; every one is written as if the guard were not
there. `test_no_order_leaves` runs each through a guarded session and through a plain one.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import ccxt.async_support
import ccxt.pro
from yarl import URL

Way = Callable[[aiohttp.ClientSession, str], Awaitable[object]]
WAYS: dict[str, Way] = {}

# Its clients are handed a session here and have nothing to release.
logging.getLogger("ccxt").setLevel(logging.ERROR)

_TLS = ssl.create_default_context()
_ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
_PLACE = '{"id":1,"method":"order.place","params":{"symbol":"BTCUSDT","side":"BUY"}}'
_FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.01", "minPrice": "0.01", "maxPrice": "100000"},
    {"filterType": "LOT_SIZE", "stepSize": "0.00001", "minQty": "0.00001", "maxQty": "9000"},
]
_ROW = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "baseAssetPrecision": 8,
    "quotePrecision": 8,
    "orderTypes": ["LIMIT", "MARKET"],
    "isSpotTradingAllowed": True,
    "isMarginTradingAllowed": True,
    "filters": _FILTERS,
    "permissionSets": [["SPOT"]],
}


def _way(name: str) -> Callable[[Way], Way]:
    def keep(way: Way) -> Way:
        assert name not in WAYS
        WAYS[name] = way
        return way

    return keep


def keyed(session: aiohttp.ClientSession, url: str, kind: Any = ccxt.async_support.binance) -> Any:
    """A plain ccxt client with a key, every one of its addresses pointed at `url`."""
    client = kind({"session": session, "apiKey": "key", "secret": "secret", "enableRateLimit": False, "timeout": 2000})
    client.ssl_context = _TLS  # or ccxt reads the certificate store anew for each client
    client.options |= {"defaultType": "spot", "crossMarginPairsData": [], "isolatedMarginPairsData": []}
    stream = url.replace("http", "ws", 1)
    groups = [name for name in client.urls["api"] if name != "ws"]
    client.urls["api"] = dict.fromkeys(groups, f"{url}/api/v3")
    client.urls["api"]["ws"] = {"spot": f"{stream}/stream", "ws-api": {"spot": f"{stream}/stream"}}
    client.set_markets([client.parse_market(_ROW)])
    client.currencies = {"USDT": {"id": "USDT", "code": "USDT", "networks": {}, "precision": 8}}
    client.currencies_by_id = {"USDT": [client.currencies["USDT"]]}
    return client


# ---- ccxt's unified calls, on a plain instance that was handed the session


def _unified(name: str, *arguments: Any, **params: Any) -> None:
    @_way(f"ccxt {name} {params or ''}".strip())
    async def way(session: aiohttp.ClientSession, url: str) -> object:
        return await getattr(keyed(session, url), name)(*arguments, **params)


_unified("create_order", "BTC/USDT", "market", "buy", 1)
_unified("create_order", "BTC/USDT", "limit", "buy", 1, 100, params={"test": True})
_unified("create_order", "BTC/USDT", "limit", "buy", 1, 100, params={"sor": True})
_unified("create_order", "BTC/USDT", "limit", "buy", 1, 100, params={"marginMode": "cross"})
_unified("create_market_sell_order", "BTC/USDT", 1)
_unified("edit_order", "7", "BTC/USDT", "limit", "buy", 1, 100)
_unified("cancel_order", "7", "BTC/USDT")
_unified("cancel_all_orders", "BTC/USDT")
_unified("withdraw", "USDT", 10, "0xabc")
_unified("transfer", "USDT", 10, "spot", "future")
_unified("fetch_open_orders", "BTC/USDT")
_unified("fetch_balance")

# ---- ccxt's generated and generic calls

for _name in (
    "privatePostOrder",
    "privatePostOrderOco",
    "privatePostSorOrder",
    "privatePostOrderCancelReplace",
    "privateDeleteOrder",
    "privateDeleteOpenOrders",
    "publicPostUserDataStream",
    "sapiPostMarginOrder",
    "sapiPostCapitalWithdrawApply",
    "sapiPostAssetTransfer",
    "sapiPostConvertAcceptQuote",
    "fapiPrivatePostOrder",
    "dapiPrivatePostOrder",
    "eapiPrivatePostOrder",
    "papiPostUmOrder",
):

    @_way(f"ccxt {_name}")
    async def _implicit(session: aiohttp.ClientSession, url: str, name: str = _name) -> object:
        return await getattr(keyed(session, url), name)(dict(_ORDER))


@_way("ccxt request() with any path")
async def _request(session: aiohttp.ClientSession, url: str) -> object:
    return await keyed(session, url).request("order", ["private"], "POST", dict(_ORDER))


@_way("ccxt fetch() with any address")
async def _fetch(session: aiohttp.ClientSession, url: str) -> object:
    return await keyed(session, url).fetch(f"{url}/api/v3/order", "POST", {"X-MBX-APIKEY": "key"}, "symbol=BTCUSDT")


@_way("ccxt urls changed after it was made")
async def _urls_changed(session: aiohttp.ClientSession, url: str) -> object:
    client = keyed(session, url)
    client.urls["api"]["public"] = f"{url}/sapi/v1"
    return await client.publicGetTime()


@_way("ccxt set_sandbox_mode")
async def _sandbox(session: aiohttp.ClientSession, url: str) -> object:
    client = keyed(session, url)
    client.set_sandbox_mode(True)
    return await client.privatePostOrder(dict(_ORDER))


@_way("ccxt enable_demo_trading")
async def _demo(session: aiohttp.ClientSession, url: str) -> object:
    client = keyed(session, url)
    client.enable_demo_trading(True)
    return await client.privatePostOrder(dict(_ORDER))


@_way("ccxt with its httpProxy set")
async def _http_proxy(session: aiohttp.ClientSession, url: str) -> object:
    client = keyed(session, url)
    client.httpProxy = url
    return await client.privatePostOrder(dict(_ORDER))


# ---- ccxt.pro: orders as stream frames


@_way("ccxt.pro create_order_ws")
async def _create_ws(session: aiohttp.ClientSession, url: str) -> object:
    return await keyed(session, url, ccxt.pro.binance).create_order_ws("BTC/USDT", "market", "buy", 1)


@_way("ccxt.pro cancel_order_ws")
async def _cancel_ws(session: aiohttp.ClientSession, url: str) -> object:
    return await keyed(session, url, ccxt.pro.binance).cancel_order_ws("7", "BTC/USDT")


@_way("ccxt.pro watch_ticker with method order.place")
async def _watch(session: aiohttp.ClientSession, url: str) -> object:
    return await keyed(session, url, ccxt.pro.binance).watch_ticker("BTC/USDT", {"method": "order.place"})


# ---- the session itself


def _raw(name: str, method: str, target: str, **options: Any) -> None:
    @_way(name)
    async def way(session: aiohttp.ClientSession, url: str) -> object:
        async with session.request(method, URL(f"{url}{target}", encoded=True), **options) as response:
            return await response.read()


for _method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
    _raw(f"session {_method} order", _method, "/api/v3/order", params=_ORDER)
_raw("POST to a path that may be read", "POST", "/api/v3/time", data=b"symbol=BTCUSDT")
_raw("GET order", "GET", "/api/v3/order?symbol=BTCUSDT")
_raw("GET account", "GET", "/api/v3/account")
_raw("percent-encoded path", "GET", "/api/v3/%6Frder")
_raw("dot segments", "GET", "/api/v3/time/../order")
_raw("double slash", "GET", "//api/v3/time")
_raw("path parameters", "GET", "/api/v3/time;/order")
_raw("method override header", "GET", "/api/v3/time", headers={"X-HTTP-Method-Override": "POST"})
_raw("API key header", "GET", "/api/v3/time", headers={"X-MBX-APIKEY": "key"})
_raw("authorization header", "GET", "/api/v3/time", headers={"Authorization": "Bearer key"})
_raw("cookie", "GET", "/api/v3/time", cookies={"session": "key"})
_raw("foreign Host header", "GET", "/api/v3/time", headers={"Host": "api.binance.com"})
_raw("signature parameter", "GET", "/api/v3/time?timestamp=1&signature=00")
_raw("encoded signature parameter", "GET", "/api/v3/time?%73ignature=00")
_raw("GET with a form body", "GET", "/api/v3/time", data=_ORDER)
_raw("GET with a JSON body", "GET", "/api/v3/time", json=_ORDER)
_raw("request without middlewares", "POST", "/api/v3/order", params=_ORDER, middlewares=())
_raw("redirect to another path", "GET", "/api/v3/ping")
_raw("redirect, without middlewares", "GET", "/api/v3/ping", middlewares=())


@_way("another port of an allowed host")
async def _port(session: aiohttp.ClientSession, url: str) -> object:
    return await session.get(f"http://127.0.0.1:{int(url.rpartition(':')[2]) + 1}/api/v3/time")


@_way("another name of an allowed address")
async def _name_of(session: aiohttp.ClientSession, url: str) -> object:
    return await session.get(f"{url.replace('127.0.0.1', 'localhost')}/api/v3/time")


@_way("another loopback address")
async def _address_of(session: aiohttp.ClientSession, url: str) -> object:
    return await session.get(f"{url.replace('127.0.0.1', '127.0.0.2')}/api/v3/time")


@_way("Binance's trading host")
async def _binance(session: aiohttp.ClientSession, url: str) -> object:
    return await session.get("https://api.binance.com/api/v3/time")


@_way("credentials in the address")
async def _credentials(session: aiohttp.ClientSession, url: str) -> object:
    return await session.get(f"{url.replace('//', '//key:secret@')}/api/v3/time")


@_way("explicit proxy")
async def _proxy(session: aiohttp.ClientSession, url: str) -> object:
    return await session.get("http://api.binance.com/api/v3/order", proxy=url)


# ---- stream frames


def _frame(name: str, send: Callable[[Any], Awaitable[object]], path: str = "/stream") -> None:
    @_way(name)
    async def way(session: aiohttp.ClientSession, url: str) -> object:
        async with session.ws_connect(f"{url.replace('http', 'ws', 1)}{path}") as socket:
            return await send(socket)


_frame("WebSocket API", lambda socket: socket.ping(), "/ws-api/v3")
_frame("user data stream by listen key", lambda socket: socket.ping(), "/ws/pqia91ma19a5s61cv6a81va65sdf19v8")
_frame("stream query with a listen key", lambda socket: socket.ping(), "/stream?streams=pqia91ma19a5s61cv6a81")
_frame("send_str order.place", lambda socket: socket.send_str(_PLACE))
_frame("send_bytes order.place", lambda socket: socket.send_bytes(_PLACE.encode()))
_frame("send_json order.place", lambda socket: socket.send_json({"method": "order.place", "id": 1}))
_frame("send_frame order.place", lambda socket: socket.send_frame(_PLACE.encode(), aiohttp.WSMsgType.TEXT))
_frame("send_frame in a binary frame", lambda socket: socket.send_frame(_PLACE.encode(), aiohttp.WSMsgType.BINARY))
_frame("the writer itself", lambda socket: socket._writer.send_frame(_PLACE.encode(), aiohttp.WSMsgType.TEXT))
_frame(
    "compressed frame",
    lambda socket: socket.send_frame(_PLACE.encode(), aiohttp.WSMsgType.TEXT, compress=9),
)
_frame("session.logon", lambda socket: socket.send_str('{"id":1,"method":"session.logon","params":{"apiKey":"k"}}'))
_frame("SUBSCRIBE to a listen key", lambda socket: socket.send_str('{"method":"SUBSCRIBE","params":["pqia91ma"]}'))
_frame("SUBSCRIBE with an API key", lambda socket: socket.send_str('{"method":"SUBSCRIBE","params":[],"apiKey":"k"}'))
_frame(
    "method named twice",
    lambda socket: socket.send_str('{"method":"SUBSCRIBE","params":{"x":1},"method":"order.place"}'),
)
_frame("a list of commands", lambda socket: socket.send_str(f"[{_PLACE}]"))
_frame("not JSON", lambda socket: socket.send_str("order.place BTCUSDT"))

"""A session of python-binance against a venue: market data, streams, signed reads, and an account that trades.

Run by a throwaway environment: `python session_python_binance.py VENUE_URL API_KEY SECRET`. Prints one JSON line a
step.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from binance import AsyncClient, BinanceSocketManager  # type: ignore[import-not-found]
from binance.exceptions import BinanceAPIException  # type: ignore[import-not-found]

SYMBOL = "BTCUSDT"


async def step(name: str, work: Callable[[], Awaitable[Any]]) -> None:
    """Do one step and print how it went; a step that fails ends nothing."""
    try:
        await asyncio.wait_for(work(), 15)
        print(json.dumps({"step": name, "ok": True}), flush=True)
    except Exception as error:
        print(json.dumps({"step": name, "ok": False, "why": f"{type(error).__name__}: {error}"[:300]}), flush=True)


async def main(url: str, api_key: str, secret: str) -> None:
    address = url.removeprefix("http://")
    AsyncClient.API_URL = f"{url}/api"
    AsyncClient.WS_API_URL = f"ws://{address}/ws-api/v3"
    client = await AsyncClient.create(api_key, secret)
    client.API_URL, client.WS_API_URL = AsyncClient.API_URL, AsyncClient.WS_API_URL
    sockets = BinanceSocketManager(client)
    sockets.STREAM_URL = f"ws://{address}/"

    await step("exchange info", client.get_exchange_info)
    await step("order book", lambda: client.get_order_book(symbol=SYMBOL, limit=20))
    await step("klines", lambda: client.get_klines(symbol=SYMBOL, interval="1m", limit=10))
    await step("aggregate trades", lambda: client.get_aggregate_trades(symbol=SYMBOL, limit=5))
    await step("24 h ticker", lambda: client.get_ticker(symbol=SYMBOL))
    await step("order book over the WebSocket API", lambda: client.ws_get_order_book(symbol=SYMBOL))

    for name, socket in (
        ("stream bookTicker", sockets.symbol_book_ticker_socket(SYMBOL)),
        ("stream trade", sockets.trade_socket(SYMBOL)),
        ("stream depth", sockets.depth_socket(SYMBOL, interval=100)),
    ):
        await step(name, lambda socket=socket: _first(socket))

    await step("account", client.get_account)

    await step("user stream: an order is told", lambda: _told(client, sockets))
    await step("limit order, query, cancel", lambda: _rest(client))
    await step("an order that is refused", lambda: _refused(client))
    await step("my trades", lambda: client.get_my_trades(symbol=SYMBOL))
    await step("order over the WebSocket API", lambda: client.ws_create_order(
        symbol=SYMBOL, side="SELL", type="MARKET", quantity="0.001"
    ))  # fmt: skip
    await client.close_connection()


async def _first(socket: Any) -> None:
    async with socket as stream:
        message = await stream.recv()
        assert message.get("e") != "error", message


async def _told(client: Any, sockets: Any) -> None:
    async with sockets.user_socket() as stream:
        placed = await client.create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity="0.01")
        while True:
            event = await stream.recv()
            event = event.get("event", event)
            if event.get("e") == "executionReport" and event["X"] == "FILLED":
                assert event["i"] == placed["orderId"]
                return


async def _rest(client: Any) -> None:
    price = float((await client.get_orderbook_ticker(symbol=SYMBOL))["bidPrice"])
    placed = await client.order_limit_buy(symbol=SYMBOL, quantity="0.001", price=f"{price * 0.9:.2f}")
    assert len(await client.get_open_orders(symbol=SYMBOL)) == 1
    await client.cancel_order(symbol=SYMBOL, orderId=placed["orderId"])
    assert (await client.get_order(symbol=SYMBOL, orderId=placed["orderId"]))["status"] == "CANCELED"


async def _refused(client: Any) -> None:
    try:
        await client.create_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity="100")
    except BinanceAPIException as error:
        if error.code in (-1013, -2010):
            return
        raise
    raise AssertionError("it was taken")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

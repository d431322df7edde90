"""A session of Binance's own binance-sdk-spot against a venue: market data, streams, signed reads, and orders.

Run by a throwaway environment: `python session_binance_sdk_spot.py VENUE_URL API_KEY SECRET`. Prints one JSON line a
step.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

from binance_common.configuration import (  # type: ignore[import-not-found]
    ConfigurationRestAPI,
    ConfigurationWebSocketAPI,
    ConfigurationWebSocketStreams,
)
from binance_sdk_spot.spot import Spot  # type: ignore[import-not-found]

SYMBOL = "BTCUSDT"


async def step(name: str, work: Callable[[], Any]) -> None:
    """Do one step and print how it went; a step that fails ends nothing."""
    try:
        answer = work()
        if inspect.isawaitable(answer):
            answer = await asyncio.wait_for(answer, 15)
        if hasattr(answer, "data"):
            answer.data()
        print(json.dumps({"step": name, "ok": True}), flush=True)
    except Exception as error:
        print(json.dumps({"step": name, "ok": False, "why": f"{type(error).__name__}: {error}"[:300]}), flush=True)


async def main(url: str, api_key: str, secret: str) -> None:
    address = url.removeprefix("http://")
    client = Spot(
        config_rest_api=ConfigurationRestAPI(
            api_key=api_key, api_secret=secret, base_path=url, retries=0, timeout=5000
        ),
        config_ws_api=ConfigurationWebSocketAPI(
            api_key=api_key, api_secret=secret, stream_url=f"ws://{address}/ws-api/v3"
        ),
        config_ws_streams=ConfigurationWebSocketStreams(stream_url=f"ws://{address}"),
    )
    rest = client.rest_api
    await step("exchange info", lambda: rest.exchange_info(symbol=SYMBOL))
    await step("depth", lambda: rest.depth(symbol=SYMBOL, limit=20))
    await step("klines", lambda: rest.klines(symbol=SYMBOL, interval="1m", limit=10))
    await step("aggregate trades", lambda: rest.agg_trades(symbol=SYMBOL, limit=5))
    await step("24 h ticker", lambda: rest.ticker24hr(symbol=SYMBOL))
    await step("account", rest.get_account)
    await step("unfilled order count", rest.rate_limit_order)

    streams = await client.websocket_streams.create_connection()
    await step("stream bookTicker", lambda: _first(streams.book_ticker(symbol="btcusdt")))
    await step("stream trade", lambda: _first(streams.trade(symbol="btcusdt")))
    await step("stream depth", lambda: _first(streams.diff_book_depth(symbol="btcusdt", update_speed="100ms")))
    await streams.close_connection(close_session=True)

    api = await client.websocket_api.create_connection()
    await step("depth over the WebSocket API", lambda: api.depth(symbol=SYMBOL))
    await step("account over the WebSocket API", api.account_status)
    await step("user stream: an order is told", lambda: _told(api, rest))
    await step("order over the WebSocket API", lambda: api.order_place(
        symbol=SYMBOL, side="SELL", type="MARKET", quantity=0.001
    ))  # fmt: skip
    await step("open orders over the WebSocket API", lambda: api.open_orders_status(symbol=SYMBOL))
    await api.close_connection(close_session=True)

    await step("limit order, query, cancel", lambda: _rest(rest))
    await step("my trades", lambda: rest.my_trades(symbol=SYMBOL))


async def _first(subscribing: Any) -> None:
    handle = await subscribing
    told: asyncio.Queue[Any] = asyncio.Queue()
    handle.on("message", told.put_nowait)
    await told.get()
    await handle.unsubscribe()


async def _told(api: Any, rest: Any) -> None:
    handle = await api.user_data_stream_subscribe_signature()
    told: asyncio.Queue[Any] = asyncio.Queue()
    stream = getattr(handle, "stream", handle)
    stream.on("message", told.put_nowait)
    rest.new_order(symbol=SYMBOL, side="BUY", type="MARKET", quantity=0.01)
    while "FILLED" not in str(await told.get()):
        pass


def _rest(rest: Any) -> None:
    book = rest.depth(symbol=SYMBOL, limit=5).data()
    price = float(book.bids[0][0])
    placed = rest.new_order(
        symbol=SYMBOL, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.001, price=round(price * 0.9, 2)
    ).data()
    rest.delete_order(symbol=SYMBOL, order_id=placed.order_id)
    assert rest.get_order(symbol=SYMBOL, order_id=placed.order_id).data().status == "CANCELED"


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

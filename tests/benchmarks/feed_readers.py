"""One reader of the benchmark's stream: `feed_readers.py NAME KIND COUNT PORT` prints its processor time as JSON.

Each imports what it needs where it needs it: they run in different environments.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable
from typing import Any

LAST_ID = 10**12


class Meter:
    """Processor time of this process between the first message and the last."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def begin(self) -> None:
        gc.collect()
        self.began = time.process_time()

    def end(self) -> None:
        self.ended = time.process_time()


def command(kind: str) -> str:
    return json.dumps({"method": "SUBSCRIBE", "params": [f"btcusdt@{kind}"], "id": 1})


def consumer(meter: Meter, ended: asyncio.Event) -> Callable[[bytes], None]:
    """quantlab's decoder and book: ticks and lots, levels in order, the quote on top."""
    from decimal import Decimal

    from quantlab.market import Book, FrameDecoder
    from quantlab.model import DepthSnapshot, Instrument, Quote

    instrument = Instrument(
        symbol="BTCUSDT", base="BTC", quote="USDT", tick_size=Decimal("0.01"), step_size=Decimal("0.00001")
    )
    book = Book(instrument)
    book.snapshot(DepthSnapshot("BTCUSDT", 0, [(6_180_000, 1)], [(6_190_000, 1)]))
    decode = FrameDecoder({"BTCUSDT": instrument}).decode

    def frame(raw: bytes) -> None:
        event = decode(raw)
        if type(event) is Quote:
            book.overlay(event)
        elif event is not None:
            book.apply(event)  # type: ignore[arg-type]
        if book.book_id == LAST_ID:
            meter.end()
            assert book.in_sync
            ended.set()

    return frame


async def quantlab(kind: str, port: int, meter: Meter) -> None:
    """The door's feed, the decoder, and the book with the quote on top."""
    from quantlab.exchange import Door, DoorConfig

    ended = asyncio.Event()

    class Sink:
        unsettled = False
        frame = staticmethod(consumer(meter, ended))

        def mark(self, kind: str, detail: str) -> None:
            meter.begin()

        async def settle(self) -> None: ...

    url = f"127.0.0.1:{port}"
    config = DoorConfig(market="replay", rest_url=f"http://{url}", stream_url=f"ws://{url}")
    async with Door(config) as door:
        running = asyncio.create_task(door.feed.run([f"btcusdt@{kind}"], Sink()))
        await ended.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def picows_and_ours(kind: str, port: int, meter: Meter) -> None:
    """Another way off the socket to the same decoder and book: the difference is what the guarded socket costs."""
    import picows

    ended = asyncio.Event()
    consume = consumer(meter, ended)

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, command(kind).encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            raw = frame.get_payload_as_bytes()
            if raw[2] == ord("r"):
                meter.begin()
            else:
                consume(raw)

    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{port}/stream")
    await ended.wait()
    transport.disconnect()


def keeper(levels: dict[str, dict[Any, Any]]) -> Callable[[Any, Any], None]:
    """The simplest book there is: a dict of each side."""

    def keep(bids: Any, asks: Any) -> None:
        for side, changes in (("b", bids), ("a", asks)):
            known = levels[side]
            for price, lots in changes:
                if lots:
                    known[price] = lots
                else:
                    known.pop(price, None)

    return keep


async def websockets_orjson(kind: str, port: int, meter: Meter) -> None:
    import orjson
    import websockets

    newest: dict[str, Any] = {}
    keep = keeper({"b": {}, "a": {}})
    async with websockets.connect(f"ws://127.0.0.1:{port}/stream", compression=None, max_queue=None) as socket:
        await socket.send(command(kind))
        await socket.recv()
        meter.begin()
        while True:
            data = orjson.loads(await socket.recv(decode=False))["data"]
            if kind == "bookTicker":
                newest["BTCUSDT"] = tuple(float(data[name]) for name in "bBaA")
            else:
                keep(*([(float(p), float(q)) for p, q in data[side]] for side in "ba"))
            if data["u"] == LAST_ID:
                meter.end()
                return


async def picows_msgspec(kind: str, port: int, meter: Meter) -> None:
    import msgspec
    import picows

    levels = list[tuple[float, float]]
    quote = [("u", int), ("b", float), ("B", float), ("a", float), ("A", float)]
    depth = [("u", int), ("b", levels), ("a", levels)]
    is_quote = kind == "bookTicker"
    data: Any = msgspec.defstruct("Data", quote if is_quote else depth, gc=False)
    wanted: Any = msgspec.defstruct("Frame", [("data", data)], gc=False)
    decode = msgspec.json.Decoder(wanted, strict=False).decode
    newest: dict[str, Any] = {}
    keep = keeper({"b": {}, "a": {}})
    ended = asyncio.Event()

    class Listener(picows.WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            transport.send(picows.WSMsgType.TEXT, command(kind).encode())

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            payload = frame.get_payload_as_memoryview()
            if payload[2] == ord("r"):
                meter.begin()
                return
            data = decode(payload).data
            if is_quote:
                newest["BTCUSDT"] = data
            else:
                keep(data.b, data.a)
            if data.u == LAST_ID:
                meter.end()
                ended.set()

    transport, _ = await picows.ws_connect(Listener, f"ws://127.0.0.1:{port}/stream")
    await ended.wait()
    transport.disconnect()


async def ccxt_pro(kind: str, port: int, meter: Meter) -> None:
    import ccxt.pro

    client = ccxt.pro.binance({"enableRateLimit": False, "newUpdates": True})
    market = client.safe_market_structure(
        {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True,
         "active": True, "lowercaseId": "btcusdt"}
    )  # fmt: skip
    client.set_markets([market])
    client.urls["api"]["ws"]["spot"] = f"ws://127.0.0.1:{port}/stream"
    try:
        meter.begin()
        while True:
            found = await client.watch_bids_asks(["BTC/USDT"])
            if int(found["BTC/USDT"]["info"]["u"]) == LAST_ID:
                meter.end()
                return
    finally:
        await client.close()


READERS = {
    "quantlab": quantlab,
    "websockets + orjson": websockets_orjson,
    "picows + msgspec": picows_msgspec,
    "picows + the same book": picows_and_ours,
    "ccxt.pro watch_bids_asks": ccxt_pro,
}

if __name__ == "__main__":
    name, kind, _, port = sys.argv[1:]
    meter = Meter()
    asyncio.run(READERS[name](kind, int(port), meter))
    print(json.dumps({"cpu_s": meter.ended - meter.began}))

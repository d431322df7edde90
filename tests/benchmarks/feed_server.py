"""Sends frames to whoever subscribes, as fast as they are read: `feed_server.py KIND COUNT` prints its port.

The last frame is known by its update id, `LAST_ID`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
import re
import sys
from collections.abc import Iterator

LAST_ID = 10**12
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 64


def payloads(kind: str, count: int) -> Iterator[bytes]:
    """Frames of BTCUSDT as Binance writes them; depth changes 20 levels on each side, near the top."""
    dice = random.Random(1)
    for number in range(1, count + 1):
        update_id = number if number < count else LAST_ID
        first_id = number if number < count else count
        if kind == "bookTicker":
            bid = 6_183_763 + dice.randint(-500, 500)
            yield (
                b'{"stream":"btcusdt@bookTicker","data":{"u":%d,"s":"BTCUSDT","b":"%.8f","B":"%.8f","a":"%.8f","A":"%.8f"}}'
                % (update_id, bid / 100, dice.random() * 9, (bid + 1) / 100, dice.random() * 9)
            )
        else:
            bids = _levels(dice, 6_183_763, -1)
            asks = _levels(dice, 6_183_764, 1)
            yield (
                b'{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1700000000000,"s":"BTCUSDT",'
                b'"U":%d,"u":%d,"b":[%b],"a":[%b]}}' % (first_id, update_id, bids, asks)
            )


def _levels(dice: random.Random, best: int, step: int) -> bytes:
    lots = (0.0 if dice.random() < 0.3 else dice.random() * 9 for _ in range(20))
    return b",".join(b'["%.8f","%.8f"]' % ((best + step * dice.randint(0, 900)) / 100, lot) for lot in lots)


def framed(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    return b"\x81\x7e%b%b" % (size.to_bytes(2, "big"), payload)


async def serve(kind: str, count: int) -> None:
    frames = [framed(payload) for payload in payloads(kind, count)]
    chunks = [b"".join(frames[at : at + _CHUNK]) for at in range(0, count, _CHUNK)]

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert key is not None
        accept = base64.b64encode(hashlib.sha1(key[1] + _GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        number = re.search(rb'"id": ?(\d+)', await _command(reader))
        writer.write(framed(b'{"result":null,"id":%b}' % (number[1] if number else b"1")))
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
        await asyncio.sleep(60)

    server = await asyncio.start_server(client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _command(reader: asyncio.StreamReader) -> bytes:
    """The payload of one masked text frame."""
    _, size = await reader.readexactly(2)
    size &= 127
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(await reader.readexactly(size)))


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))

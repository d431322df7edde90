"""The stream: one connection for all bots, every message seen, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count
from typing import Any

import aiohttp
import msgspec

from quantlab.exchange.config import DoorConfig, address_of
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.errors import failure_of_answer, failure_of_exception
from quantlab.exchange.guard import ATTEMPT, Attempt
from quantlab.exchange.retry import TRIES, Backoff
from quantlab.model.errors import ConfigurationError, ExchangeError, ExchangeUnreachable, QuantlabError, Refused
from quantlab.model.protocols import Sink

#: Source: Binance WebSocket streams docs, limits, checked 2026-11-23: 1,024 streams a connection, 5 messages a second
#: from the client, pongs included.
MAX_STREAMS = 1024
_STREAMS_A_MESSAGE = 200
_MESSAGE_PAUSE_S = 0.25
_MAX_FRAME_BYTES = 16 * 2**20
_CLOSE_S = 2.0
#: A connection that lived this long was a good one: the next pause begins small again.
_GOOD_S = 30.0


class StreamFeed:
    """A `Feed` on the guarded session. It runs once; after `stop` it stays stopped."""

    def __init__(self, config: DoorConfig, session: aiohttp.ClientSession, log: EgressLog) -> None:
        self._config = config
        self._session = session
        self._log = log
        self._address = address_of(config.stream_url)
        self._socket: aiohttp.ClientWebSocketResponse[Any] | None = None
        self._stopped = asyncio.Event()
        self._ids = count(1)
        #: Frames and pings heard, and whether the sink has the word: silence is only ours to judge when it has not.
        self._heard = 0
        self._settling = False
        self._silent = False

    async def run(self, streams: Sequence[str], sink: Sink) -> None:
        """Deliver `streams` to `sink` until `stop`, over any number of reconnects.

        Raises what kept the first connection from standing: ExchangeUnreachable, ExchangeError, Refused; and
        ConfigurationError for more streams than one connection may carry. Later failures are marked and tried again.
        """
        names = list(dict.fromkeys(streams))
        if not 0 < len(names) <= MAX_STREAMS:
            raise ConfigurationError(f"{len(names)} streams: one connection carries 1 to {MAX_STREAMS}")
        backoff = Backoff()
        connected = False
        tries = 0
        loop = asyncio.get_running_loop()
        while not self._stopped.is_set():
            tries += 1
            since = loop.time()
            try:
                early = await self._open(names)
                if self._stopped.is_set():
                    return  # `stop` came while dialling, and found no socket to close
                sink.mark("reconnected" if connected else "connected", self._address)
                connected = True
                since = loop.time()
                why = await self._deliver(early, sink)
            except (Refused, ConfigurationError):
                raise
            except _Broken as broken:
                if not connected and (not broken.transient or tries == TRIES):
                    raise broken.error from None
                why = str(broken.error)
            finally:
                await self._close()
            if self._stopped.is_set():
                return
            if connected:
                sink.mark("silent" if self._silent else "disconnected", why)
            if loop.time() - since > _GOOD_S:
                backoff.reset()
            await self._pause(backoff.pause_s())

    async def stop(self) -> None:
        """End `run`: it returns after the frame at hand."""
        self._stopped.set()
        await self._close()

    async def _open(self, streams: list[str]) -> list[bytes]:
        """Dial and subscribe. Returns the frames that came before the subscription was whole."""
        attempt = Attempt()
        token = ATTEMPT.set(attempt)
        what = "stream"
        try:
            self._socket = socket = await self._session.ws_connect(
                f"{self._config.stream_url}/stream",
                autoping=False,
                max_msg_size=_MAX_FRAME_BYTES,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            )
        except aiohttp.WSServerHandshakeError as error:
            failure = failure_of_answer(what, error.status, attempt.headers, attempt.body or b"", 0)
            unexpected = ExchangeError(f"{self._address} does not speak WebSocket (HTTP {error.status})")
            raise _Broken(failure.error if failure else unexpected, bool(failure and failure.transient)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = failure_of_exception(what, error, self._config, attempt.left)
            raise _Broken(failure.error, failure.transient) from error
        finally:
            ATTEMPT.reset(token)
        self._log.connected(self._address, "/stream")
        try:
            async with asyncio.timeout(self._config.timeout_s):
                return await self._subscribe(socket, streams)
        except TimeoutError as error:
            raise _Broken(ExchangeUnreachable(f"{self._address} did not answer the subscription"), True) from error
        except ConnectionError as error:
            raise _Broken(ExchangeUnreachable(f"the stream broke while subscribing: {error}"), True) from error

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse[Any], streams: list[str]) -> list[bytes]:
        early: list[bytes] = []
        for start in range(0, len(streams), _STREAMS_A_MESSAGE):
            if start:
                await asyncio.sleep(_MESSAGE_PAUSE_S)
            number = next(self._ids)
            batch = streams[start : start + _STREAMS_A_MESSAGE]
            await socket.send_str(msgspec.json.encode({"method": "SUBSCRIBE", "params": batch, "id": number}).decode())
            while True:
                message = await socket.receive()
                if message.type is aiohttp.WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is not aiohttp.WSMsgType.TEXT:
                    raise _Broken(ExchangeUnreachable(f"{self._address} closed the stream unsubscribed"), True)
                elif message.data.startswith(_DATA):
                    early.append(message.data)
                elif _is_answer(message.data, number):
                    break
        return early

    async def _deliver(self, early: list[bytes], sink: Sink) -> str:
        """Hand frames on until the connection ends; returns why it did."""
        socket = self._socket
        assert socket is not None
        self._silent = False
        watch = asyncio.create_task(self._watch(socket))
        try:
            if sink.unsettled:
                await self._settle(sink)
            for raw in early:
                sink.frame(raw)
                if sink.unsettled:
                    await self._settle(sink)
            return await self._read(socket, sink)
        finally:
            watch.cancel()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse[Any], sink: Sink) -> str:
        """The hot loop: some microseconds a frame, and no await but for the frame itself while data is waiting.

        A ping is answered in reading order, that is after the sink has consumed all that came before it: a venue that
        waits for the pong knows that everything was read.
        """
        receive, frame = socket.receive, sink.frame
        text, ping, pong = aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.PING, aiohttp.WSMsgType.PONG
        while True:
            kind, raw, _ = await receive()
            self._heard += 1
            if kind is text:
                if raw.startswith(_DATA):
                    frame(raw)
                    if sink.unsettled:
                        await self._settle(sink)
                elif why := self._other(raw, sink):
                    return why
            elif kind is ping:
                try:
                    await socket.pong(raw)
                except ConnectionError as error:
                    return f"the stream broke: {error}"
            elif kind is not pong:
                return self._ending(socket, raw)

    async def _settle(self, sink: Sink) -> None:
        self._settling = True
        try:
            await sink.settle()
        finally:
            self._settling = False
            self._heard += 1

    def _other(self, raw: bytes, sink: Sink) -> str:
        """A frame that is not market data as usual. Returns why the connection should end, if it should."""
        try:
            message = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return f"a frame is not JSON: {raw[:40]!r}"
        if isinstance(message, dict) and "stream" in message:  # the same data, its fields in another order
            sink.frame(raw)
        elif isinstance(message, dict) and message.get("e") == "serverShutdown":
            return "the exchange announced a shutdown"
        return ""

    def _ending(self, socket: aiohttp.ClientWebSocketResponse[Any], data: Any) -> str:
        if self._silent:
            return f"nothing heard for {self._config.silence_s:g} s"
        if isinstance(data, Exception):
            return f"the stream broke: {data}"
        return f"the exchange closed the stream (code {socket.close_code})"

    async def _watch(self, socket: aiohttp.ClientWebSocketResponse[Any]) -> None:
        """Close a connection on which nothing was heard for `silence_s`."""
        heard, since = -1, 0.0
        clock = asyncio.get_running_loop().time
        while True:
            if heard != self._heard or self._settling:
                heard, since = self._heard, clock()
            elif clock() - since >= self._config.silence_s:
                self._silent = True
                await socket.close()
                return
            await asyncio.sleep(self._config.silence_s / 8)

    async def _close(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            pass


#: How each frame of the combined stream begins.
_DATA = b'{"stream"'


class _Broken(Exception):
    """The connection could not be made or subscribed; `error` says why, in the taxonomy's words."""

    def __init__(self, error: QuantlabError, transient: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.transient = transient


def _is_answer(raw: bytes, number: int) -> bool:
    """Whether `raw` answers command `number`. Raises _Broken when it says no."""
    try:
        message = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return False
    if not isinstance(message, dict) or message.get("id") != number:
        return False
    if message.get("result", 0) is None:
        return True
    fault = message.get("error") or message
    reason, code = str(fault.get("msg", fault)), int(fault.get("code", 0) or 0)
    raise _Broken(ExchangeError(f"the exchange refused the subscription: {reason}", code=code), False)

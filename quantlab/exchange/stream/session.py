"""One connection of the stream: dialled, subscribed, read in order, watched, and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import msgspec

from quantlab.exchange.config import DoorConfig, address_of
from quantlab.exchange.egress import EgressLog
from quantlab.exchange.failure.errors import failure_of_answer, failure_of_exception
from quantlab.exchange.guard import ATTEMPT, Attempt
from quantlab.exchange.stream.frame_batches import read_in_batches
from quantlab.exchange.stream.pace import MESSAGES, MESSAGES_S, Pace, dials_to
from quantlab.exchange.stream.subscription import Subscription
from quantlab.exchange.stream.watchdog import Verdict, Watchdog
from quantlab.model.errors import ExchangeError, ExchangeUnreachable, QuantlabError

_MAX_FRAME_BYTES = 16 * 2**20
_CLOSE_S = 2.0
#: How often the line is looked at, at the longest.
_LOOK_S = 1.0
#: How each frame of the combined stream begins. An exclamation mark next names no symbol: it may be a notice.
_DATA = b'{"stream":"'
_MARK, _NOTICE = slice(len(_DATA), len(_DATA) + 1), b"!"
_SHUTDOWN = "serverShutdown"

Settle = Callable[[], Awaitable[None]]


class Broken(Exception):
    """The connection could not be made or subscribed; `error` says why, in the taxonomy's words."""

    def __init__(self, error: QuantlabError, transient: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.transient = transient


class StreamSession:
    """A connection that is opened once and read by one reader at a time.

    `leaving` is true when its reader should stop: the connection is to be replaced (`why_leave` says why), or whoever
    set it wants the word. `busy` is true while the reader waits for something else: silence is not judged then.
    """

    def __init__(self, config: DoorConfig, session: aiohttp.ClientSession, log: EgressLog) -> None:
        self.address = address_of(config.stream_url)
        self.whole = self.leaving = self.busy = False
        self.why_leave = ""
        #: Loop time at which it is to be replaced.
        self.replace_at_s = float("inf")
        #: Frames that came while nobody could take them.
        self.held: list[bytes] = []
        self._config, self._session, self._log = config, session, log
        self._pace = Pace(MESSAGES, MESSAGES_S)
        self._socket: aiohttp.ClientWebSocketResponse[Any] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._verdict = Verdict.ALIVE
        self._frames = self._signs = self._fences = 0
        self._batch: Iterator[bytes] = iter(())
        self._fence: bytes | None = None
        self._passed: asyncio.Future[None]
        self._unanswered: bytes | None = None

    async def open(self, streams: Sequence[str]) -> None:
        """Dial and subscribe. Frames that come before the subscription is whole are `held`.

        Raises Broken, or what the guard refuses; ConfigurationError for more streams than a connection may carry.
        """
        subscription = Subscription(streams)
        await self._dial()
        self._log.connected(self.address, "/stream")
        try:
            async with asyncio.timeout(self._config.timeout_s):
                await self._subscribe(subscription)
        except TimeoutError as error:
            raise Broken(ExchangeUnreachable(f"{self.address} did not answer the subscription"), True) from error
        except ConnectionError as error:
            raise Broken(ExchangeUnreachable(f"the stream broke while subscribing: {error}"), True) from error
        if refused := subscription.error():
            raise Broken(refused, False)
        self.whole = True
        self._watch = asyncio.create_task(self._look_after())

    async def read(self, frame: Callable[[bytes], None], sink: Unsettled, settle: Settle) -> str:
        """Hand frames to `frame` in order, until the connection ends (returns why) or `leaving` (returns "").
        `settle` is awaited after a frame that leaves `sink` unsettled.

        The hot loop: some microseconds a frame, and no await but for the frame itself while data is waiting. A ping is
        answered in reading order, that is after all that came before it was consumed: a venue that waits for the pong
        knows that everything was read.
        """
        assert self._socket is not None
        self.leaving = False
        receive, text = self._socket.receive, aiohttp.WSMsgType.TEXT
        data, mark, notice = _DATA, _MARK, _NOTICE
        while True:
            for raw in self._batch:  # where the last reader stopped, the next goes on
                if raw.startswith(data) and raw[mark] != notice:
                    frame(raw)
                    if sink.unsettled:
                        await settle()
                elif why := self._other(raw, frame):
                    return why
                if self.leaving:
                    return ""
            kind, content, _ = await receive()
            if kind is text:
                self._take(content)
            elif why := await self._control(kind, content):
                return why
            if self.leaving:
                return ""

    async def hold(self, seen: Callable[[bytes], None]) -> str:
        """Keep frames in `held` until a fence is passed (returns ""), or the connection ends (returns why)."""
        assert self._socket is not None
        for raw in self.held:
            seen(raw)

        def keep(raw: bytes) -> None:
            self.held.append(raw)
            seen(raw)

        return await self.read(keep, _HOLDER, _nothing)

    async def fence(self) -> asyncio.Future[None]:
        """Ping; what is returned is done when the pong was read, and with it all that the exchange sent before.
        `read` then returns. Raises ConnectionError when the line is broken."""
        self._fences += 1
        self._fence = b"fence-%d" % self._fences
        self._passed = asyncio.get_running_loop().create_future()
        await self._ping(self._fence)
        return self._passed

    async def close(self) -> None:
        """End the connection; closing twice is fine."""
        self.whole, self.leaving = False, True
        watch, self._watch = self._watch, None
        if watch is not None and watch is not asyncio.current_task():
            watch.cancel()
        if self._socket is not None:
            await self._socket.close()

    # -- opening ------------------------------------------------------------------------------------------------------

    async def _dial(self) -> None:
        await dials_to(self.address).turn()
        attempt = Attempt()
        token = ATTEMPT.set(attempt)
        try:
            self._socket = await self._session.ws_connect(
                f"{self._config.stream_url}/stream",
                autoping=False,
                max_msg_size=_MAX_FRAME_BYTES,
                decode_text=False,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            )
            read_in_batches(self._socket, _MAX_FRAME_BYTES)
        except aiohttp.WSServerHandshakeError as error:
            failure = failure_of_answer("stream", error.status, attempt.headers, attempt.body or b"", 0)
            unexpected = ExchangeError(f"{self.address} does not speak WebSocket (HTTP {error.status})")
            raise Broken(failure.error if failure else unexpected, bool(failure and failure.transient)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = failure_of_exception("stream", error, self._config, attempt.left)
            raise Broken(failure.error, failure.transient) from error
        finally:
            ATTEMPT.reset(token)

    async def _subscribe(self, subscription: Subscription) -> None:
        socket = self._socket
        assert socket is not None
        for number, command in subscription.commands():
            await self._pace.turn()
            await socket.send_str(command)
            await self._answer(socket, subscription, number)

    async def _answer(
        self, socket: aiohttp.ClientWebSocketResponse[Any], subscription: Subscription, number: int
    ) -> None:
        """Wait until command `number` is answered; market data is held. What came with the answer is for `read`."""
        while True:
            for raw in self._batch:
                if raw.startswith(_DATA):
                    self.held.append(raw)
                elif subscription.hear(raw, number):
                    return
            message = await socket.receive()
            if message.type is aiohttp.WSMsgType.PING:
                self._pace.take()
                await socket.pong(message.data)
            elif message.type is not aiohttp.WSMsgType.TEXT:
                raise Broken(ExchangeUnreachable(f"{self.address} closed the stream unsubscribed"), True)
            else:
                self._take(message.data)

    def _take(self, content: Any) -> None:
        """The text frames of one message of aiohttp's queue: a list of them, or one that came in pieces."""
        frames = content if isinstance(content, list) else [content]
        self._frames += len(frames)
        self._batch = iter(frames)

    # -- what is not market data --------------------------------------------------------------------------------------

    def _other(self, raw: bytes, frame: Callable[[bytes], None]) -> str:
        """A frame that is not market data as usual. Returns why the connection should end, if it should."""
        try:
            message = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            return f"a frame is not JSON: {raw[:40]!r}"
        if not isinstance(message, dict):
            return ""
        data = message.get("data", message)
        if isinstance(data, dict) and data.get("e") == _SHUTDOWN:
            self.leave("the exchange announced a shutdown")
        elif "stream" in message:  # the same data, its fields in another order, or of all symbols together
            frame(raw)
        return ""

    def leave(self, why: str) -> None:
        """Its reader is to stop, because the connection is to be replaced."""
        self.leaving, self.why_leave = True, why
        self.replace_at_s = min(self.replace_at_s, asyncio.get_running_loop().time())

    async def _control(self, kind: aiohttp.WSMsgType, raw: Any) -> str:
        """A ping, a pong or the end."""
        if kind is aiohttp.WSMsgType.PING:
            self._signs += 1
            return await self._pong(raw)
        if kind is aiohttp.WSMsgType.PONG:
            self._signs += 1
            if bytes(raw) == self._fence and not self._passed.done():
                self._passed.set_result(None)
                self._fence, self.leaving = None, True
            return ""
        return self._ending(raw)

    async def _pong(self, payload: bytes) -> str:
        """Answer a ping. On an exchange within the pace: of many at once only the newest needs an answer (RFC 6455,
        5.5.3). A replay's pings are its clock and do not count."""
        if self._config.is_real and not self._pace.take():
            self._unanswered = payload
            return ""
        assert self._socket is not None
        try:
            await self._socket.pong(payload)
        except ConnectionError as error:
            return f"the stream broke: {error}"
        return ""

    async def _ping(self, payload: bytes) -> None:
        assert self._socket is not None
        await self._pace.turn()
        await self._socket.ping(payload)

    def _ending(self, data: Any) -> str:
        assert self._socket is not None
        if self._verdict is Verdict.SILENT:
            return f"no market data for {self._config.silence_s:g} s"
        if self._verdict is Verdict.HALF_OPEN:
            return "the line is dead: nothing is heard, and a ping was not answered"
        if isinstance(data, Exception):
            return f"the stream broke: {data}"
        code = data if isinstance(data, int) else self._socket.close_code
        return f"the exchange closed the stream (code {code})"

    # -- watching -----------------------------------------------------------------------------------------------------

    @property
    def went_silent(self) -> bool:
        """Whether we ended it, because nothing was heard."""
        return self._verdict is not Verdict.ALIVE

    async def _look_after(self) -> None:
        """Ping a quiet line, end a dead one, send pongs that had to wait, and say when it is old."""
        clock = asyncio.get_running_loop().time
        dog = Watchdog(self._config.silence_s, clock())
        pause_s = min(_LOOK_S, dog.ask_s / 2)
        while True:
            await asyncio.sleep(pause_s)
            now = clock()
            if self.busy:
                dog.forgive(now)
                continue
            verdict = dog.judge(self._frames, self._signs, now)
            if verdict in (Verdict.SILENT, Verdict.HALF_OPEN):
                self._verdict = verdict
                if self._socket is not None:
                    await self._socket.close()  # its reader wakes up
                return
            with suppress(ConnectionError):  # its reader will see why
                if verdict is Verdict.ASK and self._pace.take():
                    assert self._socket is not None
                    await self._socket.ping(b"")
                    dog.asked(now)
                if self._unanswered is not None and self._pace.take():
                    assert self._socket is not None
                    payload, self._unanswered = self._unanswered, None
                    await self._socket.pong(payload)
            if now >= self.replace_at_s and not self.leaving:
                self.leave(self.why_leave)


class Unsettled(Protocol):
    @property
    def unsettled(self) -> bool: ...


class _Holder:
    """Takes frames to keep: it needs nothing."""

    unsettled = False


_HOLDER = _Holder()


async def _nothing() -> None:
    return None

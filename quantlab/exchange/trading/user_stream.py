"""The account's own events: one connection of the WebSocket API, subscribed with a signature, dialled again for ever.

Source: Binance spot docs, "User data stream requests" and "User data streams", checked 2026-11-23: events come as
`{"subscriptionId": 0, "event": {…}}`. What happened while nobody listened is not told again: `up` is called after each
subscription, so that its owner asks for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import msgspec

from quantlab.exchange.config import address_of
from quantlab.exchange.failure.errors import failure_of_exception
from quantlab.exchange.failure.retry import Backoff
from quantlab.exchange.guard import ATTEMPT, Attempt
from quantlab.exchange.rules import SUBSCRIBE_ACCOUNT
from quantlab.exchange.signing import clean, signed_frame
from quantlab.exchange.trading.order_rules import SOCKET_WEIGHT, SUBSCRIBE_WEIGHT
from quantlab.exchange.trading.orders import OrderClient
from quantlab.exchange.weight.budget import Priority
from quantlab.model.errors import ExchangeError, ExchangeUnreachable, QuantlabError

_log = logging.getLogger(__name__)

_HEARTBEAT_S = 20.0
_ANSWER_S = 10.0
#: How often it looks whether the key was rotated.
_LOOK_S = 5.0
#: After a connection that lasted so long the next one is dialled at once.
_GOOD_LIFE_S = 60.0
#: Events that end a subscription. Source: as above.
_ENDS = frozenset({"eventStreamTerminated", "serverShutdown"})

Event = dict[str, Any]


class UserStream:
    """`heard` gets each event; `up` is called when a subscription stands, `down` (with the reason) when it is gone.

    The callbacks run on the loop and must not block. What they raise ends `run`.
    """

    def __init__(
        self,
        client: OrderClient,
        *,
        heard: Callable[[Event], None],
        up: Callable[[], None],
        down: Callable[[str], None],
    ) -> None:
        self._client = client
        self._heard, self._up, self._down = heard, up, down
        self.is_up = False

    async def run(self) -> None:
        """Listen until cancelled."""
        backoff = Backoff()
        while True:
            began_s = time.monotonic()
            why = "the stream ended"
            try:
                why = await self._listen()
            except QuantlabError as error:
                why = str(error)
            if self.is_up:
                self.is_up = False
                self._down(why)
            else:
                _log.warning("the account's events cannot be heard: %s", why)
            if time.monotonic() - began_s > _GOOD_LIFE_S:
                backoff = Backoff()
            await asyncio.sleep(backoff.pause_s())

    async def _listen(self) -> str:
        """One connection, from dialling to its end; why it ended."""
        socket = await self._dial()
        try:
            key = await self._subscribe(socket)
            self.is_up = True
            self._up()
            while True:
                try:
                    async with asyncio.timeout(_LOOK_S):  # not `wait_for`: before 3.12 it may swallow a cancellation
                        message = await socket.receive()
                except TimeoutError:
                    if (await asyncio.to_thread(self._client.signer)).api_key != key:
                        return "the key was rotated"
                    continue
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return f"the exchange closed the stream ({message.type.name})"
                told = _decoded(message.data)
                event = told.get("event", told)
                if event.get("e") in _ENDS:
                    return f"the exchange ended the stream ({event['e']})"
                if "e" in event:
                    self._heard(event)
        finally:
            with suppress(Exception):
                await socket.close()

    async def _dial(self) -> aiohttp.ClientWebSocketResponse:
        client = self._client
        url = client.armed.socket_url
        await self._pay(SOCKET_WEIGHT, "stream of the account")
        attempt = Attempt()
        token = ATTEMPT.set(attempt)
        try:
            socket = await client.session.ws_connect(url, heartbeat=_HEARTBEAT_S, max_msg_size=2**20)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise failure_of_exception(
                "stream of the account", error, client.armed.config, attempt.left, address_of(url)
            ).error from None
        finally:
            ATTEMPT.reset(token)
        client.log.connected(address_of(url), "/ws-api/v3")
        return socket

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> str:
        """Subscribe; returns the key that did."""
        client = self._client
        if client.clock.offset_ms is None:
            await client.clock.measure()
        await self._pay(SUBSCRIBE_WEIGHT, SUBSCRIBE_ACCOUNT)
        signer = await asyncio.to_thread(client.signer)
        frame = await asyncio.to_thread(signed_frame, signer, SUBSCRIBE_ACCOUNT, 1, client.clock.now_ms())
        try:
            await socket.send_str(msgspec.json.encode(frame).decode())
            async with asyncio.timeout(_ANSWER_S):
                message = await socket.receive()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = failure_of_exception(SUBSCRIBE_ACCOUNT, error, client.armed.config, True)
            secrets = (signer.api_key, str(frame["params"]))
            raise clean(failure, SUBSCRIBE_ACCOUNT, secrets).error from None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ExchangeUnreachable("the exchange closed the account's stream before it was subscribed")
        answer = _decoded(message.data)
        if answer.get("status") != 200:
            told = answer.get("error") or {}
            given = told.get("code")
            code = given if isinstance(given, int) else 0
            if code == -1021:
                await client.clock.measure()
            words = (
                f"{SUBSCRIBE_ACCOUNT}: Binance answered code {code}: {str(told.get('msg', 'no reason given'))[:200]}"
            )
            raise ExchangeError(words.replace(signer.api_key, "***"), status=400, code=code)
        return signer.api_key

    async def _pay(self, weight: int, what: str) -> None:
        budget = self._client.budget
        deadline = time.monotonic() + self._client.armed.config.total_s
        held = await budget.take(weight, what, deadline, priority=Priority.SAFETY)
        budget.answered(held)


def _decoded(data: str) -> Event:
    try:
        told = msgspec.json.decode(data)
    except msgspec.DecodeError:
        told = None
    if not isinstance(told, dict):
        raise ExchangeError("the account's stream sent what is no JSON object")
    return told

"""What only a venue has, for whoever tests with it: `/__venue__/clock`, `/__venue__/requests`, `/__venue__/faults`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from quantlab.model.errors import ConfigurationError
from quantlab.venue.faults import Faults
from quantlab.venue.log import RequestLog
from quantlab.venue.pacer import Pacer


class Inspection:
    """GET clock, requests (`?after=seq`), faults; POST clock (`{"hold": bool}`), faults (a list); DELETE requests,
    faults. None of it is logged or costs weight."""

    def __init__(self, clock: Callable[[], dict[str, Any]], log: RequestLog, faults: Faults, pacer: Pacer) -> None:
        self._clock, self._log, self._faults, self._pacer = clock, log, faults, pacer

    async def serve(self, request: web.Request) -> web.StreamResponse:
        try:
            answer = await self._answer(request.method, request.path.removeprefix("/__venue__/"), request)
        except (ConfigurationError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if answer is None:
            known = "GET clock, requests, faults; POST clock, faults; DELETE requests, faults"
            return web.json_response({"error": f"there are {known}"}, status=404)
        return web.json_response(answer)

    async def _answer(self, method: str, what: str, request: web.Request) -> Any:
        match method, what:
            case "GET", "clock":
                return self._clock()
            case "POST", "clock":
                return self._hold(await request.json())
            case "GET", "requests":
                return self._log.report(int(request.query.get("after", "0")))
            case "DELETE", "requests":
                self._log.clear()
                return {}
            case "GET", "faults":
                return self._faults.rows()
            case "POST" | "PUT", "faults":
                self._faults.set(await request.json())
                return self._faults.rows()
            case "DELETE", "faults":
                self._faults.set([])
                return []
        return None

    def _hold(self, body: object) -> dict[str, Any]:
        if not isinstance(body, dict) or not isinstance(body.get("hold"), bool) or len(body) > 1:
            raise ConfigurationError('the clock takes {"hold": true} or {"hold": false}')
        self._pacer.hold = body["hold"]
        self._pacer.wake()
        return self._clock()

"""The HTTP server under the venue. What aiohttp says about a broken request quotes it, key and signature included, to
the client and on the console: here it does not."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from quantlab.venue.masking import masked


class Listener(web.Server):
    """Serves every method and path with one handler, and logs no accesses."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> None:
        super().__init__(handler)
        self._options: dict[str, Any] = {"access_log": None}

    def __call__(self) -> web.RequestHandler:
        return _Discreet(self, loop=asyncio.get_running_loop(), **self._options)


class _Discreet(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if not isinstance(exc, HttpProcessingError) or status == 500:
            return super().handle_error(request, status, exc, message)
        answer = web.Response(status=status, text="the request is not well-formed HTTP")
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        error = kw.pop("exc_info", None)
        told = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
        self.logger.error("%s\n%s", str(args[0]) % args[1:], masked(told))

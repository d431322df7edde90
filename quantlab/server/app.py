"""The routes. Reads come from the engine's socket and the ledger; commands go to the socket."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Literal

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from quantlab.fleet.control import send
from quantlab.fleet.process import running
from quantlab.model import ConfigurationError, ExchangeUnreachable, NotFound, QuantlabError, Refused
from quantlab.server.metrics import metrics
from quantlab.settings import Settings

_STATUS = ((NotFound, 404), (Refused, 403), (ConfigurationError, 422), (ExchangeUnreachable, 504))


class Health(BaseModel):
    """`engine` is the run that trades here, null when none does; `preflight` what the security checklist said when the
    server started."""

    status: Literal["ok"]
    version: str
    market: str
    engine: str | None
    preflight: dict[str, Any] | None


def make_app(settings: Settings, preflight: dict[str, Any] | None = None) -> FastAPI:
    """The application for `settings`; it must stand behind `Guard`."""
    app = FastAPI(title="quantlab", version=version("quantlab"))

    @app.exception_handler(QuantlabError)
    async def refused(request: Request, error: QuantlabError) -> JSONResponse:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
        return JSONResponse({"detail": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        """FastAPI's own answer repeats what was sent, which may be a secret in the wrong place."""
        told = [{"loc": list(each["loc"][:1]), "msg": each["msg"]} for each in error.errors()]
        return JSONResponse({"detail": told}, 422)

    @app.get("/healthz")
    def health() -> Health:
        """The server answers, and which run trades."""
        engine = running(settings.home)
        return Health(
            status="ok",
            version=version("quantlab"),
            market=settings.market,
            engine=engine.run_id if engine else None,
            preflight=preflight,
        )

    @app.get("/metrics", response_class=Response)
    def figures() -> Response:
        """Prometheus' text format: requests by endpoint and outcome, weight, bots by state, the engine's lag."""
        page, content_type = metrics(settings)
        return Response(page, headers={"content-type": content_type})

    @app.get("/v1/fleet")
    def fleet() -> dict[str, Any]:
        """The running fleet, bot by bot; 404 when none runs."""
        return send(settings.home, "status")

    @app.post("/v1/fleet/{command}")
    def command(command: Literal["pause", "resume", "reduce", "stop", "kill"]) -> dict[str, Any]:
        """Give the running fleet a command; answers with its state. "reduce" lets only sales pass; "kill" cancels,
        flattens and halts."""
        answer = send(settings.home, command)
        return {"run_id": answer["run_id"], "state": answer["state"]}

    return app

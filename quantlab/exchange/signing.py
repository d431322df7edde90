"""Signed requests: how they are stamped, encoded and signed, and how what went wrong with one is told without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote, unquote, urlencode

from quantlab.exchange.failure.errors import Failure
from quantlab.exchange.signed_rules import KEY_HEADER
from quantlab.model.errors import ExchangeError, MalformedMessage, OutcomeUnknown, QuantlabError
from quantlab.model.protocols import Signer
from quantlab.redact import MASK, redact

#: Source: Binance spot REST docs, "Timing security", checked 2026-11-23: accepted if timestamp < server + 1 s and
#: server - timestamp <= recvWindow.
RECV_WINDOW_MS = 5_000
_LONGEST_WORDS = 300


def signed_query(signer: Signer, params: Mapping[str, str], now_ms: int) -> tuple[dict[str, str], str]:
    """Headers and query of a signed request: percent-encoded first, then signed, as Binance wants it since 2026-01-15.
    The signature is encoded too: base64 holds "+", "/" and "=". Call it off the loop: RSA takes 40 ms."""
    stamped = {**params, "recvWindow": str(RECV_WINDOW_MS), "timestamp": str(now_ms)}
    payload = urlencode(stamped, quote_via=quote, safe="")
    signature = quote(signer.sign(payload.encode()), safe="")
    return {KEY_HEADER: signer.api_key}, f"?{payload}&signature={signature}"


def signed_frame(signer: Signer, method: str, number: int, now_ms: int) -> dict[str, object]:
    """A signed request of the WebSocket API: the parameters in alphabetical order are what is signed. Source: Binance
    spot WebSocket API docs, "Request security", checked 2026-11-23."""
    params: dict[str, str | int] = {"apiKey": signer.api_key, "recvWindow": RECV_WINDOW_MS, "timestamp": now_ms}
    payload = urlencode(sorted(params.items()), quote_via=quote, safe="")
    return {"id": number, "method": method, "params": {**params, "signature": signer.sign(payload.encode())}}


def clean(failure: Failure, what: str, secrets: tuple[str, ...]) -> Failure:
    """The failure as an error that was never raised: without frames, without a cause, and without what was sent, which
    the other side may have sent back."""
    error = failure.error
    text = str(error)
    if isinstance(error, MalformedMessage):
        text = f"{what}: the answer is not the JSON it should be"  # its own words show how the answer starts
    for secret in secrets:
        for form in (secret, unquote(secret)) if secret else ():
            text = text.replace(form, MASK)
    text = " ".join(redact(text).split())[:_LONGEST_WORDS]
    fresh: QuantlabError
    if isinstance(error, ExchangeError):
        kind = OutcomeUnknown if isinstance(error, OutcomeUnknown) else ExchangeError
        fresh = kind(text, status=error.status, code=error.code)
    else:
        fresh = type(error)(text)
    return replace(failure, error=fresh)

"""This machine's public address, as a service of the user's choice sees it: what a key's whitelist has to hold.

Off unless the user names a service (QUANTLAB_ADDRESS_URL). It is told nothing but that we ask.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from yarl import URL

from quantlab.exchange.asking_once import asked_once, is_here, parsed
from quantlab.exchange.egress import Egress, EgressLog, unwritten
from quantlab.exchange.guard import Attempt, guarded_session
from quantlab.exchange.rules import HEADERS, header_fault
from quantlab.model.errors import ConfigurationError, ExchangeUnreachable, MalformedMessage, Refused

MOST_BYTES = 200


async def public_address(url: str, timeout_s: float, egress: Egress = unwritten) -> str:
    """Ask `url` once, `timeout_s` at most; gives the address in its usual form, such as "203.0.113.7".

    The answer is the address as text, or JSON {"ip": "…"}, in at most 200 bytes.
    Raises ConfigurationError for a `url` that is no https address (http on this machine only), ExchangeUnreachable when
    nothing or an error is answered, MalformedMessage when the answer is no address, Refused for a redirect.
    """
    where = _checked(url)
    attempt = Attempt()
    log = EgressLog(egress)
    failed = (
        f"{where.host} did not tell this machine's public address ({{kind}}): look at QUANTLAB_ADDRESS_URL, or unset it"
    )
    async with guarded_session(_OnlyThis(where), log, timeout_s) as session:
        error = await asked_once(session, where, attempt, log, "public address", failed)
    if error is None and attempt.status != 200:
        error = ExchangeUnreachable(
            f"{where.host} answered HTTP {attempt.status}, not this machine's public address: look at "
            "QUANTLAB_ADDRESS_URL"
        )
    if error is not None:
        raise error
    return _address_in(attempt.body or b"", where)


@dataclass(frozen=True, slots=True)
class _OnlyThis:
    """Rules of a session that asks one address and no other."""

    url: URL

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({self.url.raw_host or ""})

    @property
    def creed(self) -> str:
        return "Only the address of QUANTLAB_ADDRESS_URL is asked here"

    @property
    def most_bytes(self) -> int | None:
        return MOST_BYTES

    def fault(self, method: str, url: URL, headers: Mapping[str, str]) -> str | None:
        if method != "GET":
            return f"method {method} is not GET"
        if url != self.url:
            return "it is another address"
        return header_fault(url, headers, HEADERS)

    def frame(self, raw: bytes) -> bytes:
        raise Refused(f"stream frame refused: there is no stream here. {self.creed}")


def _checked(url: str) -> URL:
    where = parsed(url)
    sound = where.host and where.user is None and where.password is None and not where.raw_fragment
    safe = where.scheme == "https" or is_here(where)
    if not sound or not safe:
        raise ConfigurationError(
            "QUANTLAB_ADDRESS_URL is not an https address without credentials (http is for this machine alone)"
        )
    return where


def _address_in(body: bytes, where: URL) -> str:
    found: object = body.decode("ascii", "replace").strip()
    if body.lstrip()[:1] == b"{":
        try:
            answer = msgspec.json.decode(body)
        except msgspec.DecodeError:
            answer = {}
        found = answer.get("ip")
    try:
        # A zone ("%eth0") names an interface of some machine, and may hold any text.
        if isinstance(found, str) and "%" not in found:
            return str(ipaddress.ip_address(found.strip()))
    except ValueError:
        pass
    raise MalformedMessage(f"the answer of {where.host} is no address: look at QUANTLAB_ADDRESS_URL")

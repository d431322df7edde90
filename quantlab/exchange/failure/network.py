"""Why the exchange could not be reached, in one plain line: what is wrong, and what to do.

aiohttp raises one class for each layer (name, connection, TLS, HTTP); what lies inside tells the cases apart. Error
numbers of the resolver: RFC 3493, with the values of glibc (negative) and of macOS and the BSDs (positive). Those of a
certificate: OpenSSL's x509_vfy.h. Checked 2026-11-23.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp

from quantlab.exchange.failure.taxonomy import Kind
from quantlab.exchange.walls.gate import GateGone


class Trouble(NamedTuple):
    """What is wrong, and whether it may pass by itself (`TRANSIENT`) or waits for somebody (`UNREACHABLE`)."""

    kind: Kind
    words: str


_TRANSIENT, _SHUT = Kind.TRANSIENT, Kind.UNREACHABLE

_NO_SUCH_NAME = frozenset({-2, -5, 7, 8})
_TRY_AGAIN = frozenset({-3, 2})

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL})
_DENIED = frozenset({errno.EACCES, errno.EPERM})

_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = frozenset({18, 19})
_NO_ISSUER = frozenset({2, 20, 21})
_OTHER_NAME = frozenset({62, 64})

#: (address) as it stands in the words of a failed connection: `('::1', 443, 0, 0)`.
_ADDRESS = re.compile(r"\('([0-9a-fA-F:.%\w]+)', \d+")

#: What other programs go out by. quantlab does not: a proxy would be a second way out, and could read along.
PROXY_SETTINGS = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def trouble_of(
    error: BaseException, address: str, *, is_venue: bool, environ: Mapping[str, str] = os.environ
) -> Trouble:
    """What kept a connection to `address` (host:port) from standing. `is_venue`: it is a venue of this machine."""
    trouble = _trouble_of(error, address, is_venue)
    if is_venue:
        return trouble
    return trouble._replace(words=trouble.words + _proxy_note(environ))


def _trouble_of(error: BaseException, address: str, is_venue: bool) -> Trouble:
    host = address.rpartition(":")[0]
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate(error.certificate_error, host)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return Trouble(
            _SHUT,
            f"{address} does not speak TLS as the exchange does: a proxy, a firewall or a sign-in page stands in "
            "between. Try another network",
        )
    inner = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorDNSError) or type(inner).__name__ == "gaierror":
        return _name(inner, host)
    if isinstance(inner, GateGone):
        return Trouble(_SHUT, str(inner.strerror))
    number = inner.errno if isinstance(inner, OSError) else None
    if number == errno.ECONNREFUSED or (is_venue and number is None):
        hint = "is the venue running?" if is_venue else "a firewall in between may turn it away. Try another network"
        return Trouble(_TRANSIENT, f"nothing answers at {address}: {hint}")
    if number in _NO_ROUTE:
        return Trouble(_TRANSIENT, _no_route(str(inner), address))
    if number in _DENIED:
        return Trouble(
            _SHUT, f"this machine does not let quantlab connect to {address}: look at its firewall, or its sandbox"
        )
    if number == errno.ETIMEDOUT or isinstance(error, TimeoutError):
        return Trouble(
            _TRANSIENT, f"no connection to {address} came about in time: a firewall may drop it, or the network is down"
        )
    if number == errno.EMFILE:
        return Trouble(_TRANSIENT, f"no connection to {address}: too many files are open (ulimit -n)")
    return Trouble(_TRANSIENT, f"nothing answers at {address}: is this machine online? ({error_words(error)})")


def error_words(error: BaseException) -> str:
    """The words of a library's error, or its name where the words hold the whole URL (which may be a signed one)."""
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.InvalidURL):
        return type(error).__name__
    return str(error) or type(error).__name__


def _name(error: BaseException, host: str) -> Trouble:
    number = error.errno if isinstance(error, OSError) else None
    if number in _NO_SUCH_NAME:
        return Trouble(
            _TRANSIENT,
            f"the name {host} is not known to this machine's name server: is it blocked there? Try another network or "
            "another name server",
        )
    if number in _TRY_AGAIN:
        return Trouble(
            _TRANSIENT, f"the name {host} could not be looked up: no name server answers. Is this machine online?"
        )
    return Trouble(
        _TRANSIENT, f"the name {host} could not be looked up ({error_words(error)}): is this machine online?"
    )


def _certificate(error: BaseException, host: str) -> Trouble:
    number = getattr(error, "verify_code", 0)
    if number in (_EXPIRED, _NOT_YET_VALID):
        when = "has expired" if number == _EXPIRED else "is not valid yet"
        return Trouble(
            _SHUT,
            f"the certificate of {host} {when}: is this machine's clock right? Compare `date -u` with the true time",
        )
    if number in _OTHER_NAME:
        return Trouble(
            _SHUT,
            f"what answers at {host} shows the certificate of another name: a sign-in page or a proxy of this network "
            "stands in between. Open any page in a browser, or try another network",
        )
    if number in _NO_ISSUER or number in _SELF_SIGNED:
        return Trouble(
            _SHUT,
            f"the certificate of {host} is from an issuer that this machine does not know: a proxy or a virus scanner "
            "reads along, or the system's certificates are missing (package ca-certificates)",
        )
    told = getattr(error, "verify_message", "") or "not accepted"
    return Trouble(_SHUT, f"the certificate of {host} is not accepted ({told}): try another network")


def _no_route(words: str, address: str) -> str:
    tried = _ADDRESS.findall(words)
    if tried and all(":" in found for found in tried):
        return (
            f"{address} was tried by IPv6 alone, and this machine's IPv6 leads nowhere: repair it, or turn it off so "
            "that IPv4 is used"
        )
    return f"there is no way to {address} from here: is this machine online? A VPN may be down"


def _proxy_note(environ: Mapping[str, str]) -> str:
    named = next((name for name in PROXY_SETTINGS if environ.get(name, "").strip()), None)
    if named is None:
        return ""
    return f". {named} is set, and quantlab does not use it: it needs a direct way to the exchange"

"""When the exchange cannot be reached, one line says what is wrong and what to do, whichever layer failed.

Each failure is produced by real sockets where a test can, and told apart from a way that is open (the control).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from quantlab.exchange import Door, DoorConfig
from quantlab.exchange.config import HOSTS
from quantlab.exchange.failure import retry as retry_module
from quantlab.exchange.failure.network import PROXY_SETTINGS, trouble_of
from quantlab.exchange.failure.taxonomy import Kind
from quantlab.model import ExchangeUnreachable, MalformedMessage, QuantlabError

from .false_networks import NAME, Authority, answers_time, listening, resolver_fails, resolves_to, says

MAINNET = DoorConfig("mainnet", *HOSTS["mainnet"], timeout_s=2.0)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "_FIRST_S", 0.01)
    for name in PROXY_SETTINGS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def asked() -> tuple[QuantlabError | int, int]:
    """What the door makes of a question for the time, and how often it tried."""
    rows: list[dict[str, object]] = []
    async with Door(MAINNET, rows.append) as door:
        try:
            return await door.rest.server_time_ms(), len(rows)
        except QuantlabError as error:
            return error, len(rows)


async def test_a_good_certificate_is_let_in(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of all that follow."""
    authority.trust(monkeypatch)
    async with listening(answers_time, authority.context(tmp_path)) as port:
        resolves_to(monkeypatch, ("127.0.0.1", port))
        assert await asked() == (1, 1)


@pytest.mark.parametrize(
    ("name", "from_days", "to_days", "says_so"),
    [
        (NAME, -5, -1, ["has expired", "clock right", "date -u"]),
        (NAME, 1, 5, ["is not valid yet", "clock right"]),
        ("login.hotel.example", -1, 1, ["another name", "sign-in page", "browser"]),
    ],
)
async def test_certificates_that_are_wrong(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    from_days: float,
    to_days: float,
    says_so: list[str],
) -> None:
    authority.trust(monkeypatch)
    async with listening(answers_time, authority.context(tmp_path, name, from_days=from_days, to_days=to_days)) as port:
        resolves_to(monkeypatch, ("127.0.0.1", port))
        error, tries = await asked()
    assert isinstance(error, ExchangeUnreachable)
    assert all(word in str(error) for word in [NAME, *says_so]), str(error)
    assert tries == 1, "a certificate does not heal while one waits"


async def test_an_issuer_that_nobody_knows(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(answers_time, authority.context(tmp_path)) as port:
        resolves_to(monkeypatch, ("127.0.0.1", port))
        error, tries = await asked()
    assert isinstance(error, ExchangeUnreachable)
    assert "issuer that this machine does not know" in str(error) and "ca-certificates" in str(error)
    assert tries == 1


async def test_no_tls_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n"
    async with listening(says(redirect, after=b"")) as port:
        resolves_to(monkeypatch, ("127.0.0.1", port))
        error, _ = await asked()
    assert isinstance(error, ExchangeUnreachable)
    assert "does not speak TLS" in str(error)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, ["not known", "name server"]),
        (socket.EAI_AGAIN, ["no name server answers", "online"]),
        (socket.EAI_FAIL, ["could not be looked up"]),
    ],
)
async def test_names_that_are_not_found(number: int, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    resolver_fails(monkeypatch, socket.gaierror(number, "as the system says it"))
    error, tries = await asked()
    assert isinstance(error, ExchangeUnreachable)
    assert all(word in str(error) for word in [NAME, *words]), str(error)
    assert tries == 3


async def test_a_port_that_is_shut(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> None:
    resolves_to(monkeypatch, ("127.0.0.1", free_port()))
    error, tries = await asked()
    assert isinstance(error, ExchangeUnreachable)
    assert f"nothing answers at {NAME}:443" in str(error) and "firewall" in str(error)
    assert tries == 3


async def test_ipv6_that_leads_nowhere_is_passed_by(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the name has both, IPv4 is used; where it has only IPv6, the line says so."""
    authority.trust(monkeypatch)
    dead = ("100::1", 443)  # the discard-only block of RFC 6666
    async with listening(answers_time, authority.context(tmp_path)) as port:
        resolves_to(monkeypatch, dead, ("127.0.0.1", port))
        assert await asked() == (1, 1)


@pytest.mark.parametrize(
    ("number", "told", "words"),
    [
        (errno.ENETUNREACH, "('2600:9000::1', 443, 0, 0)", ["IPv6 alone", "turn it off"]),
        (errno.EHOSTUNREACH, "('fe80::1%eth0', 443, 0, 0)", ["IPv6 alone"]),
        (errno.ENETUNREACH, "('3.160.1.1', 443)", ["no way to", "online"]),
        (errno.EHOSTUNREACH, "", ["no way to"]),
        (errno.EPERM, "", ["does not let quantlab connect", "firewall"]),
        (errno.EACCES, "", ["does not let quantlab connect"]),
        (errno.ETIMEDOUT, "", ["in time"]),
        (errno.EMFILE, "", ["too many files", "ulimit"]),
        (errno.EIO, "", ["online"]),
    ],
)
def test_connections_that_fail(number: int, told: str, words: list[str]) -> None:
    trouble = trouble_of(OSError(number, f"Connect call failed {told}"), f"{NAME}:443", is_venue=False, environ={})
    assert all(word in trouble.words for word in [f"{NAME}:443", *words]), trouble.words


def test_a_connection_that_never_comes_about() -> None:
    for error in (TimeoutError(), aiohttp.ConnectionTimeoutError()):
        trouble = trouble_of(error, f"{NAME}:443", is_venue=False, environ={})
        assert trouble.kind is Kind.TRANSIENT and "in time" in trouble.words


async def test_a_proxy_that_is_set_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    resolves_to(monkeypatch, ("127.0.0.1", free_port()))
    error, _ = await asked()
    assert "PROXY" not in str(error), "the control"
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@proxy.example:3128")
    error, _ = await asked()
    assert "HTTPS_PROXY is set, and quantlab does not use it" in str(error)
    assert "hunter2" not in str(error) and "proxy.example" not in str(error)


def test_a_venue_of_this_machine_has_no_proxy() -> None:
    error = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    trouble = trouble_of(error, "127.0.0.1:9000", is_venue=True, environ={"HTTPS_PROXY": "x"})
    assert trouble.words == "nothing answers at 127.0.0.1:9000: is the venue running?"


PAGE = b"<!doctype html><title>Sign in</title>"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("answer", "error_class", "words"),
    [
        (HEAD + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE, MalformedMessage, "wants a sign-in first"),
        (HEAD + b'Content-Length: 100\r\n\r\n{"serverTime":1}', MalformedMessage, "was cut short"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{", MalformedMessage, "was cut short"),
        (HEAD + b"Content-Length: 0\r\n\r\n", MalformedMessage, "it is empty"),
        (HEAD + b'Content-Length: 12\r\n\r\n"a sentence"', MalformedMessage, "not the object it should be"),
        (HEAD + b"Content-Length: 4\r\n\r\nnull", MalformedMessage, "not the object it should be"),
        (HEAD + b"Content-Length: 2\r\n\r\n[]", MalformedMessage, "not the object it should be"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", MalformedMessage, "is not HTTP"),
        (b"", ExchangeUnreachable, "broke"),
    ],
    ids=["portal", "short", "chunks", "empty", "text", "null", "list", "other protocol", "nothing"],
)
async def test_answers_that_are_none(
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    error_class: type[Exception],
    words: str,
) -> None:
    """At HTTP 200, with the right header: each is asked again, and told in words."""
    authority.trust(monkeypatch)
    async with listening(says(answer), authority.context(tmp_path)) as port:
        resolves_to(monkeypatch, ("127.0.0.1", port))
        error, tries = await asked()
    assert isinstance(error, error_class), error
    assert words in str(error)
    assert tries == 3

"""Networks that stand in the way: name servers that fail, servers with wrong certificates, ports that are shut.

The door goes to mainnet's own name; only what the system's resolver says of it is the test's, so that the whole path is
the real one: resolver, connection, TLS, HTTP.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.abc import ResolveResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.x509.oid import NameOID

from quantlab.exchange.config import HOSTS

NAME = HOSTS["mainnet"][0].removeprefix("https://")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


class Authority:
    """An issuer of certificates. `trust` makes this process know it, for one test."""

    def __init__(self) -> None:
        self.key = generate_private_key(SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an issuer of the tests")])
        self.certificate = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None))

    def trust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = ssl.create_default_context(cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode())
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)

    def context(self, folder: Path, name: str = NAME, *, from_days: float = -1, to_days: float = 1) -> ssl.SSLContext:
        """What a server shows: a certificate for `name`, valid from and to so many days from now."""
        key = generate_private_key(SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        certificate = self._signed(subject, key, names, from_days, to_days)
        file = folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        from_days: float = -10,
        to_days: float = 10,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=from_days))
            .not_valid_after(now + dt.timedelta(days=to_days))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return builder.sign(self.key, hashes.SHA256())


def resolves_to(monkeypatch: pytest.MonkeyPatch, *places: tuple[str, int]) -> None:
    """The system's resolver gives these addresses (with ports) for any name."""

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=place,
                family=socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address, place in places
        ]

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)


def resolver_fails(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        raise error

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)


@asynccontextmanager
async def listening(
    handle: Handler, context: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> AsyncIterator[int]:
    """A server on a free loopback port that does with each connection what `handle` does; gives the port."""
    server = await asyncio.start_server(handle, address, 0, ssl=context)  # type: ignore[arg-type]
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def answers_time(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One good answer of /api/v3/time."""
    await reader.readuntil(b"\r\n\r\n")
    body = b'{"serverTime":1}'
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    writer.close()


def says(raw: bytes, *, after: bytes = b"\r\n\r\n") -> Handler:
    """Whatever it is asked, this is what comes once `after` was heard (b"": anything); then the connection closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await (reader.readuntil(after) if after else reader.read(1))
            writer.write(raw)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    return handle

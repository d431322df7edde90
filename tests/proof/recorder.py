"""The other side of the wire: a resolver that answers every name, and an exchange that writes down all that arrives.

It listens behind the real names, with certificates for them, and takes bytes apart itself: nothing of quantlab helps to
decide what arrived. Where it is told a venue's address, it hands the bytes on, so that a whole fleet can live from it.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_NAMES = (
    "*.binance.vision",
    "*.testnet.binance.vision",
    "*.binance.com",
    "*.binance.us",
    "binance.com",
    "example.org",
)


class Request(NamedTuple):
    """One HTTP request as it arrived. Header names in small letters."""

    where: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def is_signed(self) -> bool:
        text = f"{self.target}&{self.body.decode('utf-8', 'replace')}".lower()
        return "x-mbx-apikey" in self.headers or "signature" in text


@dataclass
class Wire:
    """What one connection carried towards the exchange, in clear. `where` is the counter's name of the address."""

    where: str
    bytes_in: bytearray = field(default_factory=bytearray)
    upgraded: bool = False


class Recorder:
    """Serves until it is closed, on a thread of its own. `route` says at which counter's address a name lives."""

    def __init__(self, addresses: dict[str, str], resolver: str, route: Callable[[str], str], folder: Path) -> None:
        self.addresses, self.resolver, self._route = addresses, resolver, route
        self.names: list[str] = []
        self.wires: list[Wire] = []
        self.venue: tuple[str, int] | None = None
        self.ca = folder / "ca.pem"
        self._tls = _tls(folder)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def forget(self) -> None:
        """Begin a new count."""
        self.names, self.wires = [], []

    @property
    def requests(self) -> list[Request]:
        """All HTTP requests that arrived, in order of their connections."""
        return [request for wire in self.wires for request in taken_apart(wire)[0]]

    @property
    def frames(self) -> list[tuple[str, str]]:
        """(where, text) of every data frame that arrived on a WebSocket."""
        return [(wire.where, text) for wire in self.wires for text in taken_apart(wire)[1]]

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: _Resolver(self), (self.resolver, 53))
        for where, address in self.addresses.items():
            await asyncio.start_server(self._serve(where), address, 443, ssl=self._tls)
            await asyncio.start_server(self._serve(where), address, 80)
            await asyncio.start_server(self._serve(where), address, 9443, ssl=self._tls)

    def _serve(self, where: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            wire = Wire(where)
            self.wires.append(wire)
            try:
                if self.venue is not None and where in ("rest", "stream", "testnet"):
                    await self._hand_on(wire, reader, writer)
                else:
                    await self._answer(wire, reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        return serve

    async def _hand_on(self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.venue is not None
        inner_reader, inner_writer = await asyncio.open_connection(*self.venue)

        async def back() -> None:
            try:
                while data := await inner_reader.read(1 << 16):
                    writer.write(data)
                    await writer.drain()
            finally:
                writer.close()

        answering = asyncio.create_task(back())
        try:
            while data := await reader.read(1 << 16):
                wire.bytes_in += data
                inner_writer.write(data)
                await inner_writer.drain()
        finally:
            inner_writer.close()
            answering.cancel()

    async def _answer(self, wire: Wire, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Say yes to everything; a ping is answered with a redirect to where orders are taken."""
        while data := await reader.read(1 << 16):
            wire.bytes_in += data
            requests, _ = taken_apart(wire)
            if not requests:
                continue
            last = requests[-1]
            if wire.upgraded:
                continue
            if "upgrade" in last.headers:
                wire.upgraded = True
                key = last.headers["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                accept = base64.b64encode(hashlib.sha1(key.encode()).digest())
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
            elif last.target.startswith("/api/v3/ping"):
                writer.write(
                    b"HTTP/1.1 307 Temporary Redirect\r\nLocation: https://api.binance.com/api/v3/order\r\n"
                    b"Content-Length: 0\r\n\r\n"
                )
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()


def taken_apart(wire: Wire) -> tuple[list[Request], list[str]]:
    """The requests on a wire, and the text of its WebSocket data frames."""
    data, requests = bytes(wire.bytes_in), []
    while b"\r\n\r\n" in data:
        head, _, data = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        requests.append(Request(wire.where, method, rest.rpartition(" ")[0], headers, data[:length]))
        data = data[length:]
        if "upgrade" in headers:
            return requests, _frames(data)
    return requests, []


def _frames(data: bytes) -> list[str]:
    """Text of the masked data frames in `data` (RFC 6455, section 5.2); control frames are left out."""
    found = []
    while len(data) >= 6:
        opcode, length, at = data[0] & 0x0F, data[1] & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, at = int.from_bytes(data[2:10]), 10
        mask, payload = data[at : at + 4], data[at + 4 : at + 4 + length]
        if len(payload) < length:
            break
        if opcode < 8:
            found.append(bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)).decode("utf-8", "replace"))
        data = data[at + 4 + length :]
    return found


class _Resolver(asyncio.DatagramProtocol):
    """Answers each A question with the address that the name's route leads to, and no AAAA (RFC 1035)."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, peer: tuple[str, int]) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), int.from_bytes(data[at + 1 : at + 3])
        self._recorder.names.append(name)
        question = data[12 : at + 5]
        answer = b""
        if kind == 1:
            address = self._recorder.addresses[self._recorder._route(name)]
            octets = bytes(int(part) for part in address.split("."))
            answer = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04" + octets
        head = data[:2] + b"\x81\x80\x00\x01" + (b"\x00\x01" if answer else b"\x00\x00") + b"\x00\x00\x00\x00"
        self._transport.sendto(head + question + answer, peer)


def _tls(folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate for all of `_NAMES`, signed by an authority made here (`ca.pem`)."""
    now = dt.datetime.now(dt.UTC)

    def certificate(
        subject: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, ca: bool
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        )
        if not ca:
            names = x509.SubjectAlternativeName([x509.DNSName(name) for name in _NAMES])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("proof authority", root_key, "proof authority", root_key, True)
    leaf = certificate("recording exchange", key, "proof authority", root_key, False)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    chain = folder / "exchange.pem"
    chain.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context

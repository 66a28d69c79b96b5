"""The HTTP proxy through which a browser reaches the network: it checks every IP address, needs a password, and limits each page.

A browser resolves names itself and follows redirects, frames and scripts, so the resolver of the crawler cannot protect it. Behind this
proxy it resolves nothing. The proxy connects to the IP address that the guard has checked, so a rebinding name gets no second lookup.
It takes CONNECT (RFC 9110, section 9.3.6) and the absolute form of http URLs (RFC 9112, section 3.2.2), one request per connection.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import h11

from crawler.browser.proxy_account import ProxyAccount, ProxyLimits, RefusedError
from newsmill.network.address_guard import Guard

MAX_HEAD_BYTES = 64 * 1024  # of a request or a response
MAX_OPEN_CONNECTIONS = 256  # of all accounts; Chromium opens at most 32 to one proxy
HEAD_SECONDS = 10.0  # for a request's head
CONNECT_SECONDS = 10.0  # for the lookup, and for each connection that is tried
MAX_TRIED_ADDRESSES = 4  # of one name
READ_BYTES = 64 * 1024
LOOKUP_THREADS = 8
# Of one connection, so not passed on (RFC 9110, section 7.6.1). Upgrade too: Chromium opens WebSockets with CONNECT.
HOP_BY_HOP_HEADERS = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authorization", b"proxy-authenticate", b"te", b"trailer", b"upgrade"}
)
# Reasons are not sent: a page could read them.
BODIES = {400: b"bad request", 403: b"refused", 407: b"password required", 502: b"no connection"}

Lookup = Callable[..., list[Any]]
Headers = list[tuple[bytes, bytes]]


class ForwardProxy:
    """Listens on a free port of 127.0.0.1. For one event loop."""

    def __init__(self, lookup: Lookup = socket.getaddrinfo, *, is_stopped: Callable[[str], Awaitable[bool]] | None = None) -> None:
        """`lookup` replaces socket.getaddrinfo in tests. `is_stopped`: whether the owner of a URL's host has stopped the crawler."""
        self._lookup = lookup
        self._is_stopped = is_stopped
        self._accounts: dict[str, ProxyAccount] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, "proxy-lookup")

    async def start(self) -> None:
        """Start to listen. Raises OSError."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=MAX_HEAD_BYTES)

    @property
    def url(self) -> str:
        assert self._server is not None, "start() comes first"
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def add_account(self, name: str, guard: Guard, limits: ProxyLimits | None = None) -> ProxyAccount:
        """A new account with a new password; it replaces one of the same name."""
        self.remove_account(name)
        account = self._accounts[name] = ProxyAccount(name, guard, limits or ProxyLimits())
        return account

    def remove_account(self, name: str) -> None:
        """End the account's connections and refuse its password."""
        if (account := self._accounts.pop(name, None)) is not None:
            account.close()

    async def close(self) -> None:
        """End every connection and stop listening."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        client = Peer(h11.Connection(h11.SERVER, MAX_HEAD_BYTES), reader, writer)
        try:
            if len(self._tasks) <= MAX_OPEN_CONNECTIONS:
                await self._serve_request(client, task)
        except RefusedError as error:
            await _answer(client, error.status)
        except (OSError, TimeoutError, h11.ProtocolError, asyncio.CancelledError):
            pass  # one side has gone or does not speak HTTP, or the page has ended
        finally:
            self._tasks.discard(task)
            for account in self._accounts.values():
                account.tasks.discard(task)
            writer.close()

    async def _serve_request(self, client: Peer, task: asyncio.Task[None]) -> None:
        async with asyncio.timeout(HEAD_SECONDS):
            request = await client.next_event()
        if not isinstance(request, h11.Request):
            return
        account = self._authenticate(request)
        account.tasks.add(task)
        account.count_connection()
        if request.method == b"CONNECT":
            host, port = _split_authority(request.target.decode("ascii"))
            await self._tunnel(client, account, host, port)
        else:
            await self._forward(client, account, request)

    def _authenticate(self, request: h11.Request) -> ProxyAccount:
        """The account of the request. Raises RefusedError."""
        given = next((value for name, value in request.headers if name == b"proxy-authorization"), b"")
        scheme, _, encoded = given.partition(b" ")
        try:
            name, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        except binascii.Error:
            name = password = b""
        account = self._accounts.get(name.decode("utf-8", "replace"))
        expected = "" if account is None else account.password
        is_known = hmac.compare_digest(password, expected.encode())
        if account is None or not is_known or scheme.lower() != b"basic":
            raise RefusedError(407, "no valid password")
        return account

    async def _tunnel(self, client: Peer, account: ProxyAccount, host: str, port: int) -> None:
        """Connect, then copy bytes in both directions until one side ends."""
        reader, writer = await self._connect(account, host, port)
        try:
            await client.next_event()  # the end of the request, which has no body
            await client.send(h11.Response(status_code=200, headers=[]))
            early = client.http.trailing_data[0]
            account.count_bytes(len(early))
            writer.write(early)
            copies = [asyncio.ensure_future(_copy(*pair, account)) for pair in ((client.reader, writer), (reader, client.writer))]
            try:
                await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for copy in copies:
                    copy.cancel()
                await asyncio.gather(*copies, return_exceptions=True)
        finally:
            writer.close()

    async def _forward(self, client: Peer, account: ProxyAccount, request: h11.Request) -> None:
        """Send the request to the host of its URL, and the response back."""
        host, port, target, authority = _split_url(request.target)
        reader, writer = await self._connect(account, host, port)
        server = Peer(h11.Connection(h11.CLIENT, MAX_HEAD_BYTES), reader, writer)
        try:
            headers = [(b"host", authority), *_end_to_end(request.headers, b"host"), (b"connection", b"close")]
            await server.send(h11.Request(method=request.method, target=target, headers=headers))
            while not isinstance(event := await client.next_event(account), h11.ConnectionClosed):
                await server.send(event)
                if isinstance(event, h11.EndOfMessage):
                    break
            await _return_response(server, client, account)
        finally:
            writer.close()

    async def _connect(self, account: ProxyAccount, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to an IP address of the host that the guard allows; a WebSocket is checked here only. Raises RefusedError."""
        if self._is_stopped is not None and await self._is_stopped(f"{'https' if port == 443 else 'http'}://{_join_port(host, port)}/"):
            raise RefusedError(403, f"{host}: the owner has stopped the crawler")
        async with asyncio.timeout(CONNECT_SECONDS):
            ips = await self._resolve(host, port)
        allowed = [ip for ip in ips if account.guard.find_refusal(ip, port) is None]
        if ips and not allowed:
            account.refused += 1
            raise RefusedError(403, f"{host}: {account.guard.find_refusal(ips[0], port)}")
        for ip in allowed[:MAX_TRIED_ADDRESSES]:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(ip, port)
            except (OSError, TimeoutError):
                continue
        raise RefusedError(502, f"{host}:{port} cannot be reached")

    async def _resolve(self, host: str, port: int) -> list[str]:
        """The IP addresses of a host name, or of an IP address in any spelling; empty if the name has none."""

        def look_up() -> list[str]:
            try:
                answers = self._lookup(host, port, 0, socket.SOCK_STREAM)
            except (OSError, ValueError):  # unknown; or not a name: labels too long (UnicodeError), a NUL
                return []
            return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

        return await asyncio.get_running_loop().run_in_executor(self._threads, look_up)


@dataclass(frozen=True, slots=True)
class Peer:
    """One side of a request: the client, or the server."""

    http: h11.Connection
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def next_event(self, account: ProxyAccount | None = None) -> Any:
        """The next part of the message; its bytes count for the account. Raises h11.ProtocolError, OSError, RefusedError."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            data = await self.reader.read(READ_BYTES)
            if account is not None:
                account.count_bytes(len(data))
            self.http.receive_data(data)
        return event

    async def send(self, event: Any) -> None:
        """Send a part of a message."""
        if data := self.http.send(event):
            self.writer.write(data)
            await self.writer.drain()


async def _return_response(server: Peer, client: Peer, account: ProxyAccount) -> None:
    """Send the server's response to the client, which then has to open another connection for its next request."""
    while True:
        event = await server.next_event(account)
        if isinstance(event, h11.Response):
            headers = [*_end_to_end(event.headers, b"transfer-encoding"), (b"connection", b"close")]
            event = h11.Response(status_code=event.status_code, headers=headers, reason=event.reason)
        if isinstance(event, h11.ConnectionClosed):
            return
        if not isinstance(event, h11.InformationalResponse):
            await client.send(event)
        if isinstance(event, h11.EndOfMessage):
            return


async def _answer(client: Peer, status: int) -> None:
    """Send a response of the proxy itself, if none has begun."""
    body = BODIES[status]
    headers: Headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    if status == 407:
        headers.append((b"proxy-authenticate", b'Basic realm="Newsmill"'))
    try:
        for event in (h11.Response(status_code=status, headers=headers), h11.Data(data=body), h11.EndOfMessage()):
            await client.send(event)
    except (OSError, h11.ProtocolError):
        pass


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, account: ProxyAccount) -> None:
    """Copy bytes until the reader ends or the page has used its bytes."""
    try:
        while data := await reader.read(READ_BYTES):
            account.count_bytes(len(data))
            writer.write(data)
            await writer.drain()
    except (OSError, RefusedError):
        return


def _end_to_end(headers: Any, *without: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((name, value) for name, value in headers if name not in HOP_BY_HOP_HEADERS and name not in without)


def _split_authority(authority: str) -> tuple[str, int]:
    """ "host:443" or "[::1]:443" → host and port. Raises RefusedError."""
    host, _, port = authority.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise RefusedError(400, f"{authority!r} is not a host and port")
    return host.strip("[]"), int(port)


def _join_port(host: str, port: int) -> str:
    """The host and port of a URL; an IPv6 address gets its brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split_url(target: bytes) -> tuple[str, int, bytes, bytes]:
    """An absolute http URL → host, port, origin form and Host header. Raises RefusedError."""
    try:
        parts = urlsplit(target.decode("ascii"))
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port = None, 0
    if host is None or parts.scheme != "http" or "@" in parts.netloc:
        raise RefusedError(400, "not an absolute http URL")
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return host, port, path.encode("ascii"), parts.netloc.encode("ascii")

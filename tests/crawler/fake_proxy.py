"""A real HTTP proxy on 127.0.0.x: CONNECT tunnels and absolute-form requests. It connects wherever it is told to, like a careless one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fake_site import Farm


@dataclass(eq=False)
class Proxy:
    """Logs (method, target, headers) of each request. `answer` is sent in place of a tunnel; `names` are host names that it resolves."""

    ip: str
    port: int = 0
    answer: bytes | None = None
    names: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{self.ip}:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [target for _, target, _ in self.log]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
            self.log.append((method, target, headers))
            if self.answer is not None:
                writer.write(self.answer)
                await writer.drain()
                await asyncio.sleep(0.2)
                return
            await self._forward(method, target, head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has gone, or the farm closes
        finally:
            writer.close()

    async def _forward(self, method: str, target: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
        host = self.names.get(parts.hostname or "", parts.hostname or "")
        upstream, upward = await asyncio.open_connection(host, parts.port or 80)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nVia: 1.1 fake\r\n\r\n")
        else:  # RFC 9112: the Host header becomes that of the target
            upward.write(f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        await asyncio.gather(_copy(reader, upward), _copy(upstream, writer), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


def start_proxy(sites: Farm, ip: str = "127.0.0.201", **options: object) -> Proxy:
    """A proxy on the farm's loop, until the farm closes."""
    proxy = Proxy(ip, **options)  # type: ignore[arg-type]
    server = sites._call(asyncio.start_server(proxy.serve, ip, 0, limit=1 << 20))
    sites.servers.append(server)
    proxy.port = server.sockets[0].getsockname()[1]
    return proxy

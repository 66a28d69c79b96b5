"""The account of a browser context at the forward proxy, with what one page may use."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field

from newsmill.network.address_guard import Guard


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """What one page may use."""

    max_bytes: int = 32 * 1024 * 1024  # in both directions; a news page without images and fonts has 1 to 5 MB
    max_connections: int = 200  # over its whole time; news pages contact 5 to 60 hosts


class RefusedError(Exception):
    """Raised when a request is not served, with the status of the response."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(eq=False, slots=True)
class ProxyAccount:
    """A user of the proxy: one browser context. It is open for one page at a time: `begin` starts a page with its whole limits."""

    name: str
    guard: Guard
    limits: ProxyLimits
    password: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    used_bytes: int = 0  # of this page, in both directions
    connections: int = 0
    refused: int = 0  # requests of this page that the guard refused
    exceeded: str | None = None  # the limit that this page has reached
    is_open: bool = True
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def begin(self, guard: Guard) -> None:
        """Close what the last page left open and start counting for the next, which reaches what `guard` allows."""
        self.close()
        self.guard, self.used_bytes, self.connections, self.refused, self.exceeded = guard, 0, 0, 0, None
        self.is_open = True

    def close(self) -> None:
        """End all connections, and refuse others until the next page begins."""
        self.is_open = False
        for task in self.tasks:
            task.cancel()

    def count_connection(self) -> None:
        """Raises RefusedError when the page has opened too many, or has ended."""
        if not self.is_open:
            raise RefusedError(403, "the page has ended")
        self.connections += 1
        if self.connections > self.limits.max_connections:
            self.exceeded = f"more than {self.limits.max_connections} connections"
        if self.exceeded is not None:
            raise RefusedError(403, self.exceeded)

    def count_bytes(self, count: int) -> None:
        """Raises RefusedError when the page has used its bytes; its other connections end with their next bytes."""
        self.used_bytes += count
        if self.used_bytes > self.limits.max_bytes:
            self.exceeded = f"more than {self.limits.max_bytes:,} bytes"
            raise RefusedError(403, self.exceeded)

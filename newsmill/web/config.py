"""The settings of the web process."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Where we listen and how much we take. The defaults are those of one person on one machine."""

    host: str = "127.0.0.1"  # the address we listen on
    port: int = 8470
    url: str | None = None  # how people call us from outside, e.g. "https://news.example.org"
    hosts: tuple[str, ...] = ()  # further names we answer to
    allow_nets: tuple[str, ...] = ()  # as NEWSMILL_ALLOW_NETS: for webhooks, and for what is refused at once
    rate: int = 600  # requests a minute, for each token or address
    largest: int = 2_000_000  # bytes of a request's body: 10,000 addresses of 200 characters
    max_body_seconds: float = 30.0  # until a request's body must be here
    streams: int = 50  # change streams open at once
    hooks: bool = True  # whether this process tells web hooks

    @property
    def is_exposed(self) -> bool:
        """Whether others than the users of this machine can reach us: then nobody reads without a token."""
        outside = urlsplit(self.url).hostname if self.url else None
        return not is_loopback(self.host) or (outside is not None and not is_loopback(outside))

    @property
    def secure(self) -> bool:
        """Whether people come over TLS."""
        return bool(self.url) and urlsplit(str(self.url)).scheme == "https"

    def is_own_host(self, host: str) -> bool:
        """Whether a request's Host header names us. A web page can make a browser call us by its own name (DNS rebinding), not by
        an address or by "localhost"."""
        name = parse_host(host)
        if name is None:
            return False
        if is_loopback(name) or name in {known.lower() for known in self.hosts}:
            return True
        if self.url and name == (urlsplit(self.url).hostname or ""):
            return True
        return name == self.host.lower() or (not is_loopback(self.host) and _is_ip_address(name))


def parse_host(host: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    return parts.hostname.removesuffix(".") if parts.hostname and parts.netloc == host and "@" not in host else None


def is_loopback(name: str) -> bool:
    """localhost, 127.0.0.0/8 or ::1."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_ip_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True

"""The settings of the web process."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

WEBSUB_PATH = "/websub/"  # before the id of a callback
DIRECTORY_PATH = "/.well-known/http-message-signatures-directory"  # of the keys that sign requests
BOT_PATH = "/bot"
OWNER_PATH = f"{BOT_PATH}/hosts/"  # before the secret of an owner's page
PUBLIC_PATHS = (WEBSUB_PATH, DIRECTORY_PATH, OWNER_PATH, "/static/")  # that hubs and publishers may reach under NEWSMILL_PUBLIC_URL


@dataclass(frozen=True, slots=True)
class WebConfig:
    """Where the server listens, and its limits. The defaults suit one person on one machine."""

    host: str = "127.0.0.1"  # the IP address to listen on
    port: int = 8470
    url: str | None = None  # as users see it, e.g. "https://news.example.org"
    hosts: tuple[str, ...] = ()  # more host names of the server
    public_url: str | None = None  # NEWSMILL_PUBLIC_URL; its host name reaches only PUBLIC_PATHS
    allow_nets: tuple[str, ...] = ()  # NEWSMILL_ALLOW_NETS
    rate: int = 600  # requests a minute, per token or client IP address
    max_body_bytes: int = 2_000_000  # 10,000 URLs of 200 characters
    max_pages_body_bytes: int = 16 << 20  # of POST /api/v1/pages: one page of 10 MB in Base64
    max_push_bytes: int = 4 << 20  # of a feed that a WebSub hub pushes; read only for a subscription in force
    max_body_seconds: float = 30.0
    max_streams: int = 50
    sends_webhooks: bool = True  # and alerts
    shows_images: bool = True  # NEWSMILL_WEB_IMAGES

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the server. Then all requests need a token."""
        outside = [urlsplit(url).hostname or "" for url in (self.url, self.public_url) if url]
        return not is_loopback(self.host) or any(not is_loopback(name) for name in outside)

    @property
    def uses_https(self) -> bool:
        """Whether users reach the server over HTTPS."""
        return bool(self.url) and urlsplit(str(self.url)).scheme == "https"

    def is_public_request(self, host: str, path: str) -> bool:
        """Whether a request names the host of the public URL, and a path that is meant for other machines."""
        name = parse_host(host)
        return (
            bool(self.public_url)
            and name == urlsplit(str(self.public_url)).hostname
            and (path == BOT_PATH or path.startswith(PUBLIC_PATHS))
        )

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this server.

        With DNS rebinding, a web page can make a browser call this server by the page's own name, but not by an IP address or "localhost".
        """
        name = parse_host(host)
        if name is None:
            return False
        if is_loopback(name) or name in {known.lower() for known in self.hosts}:
            return True
        if self.url and name == (urlsplit(self.url).hostname or ""):
            return True
        return name == self.host.lower() or (not is_loopback(self.host) and _is_ip_address(name))


def parse_host(host: str) -> str | None:
    """The name in a Host header, in lower case, without port and brackets; None if the header is invalid."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return None
    return parts.hostname.removesuffix(".") if parts.hostname and parts.netloc == host and "@" not in host else None


def is_loopback(name: str) -> bool:
    """Whether the name is localhost, in 127.0.0.0/8 or ::1."""
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

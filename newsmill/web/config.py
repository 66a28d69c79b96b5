"""The settings of the web process."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

WEBSUB_PATH = "/websub/"  # before the id of a callback
DIRECTORY_PATH = "/.well-known/http-message-signatures-directory"  # of the keys that sign requests
BOT_PATH = "/bot"
OWNER_PATH = f"{BOT_PATH}/hosts/"  # before the secret of an owner's page
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")  # where names below localhost lead as well
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
    local_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)  # of `make_local_key`

    def local_host(self, owner: str) -> str:
        """The host name of an owner's sessions on the loopback interface, to which browsers resolve all names below localhost (RFC 6761).

        A browser sends the cookies of a host to every port of it, also to the server of another user of this machine. No other user can
        guess this name.
        """
        return f"newsmill-{hmac.digest(self.local_key, owner.encode(), 'sha256').hex()[:20]}.localhost"

    def session_host(self, host: str, owner: str) -> str:
        """The Host header under which a browser has its session, for the Host header of a request. "" is the owner of the server."""
        if not self.moves_sessions(host):
            return host.lower()
        port = urlsplit(f"//{host}").port
        return f"{self.local_host(owner)}:{port}" if port else self.local_host(owner)

    def moves_sessions(self, host: str) -> bool:
        """Whether sessions get the host name of `local_host`. With NEWSMILL_WEB_URL the operator has chosen another one."""
        name = parse_host(host)
        return not self.url and name is not None and (name in LOOPBACK_NAMES or name.endswith(".localhost"))

    def base_url(self, port: int) -> str:
        """The URL of the pages for the owner's browser on this machine, without a slash at the end, if the server listens on the port."""
        if self.url:
            return self.url.rstrip("/")
        host = self.local_host("") if self.host in (*LOOPBACK_NAMES, "0.0.0.0", "::") else self.host  # noqa: S104 (compared only)
        return f"http://{f'[{host}]' if ':' in host else host}{'' if port == 80 else f':{port}'}"

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


def make_local_key(token: str) -> bytes:
    """The key of the host names of sessions, the same at each start. Made slowly: a reader who knows a name must not guess the token."""
    return hashlib.scrypt(token.encode(), salt=b"host names", n=2**14, r=8, p=1)


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

"""Addresses that strangers hand in, judged before they are kept. What a name leads to is judged where it is connected (newsmill/address_guard.py);
here falls only what can be seen at once, so that whoever handed it in is told.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from newsmill import urls
from newsmill.address_guard import WEB_PORTS, Guard
from newsmill.exceptions import UrlError
from newsmill.model import Source

URL_FIELDS = ("homepage", "feeds", "sitemaps", "sections")  # of a source, that hold addresses
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".test", ".invalid", ".onion")  # names no public server has


def refusal_reason(url: str, guard: Guard) -> str | None:
    """Why this address is certainly not fetched; None where only the connection can tell. Not an http(s) address counts."""
    try:
        parts = urlsplit(urls.normalize(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        return str(error)
    name = parts.hostname or ""
    try:
        ip_address(name)
    except ValueError:
        return _name_refusal_reason(name, port, guard)
    return guard.find_refusal(name, port)


def source_refusal_reason(source: Source, guard: Guard) -> str | None:
    """The same for a source: the first of its addresses that is not fetched, by its field, and why."""
    for field in URL_FIELDS:
        value = getattr(source, field)
        for url in [value] if isinstance(value, str) else value or ():
            if said := refusal_reason(url, guard):
                return f"{field}: {said}"
    return None


def _name_refusal_reason(name: str, port: int, guard: Guard) -> str | None:
    if name == "localhost":
        return guard.find_refusal("127.0.0.1", port)
    if guard.allow_nets:  # names of the operator's own network, on any port, may lead into it
        return None
    if "." not in name or name.endswith(PRIVATE_SUFFIXES):
        return f"{name} is a name of a private network"
    return None if port in WEB_PORTS else f"port {port} is not 80 or 443"

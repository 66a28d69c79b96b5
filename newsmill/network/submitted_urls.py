"""Submitted URLs are checked as far as that needs no connection, so that the submitter gets an error at once."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from newsmill.exceptions import UrlError
from newsmill.model import Source
from newsmill.network.address_guard import WEB_PORTS, Guard, is_public
from newsmill.text import urls
from newsmill.text.sentences import Sentence, keyed

URL_FIELDS = ("homepage", "feeds", "sitemaps", "sections")  # of a source
PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".home.arpa", ".lan", ".test", ".invalid", ".onion")  # never public


def refusal_reason(url: str, guard: Guard) -> str | None:
    """Why Newsmill never fetches this URL, and the remedy; None if only the connection can tell.

    A text that is not an http(s) URL is refused too.
    """
    try:
        parts = urlsplit(urls.normalize(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except (UrlError, ValueError) as error:
        return str(error)
    host = parts.hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return _find_name_refusal(host, port, guard)
    return guard.find_refusal(host, port)


def source_refusal_reason(source: Source, guard: Guard) -> str | None:
    """The first field of a source with a URL that Newsmill never fetches, and the reason."""
    for field in URL_FIELDS:
        value = getattr(source, field)
        for url in [value] if isinstance(value, str) else value or ():
            if reason := refusal_reason(url, guard):
                return keyed(field, reason)
    return None


def is_private_host(host: str) -> bool:
    """Whether a host, as written, is on this machine or on a private network.

    >>> [is_private_host(host) for host in ("127.0.0.1", "[::1]", "paper.lan", "newspaper", "www.example.org")]
    [True, True, True, True, False]
    """
    try:
        return not is_public(ip_address(host.strip("[]")))
    except ValueError:
        return "." not in host or host.endswith(PRIVATE_SUFFIXES)


def _find_name_refusal(name: str, port: int, guard: Guard) -> str | None:
    if name == "localhost":
        return guard.find_refusal("127.0.0.1", port)
    if guard.allow_nets:  # names of the user's own network may lead into it, on any port
        return None
    if is_private_host(name):
        return Sentence("{host} is a name of a private network; put its IP address into NEWSMILL_ALLOW_NETS to permit it", host=name)
    if port in WEB_PORTS:
        return None
    return Sentence(
        "port {port} is not 80 or 443; put the IP address of {host} into NEWSMILL_ALLOW_NETS to permit it", port=port, host=name
    )

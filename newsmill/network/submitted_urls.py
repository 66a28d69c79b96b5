"""Submitted URLs are checked as far as that needs no connection, so that the submitter gets an error at once."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from newsmill.exceptions import UrlError
from newsmill.model import Source
from newsmill.network.address_guard import WEB_PORTS, Guard
from newsmill.text import urls
from newsmill.text.sentences import Sentence, join_sentences, keyed

REMEDY = Sentence("NEWSMILL_ALLOW_NETS permits networks")  # behind a reason, where a person is told who can change it

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
        refusal = _find_name_refusal(host, port, guard)
    else:
        refusal = guard.find_refusal(host, port)
    return None if refusal is None else join_sentences([refusal, REMEDY])


def source_refusal_reason(source: Source, guard: Guard) -> str | None:
    """The first field of a source with a URL that Newsmill never fetches, and the reason."""
    for field in URL_FIELDS:
        value = getattr(source, field)
        for url in [value] if isinstance(value, str) else value or ():
            if reason := refusal_reason(url, guard):
                return keyed(field, reason)
    return None


def _find_name_refusal(name: str, port: int, guard: Guard) -> str | None:
    if name == "localhost":
        return guard.find_refusal("127.0.0.1", port)
    if guard.allow_nets:  # names of the user's own network may lead into it, on any port
        return None
    if "." not in name or name.endswith(PRIVATE_SUFFIXES):
        return Sentence("{name} is a name of a private network", name=name)
    return None if port in WEB_PORTS else Sentence("port {port} is not 80 or 443", port=port)

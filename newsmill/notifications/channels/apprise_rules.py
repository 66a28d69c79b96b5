"""Which URLs of Apprise services the settings of the administrator allow."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from newsmill.text.sentences import Sentence

MAX_URL_CHARACTERS = 2000
# What a URL may set. Others read files (template, keyfile), switch off the check of certificates, or add headers.
PARAMETERS = frozenset({"channel", "format", "from", "mode", "priority", "silent", "sound", "tags", "thread", "to", "topic"})


def find_refusal(url: str, services: Sequence[str]) -> str | None:
    """Why the administrator's settings do not allow the URL, as far as the URL alone tells; None if they do."""
    try:
        parts = urlsplit(url)
        names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        host = host_and_port(url)
    except ValueError:
        return Sentence("the URL is not valid")
    if not url.isprintable() or " " in url or len(url) > MAX_URL_CHARACTERS or "://" not in url or parts.fragment or "\\" in url:
        return Sentence("the URL is not valid")
    entries = [entry for entry in services if entry.partition("://")[0] == parts.scheme]
    if not entries:
        allowed = ", ".join(services) or "none"
        return Sentence(
            "the service {name} is not allowed; the administrator lists services in NEWSMILL_APPRISE (now: {names})",
            name=repr(parts.scheme[:40]),
            names=allowed,
        )
    if unknown := sorted(names - PARAMETERS):
        return Sentence(
            "the parameter {name} is not allowed; the allowed ones are {names}",
            name=repr(unknown[0][:40]),
            names=", ".join(sorted(PARAMETERS)),
        )
    if parts.scheme not in entries and host not in [entry.partition("://")[2].lower() for entry in entries]:
        return Sentence("the host {name} is not allowed; the administrator lists services in NEWSMILL_APPRISE", name=repr(host[:80]))
    return None


def host_and_port(url: str) -> str:
    """The host of a URL, with the port if it is given, in lower case. Raises ValueError."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


def listed_host(url: str, services: Sequence[str]) -> str | None:
    """The host of the URL if the administrator lists it by name."""
    host = host_and_port(url)
    is_listed = f"{urlsplit(url).scheme}://{host}" in [entry.lower() for entry in services]
    return urlsplit(url).hostname if is_listed else None

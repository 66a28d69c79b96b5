"""The contact that every request carries, for the owners of the sites."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from newsmill.exceptions import ConfigError, UrlError
from newsmill.network.submitted_urls import is_private_host
from newsmill.settings import Settings
from newsmill.text.urls import normalize

_CONTACT_HOST = re.compile(r"(?:@|://)([A-Za-z0-9.-]+)")
_EXAMPLE = re.compile(r"[^.]+|(?:.+\.)?(?:example(?:\.(?:com|net|org))?|invalid|test|localhost)", re.I)  # RFC 2606, and no domain at all


def check_contact(settings: Settings, urls: Iterable[str]) -> None:
    """Raise ConfigError if the User-Agent header names an example domain as contact, and a URL is not on a private network."""
    hosts = (host.rstrip(".") for host in _CONTACT_HOST.findall(settings.agent))
    example = next((host for host in hosts if _EXAMPLE.fullmatch(host)), None)
    public = None if example is None else next((url for url in urls if not _is_private(url)), None)
    if public is not None:
        name = "NEWSMILL_CONTACT" if settings.user_agent is None else "NEWSMILL_USER_AGENT"
        raise ConfigError(f"{name} names the example domain {example}; set your own URL or e-mail address before you crawl {public}")


def _is_private(url: str) -> bool:
    """Whether a URL is on a private network, or cannot be fetched at all."""
    try:
        return is_private_host(urlsplit(normalize(url)).hostname or "")
    except UrlError:
        return True

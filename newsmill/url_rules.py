"""What keep/ must know about addresses. It may not import find/, so `newsmill.urls` is handed to it as a value."""

from __future__ import annotations

from typing import Protocol

from newsmill.exceptions import UrlError


class Urls(Protocol):
    """The functions of `newsmill.urls` that the ledger and the documents use."""

    def normal(self, url: str) -> str:
        """The one spelling of an address. Raises UrlError."""

    def key(self, url: str) -> str:
        """The identity of an address: of its ledger row, and of the document it is canonical for. Raises UrlError."""

    def host(self, url: str) -> str:
        """The host, with its port when that is not the default. Raises UrlError."""


def site_of(urls: Urls, url: str) -> str:
    """The site whose profile a page is read with: the host without "www."; "" for a page without an address.

    Not the registered domain: m.paper.example and blog.paper.example have layouts of their own.
    """
    try:
        return urls.host(url).removeprefix("www.")
    except UrlError:
        return ""

"""What keep/ must know about addresses. It may not import find/, so `newsmill.find.urls` is handed to it as a value."""

from __future__ import annotations

from typing import Protocol


class Urls(Protocol):
    """The functions of `newsmill.find.urls` that the ledger and the documents use."""

    def normal(self, url: str) -> str:
        """The one spelling of an address. Raises UrlError."""

    def key(self, url: str) -> str:
        """The identity of an address: of its ledger row, and of the document it is canonical for. Raises UrlError."""

    def host(self, url: str) -> str:
        """The host, with its port when that is not the default. Raises UrlError."""

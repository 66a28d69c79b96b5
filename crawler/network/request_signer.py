"""Signs requests with the operator's key, so that sites can verify the crawler."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from pathlib import Path

from scrapy import Request
from scrapy.settings import BaseSettings

from newsmill.exceptions import ConfigError
from newsmill.network.message_signatures import sign_request
from newsmill.network.signing_keys import SigningKey, choose_key, read_keys

log = logging.getLogger(__name__)

KEYS_INTERVAL_SECONDS = 60.0  # between two reads of the keys: a new one is published two days before it signs


class RequestSigner:
    """Signs requests (Web Bot Auth), where the operator has made a key and set a public URL.

    It uses the key that is current; without one it changes nothing. Redirects are requests of their own, so each is signed.
    """

    def __init__(self, settings: BaseSettings) -> None:
        folder, self._agent = (*settings.getlist("NEWSMILL_SIGNING"), "", "")[:2]
        self._folder = Path(folder) if self._agent else None
        self._key: SigningKey | None = None
        self._read_at = -KEYS_INTERVAL_SECONDS

    def sign(self, request: Request) -> None:
        """Add the headers of a signature, in place of those of an earlier try."""
        if self._folder is None:
            return
        if time.monotonic() - self._read_at >= KEYS_INTERVAL_SECONDS:
            self._read(self._folder)
        if self._key is not None:
            # Signed with this machine's clock: verifiers compare it with theirs, not with stored times.
            request.headers.update(sign_request(self._key, self._agent, request.method, request.url, time.time()))

    def _read(self, folder: Path) -> None:
        self._read_at = time.monotonic()
        try:
            self._key = choose_key(read_keys(folder), datetime.now(UTC))
        except ConfigError as error:
            log.error("requests are signed with the last key that could be read, if any: %s", error)

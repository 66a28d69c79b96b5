"""The exception of a request that ends with a known outcome."""

from __future__ import annotations

from scrapy.exceptions import IgnoreRequest

from newsmill.model import OutcomeRecord


class RequestOutcomeError(IgnoreRequest):
    """Raised while a request is downloaded, with the outcome of its URL.

    It is an IgnoreRequest, because middlewares that retry or count failures of a proxy leave these alone: a URL into a private network must
    not make a proxy look broken.
    """

    def __init__(self, record: OutcomeRecord) -> None:
        super().__init__(record.detail or record.outcome.value)
        self.record = record

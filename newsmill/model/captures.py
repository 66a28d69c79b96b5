"""The captures of pages in WARC files of any program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from newsmill.model.pages import Page


class Skipped(StrEnum):
    """Why a record gives no page."""

    OTHER = "other"  # not a response to an HTTP request: requests, metadata, DNS, screenshots
    REVISIT = "revisit"  # the server sent the same page as before; its record is elsewhere
    TOO_LARGE = "too_large"
    FILTERED = "filtered"  # the caller does not want it
    DAMAGED = "damaged"  # it cannot be read, or ends early


@dataclass(frozen=True, slots=True)
class Capture:
    """A record of a WARC file: its page, or why it gives none.

    `offset`: byte of the file at which the record, or its gzip member, begins.
    """

    offset: int
    page: Page | None = None
    skipped: Skipped | None = None
    detail: str | None = None
    url: str = ""  # as the record states it; empty: unknown
    at: datetime | None = None  # of the capture; None: unknown
    file: str = ""  # name of the WARC file; in a WACZ file, its name and that of the WARC file in it
    digest: str | None = None  # of the contents of the page's records, if the caller asked for it


@dataclass(frozen=True, slots=True)
class CaptureOutcome:
    """A record of a WARC file that gave no document, as files of outcomes name it."""

    url: str | None
    at: datetime | None
    outcome: str  # an Outcome, or why the record gave no page
    detail: str | None

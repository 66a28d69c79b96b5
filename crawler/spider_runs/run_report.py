"""The messages between a run's process and its parent, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from newsmill.model import Source
from newsmill.text.sentences import Detail


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What to run. In a `test` run nothing is stored: each page, link and article is printed as JSON."""

    source: Source
    log_file: str | None = None  # None: standard error
    test: bool = False


@dataclass(slots=True)
class OutputCounts:
    """What a spider has yielded."""

    pages: int = 0
    links: int = 0
    articles: int = 0
    ignored: int = 0  # items without url, title and text
    bad_links: int = 0
    unreadable_dates: int = 0
    queued_pages: int = 0  # pages and articles that are new or have changed
    known_pages: int = 0
    rejected_pages: int = 0
    new_links: int = 0
    lost: int = 0  # pages, links and articles of batches that could not be stored


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended. `error` is None for a run that reached its end, a signal or its limit of pages."""

    reason: str  # "finished", "pages", "stopped", or Scrapy's reason
    counts: OutputCounts = field(default_factory=OutputCounts)
    requests: int = 0
    skipped: int = 0  # requests for pages that the archive has
    refused: Mapping[str, int] = field(default_factory=dict)  # requests by the outcome that refused them
    bad_statuses: Mapping[int, int] = field(default_factory=dict)  # HTTP status → responses that reached no callback
    failed: int = 0  # requests without a response, after the retries
    first_failure: Detail | None = None
    dropped: int = 0  # items that a pipeline has dropped
    code_errors: int = 0  # exceptions of callbacks and pipelines
    first_error: Detail | None = None  # of these
    waited_seconds: float = 0.0  # for hosts that a crawler held
    error: Detail | None = None
    hint: Detail | None = None  # why the run may have found nothing
    is_permanent: bool = False  # the error lies in the source's settings or in the spider's module: no retry helps


REQUEST_JSON: TypeAdapter[RunRequest] = TypeAdapter(RunRequest)
REPORT_JSON: TypeAdapter[RunReport] = TypeAdapter(RunReport)
REPORT_PREFIX = b"report "  # of the last line on the pipe; the lines before it are the results of a test run

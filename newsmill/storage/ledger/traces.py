"""Everything the ledger knows of a URL, one row at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, bindparam, select

from newsmill.exceptions import UrlError
from newsmill.model import OUTCOMES, Kind, Outcome, OutcomeRecord, Rendering, State
from newsmill.storage.database import reading
from newsmill.storage.ledger.links import make_bad_key
from newsmill.storage.schema import ledger
from newsmill.storage.statements import IS_LISTING, LIMIT, AnyRow
from newsmill.storage.url_parameters import drop_useless_from
from newsmill.text import urls


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything the ledger knows about one URL."""

    id: int
    url: str
    key: str
    kind: Kind
    host: str
    source: str | None
    found_by: str
    found_on: str | None
    state: State
    outcome: Outcome | None
    detail: str | None
    stage: str | None  # of a quarantined page: where it crashed; of a waiting page: "first attempt" or "reextract"
    attempts: int
    claims: int
    crashes: int
    first_seen_at: datetime
    next_at: datetime
    fetched_at: datetime | None
    ended_at: datetime | None
    final_url: str | None
    status: int | None
    segment: str | None
    offset: int | None
    document_id: str | None
    rendering: Rendering | None = None
    parts: tuple[str, ...] = ()  # the URLs of the further pages of its article in the archive
    failing_since: datetime | None = None  # the first failed try since the last success
    failure: Outcome | None = None  # the last failed try that has left outcome and detail
    failure_detail: str | None = None
    failed_at: datetime | None = None
    revisit_at: datetime | None = None  # when a stored article is fetched again

    @property
    def last_failure(self) -> OutcomeRecord | None:
        """The last failed try; None if there was none, or if it is the outcome."""
        if self.failure is None or self.failed_at is None or (self.outcome is not None and self.ended_at == self.failed_at):
            return None
        return OutcomeRecord(self.failure, self.failure_detail)


_SOURCE: Any = bindparam("b_source", type_=ledger.c.source.type)
_AFTER: Any = bindparam("b_after")
_PAGE = select(ledger).where(ledger.c.id > _AFTER).order_by(ledger.c.id).limit(LIMIT)
_OF_LISTINGS = select(ledger).where(IS_LISTING, ledger.c.source == _SOURCE).order_by(ledger.c.id)
_TRACE = select(ledger).where(ledger.c.url_key == bindparam("b_key"))
_TRACE_LISTING = select(ledger).where(IS_LISTING, ledger.c.url == bindparam("b_url")).limit(1)


def key_of(url: str) -> str:
    """The key of a URL in any spelling, also of an invalid one, and of a spider's runs."""
    if url.startswith(urls.SPIDER_SCHEME):
        return urls.make_spider_key(url)
    try:
        return urls.make_key(url)
    except UrlError:
        return make_bad_key(url)


def to_trace(row: AnyRow) -> Trace:
    return Trace(
        id=row.id,
        url=row.url,
        key=row.url_key,
        kind=Kind(row.kind),
        host=row.host,
        source=row.source,
        found_by=row.found_by,
        found_on=row.found_on,
        state=State(row.state),
        outcome=None if row.outcome is None else Outcome(row.outcome),
        detail=row.detail,
        stage=row.stage,
        attempts=row.attempts,
        claims=row.claims,
        crashes=row.crashes,
        rendering=None if row.rendering is None else Rendering(row.rendering),
        parts=tuple(row.parts or ()),
        first_seen_at=row.first_seen_at,
        next_at=row.next_at,
        fetched_at=row.fetched_at,
        ended_at=row.ended_at,
        final_url=row.final_url,
        status=row.status,
        segment=row.segment,
        offset=row.offset,
        document_id=row.document_id,
        failing_since=row.failing_since,
        failure=None if row.failure is None else Outcome(row.failure),
        failure_detail=row.failure_detail,
        failed_at=row.failed_at,
        revisit_at=row.revisit_at,
    )


class Traces:
    """The rows of URLs, one by one. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, url: str) -> Trace | None:
        """The row of a URL in any spelling; None if it has no row. Raises UrlError for an invalid URL that was never submitted."""
        with reading(self._engine) as conn:
            row = conn.execute(_TRACE, {"b_key": key_of(url)}).one_or_none()
            if row is None:  # listings may have shown it, and its row is that of the URL without what only makes copies
                row = conn.execute(_TRACE, {"b_key": key_of(drop_useless_from(conn, url))}).one_or_none()
            if row is None:  # a listing whose URL is new at each read is not known by it
                row = conn.execute(_TRACE_LISTING, {"b_url": url}).first()
            if row is None:
                if not url.startswith(urls.SPIDER_SCHEME):
                    urls.make_key(url)  # raises UrlError for an invalid URL, which is not merely unknown
                return None
            return to_trace(row)

    def list_all(self, *, outcome: Outcome | None = None, source: str | None = None, limit: int = 100, after: int = 0) -> list[Trace]:
        """Rows in the order of their ids, from above `after`: of one outcome, of one source, or all."""
        with reading(self._engine) as conn:
            statement = _PAGE
            if outcome is not None:
                statement = statement.where(ledger.c.outcome == outcome.value)
            if source is not None:
                statement = statement.where(ledger.c.source == source)
            return [to_trace(row) for row in conn.execute(statement, {"b_limit": limit, "b_after": after})]

    def list_listings(self, source: str, *, limit: int = 500) -> list[Trace]:
        """A source's feeds, sitemaps, sections and home page, each with its last outcome."""
        with reading(self._engine) as conn:
            return [to_trace(row) for row in conn.execute(_OF_LISTINGS.limit(limit), {"b_source": source})]

    def list_quarantined(self, *, limit: int = 100, after: int = 0) -> list[Trace]:
        """Quarantined rows in the order of their ids, from above `after`, with stage and reason (`detail`)."""
        with reading(self._engine) as conn:
            quarantine_outcomes = [outcome.value for outcome, facts in OUTCOMES.items() if facts.state is State.QUARANTINED]
            statement = _PAGE.where(ledger.c.outcome.in_(quarantine_outcomes), ledger.c.state == "quarantined")
            return [to_trace(row) for row in conn.execute(statement, {"b_limit": limit, "b_after": after})]

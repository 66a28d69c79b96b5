"""Submissions of other programs: URLs in one request, with their progress, and pages that were fetched outside the crawler.

Such a page makes a fetched row: a new one, or a known one of any state. The fence of a known row rises, so that a crawler or worker that
holds it changes nothing any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, select, update

from newsmill.model import Kind, Link, Outcome, Segment, State
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.barred_urls import find_reasons
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, REQUEUED, batches
from newsmill.storage.ledger.leases import insert_segment
from newsmill.storage.ledger.links import INSERT, insert_hosts, make_row
from newsmill.storage.ledger.links import add as add_links
from newsmill.storage.ledger.queries import key_of
from newsmill.storage.schema import ledger, submissions, submitted_urls
from newsmill.storage.statements import FOUND, NOW, AnyRow, CounterUpdates

OPEN = ("due", "fetching", "fetched", "processing")
BATCH_SIZE = 500  # URLs per commit
MAX_AGE = timedelta(days=90)
_OPEN = select(submitted_urls.c.number).join(ledger, ledger.c.url_key == submitted_urls.c.url_key).where(ledger.c.state.in_(OPEN))


# ---- URLs


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission and its progress."""

    id: str
    created_at: datetime
    source: str | None
    urls: int
    open: int  # URLs without an outcome

    @property
    def done(self) -> bool:
        return self.open == 0


@dataclass(frozen=True, slots=True)
class SubmittedUrl:
    """One URL of a submission. `state` None: it is not in the ledger."""

    number: int
    url: str  # as submitted
    state: State | None
    outcome: Outcome | None
    detail: str | None
    ended_at: datetime | None
    document_id: str | None


class Submissions:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        urls: Sequence[str],
        *,
        now: datetime,
        token: str | None,
        source: str | None = None,
        again: bool = False,
        webhook: str | None = None,
    ) -> str:
        """Submit URLs. Returns the submission's id. `webhook`: notified when all URLs have an outcome.

        `again`: known URLs that have an outcome are due again. An invalid URL gets the outcome bad_url at once. The URLs are written in
        several commits, so that other writers get the lock in between, and the submission last. After a crash the caller, who got no id,
        submits again.
        """
        submission_id = secrets.token_hex(16)
        links = [Link(url=url, source=source, found_by="api") for url in urls]
        row = {"id": submission_id, "created_at": now, "token": token, "source": source, "urls": len(links), "webhook": webhook}
        rows = [{"submission": submission_id, "number": number, "url": url, "url_key": key_of(url)} for number, url in enumerate(urls)]
        for at in range(0, len(links), BATCH_SIZE):
            with writing(self._engine) as conn:
                add_links(conn, links[at : at + BATCH_SIZE], now, again)
                conn.execute(submitted_urls.insert(), rows[at : at + BATCH_SIZE])
        with writing(self._engine) as conn:
            conn.execute(submissions.insert(), row)
        return submission_id

    def get(self, submission_id: str) -> Submission | None:
        with reading(self._engine) as conn:
            row = conn.execute(select(submissions).where(submissions.c.id == submission_id)).one_or_none()
            return None if row is None else _submission(conn, row)

    def done(self, submission_id: str) -> bool:
        """Whether every URL has an outcome; cheaper than counting."""
        with reading(self._engine) as conn:
            return conn.execute(_OPEN.where(submitted_urls.c.submission == submission_id).limit(1)).first() is None

    def delete_old(self, *, now: datetime) -> int:
        """Remove submissions older than MAX_AGE. Returns their number. The outcomes stay in the ledger."""
        old = select(submissions.c.id).where(submissions.c.created_at < now - MAX_AGE)
        with writing(self._engine) as conn:
            conn.execute(delete(submitted_urls).where(submitted_urls.c.submission.in_(old)))
            return conn.execute(delete(submissions).where(submissions.c.created_at < now - MAX_AGE)).rowcount

    def rows(self, submission_id: str, *, after: int = -1, limit: int = 1000) -> list[SubmittedUrl]:
        """The URLs of a submission in the order of their numbers, from above `after`, each with its state."""
        statement = (
            select(
                submitted_urls.c.number,
                submitted_urls.c.url,
                ledger.c.state,
                ledger.c.outcome,
                ledger.c.detail,
                ledger.c.ended_at,
                ledger.c.document_id,
            )
            .select_from(submitted_urls.outerjoin(ledger, ledger.c.url_key == submitted_urls.c.url_key))
            .where(submitted_urls.c.submission == submission_id, submitted_urls.c.number > after)
            .order_by(submitted_urls.c.number)
            .limit(limit)
        )
        with reading(self._engine) as conn:
            return [_submitted_url(row) for row in conn.execute(statement)]


def _submission(conn: Connection, row: AnyRow) -> Submission:
    return Submission(row.id, row.created_at, row.source, row.urls, count_open(conn, row.id))


def count_open(conn: Connection, submission_id: str) -> int:
    """The URLs of a submission without an outcome."""
    found = _OPEN.where(submitted_urls.c.submission == submission_id).subquery()
    return conn.execute(select(func.count()).select_from(found)).scalar_one()


def _submitted_url(row: AnyRow) -> SubmittedUrl:
    ended = row.state not in OPEN
    return SubmittedUrl(
        row.number,
        row.url,
        None if row.state is None else State(row.state),
        Outcome(row.outcome) if row.outcome and ended else None,  # a pending row may have the outcome of its last read
        row.detail if ended else None,
        row.ended_at if ended else None,
        row.document_id,
    )


@dataclass(frozen=True, slots=True)
class SubmittedFetch:
    """A page from outside the crawler that is in the archive, at `offset` of the segment it is saved with."""

    link: Link  # a valid URL
    offset: int
    url: str  # final, after redirects
    status: int
    fetched_at: datetime
    etag: str | None = None
    last_modified: str | None = None
    chain: tuple[str, ...] = ()  # the keys of all URLs that led to the page
    parts: tuple[str, ...] = ()  # the URLs of the further pages of its article


@dataclass(frozen=True, slots=True)
class ArchivedRow:
    """A known row, with the place of its last page in the archive."""

    kind: Kind
    state: State
    segment: str | None
    offset: int | None
    fetched_at: datetime | None = None
    takedown: str | None = None  # the reason why the URL is barred


# ---- pages

_BY_KEY = ledger.c.url_key.in_(bindparam("b_keys", expanding=True))
_KNOWN = select(ledger.c.url_key, ledger.c.kind, ledger.c.state, ledger.c.segment, ledger.c.offset, ledger.c.fetched_at).where(_BY_KEY)
_LOCKED = select(*ENDED_COLUMNS, ledger.c.url_key).where(_BY_KEY).order_by(ledger.c.id).with_for_update()
_TAKE_OVER = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **REQUEUED
        # A page that is blocked is not fetched again as a crawler's would be: the program that submitted it fetches, with other means.
        | {"attempts": 1},
        state="fetched",
        fence=ledger.c.fence + 1,
        next_at=NOW,
        fetched_at=bindparam("b_fetched_at", type_=ledger.c.fetched_at.type),
        segment=bindparam("b_segment"),
        offset=bindparam("b_offset"),
        final_url=bindparam("b_url"),
        status=bindparam("b_status"),
        etag=bindparam("b_etag"),
        last_modified=bindparam("b_last_modified"),
        parts=bindparam("b_parts", type_=ledger.c.parts.type),
    )
)


def find_archived_rows(conn: Connection, keys: Sequence[str]) -> dict[str, ArchivedRow]:
    """The known rows of these URL keys, by key, and those that are barred."""
    found = (row for batch in batches(keys) for row in conn.execute(_KNOWN, {"b_keys": batch}))
    rows = {row.url_key: ArchivedRow(Kind(row.kind), row.state, row.segment, row.offset, row.fetched_at) for row in found}
    reasons = find_reasons(conn, keys)  # of URLs without a row, too: their sources may have been removed
    return rows | {key: ArchivedRow(Kind.PAGE, State.DROPPED, None, None, takedown=reason) for key, reason in reasons.items()}


def save_pages(conn: Connection, segment: Segment, pages: Sequence[SubmittedFetch], now: datetime) -> set[str]:
    """Record a segment with one page per URL. Returns the keys of the rows that are fetched now.

    Rows of listings stay as they are, and pages that a barred URL led to are left out.
    """
    insert_segment(conn, segment)
    barred = find_reasons(conn, {key for page in pages for key in page.chain})
    pages = [page for page in pages if barred.keys().isdisjoint(page.chain)]
    made = sorted(((make_row(page.link, now), page) for page in pages), key=lambda pair: str(pair[0]["url_key"]))
    by_key = {row["url_key"]: page for row, page in made}
    keys = list(by_key)
    insert_hosts(conn, (row["host"] for row, _ in made))
    new = set(INSERT.run_returning_keys(conn, [row for row, _ in made]))
    locked = [row for row in conn.execute(_LOCKED, {"b_keys": keys}) if row.kind == Kind.PAGE and row.outcome != Outcome.TAKEDOWN]
    if locked:
        conn.execute(_TAKE_OVER, [_page_values(row, by_key[row.url_key], segment, now) for row in locked])
    counters = CounterUpdates()
    for row in locked:
        if row.url_key in new:
            counters.add(now, row.source, row.kind, FOUND)
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    counters.write(conn)
    return {row.url_key for row in locked}


def _page_values(row: AnyRow, page: SubmittedFetch, segment: Segment, now: datetime) -> dict[str, Any]:
    return {
        "b_id": row.id,
        "b_now": now,
        "b_fetched_at": page.fetched_at,
        "b_segment": segment.id,
        "b_offset": page.offset,
        "b_url": page.url,
        "b_status": page.status,
        "b_etag": page.etag,
        "b_last_modified": page.last_modified,
        "b_parts": list(page.parts) or None,
    }

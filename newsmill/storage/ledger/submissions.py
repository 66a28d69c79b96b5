"""Submissions of other programs: URLs in one request, with their progress."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, func, select

from newsmill.model import Link, Outcome, State
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.links import add as add_links
from newsmill.storage.ledger.traces import key_of
from newsmill.storage.schema import ledger, submissions, submitted_urls
from newsmill.storage.statements import AnyRow

OPEN = ("due", "fetching", "fetched", "processing")
BATCH_SIZE = 500  # URLs per commit
MAX_AGE = timedelta(days=90)
_OPEN = select(submitted_urls.c.number).join(ledger, ledger.c.url_key == submitted_urls.c.url_key).where(ledger.c.state.in_(OPEN))


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

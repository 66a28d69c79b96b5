"""Addresses that a program handed in together. What came of each is the ledger's to say; here stands only which they were."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, func, select

from newsmill.model import Link, Outcome, State
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import links as ledger_links
from newsmill.storage.ledger.queries import key_of
from newsmill.storage.ledger.statements import AnyRow
from newsmill.storage.schema import ledger, submissions, submitted

OPEN = ("due", "fetching", "fetched", "processing")
SHARE = 500  # addresses per commit
KEPT = timedelta(days=90)
_OPEN = select(submitted.c.number).join(ledger, ledger.c.url_key == submitted.c.url_key).where(ledger.c.state.in_(OPEN))


@dataclass(frozen=True, slots=True)
class Submission:
    """What was handed in, and how far it is."""

    id: str
    created_at: datetime
    source: str | None
    urls: int
    open: int  # that have not ended yet

    @property
    def done(self) -> bool:
        return self.open == 0


@dataclass(frozen=True, slots=True)
class SubmittedUrl:
    """One address of a submission. `state` None: the ledger does not know it any more."""

    number: int
    url: str  # as it was handed in
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
        addresses: Sequence[str],
        *,
        now: datetime,
        token: str | None,
        source: str | None = None,
        again: bool = False,
        webhook: str | None = None,
    ) -> str:
        """Hand addresses in; the submission's id. `webhook`: whom to tell when all have ended.

        `again`: known addresses that had ended come due again. One that is no address ends at once, as `bad_url`. Others must get at the
        write lock, so the addresses come in several commits, the submission last: who dies in between got no id, and does it again.
        """
        made = secrets.token_hex(16)
        links = [Link(url=url, source=source, found_by="api") for url in addresses]
        row = {"id": made, "created_at": now, "token": token, "source": source, "urls": len(links), "webhook": webhook}
        rows = [{"submission": made, "number": number, "url": url, "url_key": key_of(url)} for number, url in enumerate(addresses)]
        for at in range(0, len(links), SHARE):
            with writing(self._engine) as conn:
                ledger_links.add(conn, links[at : at + SHARE], now, again)
                conn.execute(submitted.insert(), rows[at : at + SHARE])
        with writing(self._engine) as conn:
            conn.execute(submissions.insert(), row)
        return made

    def get(self, submission_id: str) -> Submission | None:
        with reading(self._engine) as conn:
            row = conn.execute(select(submissions).where(submissions.c.id == submission_id)).one_or_none()
            return None if row is None else _submission(conn, row)

    def done(self, submission_id: str) -> bool:
        """Whether every address has ended; cheaper than counting those that have not."""
        with reading(self._engine) as conn:
            return conn.execute(_OPEN.where(submitted.c.submission == submission_id).limit(1)).first() is None

    def delete_old(self, *, now: datetime) -> int:
        """Remove submissions older than KEPT; how many. What became of their addresses stays in the ledger."""
        old = select(submissions.c.id).where(submissions.c.created_at < now - KEPT)
        with writing(self._engine) as conn:
            conn.execute(delete(submitted).where(submitted.c.submission.in_(old)))
            return conn.execute(delete(submissions).where(submissions.c.created_at < now - KEPT)).rowcount

    def rows(self, submission_id: str, *, after: int = -1, limit: int = 1000) -> list[SubmittedUrl]:
        """Its addresses by number, above `after`, each with where it stands."""
        statement = (
            select(
                submitted.c.number,
                submitted.c.url,
                ledger.c.state,
                ledger.c.outcome,
                ledger.c.detail,
                ledger.c.ended_at,
                ledger.c.document_id,
            )
            .select_from(submitted.outerjoin(ledger, ledger.c.url_key == submitted.c.url_key))
            .where(submitted.c.submission == submission_id, submitted.c.number > after)
            .order_by(submitted.c.number)
            .limit(limit)
        )
        with reading(self._engine) as conn:
            return [_row(row) for row in conn.execute(statement)]


def _submission(conn: Connection, row: AnyRow) -> Submission:
    return Submission(row.id, row.created_at, row.source, row.urls, still_open(conn, row.id))


def still_open(conn: Connection, submission_id: str) -> int:
    """How many of a submission's addresses have not ended."""
    found = _OPEN.where(submitted.c.submission == submission_id).subquery()
    return conn.execute(select(func.count()).select_from(found)).scalar_one()


def _row(row: AnyRow) -> SubmittedUrl:
    ended = row.state not in OPEN
    return SubmittedUrl(
        row.number,
        row.url,
        None if row.state is None else State(row.state),
        Outcome(row.outcome) if row.outcome and ended else None,  # an open row may still carry its last round's
        row.detail if ended else None,
        row.ended_at if ended else None,
        row.document_id,
    )

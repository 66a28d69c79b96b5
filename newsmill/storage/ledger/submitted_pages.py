"""Pages that were fetched outside the crawler become fetched rows: new ones, or known ones of any state.

The fence of a known row rises, so that a crawler or worker that holds it changes nothing any more.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, bindparam, select, update

from newsmill.model import Kind, Link, Outcome, Segment, State
from newsmill.storage.counter_updates import FOUND, CounterUpdates
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.barred_urls import find_reasons
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, REQUEUED, batches
from newsmill.storage.ledger.links import INSERT, insert_hosts, make_row
from newsmill.storage.ledger.segments import insert_segment
from newsmill.storage.schema import ledger
from newsmill.storage.statements import NOW, AnyRow


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
    is_own: bool = False  # the operator says that `fetched_at` is the time of a fetch of theirs


@dataclass(frozen=True, slots=True)
class ArchivedRow:
    """A known row, with the place of its last page in the archive."""

    kind: Kind
    state: State
    segment: str | None
    offset: int | None
    fetched_at: datetime | None = None
    takedown: str | None = None  # the reason why the URL is barred


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
        received_at=bindparam("b_received_at", type_=ledger.c.received_at.type),
        segment=bindparam("b_segment"),
        offset=bindparam("b_offset"),
        final_url=bindparam("b_url"),
        status=bindparam("b_status"),
        etag=bindparam("b_etag"),
        last_modified=bindparam("b_last_modified"),
        parts=bindparam("b_parts", type_=ledger.c.parts.type),
    )
)


def _page_values(row: AnyRow, page: SubmittedFetch, segment: Segment, now: datetime) -> dict[str, Any]:
    return {
        "b_id": row.id,
        "b_now": now,
        "b_fetched_at": page.fetched_at,
        "b_received_at": None if page.is_own else now,
        "b_segment": segment.id,
        "b_offset": page.offset,
        "b_url": page.url,
        "b_status": page.status,
        "b_etag": page.etag,
        "b_last_modified": page.last_modified,
        "b_parts": list(page.parts) or None,
    }


class SubmittedPages:
    """Pages that were fetched outside the crawler. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def find_rows(self, keys: Sequence[str]) -> dict[str, ArchivedRow]:
        """Of URL keys, the known rows by key, and those that are barred."""
        with reading(self._engine) as conn:
            found = (row for batch in batches(keys) for row in conn.execute(_KNOWN, {"b_keys": batch}))
            rows = {row.url_key: ArchivedRow(Kind(row.kind), row.state, row.segment, row.offset, row.fetched_at) for row in found}
            reasons = find_reasons(conn, keys)  # of URLs without a row, too: their sources may have been removed
            return rows | {key: ArchivedRow(Kind.PAGE, State.DROPPED, None, None, takedown=reason) for key, reason in reasons.items()}

    def save(self, segment: Segment, pages: Sequence[SubmittedFetch], *, now: datetime) -> set[str]:
        """Record a segment and make the rows of its pages `fetched`, in one commit: new rows, or known ones of any state.

        Give one page per URL. Call it when the file is on disk. Returns the keys of the changed rows.
        Rows of listings stay as they are, and pages that a barred URL led to are left out.
        """
        with writing(self._engine) as conn:
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

"""How the lease of a URL ends without a saved page: with an outcome, or postponed to a later time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, literal_column, select, update

from newsmill.discovery.source_sites import MAX_SITE_REDIRECTS
from newsmill.model import OUTCOMES, Kind, Link, Outcome, OutcomeRecord, State
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.database import writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger import links, polls, revisits
from newsmill.storage.ledger.ended_rows import extract_first_pages
from newsmill.storage.ledger.polls import Poll
from newsmill.storage.ledger.revisits import EndedRevisit
from newsmill.storage.schema import ledger, sightings
from newsmill.storage.statements import FREE, NOW, RECORD_FAILURE, SET_FAILING, AnyRow, fenced, is_failure, state_is
from newsmill.text import urls
from newsmill.text.sentences import Sentence

READ_OUTCOMES = frozenset({Outcome.LISTED, Outcome.EMPTY_LISTING, Outcome.NOT_MODIFIED})
_IS_EMPTY = {Outcome.LISTED: False, Outcome.EMPTY_LISTING: True}  # by the outcome of a poll; the others do not say it


@dataclass(frozen=True, slots=True)
class Ended:
    """A leased row with an outcome that needs no worker: a listing, a refusal, a failure."""

    id: int
    fence: int
    ending: OutcomeRecord
    etag: str | None = None  # for the next fetch; None deletes the stored one
    last_modified: str | None = None
    cache_seconds: float | None = None  # of a listing: for how long the response may be reused; None keeps the stored value
    update_interval: timedelta | None = None  # of a feed: how often it says that it changes; None keeps the stored value
    leads_to: Link | None = None  # of a redirect to another site: what is fetched in its place


@dataclass(frozen=True, slots=True)
class Postponed:
    """A leased row to be tried again at `next_at`. `count_attempt`: whether this try counts. `failure`: how it failed, if it did."""

    id: int
    fence: int
    next_at: datetime
    detail: str | None = None
    count_attempt: bool = True
    failure: OutcomeRecord | None = None


_LEASED_ROWS = (
    select(*(ledger.c[name] for name in ("id", "fence", "source", "kind", "outcome", "document_id", "segment", "parts")))
    .where(ledger.c.id.in_(bindparam("b_ids", expanding=True)), state_is("fetching"))
    .order_by(ledger.c.id)
    .with_for_update()
)
_END = (
    update(ledger)
    .where(fenced("fetching"))
    .values(
        **FREE,
        **SET_FAILING,
        state=bindparam("b_state"),
        outcome=bindparam("b_outcome"),
        detail=bindparam("b_detail"),
        stage=None,
        ended_at=NOW,
        etag=bindparam("b_etag"),
        last_modified=bindparam("b_last_modified"),
    )
)
_POSTPONE = (
    update(ledger)
    .where(fenced("fetching"))
    .values(**FREE, state="due", next_at=NOW, detail=bindparam("b_detail"), attempts=ledger.c.attempts + bindparam("b_counted"))
)
_POSTPONE_FAILED = _POSTPONE.values(**RECORD_FAILURE)


def end(conn: Connection, endings: Sequence[Ended], now: datetime) -> int:
    if not endings:
        return 0
    leased_rows = {(row.id, row.fence): row for row in conn.execute(_LEASED_ROWS, {"b_ids": [ended.id for ended in endings]})}
    current = {(ended.id, ended.fence): ended for ended in endings if (ended.id, ended.fence) in leased_rows}
    revisited: list[EndedRevisit] = []
    divided: list[int] = []
    others: list[tuple[AnyRow, Ended]] = []
    for key, ended in current.items():
        row = leased_rows[key]
        if revisits.is_revisit(row):
            revisited.append(EndedRevisit(row, ended.ending))
        elif _has_first_page(row, ended.ending.outcome):
            divided.append(row.id)
        else:
            others.append((row, ended))
    revisits.end(conn, revisited, now)
    extract_first_pages(conn, sorted(divided), now)
    _write_outcomes(conn, [(row, _limit_redirects(conn, ended)) for row, ended in others], now)
    return len(current)


def _write_outcomes(conn: Connection, endings: Sequence[tuple[AnyRow, Ended]], now: datetime) -> None:
    """Give rows their outcomes, count them, and follow redirects to other sites."""
    if endings:
        conn.execute(_END, [_outcome_values(ended, row.kind, now) for row, ended in endings])
    revisits.note_gone(conn, (row for row, ended in endings if ended.ending.outcome is Outcome.GONE), now)
    polls.record(conn, [_to_poll(ended) for row, ended in endings if row.kind != Kind.PAGE], now)
    counters = CounterUpdates()
    for row, ended in endings:
        counters.add(now, row.source, row.kind, ended.ending.outcome.value)
    counters.write(conn)
    for _, ended in endings:
        if ended.leads_to is not None:
            _follow_redirect(conn, ended.id, ended.leads_to, now)


def _has_first_page(row: AnyRow, outcome: Outcome) -> bool:
    """Whether a failed fetch was to bring the further pages of an article whose first page is archived, and not extracted yet."""
    return row.parts == [] and row.segment is not None and row.outcome is None and OUTCOMES[outcome].state is State.FAILED


def _limit_redirects(conn: Connection, ended: Ended) -> Ended:
    if ended.leads_to is None or not _is_redirect_loop(conn, ended.leads_to.found_on):
        return ended
    ending = OutcomeRecord(Outcome.REDIRECT_LOOP, Sentence("more than {n} redirects from site to site", n=MAX_SITE_REDIRECTS))
    return replace(ended, ending=ending, leads_to=None)


def _to_poll(ended: Ended) -> Poll:
    outcome = ended.ending.outcome
    return Poll(ended.id, outcome in READ_OUTCOMES, ended.cache_seconds, ended.update_interval, _IS_EMPTY.get(outcome))


def _outcome_values(ended: Ended, kind: str, now: datetime) -> dict[str, Any]:
    return {
        "b_failed_at": now if is_failure(kind, ended.ending.outcome) else None,
        "b_id": ended.id,
        "b_fence": ended.fence,
        "b_now": now,
        "b_state": OUTCOMES[ended.ending.outcome].state.value,
        "b_outcome": ended.ending.outcome.value,
        "b_detail": ended.ending.detail,
        "b_etag": ended.etag,
        "b_last_modified": ended.last_modified,
    }


def _postponed_values(row: Postponed) -> dict[str, Any]:
    return {"b_id": row.id, "b_fence": row.fence, "b_now": row.next_at, "b_detail": row.detail, "b_counted": int(row.count_attempt)}


class UrlEndings:
    """The ends of URLs' leases without a saved page. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def end(self, endings: Sequence[Ended], *, now: datetime) -> int:
        """Give leased rows their outcomes and count them, in one commit. Returns the rows changed.

        A row under a revisit keeps its outcome; what the revisit showed is noted (`revisits`).
        """
        with writing(self._engine) as conn:
            return end(conn, endings, now)

    def postpone(self, rows: Sequence[Postponed], *, now: datetime) -> int:
        """Make leased rows due at a later time; a failed revisit is planned again. Returns the rows changed."""
        with writing(self._engine) as conn:
            failures = {(row.id, row.fence): row for row in rows if row.failure is not None}
            leased_rows = conn.execute(_LEASED_ROWS, {"b_ids": [id_ for id_, _ in failures]}).all() if failures else []
            revisited = {(row.id, row.fence): row for row in leased_rows if revisits.is_revisit(row) and (row.id, row.fence) in failures}
            ended = [(row, failures[key]) for key, row in revisited.items()]
            revisits.end(
                conn, [EndedRevisit(row, failed.failure, failed.next_at) for row, failed in ended if failed.failure is not None], now
            )
            ordered = sorted((row for row in rows if (row.id, row.fence) not in revisited), key=lambda row: row.id)
            waiting = [_postponed_values(row) for row in ordered if row.failure is None]
            failed = [
                {
                    **_postponed_values(row),
                    "b_failed_at": now,
                    "b_failure": row.failure.outcome.value,
                    "b_failure_detail": row.failure.detail,
                }
                for row in ordered
                if row.failure is not None
            ]
            changed = len(revisited) + (conn.execute(_POSTPONE, waiting).rowcount if waiting else 0)
            return changed + (conn.execute(_POSTPONE_FAILED, failed).rowcount if failed else 0)


_KEY = ledger.c.url_key == bindparam("b_key")
_BEFORE = select(ledger.c.found_on).where(_KEY, ledger.c.kind == literal_column("'page'"))
_TARGET = select(ledger.c.id).where(_KEY)
_SET_TARGET = update(ledger).where(ledger.c.id == bindparam("b_id")).values(final_url=bindparam("b_url"))
_SIGHTED = select(sightings.c.listing_id, sightings.c.sighted_at, sightings.c.is_late).where(sightings.c.page_id == bindparam("b_id"))
_SIGHT = Upsert(sightings, ("page_id", "listing_id"))


def _is_redirect_loop(conn: Connection, url: str | None) -> bool:
    """Whether MAX_SITE_REDIRECTS redirects from site to site have led to the row of this URL, which redirects too."""
    for _ in range(MAX_SITE_REDIRECTS + 1):
        if url is None or urls.find_site(url) is None:
            return False
        url = conn.execute(_BEFORE, {"b_key": urls.make_key(url)}).scalar()
    return url is not None


def _follow_redirect(conn: Connection, row_id: int, link: Link, now: datetime) -> None:
    """Give the end of a redirect to another site a row of its own, seen on the listings of the row that redirects.

    A row that followed such a redirect would own a document of the other site, and could later replace or remove it.
    """
    links.add(conn, [link], now, again=False)
    conn.execute(_SET_TARGET, {"b_id": row_id, "b_url": link.url})
    target = conn.execute(_TARGET, {"b_key": urls.make_key(link.url)}).scalar()
    if target is not None:  # it may be known without a parameter that makes copies
        rows = conn.execute(_SIGHTED, {"b_id": row_id}).mappings()
        _SIGHT.run(conn, [{"page_id": target, **row} for row in rows])

"""The workers' rows: claimed a segment at a time, marked while the child process reads them, and quarantined after MAX_CRASHES.

Crashes are counted per page, never per segment: only the page in progress is suspected, its neighbours are not. A page that never failed is
marked only when it takes long (`ClaimedPage.is_suspect`): a mark is a commit and costs a quarter of storing a page. A crash before the mark
is not counted; the next claim then suspects every page of the segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, bindparam, case, not_, or_, select, update

from newsmill.model import OUTCOMES, ClaimedPage, ExtractionResult, Outcome, OutcomeRecord, Rendering
from newsmill.storage.counter_updates import CounterUpdates
from newsmill.storage.database import writing
from newsmill.storage.ledger import revisits
from newsmill.storage.ledger.ended_rows import REEXTRACT
from newsmill.storage.ledger.revisits import EndedRevisit
from newsmill.storage.schema import ledger
from newsmill.storage.statements import FREE, IN_SEGMENT, NOW, OWNER, UNTIL, AnyRow, fenced, state_is

MAX_CRASHES = 3  # one or two may be kills from outside
RETRY_DELAYS = (timedelta(seconds=10), timedelta(seconds=60))  # after the first and the second crash
FIRST_ATTEMPT = "first attempt"  # `stage` of a page that used up the short CPU limit of its first attempt, and had no other attempt yet
# `stage` of a page that was deferred before any attempt, because its source has no CPU budget left; with and without REEXTRACT before.
OVER_BUDGET, REEXTRACT_OVER_BUDGET = "over budget", "reextract over budget"
_STAGES_BEFORE_ATTEMPT = (FIRST_ATTEMPT, OVER_BUDGET, REEXTRACT_OVER_BUDGET)  # their detail is the reason of the deferral
WORKER_GONE = "its worker was gone when the lease ended"

COLUMNS = (
    ledger.c.id,
    ledger.c.url,
    ledger.c.source,
    ledger.c.kind,
    ledger.c.state,
    ledger.c.fence,
    ledger.c.segment,
    ledger.c.offset,
    ledger.c.attempts,
    ledger.c.crashes,
    ledger.c.stage_in_progress,
    ledger.c.stage,
    ledger.c.detail,
    ledger.c.first_seen_at,
    ledger.c.fetched_at,
    ledger.c.received_at,
    ledger.c.rendering,
    ledger.c.parts,
    ledger.c.outcome,
    ledger.c.document_id,
)
# Rows without a worker: fetched and due, or claimed under a lease that ended. Deferred ones are claimed through `deferred`.
_UNCLAIMED = or_(and_(state_is("fetched"), ledger.c.next_at <= NOW), and_(state_is("processing"), ledger.c.lease_until <= NOW))
_IS_OVER_BUDGET = ledger.c.stage.in_((OVER_BUDGET, REEXTRACT_OVER_BUDGET))
IS_DEFERRED = or_(ledger.c.crashes > 0, _IS_OVER_BUDGET)
CLAIMABLE = and_(_UNCLAIMED, ledger.c.crashes == 0, or_(ledger.c.stage.is_(None), not_(_IS_OVER_BUDGET)))
CLAIMABLE_DEFERRED = and_(_UNCLAIMED, IS_DEFERRED)

_OF_SEGMENT = (ledger.c.segment == bindparam("b_segment"), IN_SEGMENT)
_CLAIMED_BY_OWNER = (*_OF_SEGMENT, state_is("processing"), ledger.c.owner == OWNER)
_BY_ID = ledger.c.id == bindparam("b_id")

_CLAIMABLE_ROWS = select(*COLUMNS).where(*_OF_SEGMENT, CLAIMABLE).order_by(ledger.c.id).with_for_update(skip_locked=True)
_CLAIMED_ROW = select(*COLUMNS).where(fenced("processing")).with_for_update()
_CLAIM = (
    update(ledger)
    .where(_BY_ID)
    .values(
        state="processing",
        owner=OWNER,
        lease_until=UNTIL,
        stage_in_progress=None,
        fence=ledger.c.fence + 1,
        claims=ledger.c.claims + 1,
        crashes=bindparam("b_crashes"),
    )
)
_QUARANTINE = (
    update(ledger)
    .where(_BY_ID)
    .values(
        **FREE,
        state="quarantined",
        fence=ledger.c.fence + 1,
        crashes=bindparam("b_crashes"),
        outcome=bindparam("b_outcome"),
        stage=bindparam("b_stage"),
        detail=bindparam("b_detail"),
        ended_at=NOW,
    )
)
_CRASHED = (
    update(ledger)
    .where(fenced("processing"))
    .values(
        **FREE,
        state="fetched",
        next_at=NOW,
        crashes=bindparam("b_crashes"),
        stage=bindparam("b_stage"),
        detail=bindparam("b_detail"),
    )
)
_MARKED = ledger.alias()
_MARK = (
    update(ledger)
    .where(
        *_OF_SEGMENT,
        state_is("processing"),
        ledger.c.owner
        == select(_MARKED.c.owner).where(_MARKED.c.id == bindparam("b_id"), _MARKED.c.fence == bindparam("b_fence")).scalar_subquery(),
        or_(ledger.c.stage_in_progress.is_not(None), _BY_ID),
    )
    .values(stage_in_progress=case((_BY_ID, bindparam("b_stage", type_=ledger.c.stage_in_progress.type))))
    .returning(ledger.c.id)
)
RENEW = update(ledger).where(*_CLAIMED_BY_OWNER).values(lease_until=UNTIL)
_RELEASE = update(ledger).where(*_CLAIMED_BY_OWNER).values(**FREE, state="fetched", next_at=NOW)


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a claimed page. With `retry_at`, the URL is fetched again at that time and gets no outcome now.

    With `wants_rendering`, that fetch renders the page; with `wants_parts`, it brings the further pages of the article. Neither is counted
    as an attempt.
    """

    claim: ClaimedPage
    reading: ExtractionResult
    retry_at: datetime | None = None
    wants_rendering: bool = False
    wants_parts: bool = False


def claim_rows(conn: Connection, rows: Sequence[AnyRow], owner: str, seconds: float, now: datetime) -> list[ClaimedPage]:
    """Claim locked rows. A row with a mark crashed its worker; after MAX_CRASHES it is quarantined instead."""
    crashes = {row.id: row.crashes + (row.stage_in_progress is not None) for row in rows}
    claimed = [row for row in rows if crashes[row.id] < MAX_CRASHES]
    if claimed:
        until = now + timedelta(seconds=seconds)
        conn.execute(_CLAIM, [{"b_id": row.id, "b_owner": owner, "b_until": until, "b_crashes": crashes[row.id]} for row in claimed])
    counters = CounterUpdates()
    for row in rows:
        if crashes[row.id] >= MAX_CRASHES:
            reason = WORKER_GONE if row.stage in _STAGES_BEFORE_ATTEMPT else row.detail or WORKER_GONE
            _quarantine(conn, row, crashes[row.id], row.stage_in_progress or "read", reason, now, counters)
    counters.write(conn)
    return [_claimed_page(row, crashes[row.id]) for row in sorted(claimed, key=lambda row: row.offset)]


def _claimed_page(row: AnyRow, crashes: int) -> ClaimedPage:
    return ClaimedPage(
        id=row.id,
        url=row.url,
        source=row.source,
        fence=row.fence + 1,
        segment=row.segment,
        offset=row.offset,
        crashes=crashes,
        first_seen_at=row.first_seen_at,
        received_at=row.received_at or row.fetched_at,
        is_suspect=crashes > 0 or row.state == "processing",
        again=row.stage in (REEXTRACT, REEXTRACT_OVER_BUDGET),
        attempts=row.attempts,
        rendering=None if row.rendering is None else Rendering(row.rendering),
        has_parts=row.parts is not None,
        is_revisit=row.outcome is not None,
    )


def lock_claimed_row(conn: Connection, claim: ClaimedPage) -> AnyRow | None:
    """The row of a claim, locked; None when the claim has ended."""
    return conn.execute(_CLAIMED_ROW, {"b_id": claim.id, "b_fence": claim.fence}).one_or_none()


def record_crash(conn: Connection, row: AnyRow, stage: str, reason: str, next_at: datetime) -> None:
    """Count one more crash; the row can be claimed again from `next_at` on."""
    values = {"b_crashes": row.crashes + 1, "b_stage": stage, "b_detail": reason, "b_now": next_at}
    conn.execute(_CRASHED, {"b_id": row.id, "b_fence": row.fence, **values})


def _quarantine(conn: Connection, row: AnyRow, crashes: int, stage: str, reason: str, now: datetime, counters: CounterUpdates) -> None:
    outcome = Outcome.DEADLINE if reason.startswith("deadline") else Outcome.DIED
    assert OUTCOMES[outcome].state == "quarantined"
    if revisits.is_revisit(row):
        revisits.end(conn, [EndedRevisit(row, OutcomeRecord(outcome, reason), has_saved_page=True)], now)
        return
    values = {"b_crashes": crashes, "b_outcome": outcome.value, "b_stage": stage, "b_detail": reason, "b_now": now}
    conn.execute(_QUARANTINE, {"b_id": row.id, **values})
    counters.add(now, row.source, row.kind, outcome.value)


class Claims:
    """The workers' claims of pages. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> list[ClaimedPage]:
        """Claim the pending pages of a segment: fetched rows, and processing rows whose lease has ended. In page order; may be empty.

        A row that is marked as in progress crashed its last worker, or the worker was killed: one more crash. A row with MAX_CRASHES is
        quarantined here.
        """
        with writing(self._engine) as conn:
            return claim_rows(conn, conn.execute(_CLAIMABLE_ROWS, {"b_segment": segment_id, "b_now": now}).all(), owner, seconds, now)

    def mark_in_progress(self, claim: ClaimedPage, *, now: datetime, stage: str = "read") -> bool:
        """Mark the page that the child process extracts now: before it begins if the claim `is_suspect`, else when it takes long.

        The other pages of the segment are unmarked: they only wait for their commit.

        A kill while the mark is set counts as a crash of the page. False: the claim has ended; do not extract the page.
        """
        with writing(self._engine) as conn:
            values = {"b_segment": claim.segment, "b_id": claim.id, "b_fence": claim.fence, "b_stage": stage}
            return claim.id in conn.execute(_MARK, values).scalars().all()

    def renew(self, segment_id: str, owner: str, *, seconds: float, now: datetime) -> int:
        """Renew the lease of the remaining rows of a claimed segment. Returns their number."""
        with writing(self._engine) as conn:
            values = {"b_segment": segment_id, "b_owner": owner, "b_until": now + timedelta(seconds=seconds)}
            return conn.execute(RENEW, values).rowcount

    def release(self, segment_id: str, owner: str, *, now: datetime) -> int:
        """Release the remaining rows of a claimed segment (a clean stop): no crash is counted. Returns their number."""
        with writing(self._engine) as conn:
            return conn.execute(_RELEASE, {"b_segment": segment_id, "b_owner": owner, "b_now": now}).rowcount

    def report_crash(self, claim: ClaimedPage, stage: str, reason: str, *, now: datetime, final: bool = False) -> bool:
        """Count a crash or timeout of the child process. The page is tried again later, or quarantined at MAX_CRASHES or if `final`.

        True: it is quarantined, with the outcome deadline if `reason` begins with that word, else died.
        """
        with writing(self._engine) as conn:
            row = lock_claimed_row(conn, claim)
            if row is None:
                return False
            if final or row.crashes + 1 >= MAX_CRASHES:
                counters = CounterUpdates()
                _quarantine(conn, row, row.crashes + 1, stage, reason, now, counters)
                counters.write(conn)
                return True
            record_crash(conn, row, FIRST_ATTEMPT if row.stage == FIRST_ATTEMPT else stage, reason, now + RETRY_DELAYS[row.crashes])
            return False

"""The workers' rows: claimed a segment at a time, marked while in the child's hands, and buried when they kill three times.

Deaths are counted per page, never per segment: only the page in hand is guilty, its neighbours are not punished. A page nobody has failed
on need not be marked before it is slow (`Claim.suspect`): a mark is a commit, a quarter of what storing a known page costs. Who is killed
before then is not counted, and finds every page of the segment suspect the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, case, or_, select, update

from newsmill.model import OUTCOMES, Claim, Outcome
from newsmill.storage.ledger.counter_updates import Tally
from newsmill.storage.ledger.segments import CLAIMABLE
from newsmill.storage.ledger.statements import FREE, IN_SEGMENT, NOW, OWNER, UNTIL, AnyRow, fenced, state_is
from newsmill.storage.schema import ledger

MAX_DEATHS = 3  # one may be bad luck (a kill from outside), two still; DESIGN section 2
FIRST_TURN = "first turn"  # `stage` of a page that outlasted its first turn of CPU time, and has had no whole one to the end
READ_AGAIN = "read again"  # `stage` of an archived page that people want read once more
GONE = "its reader was gone when the lease ended"
NEXT_TRY = (timedelta(seconds=10), timedelta(seconds=60))  # after the first and second death: not into the same trouble at once

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
    ledger.c.deaths,
    ledger.c.in_hand,
    ledger.c.stage,
    ledger.c.detail,
    ledger.c.first_seen_at,
)
_OWED = (
    select(*COLUMNS)
    .where(ledger.c.segment == bindparam("b_segment"), IN_SEGMENT, CLAIMABLE)
    .order_by(ledger.c.id)
    .with_for_update(skip_locked=True)
)
_MINE = select(*COLUMNS).where(fenced("processing")).with_for_update()
_CLAIM = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        state="processing",
        owner=OWNER,
        lease_until=UNTIL,
        in_hand=None,
        fence=ledger.c.fence + 1,
        claims=ledger.c.claims + 1,
        deaths=bindparam("b_deaths"),
    )
)
_BURY = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **FREE,
        state="quarantined",
        fence=ledger.c.fence + 1,
        deaths=bindparam("b_deaths"),
        outcome=bindparam("b_outcome"),
        stage=bindparam("b_stage"),
        detail=bindparam("b_detail"),
        ended_at=NOW,
    )
)
_DIED = (
    update(ledger)
    .where(fenced("processing"))
    .values(**FREE, state="fetched", next_at=NOW, deaths=bindparam("b_deaths"), stage=bindparam("b_stage"), detail=bindparam("b_detail"))
)
_ITS = ledger.alias()
_MARK = (
    update(ledger)
    .where(
        ledger.c.segment == bindparam("b_segment"),
        IN_SEGMENT,
        state_is("processing"),
        ledger.c.owner
        == select(_ITS.c.owner).where(_ITS.c.id == bindparam("b_id"), _ITS.c.fence == bindparam("b_fence")).scalar_subquery(),
        or_(ledger.c.in_hand.is_not(None), ledger.c.id == bindparam("b_id")),
    )
    .values(in_hand=case((ledger.c.id == bindparam("b_id"), bindparam("b_stage", type_=ledger.c.in_hand.type))))
    .returning(ledger.c.id)
)
_HELD = (ledger.c.segment == bindparam("b_segment"), IN_SEGMENT, state_is("processing"), ledger.c.owner == OWNER)
RENEW = update(ledger).where(*_HELD).values(lease_until=UNTIL)
_RELEASE = update(ledger).where(*_HELD).values(**FREE, state="fetched", next_at=NOW)


def claim(conn: Connection, segment_id: str, owner: str, seconds: float, now: datetime) -> list[Claim]:
    return take(conn, conn.execute(_OWED, {"b_segment": segment_id, "b_now": now}).all(), owner, seconds, now)


def take(conn: Connection, rows: Sequence[AnyRow], owner: str, seconds: float, now: datetime) -> list[Claim]:
    """Claim locked rows; those that were in hand for the last time are buried instead."""
    deaths = {row.id: row.deaths + (row.in_hand is not None) for row in rows}
    alive = [row for row in rows if deaths[row.id] < MAX_DEATHS]
    if alive:
        until = now + timedelta(seconds=seconds)
        conn.execute(_CLAIM, [{"b_id": row.id, "b_owner": owner, "b_until": until, "b_deaths": deaths[row.id]} for row in alive])
    tally = Tally()
    for row in rows:
        if deaths[row.id] >= MAX_DEATHS:
            reason = GONE if row.stage == FIRST_TURN else row.detail or GONE
            _bury(conn, row, deaths[row.id], row.in_hand or "read", reason, now, tally)
    tally.write(conn)
    return [_claim(row, deaths[row.id]) for row in sorted(alive, key=lambda row: row.offset)]


def _claim(row: AnyRow, deaths: int) -> Claim:
    return Claim(
        id=row.id,
        url=row.url,
        source=row.source,
        fence=row.fence + 1,
        segment=row.segment,
        offset=row.offset,
        deaths=deaths,
        first_seen_at=row.first_seen_at,
        suspect=deaths > 0 or row.state == "processing",
        again=row.stage == READ_AGAIN,
        attempts=row.attempts,
    )


def mark(conn: Connection, claim: Claim, stage: str) -> bool:
    """One page is in hand at a time: those read before it wait for their commit and must not be suspected if the worker is killed now."""
    values = {"b_segment": claim.segment, "b_id": claim.id, "b_fence": claim.fence, "b_stage": stage}
    return claim.id in conn.execute(_MARK, values).scalars().all()


def renew(conn: Connection, segment_id: str, owner: str, seconds: float, now: datetime) -> int:
    values = {"b_segment": segment_id, "b_owner": owner, "b_until": now + timedelta(seconds=seconds)}
    return conn.execute(RENEW, values).rowcount


def release(conn: Connection, segment_id: str, owner: str, now: datetime) -> int:
    return conn.execute(_RELEASE, {"b_segment": segment_id, "b_owner": owner, "b_now": now}).rowcount


def report_death(conn: Connection, claim: Claim, stage: str, reason: str, now: datetime, final: bool) -> bool:
    row = mine(conn, claim)
    if row is None:
        return False
    if final or row.deaths + 1 >= MAX_DEATHS:
        tally = Tally()
        _bury(conn, row, row.deaths + 1, stage, reason, now, tally)
        tally.write(conn)
        return True
    died(conn, row, FIRST_TURN if row.stage == FIRST_TURN else stage, reason, now + NEXT_TRY[row.deaths])
    return False


def mine(conn: Connection, claim: Claim) -> AnyRow | None:
    """The row of a claim, locked; None when it is no longer ours."""
    return conn.execute(_MINE, {"b_id": claim.id, "b_fence": claim.fence}).one_or_none()


def died(conn: Connection, row: AnyRow, stage: str, reason: str, next_at: datetime) -> None:
    """One more death; the row is owed again from `next_at` on."""
    values = {"b_deaths": row.deaths + 1, "b_stage": stage, "b_detail": reason, "b_now": next_at}
    conn.execute(_DIED, {"b_id": row.id, "b_fence": row.fence, **values})


def _bury(conn: Connection, row: AnyRow, deaths: int, stage: str, reason: str, now: datetime, tally: Tally) -> None:
    outcome = Outcome.DEADLINE if reason.startswith("deadline") else Outcome.DIED
    assert OUTCOMES[outcome][0] == "quarantined"
    values = {"b_deaths": deaths, "b_outcome": outcome.value, "b_stage": stage, "b_detail": reason, "b_now": now}
    conn.execute(_BURY, {"b_id": row.id, **values})
    tally.add(now, row.source, row.kind, outcome.value)

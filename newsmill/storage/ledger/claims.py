"""Segments: what the archive must hold, and which of it a worker still owes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, bindparam, case, exists, func, or_, select, update

from newsmill.model import OUTCOMES, ClaimedPage, Outcome, Segment
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger.counter_updates import CounterUpdates
from newsmill.storage.ledger.links import batches
from newsmill.storage.ledger.statements import FREE, IN_FLIGHT, IN_SEGMENT, LIMIT, NOW, OWNER, UNTIL, AnyRow, fenced, state_is
from newsmill.storage.schema import hosts, ledger, segments

# A row a worker may claim: fetched and not waiting for its next try, or in the hands of a worker whose lease ended.
_NOBODY_S = or_(and_(state_is("fetched"), ledger.c.next_at <= NOW), and_(state_is("processing"), ledger.c.lease_until <= NOW))
CLAIMABLE = and_(_NOBODY_S, ledger.c.crashes == 0)
CLAIMABLE_ASIDE = and_(_NOBODY_S, ledger.c.crashes > 0)  # it killed a reader or took too long: `aside` knows when it is tried again

# Ids begin with their time, so their order is age.
_OWED_SEGMENTS = select(ledger.c.segment).where(IN_SEGMENT, CLAIMABLE).group_by(ledger.c.segment).order_by(ledger.c.segment).limit(LIMIT)
_ONE = select(segments).where(segments.c.id == bindparam("b_id"))
_KNOWN = select(segments.c.id).where(segments.c.id.in_(bindparam("b_ids", expanding=True)))


def owed(conn: Connection, now: datetime, limit: int) -> list[str]:
    return list(conn.execute(_OWED_SEGMENTS, {"b_now": now, "b_limit": limit}).scalars())


def one(conn: Connection, segment_id: str) -> Segment | None:
    row = conn.execute(_ONE, {"b_id": segment_id}).one_or_none()
    return None if row is None else Segment(id=row.id, pages=row.pages, length=row.length, created_at=row.created_at)


def known(conn: Connection, ids: Sequence[str]) -> set[str]:
    return {found for batch in batches(ids) for found in conn.execute(_KNOWN, {"b_ids": batch}).scalars()}


# The workers' rows: claimed a segment at a time, marked while in the child's hands, and buried when they kill three times.
#
# Deaths are counted per page, never per segment: only the page in hand is guilty, its neighbours are not punished. A page nobody has failed
# on need not be marked before it is slow (`Claim.suspect`): a mark is a commit, a quarter of what storing a known page costs. Who is killed
# before then is not counted, and finds every page of the segment suspect the next time.

MAX_CRASHES = 3  # one may be bad luck (a kill from outside), two still; DESIGN section 2
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
    ledger.c.crashes,
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
        crashes=bindparam("b_deaths"),
    )
)
_BURY = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **FREE,
        state="quarantined",
        fence=ledger.c.fence + 1,
        crashes=bindparam("b_deaths"),
        outcome=bindparam("b_outcome"),
        stage=bindparam("b_stage"),
        detail=bindparam("b_detail"),
        ended_at=NOW,
    )
)
_DIED = (
    update(ledger)
    .where(fenced("processing"))
    .values(**FREE, state="fetched", next_at=NOW, crashes=bindparam("b_deaths"), stage=bindparam("b_stage"), detail=bindparam("b_detail"))
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


def claim(conn: Connection, segment_id: str, owner: str, seconds: float, now: datetime) -> list[ClaimedPage]:
    return take(conn, conn.execute(_OWED, {"b_segment": segment_id, "b_now": now}).all(), owner, seconds, now)


def take(conn: Connection, rows: Sequence[AnyRow], owner: str, seconds: float, now: datetime) -> list[ClaimedPage]:
    """Claim locked rows; those that were in hand for the last time are buried instead."""
    deaths = {row.id: row.crashes + (row.in_hand is not None) for row in rows}
    alive = [row for row in rows if deaths[row.id] < MAX_CRASHES]
    if alive:
        until = now + timedelta(seconds=seconds)
        conn.execute(_CLAIM, [{"b_id": row.id, "b_owner": owner, "b_until": until, "b_deaths": deaths[row.id]} for row in alive])
    tally = CounterUpdates()
    for row in rows:
        if deaths[row.id] >= MAX_CRASHES:
            reason = GONE if row.stage == FIRST_TURN else row.detail or GONE
            _bury(conn, row, deaths[row.id], row.in_hand or "read", reason, now, tally)
    tally.write(conn)
    return [_claim(row, deaths[row.id]) for row in sorted(alive, key=lambda row: row.offset)]


def _claim(row: AnyRow, deaths: int) -> ClaimedPage:
    return ClaimedPage(
        id=row.id,
        url=row.url,
        source=row.source,
        fence=row.fence + 1,
        segment=row.segment,
        offset=row.offset,
        crashes=deaths,
        first_seen_at=row.first_seen_at,
        is_suspect=deaths > 0 or row.state == "processing",
        again=row.stage == READ_AGAIN,
        attempts=row.attempts,
    )


def mark(conn: Connection, claim: ClaimedPage, stage: str) -> bool:
    """One page is in hand at a time: those read before it wait for their commit and must not be suspected if the worker is killed now."""
    values = {"b_segment": claim.segment, "b_id": claim.id, "b_fence": claim.fence, "b_stage": stage}
    return claim.id in conn.execute(_MARK, values).scalars().all()


def renew(conn: Connection, segment_id: str, owner: str, seconds: float, now: datetime) -> int:
    values = {"b_segment": segment_id, "b_owner": owner, "b_until": now + timedelta(seconds=seconds)}
    return conn.execute(RENEW, values).rowcount


def release(conn: Connection, segment_id: str, owner: str, now: datetime) -> int:
    return conn.execute(_RELEASE, {"b_segment": segment_id, "b_owner": owner, "b_now": now}).rowcount


def report_crash(conn: Connection, claim: ClaimedPage, stage: str, reason: str, now: datetime, final: bool) -> bool:
    row = mine(conn, claim)
    if row is None:
        return False
    if final or row.crashes + 1 >= MAX_CRASHES:
        tally = CounterUpdates()
        _bury(conn, row, row.crashes + 1, stage, reason, now, tally)
        tally.write(conn)
        return True
    died(conn, row, FIRST_TURN if row.stage == FIRST_TURN else stage, reason, now + NEXT_TRY[row.crashes])
    return False


def mine(conn: Connection, claim: ClaimedPage) -> AnyRow | None:
    """The row of a claim, locked; None when it is no longer ours."""
    return conn.execute(_MINE, {"b_id": claim.id, "b_fence": claim.fence}).one_or_none()


def died(conn: Connection, row: AnyRow, stage: str, reason: str, next_at: datetime) -> None:
    """One more death; the row is owed again from `next_at` on."""
    values = {"b_deaths": row.crashes + 1, "b_stage": stage, "b_detail": reason, "b_now": next_at}
    conn.execute(_DIED, {"b_id": row.id, "b_fence": row.fence, **values})


def _bury(conn: Connection, row: AnyRow, deaths: int, stage: str, reason: str, now: datetime, tally: CounterUpdates) -> None:
    outcome = Outcome.DEADLINE if reason.startswith("deadline") else Outcome.DIED
    assert OUTCOMES[outcome][0] == "quarantined"
    values = {"b_deaths": deaths, "b_outcome": outcome.value, "b_stage": stage, "b_detail": reason, "b_now": now}
    conn.execute(_BURY, {"b_id": row.id, **values})
    tally.add(now, row.source, row.kind, outcome.value)


# Pages put aside: they killed a reader or outlasted their first turn of CPU time, and are tried again when nothing else waits.
#
# Such a row stays `fetched` and is owed like any other, but no segment is announced for it, none of its segment's claims takes it, and the
# crawler does not count it as backlog: however many there are, nobody asks for them over and over. Workers fetch them from here, one by one.
# Only `deaths` tells them apart, so a worker of an older version takes them with their segment and does what it always did.

_EATS = ledger.c.stage == FIRST_TURN
_LIGHT = ledger.c.stage.is_distinct_from(FIRST_TURN)
_NEXT = (
    select(*COLUMNS)
    .where(IN_SEGMENT, CLAIMABLE_ASIDE)
    .order_by(case((_EATS, 1), else_=0), ledger.c.next_at, ledger.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)
_SEGMENTS = (
    select(ledger.c.segment).where(IN_SEGMENT, CLAIMABLE_ASIDE).group_by(ledger.c.segment).order_by(func.min(ledger.c.next_at)).limit(LIMIT)
)
_AWAKE = or_(hosts.c.next_fetch_at.is_(None), hosts.c.next_fetch_at <= NOW)
_DUE = exists().where(ledger.c.host == hosts.c.host, state_is("due"), ledger.c.next_at <= NOW)
_OTHERS = (
    select(ledger.c.id).where(IN_FLIGHT, or_(state_is("fetching"), ledger.c.crashes == 0)).limit(1),
    select(hosts.c.host).where(_AWAKE, _DUE).limit(1),
)
_COUNT = select(func.count()).select_from(ledger).where(IN_FLIGHT, ledger.c.crashes > 0)


class DeferredPages:
    """`Ledger.aside`. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, claim: ClaimedPage, reason: str, *, now: datetime) -> bool:
        """A claimed page outlasted its first turn: one death. False: the claim is no longer ours."""
        with writing(self._engine) as conn:
            row = mine(conn, claim)
            if row is not None:
                died(conn, row, FIRST_TURN, f"{reason} in its first turn; waits for a quiet moment", now)
            return row is not None

    def claim(self, owner: str, *, seconds: float, now: datetime, heavy: bool) -> ClaimedPage | None:
        """Take the page that has been waiting longest, those that eat time last and only if `heavy`; None when none is.

        One that lost its third reader is quarantined here.
        """
        if not self.segments(now=now, limit=1, heavy=heavy):  # a look costs no write lock
            return None
        statement = _NEXT if heavy else _NEXT.where(_LIGHT)
        with writing(self._engine) as conn:
            while rows := conn.execute(statement, {"b_now": now}).all():
                for claim in take(conn, rows, owner, seconds, now):
                    return claim
        return None

    def segments(self, *, now: datetime, limit: int, heavy: bool) -> list[str]:
        """Segments with a page that could have its turn now, the longest waiting first; those that eat time only if `heavy`."""
        statement = _SEGMENTS if heavy else _SEGMENTS.where(_LIGHT)
        with reading(self._engine) as conn:
            return list(conn.execute(statement, {"b_now": now, "b_limit": limit}).scalars())

    def is_only_work_left(self, *, now: datetime) -> bool:
        """Whether nothing else could go on now: no page is under way, and none is due on a host that may be asked."""
        with reading(self._engine) as conn:
            return all(conn.execute(statement, {"b_now": now}).first() is None for statement in _OTHERS)

    def count(self) -> int:
        """Pages put aside that have not ended yet."""
        with reading(self._engine) as conn:
            return conn.execute(_COUNT).scalar_one()

"""Sources: their plans, and the ticks that make their listings due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from newsmill.model import Source
from newsmill.storage.ledger import listings
from newsmill.storage.ledger.clocks import CLOCK_SLACK
from newsmill.storage.ledger.serialization import source_in, source_out
from newsmill.storage.ledger.statements import IS_LISTING, NOW, state_is
from newsmill.storage.ledger.upserts import Upsert
from newsmill.storage.schema import ledger, sources
from newsmill.url_rules import Urls

NextTick = Callable[[Source, datetime], datetime]
MAX_SET_BACK = timedelta(hours=2)  # by mistakes over zones and summer time; a clock set back by more was wrong, and so was the last tick's

_NEW = Upsert(sources, ("name",))
_ALL = select(sources).order_by(sources.c.name)
_ONE = select(sources).where(sources.c.name == bindparam("b_name"))
_LOCK = _ONE.with_for_update()
_CHANGE = (
    update(sources)
    .where(sources.c.name == bindparam("b_name"))
    .values(plan=bindparam("b_plan"), enabled=bindparam("b_enabled"), next_tick_at=bindparam("b_next"))
)
_ENABLE = update(sources).where(sources.c.name == bindparam("b_name")).values(enabled=bindparam("b_enabled"))

_WAITING = select(sources).where(sources.c.enabled).order_by(sources.c.name)
_UNTICKED = and_(sources.c.name == bindparam("b_name"), sources.c.next_tick_at == bindparam("b_seen"), sources.c.enabled)
_TICK = update(sources).where(_UNTICKED).values(next_tick_at=bindparam("b_next"), last_tick_at=NOW)
_PULL_BACK = update(sources).where(_UNTICKED).values(next_tick_at=bindparam("b_next"))
# A listing that was retired stays so, and one that discovery found (or guessed) and that is gone. What a sitemap or a section found, its
# parts and next pages, comes again through it, when the crawler sees a reason: an index may name 50,000 parts.
_LISTINGS_DUE = (
    update(ledger)
    .where(
        ledger.c.source == bindparam("b_name"),
        IS_LISTING,
        ledger.c.found_by.not_in(("sitemap", "section")),
        or_(
            state_is("done", "failed"),
            and_(
                state_is("dropped"), ledger.c.outcome != "denied", or_(ledger.c.outcome != "gone", ledger.c.found_by == listings.FROM_PLAN)
            ),
        ),
        ledger.c.outcome != "bad_url",
    )
    .values(state="due", next_at=NOW, attempts=0)
)


def put(conn: Connection, urls: Urls, source: Source, now: datetime) -> None:
    wanted = listings.listings(urls, source, now)
    plan = source_out(source)
    _NEW.run(
        conn, [{"name": source.name, "plan": plan, "enabled": source.enabled, "next_tick_at": now, "last_tick_at": None, "created_at": now}]
    )
    before = conn.execute(_LOCK, {"b_name": source.name}).one()
    old = source_in(before.plan, before.enabled)
    if old != source:
        same_times = (old.every, old.cron) == (source.every, source.cron)
        next_at = before.next_tick_at if same_times else now
        conn.execute(_CHANGE, {"b_name": source.name, "b_plan": plan, "b_enabled": source.enabled, "b_next": next_at})
    listings.follow(conn, source.name, wanted, now)


def every(conn: Connection) -> list[Source]:
    return [source_in(row.plan, row.enabled) for row in conn.execute(_ALL)]


def one(conn: Connection, name: str) -> Source | None:
    row = conn.execute(_ONE, {"b_name": name}).one_or_none()
    return None if row is None else source_in(row.plan, row.enabled)


def set_enabled(conn: Connection, name: str, enabled: bool) -> bool:
    return conn.execute(_ENABLE, {"b_name": name, "b_enabled": enabled}).rowcount == 1


def tick(conn: Connection, now: datetime, next_tick: NextTick) -> list[str]:
    ticked = []
    for row in conn.execute(_WAITING).all():
        source = source_in(row.plan, row.enabled)
        fires, next_at = decide(source, row.next_tick_at, row.last_tick_at, now, next_tick)
        if next_at is None:
            continue
        values = {"b_name": source.name, "b_seen": row.next_tick_at, "b_next": next_at}
        won = conn.execute(_TICK if fires else _PULL_BACK, {**values, "b_now": now} if fires else values).rowcount == 1
        if fires and won:
            conn.execute(_LISTINGS_DUE, {"b_name": source.name, "b_now": now})
            ticked.append(source.name)
    return ticked


def read_now(conn: Connection, name: str, now: datetime) -> None:
    conn.execute(_LISTINGS_DUE, {"b_name": name, "b_now": now})


def decide(
    source: Source, next_tick_at: datetime, last_tick_at: datetime | None, now: datetime, next_tick: NextTick
) -> tuple[bool, datetime | None]:
    """(whether the source ticks now, its next time or None for "as it is"). Pure.

    A tick in the past fires once, however many were missed. A next time further away than the schedule can put it means that the clock was
    set back: it is pulled near again. A cron tick is a time of day and never fires twice, so it counts on from the last one, unless that
    lies so far ahead (MAX_SET_BACK) that its time of day was none.
    """
    if next_tick_at <= now:
        return True, next_tick(source, now)
    is_time_of_day = source.cron is not None and last_tick_at is not None and last_tick_at - now <= MAX_SET_BACK
    base = max(now, last_tick_at) if is_time_of_day and last_tick_at is not None else now
    near = next_tick(source, base)
    return (False, near) if next_tick_at - near > CLOCK_SLACK else (False, None)

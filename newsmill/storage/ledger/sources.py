"""A source's plan as listings in the ledger: what the plan names is there, what it no longer names is retired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from newsmill.model import OUTCOMES, Kind, Link, Outcome, Source
from newsmill.storage.columns import Upsert
from newsmill.storage.ledger.clocks import CLOCK_SLACK
from newsmill.storage.ledger.counter_updates import FOUND, CounterUpdates
from newsmill.storage.ledger.links import LISTING, OPEN_AGAIN, make, row_of, source_in, source_out
from newsmill.storage.ledger.statements import IS_LISTING, NOW, AnyRow, state_is
from newsmill.storage.schema import ledger, sources

PAGE = Kind.PAGE.value
FROM_PLAN = "source"  # `found_by` of the listings that an operator wrote down
RETIRED = "no longer in the source's plan"

_COLUMNS = (
    ledger.c.id,
    ledger.c.url_key,
    ledger.c.kind,
    ledger.c.source,
    ledger.c.found_by,
    ledger.c.outcome,
    ledger.c.ended_at,
    ledger.c.first_seen_at,
)
_PRESENT = (
    select(*_COLUMNS)
    .where(
        or_(
            ledger.c.url_key.in_(bindparam("b_keys", expanding=True)),
            and_(ledger.c.source == bindparam("b_name"), IS_LISTING, ledger.c.found_by == FROM_PLAN),
        )
    )
    .order_by(ledger.c.id)
    .with_for_update()
)
_ADOPT = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **OPEN_AGAIN,
        state="due",
        fence=ledger.c.fence + 1,  # whoever is fetching it as something else comes too late
        kind=bindparam("b_kind"),
        rank=LISTING,
        source=bindparam("b_name"),
        found_by=FROM_PLAN,
        next_at=bindparam("b_now"),
    )
)
_RETIRE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **OPEN_AGAIN
        | {"fence": ledger.c.fence + 1, "outcome": Outcome.DENIED.value, "detail": RETIRED}
        | {"state": OUTCOMES[Outcome.DENIED][0].value, "ended_at": bindparam("b_now")}
    )
)


def listings(source: Source, now: datetime) -> dict[str, dict[str, Any]]:
    """The rows a plan asks for, by key. Raises UrlError."""
    named = [(Kind.FEED, url) for url in source.feeds]
    named += [(Kind.SITEMAP, url) for url in source.sitemaps]
    named += [(Kind.SECTION, url) for url in source.sections]
    if source.homepage and source.discover:
        named.append((Kind.HOMEPAGE, source.homepage))
    rows: dict[str, dict[str, Any]] = {}
    for kind, url in named:
        row = row_of(Link(url=url, kind=kind, source=source.name, found_by=FROM_PLAN), now)
        rows.setdefault(row["url_key"], row)
    return rows


def follow(conn: Connection, name: str, wanted: dict[str, dict[str, Any]], now: datetime) -> None:
    """Make the ledger's listings what the plan wants. Changes nothing when they are so already."""
    new = make(conn, wanted, now)
    tally = CounterUpdates()
    present = conn.execute(_PRESENT, {"b_keys": sorted(wanted.keys() - new), "b_name": name}).all()
    for row in present:
        if row.url_key in wanted:
            if _to_adopt(row, name, wanted[row.url_key]["kind"]):
                _adopt(conn, row, name, wanted[row.url_key]["kind"], now, tally)
        elif row.outcome != Outcome.DENIED:
            conn.execute(_RETIRE, {"b_id": row.id, "b_now": now})
            tally.add(now, name, row.kind, Outcome.DENIED.value)
    tally.write(conn)


def _to_adopt(row: AnyRow, name: str, kind: str) -> bool:
    """Whether the row is not yet what the plan wants. A listing that another source's plan names stays with that source."""
    if row.found_by == FROM_PLAN and row.source != name and row.outcome != Outcome.DENIED:
        return False
    return (row.kind, row.source, row.found_by) != (kind, name, FROM_PLAN) or row.outcome == Outcome.DENIED


def _adopt(conn: Connection, row: AnyRow, name: str, kind: str, now: datetime, tally: CounterUpdates) -> None:
    conn.execute(_ADOPT, {"b_id": row.id, "b_kind": kind, "b_name": name, "b_now": now})
    tally.take_back(row.ended_at, row.source, row.kind, row.outcome)
    if row.kind == PAGE:  # it was no page after all
        tally.add(row.first_seen_at, row.source, PAGE, FOUND, -1)
        tally.add(now, name, kind, FOUND)


# Sources: their plans, and the ticks that make their listings due.

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
            and_(state_is("dropped"), ledger.c.outcome != "denied", or_(ledger.c.outcome != "gone", ledger.c.found_by == FROM_PLAN)),
        ),
        ledger.c.outcome != "bad_url",
    )
    .values(state="due", next_at=NOW, attempts=0)
)


def put(conn: Connection, source: Source, now: datetime) -> None:
    wanted = listings(source, now)
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
    follow(conn, source.name, wanted, now)


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

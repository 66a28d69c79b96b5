"""Sources: their plans, the listings that a plan names, and the ticks that make these listings due.

A listing that the plan no longer names is retired, with its parts; so are those that were found, where the plan no longer has `discover`.
A source with `every` or `cron` has ticks, which make all its listings due; the listings of an adaptive source are planned one by one
(`poll_plans`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, bindparam, exists, or_, select, text, update

from newsmill.discovery.source_sites import list_sites
from newsmill.model import OUTCOMES, Kind, Link, Outcome, Source
from newsmill.storage.clock import CLOCK_SLACK
from newsmill.storage.columns import dump_source, load_source
from newsmill.storage.counter_updates import FOUND, CounterUpdates
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger import poll_plans, polls
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, REQUEUED, requeue
from newsmill.storage.ledger.links import insert_rows, make_row
from newsmill.storage.ledger.priority import FROM_BACKFILL, FROM_PLAN, RANK_LISTING
from newsmill.storage.schema import hosts, ledger, listing_schedules, sources
from newsmill.storage.statements import IS_LISTING, NOW, AnyRow, state_is
from newsmill.text.urls import make_spider_url

FOUND_ON_SITE = ("homepage", "robots")  # `found_by` of the listings that `discover` finds
RETIRED_DETAIL = "no longer in the source's plan"
_PAGE = Kind.PAGE.value
HOMEPAGE_FIRST = timedelta(microseconds=1)  # it names the sections, which a sitemap has among its articles

_COLUMNS = (*ENDED_COLUMNS, ledger.c.url_key, ledger.c.url, ledger.c.found_by, ledger.c.first_seen_at)

# The groups of copies with documents of a source in which the trust has changed.
_NOTE_COPIES = text("""INSERT INTO copies_due (ledger_id) SELECT g.ledger_id FROM documents AS d
JOIN copy_groups AS g ON g.ledger_id = d.ledger_id AND g.document_id = d.id WHERE d.source = :name AND g.group_id IS NOT NULL
ON CONFLICT (ledger_id) DO UPDATE SET ledger_id = excluded.ledger_id""")


def _select_present(*others: Any) -> Any:
    """The planned rows, the listings of the source's last plan, and the `others` of its listings, locked."""
    is_known = and_(ledger.c.source == bindparam("b_name"), IS_LISTING, or_(ledger.c.found_by == FROM_PLAN, and_(*others)))
    keys = ledger.c.url_key.in_(bindparam("b_keys", expanding=True))
    return select(*_COLUMNS).where(or_(keys, is_known)).order_by(ledger.c.id).with_for_update()


_IS_FOUND = ledger.c.found_by.in_(FOUND_ON_SITE)
_PRESENT = {  # by `discover`: with it, those to read again that were found and retired; without it, those to retire that were found
    True: _select_present(_IS_FOUND, ledger.c.outcome == Outcome.DENIED.value, ledger.c.detail == RETIRED_DETAIL),
    False: _select_present(_IS_FOUND),
}
_PARTS = (
    select(ledger.c.id, ledger.c.kind, ledger.c.url, ledger.c.found_on)
    .where(
        ledger.c.source == bindparam("b_name"),
        IS_LISTING,
        ledger.c.found_by == "sitemap",
        or_(ledger.c.outcome.is_(None), ledger.c.outcome != Outcome.DENIED.value),
    )
    .order_by(ledger.c.id)
    .with_for_update()
)
_ADOPT = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **REQUEUED,
        state="due",
        fence=ledger.c.fence + 1,  # ends the lease of a crawler that fetches it as something else
        url=bindparam("b_url"),  # http and https have one row: the plan says which is fetched
        host=bindparam("b_host"),
        kind=bindparam("b_kind"),
        rank=RANK_LISTING,
        source=bindparam("b_name"),
        found_by=FROM_PLAN,
        next_at=bindparam("b_now"),
    )
)
_RETIRE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **REQUEUED
        | {"fence": ledger.c.fence + 1, "outcome": Outcome.DENIED.value, "detail": RETIRED_DETAIL}
        | {"state": OUTCOMES[Outcome.DENIED].state.value, "ended_at": bindparam("b_now"), "failing_since": None}
    )
)


def make_listing_rows(source: Source, now: datetime) -> dict[str, dict[str, Any]]:
    """The rows that a plan needs, by key. Raises UrlError."""
    planned = [(Kind.FEED, url) for url in source.feeds]
    planned += [(Kind.SITEMAP, url) for url in source.sitemaps]
    planned += [(Kind.SECTION, url) for url in source.sections]
    if source.homepage and source.discover:
        planned.append((Kind.HOMEPAGE, source.homepage))
    if source.spider:
        planned.append((Kind.SPIDER, make_spider_url(source.name)))
    rows: dict[str, dict[str, Any]] = {}
    for kind, url in planned:
        row = make_row(Link(url=url, kind=kind, source=source.name, found_by=FROM_PLAN), now)
        rows.setdefault(row["url_key"], row | {"next_at": now - HOMEPAGE_FIRST} if kind is Kind.HOMEPAGE else row)
    return rows


def update_listings(conn: Connection, source: Source, planned: dict[str, dict[str, Any]], now: datetime) -> None:
    """Make the source's listings those of its plan, `planned`, and those that `discover` found; writes nothing where they are."""
    new, name = insert_rows(conn, planned, now), source.name
    counters = CounterUpdates()
    retired, found_again = [], []
    for row in conn.execute(_PRESENT[source.discover], {"b_keys": sorted(planned.keys() - new), "b_name": name}).all():
        if row.url_key in planned:
            if _needs_adopting(row, name, planned[row.url_key]):
                _adopt(conn, row, name, planned[row.url_key], now, counters)
        elif source.discover and row.found_by != FROM_PLAN:
            found_again.append(row)
        elif row.outcome != Outcome.DENIED:
            retired.append(row)
    if any(row.kind == Kind.SITEMAP for row in retired):
        retired += _find_parts({row.url for row in retired}, conn.execute(_PARTS, {"b_name": name}).all())
    if retired:
        conn.execute(_RETIRE, [{"b_id": row.id, "b_now": now} for row in retired])
    for row in retired:
        counters.add(now, name, row.kind, Outcome.DENIED.value)
    counters.write(conn)
    requeue(conn, found_again, now)


def _find_parts(sitemaps: Set[str], parts: Sequence[AnyRow]) -> list[AnyRow]:
    """Those of `parts` that the sitemaps (URLs) lead to, also by way of other parts."""
    found: list[AnyRow] = []
    while batch := [part for part in parts if part.found_on in sitemaps]:
        found += batch
        parts = [part for part in parts if part.found_on not in sitemaps]
        sitemaps = {part.url for part in batch}
    return found


def _needs_adopting(row: AnyRow, name: str, planned: dict[str, Any]) -> bool:
    """Whether the row differs from the plan. A listing in another source's plan stays with that source."""
    if row.found_by == FROM_PLAN and row.source != name and row.outcome != Outcome.DENIED:
        return False
    expected = (planned["url"], planned["kind"], name, FROM_PLAN)
    return (row.url, row.kind, row.source, row.found_by) != expected or row.outcome == Outcome.DENIED


def _adopt(conn: Connection, row: AnyRow, name: str, planned: dict[str, Any], now: datetime, counters: CounterUpdates) -> None:
    kind = planned["kind"]
    conn.execute(_ADOPT, {"b_id": row.id, "b_url": planned["url"], "b_host": planned["host"], "b_kind": kind, "b_name": name, "b_now": now})
    counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    if row.kind == _PAGE:  # it was counted as a page
        counters.add(row.first_seen_at, row.source, _PAGE, FOUND, -1)
        counters.add(now, name, kind, FOUND)


NextTick = Callable[[Source, datetime], datetime]
# Errors of time zone and summer time set a clock back by up to this. One that was set back by more had a wrong time of day before.
MAX_CLOCK_SET_BACK = timedelta(hours=2)

BY_NAME = sources.c.name == bindparam("b_name")
_INSERT = Upsert(sources, ("name",))
_ALL = select(sources).order_by(sources.c.name)
_ONE = select(sources).where(BY_NAME)
_LOCK = _ONE.with_for_update()
_CHANGE = update(sources).where(BY_NAME).values(plan=bindparam("b_plan"), enabled=bindparam("b_enabled"), next_tick_at=bindparam("b_next"))
_ENABLE = update(sources).where(BY_NAME).values(enabled=bindparam("b_enabled"))

_ENABLED = select(sources).where(sources.c.enabled).order_by(sources.c.name)
# In the order of its index: by name, SQLite would read all sources.
_DUE = select(sources).where(sources.c.enabled, sources.c.next_tick_at <= NOW).order_by(sources.c.next_tick_at)
_NOT_TICKED = and_(BY_NAME, sources.c.next_tick_at == bindparam("b_seen"), sources.c.enabled)
_TICK = update(sources).where(_NOT_TICKED).values(next_tick_at=bindparam("b_next"), last_tick_at=NOW)
_NEXT_POLL = update(sources).where(BY_NAME).values(next_tick_at=bindparam("b_next"))
_LAST_POLL = update(sources).where(BY_NAME).values(last_tick_at=NOW)
_RESCHEDULE = update(sources).where(_NOT_TICKED).values(next_tick_at=bindparam("b_next"))
# A tick leaves out retired listings, and those that discovery found or guessed and that are gone. It also leaves out what a section found
# (next pages), and the parts of a sitemap index that have shown nothing new lately: an index may name 50,000 of them.
_HAS_NEWS = exists().where(
    listing_schedules.c.ledger_id == ledger.c.id,
    listing_schedules.c.shown_at > bindparam("b_recent", type_=listing_schedules.c.shown_at.type),
)
_IS_FAILING = exists().where(listing_schedules.c.ledger_id == ledger.c.id, listing_schedules.c.next_poll_at > NOW)
_LISTINGS_DUE = (
    update(ledger)
    .where(
        ledger.c.source == bindparam("b_name"),
        IS_LISTING,
        ledger.c.found_by.not_in(("section", FROM_BACKFILL)),
        or_(ledger.c.found_by != "sitemap", _HAS_NEWS),
        or_(
            state_is("done", "failed"),
            and_(state_is("dropped"), ledger.c.outcome != "denied", or_(ledger.c.outcome != "gone", ledger.c.found_by == FROM_PLAN)),
        ),
        ledger.c.outcome != "bad_url",
    )
    .values(state="due", next_at=NOW, attempts=0)
)
_LISTINGS_DUE_BUT_FAILING = _LISTINGS_DUE.where(~_IS_FAILING)
_END_PAUSES = (
    update(hosts)
    .where(
        hosts.c.host.in_(select(ledger.c.host).where(ledger.c.source == bindparam("b_name"), IS_LISTING)),
        hosts.c.next_fetch_at > bindparam("b_long", type_=hosts.c.next_fetch_at.type),
    )
    .values(next_fetch_at=None)
)
MAX_KEPT_PAUSE = timedelta(hours=1)  # of a host when an administrator has its source read now; the longest Retry-After


def put(conn: Connection, source: Source, now: datetime) -> None:
    listings = make_listing_rows(source, now)
    plan = dump_source(source)
    _INSERT.run(
        conn, [{"name": source.name, "plan": plan, "enabled": source.enabled, "next_tick_at": now, "last_tick_at": None, "created_at": now}]
    )
    stored = conn.execute(_LOCK, {"b_name": source.name}).one()
    old = load_source(stored.plan, stored.enabled)
    if old != source:
        same_times = (old.every, old.cron, old.freshness) == (source.every, source.cron, source.freshness)
        next_at = stored.next_tick_at if same_times else now
        conn.execute(_CHANGE, {"b_name": source.name, "b_plan": plan, "b_enabled": source.enabled, "b_next": next_at})
        if not same_times or (source.enabled and not old.enabled):
            poll_plans.unplan(conn, source.name)
        elif not source.enabled:
            poll_plans.stop(conn, source.name)
        if (source.trusted and list_sites(source)) != (old.trusted and list_sites(old)):
            conn.execute(_NOTE_COPIES, {"name": source.name})
    if source.enabled:  # a paused source gets its listings when it is resumed; otherwise they would be read now
        update_listings(conn, source, listings, now)


def get_source(conn: Connection, name: str) -> Source | None:
    row = conn.execute(_ONE, {"b_name": name}).one_or_none()
    return None if row is None else load_source(row.plan, row.enabled)


def note_polls(conn: Connection, name: str, next_poll_at: datetime | None, polled_at: datetime | None) -> None:
    """Record when the listings of an adaptive source are read next, and that some became due at `polled_at`."""
    if next_poll_at is not None:
        conn.execute(_NEXT_POLL, {"b_name": name, "b_next": next_poll_at})
    if polled_at is not None:
        conn.execute(_LAST_POLL, {"b_name": name, "b_now": polled_at})


def get_enabled(conn: Connection, name: str) -> tuple[Source, datetime] | None:
    """A source and the time when it was added; None if it is paused or does not exist."""
    row = conn.execute(_ONE, {"b_name": name}).one_or_none()
    return (load_source(row.plan, row.enabled), row.created_at) if row is not None and row.enabled else None


def decide_tick(
    source: Source, next_tick_at: datetime, last_tick_at: datetime | None, now: datetime, next_tick: NextTick
) -> tuple[bool, datetime | None]:
    """(whether the source ticks now, its next tick or None where that does not change). Pure.

    A due tick happens once, however many were missed. A next tick later than the schedule allows shows that the clock was set back: it is
    scheduled again from now on. A cron tick never happens twice: it counts from the last tick, unless that is more than MAX_CLOCK_SET_BACK
    ahead.
    """
    if next_tick_at <= now:
        return True, next_tick(source, now)
    is_time_of_day = source.cron is not None and last_tick_at is not None and last_tick_at - now <= MAX_CLOCK_SET_BACK
    base = max(now, last_tick_at) if is_time_of_day and last_tick_at is not None else now
    scheduled = next_tick(source, base)
    return (False, scheduled) if next_tick_at - scheduled > CLOCK_SLACK else (False, None)


class Sources:
    """The plans of sources, their ticks and listings. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, source: Source, *, now: datetime) -> None:
        """Create or change a source. Its home page, feeds, sitemaps and sections become listings; new ones are due at once.

        The listings of a paused source are made when it is resumed.
        """
        with writing(self._engine) as conn:
            put(conn, source, now)

    def list_all(self, names: Collection[str] | None = None) -> list[Source]:
        """All sources, or those with these names, by name; disabled ones too (`Source.enabled`)."""
        with reading(self._engine) as conn:
            wanted = _ALL if names is None else _ALL.where(sources.c.name.in_(names))
            return [load_source(row.plan, row.enabled) for row in conn.execute(wanted)]

    def get(self, name: str) -> Source | None:
        with reading(self._engine) as conn:
            return get_source(conn, name)

    def set_enabled(self, name: str, enabled: bool, *, now: datetime) -> bool:
        """Pause or resume a source's ticks; URLs already due are still fetched. False: the source does not exist."""
        with writing(self._engine) as conn:
            if conn.execute(_ENABLE, {"b_name": name, "b_enabled": enabled}).rowcount == 0:
                return False
            if not enabled:
                poll_plans.stop(conn, name)
            elif (source := get_source(conn, name)) is not None:
                update_listings(conn, source, make_listing_rows(source, now), now)
                poll_plans.unplan(conn, name)
            return True

    def tick(self, *, now: datetime, next_tick: Callable[[Source, datetime], datetime], only_due: bool = False) -> list[str]:
        """Make the listings of every source whose next tick has come due. Returns the names of these sources.

        `next_tick(source, after)` gives the source's next tick after `after`. Of two schedulers exactly one gets a tick. Several missed
        ticks become one. A clock that was set back neither stops a source nor repeats a cron tick. `only_due` leaves out the search for
        ticks that a wrong clock wrote, which reads the plans of all sources.
        """
        with writing(self._engine) as conn:
            names = []
            rows = conn.execute(_DUE, {"b_now": now}) if only_due else conn.execute(_ENABLED)
            for row in sorted(rows, key=lambda row: row.name):  # two schedulers lock rows in one order
                if row.plan.get("every") is None and row.plan.get("cron") is None:
                    continue  # its listings are planned one by one; to load 10,000 plans would take half a second
                source = load_source(row.plan, row.enabled)
                ticks, next_at = decide_tick(source, row.next_tick_at, row.last_tick_at, now, next_tick)
                if next_at is None:
                    continue
                values = {"b_name": source.name, "b_seen": row.next_tick_at, "b_next": next_at}
                won = conn.execute(_TICK if ticks else _RESCHEDULE, {**values, "b_now": now} if ticks else values).rowcount == 1
                if ticks and won:
                    conn.execute(_LISTINGS_DUE_BUT_FAILING, {"b_name": source.name, "b_now": now, "b_recent": now - polls.RECENT})
                    names.append(source.name)
            return names

    def make_listings_due(self, name: str, *, now: datetime) -> None:
        """Make all listings of a source due now, failing ones too, and end the long pauses of their hosts. Its next tick stays."""
        with writing(self._engine) as conn:
            conn.execute(_LISTINGS_DUE, {"b_name": name, "b_now": now, "b_recent": now - polls.RECENT})
            conn.execute(_END_PAUSES, {"b_name": name, "b_long": now + MAX_KEPT_PAUSE})

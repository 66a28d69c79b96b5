"""What is known about sources, read for many at once: the number of statements does not grow with that of the sources.

The ledger keeps only the last result of a listing and of a page. `source_checks` keeps for each source what it had: which listings had
entries, the outcomes counted every hour, and its rhythm. The statements read at most some hundred rows of a source from indexes, and once a
day those of its documents' times.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from newsmill.health.causes import Observation
from newsmill.health.rhythm import Rhythm
from newsmill.model import Outcome, Source
from newsmill.storage.check_histories import CheckHistory
from newsmill.storage.counter_updates import FOUND
from newsmill.storage.ledger.priority import FROM_PLAN, RANK_RECENT
from newsmill.storage.ledger.traces import to_trace
from newsmill.storage.listing_observations import is_forgotten, is_relevant, to_record, update_failed, update_listings
from newsmill.storage.page_observations import add_snapshot, build_windows, read_failing_pages
from newsmill.storage.schema import count_totals, documents, hosts, ledger, listing_schedules, sources
from newsmill.storage.source_rhythms import count_active_hours, update_rhythms
from newsmill.storage.source_rows import SOURCE_NAMES, first_of, group_rows, read_rows
from newsmill.storage.statements import IN_FLIGHT, IS_LISTING, state_is

MAX_LISTINGS = 200  # of a source; those of its plan have the lowest ids

_LISTINGS = first_of(
    select(ledger.c.id, func.row_number().over(partition_by=ledger.c.source, order_by=ledger.c.id).label("number")).where(
        IS_LISTING, ledger.c.source.in_(SOURCE_NAMES)
    ),
    MAX_LISTINGS,
).order_by(ledger.c.id)
_NEWEST_ID = (
    select(documents.c.id)
    .where(documents.c.source == sources.c.name)
    .order_by(documents.c.first_seen_at.desc(), documents.c.id.desc())
    .limit(1)
    .scalar_subquery()
)
_NEWEST = select(documents.c.source, documents.c.first_seen_at, documents.c.site).where(
    documents.c.id.in_(select(_NEWEST_ID).where(sources.c.name.in_(SOURCE_NAMES)))
)
_IN_PROGRESS = (
    select(ledger.c.source).where(IN_FLIGHT, ledger.c.source.in_(SOURCE_NAMES), ledger.c.kind == "page", ledger.c.attempts == 0).distinct()
)
_LISTING = ledger.alias("listing")
_IS_DUE = (  # by host: no index finds the due pages of a source
    select(ledger.c.id)
    .where(
        ledger.c.host.in_(select(_LISTING.c.host).where(_LISTING.c.kind != "page", _LISTING.c.source == sources.c.name)),
        state_is("due"),
        ledger.c.rank <= RANK_RECENT,
        ledger.c.source == sources.c.name,
        ledger.c.kind == "page",
        ledger.c.attempts == 0,
    )
    .limit(1)
    .scalar_subquery()
)
_DUE = select(sources.c.name).where(sources.c.name.in_(SOURCE_NAMES), _IS_DUE.is_not(None))
_TOTALS = select(count_totals.c.source, count_totals.c.outcome, count_totals.c.n).where(
    count_totals.c.source.in_(SOURCE_NAMES), count_totals.c.kind == "page"
)
_READS = (  # of the plan's listings, which are few
    select(
        ledger.c.source, func.max(listing_schedules.c.reads).label("reads"), func.max(hosts.c.response_seconds).label("response_seconds")
    )
    .outerjoin(listing_schedules, listing_schedules.c.ledger_id == ledger.c.id)
    .outerjoin(hosts, hosts.c.host == ledger.c.host)
    .where(IS_LISTING, ledger.c.source.in_(SOURCE_NAMES), ledger.c.found_by == FROM_PLAN)
    .group_by(ledger.c.source)
)


@dataclass(frozen=True, slots=True)
class ObservedSource:
    """What is known about a source, without its layout, what to keep of it, and the site of its newest document."""

    seen: Observation
    history: CheckHistory
    site: str | None


def observe(
    conn: Connection, observed: Sequence[Source], histories: Mapping[str, CheckHistory], now: datetime
) -> dict[str, ObservedSource]:
    """What is known about sources, by their names. `histories` are those of `read_histories`."""
    names = [source.name for source in observed]
    listings = group_rows(to_trace(row) for row in read_rows(conn, _LISTINGS, names))
    newest = {row.source: row for row in read_rows(conn, _NEWEST, names)}
    reads = {row.source: row for row in read_rows(conn, _READS, names)}
    totals: dict[str, dict[Outcome, int]] = defaultdict(dict)
    with_pages: set[str] = set()
    for row in read_rows(conn, _TOTALS, names):
        if row.outcome == FOUND and row.n > 0:
            with_pages.add(row.source)
        elif row.n > 0:
            totals[row.source][Outcome(row.outcome)] = int(row.n)
    known = {name: histories.get(name, CheckHistory()) for name in names}
    last = {name: row.first_seen_at for name, row in newest.items()}
    known = update_rhythms(conn, known, last, now)
    pages = read_failing_pages(conn, names, last, totals)
    hours = count_active_hours(conn, [name for name, at in last.items() if now - at < timedelta(days=1)], now)
    waiting = _find_waiting(conn, [name for name, at in last.items() if _may_be_silent(known[name].rhythm, at, now)])
    found = {}
    for source in observed:
        name, history, traces = source.name, known[source.name], listings.get(source.name, [])
        updated, failed = update_listings(traces, history.listings), update_failed(traces, history.failed)
        seen = Observation(
            now,
            [to_record(trace, updated, failed) for trace in traces if is_relevant(trace, updated) and not is_forgotten(trace, now)],
            pages.get(name),
            build_windows(history.snapshots, totals.get(name, {}), now, is_new=name not in last),
            None,
            history.rhythm,
            last.get(name),
            hours.get(name, 0),
            source.enabled,
            name in waiting,
            name in with_pages,
            0 if name not in reads else reads[name].reads or 0,
            None if name not in reads else reads[name].response_seconds,
        )
        snapshots = add_snapshot(history.snapshots, totals.get(name, {}), now)
        history = replace(history, listings=updated, failed=failed, snapshots=snapshots)
        found[name] = ObservedSource(seen, history, newest[name].site if name in newest else None)
    return found


def _may_be_silent(rhythm: Rhythm, last: datetime, now: datetime) -> bool:
    return rhythm.silence_probability(last, now) < rhythm.level


def _find_waiting(conn: Connection, names: Sequence[str]) -> set[str]:
    """The sources with new pages that wait."""
    return {name for statement in (_IN_PROGRESS, _DUE) for (name,) in read_rows(conn, statement, names)}

"""A source's plan as listings of the ledger: listings that the plan names are there, those it no longer names are retired."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from newsmill.model import OUTCOMES, Kind, Link, Outcome, Source
from newsmill.storage.ledger.counter_updates import FOUND, CounterUpdates
from newsmill.storage.ledger.links import RANK_LISTING, REOPENED, insert_rows, make_row
from newsmill.storage.ledger.statements import IS_LISTING, AnyRow
from newsmill.storage.schema import ledger
from newsmill.urls import make_spider_url

FROM_PLAN = "source"  # `found_by` of the listings in a plan
RETIRED_DETAIL = "no longer in the source's plan"
_PAGE = Kind.PAGE.value

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
        **REOPENED,
        state="due",
        fence=ledger.c.fence + 1,  # ends the lease of a crawler that fetches it as something else
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
        **REOPENED
        | {"fence": ledger.c.fence + 1, "outcome": Outcome.DENIED.value, "detail": RETIRED_DETAIL}
        | {"state": OUTCOMES[Outcome.DENIED][0].value, "ended_at": bindparam("b_now")}
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
        rows.setdefault(row["url_key"], row)
    return rows


def update_listings(conn: Connection, name: str, planned: dict[str, dict[str, Any]], now: datetime) -> None:
    """Make the source's listings those of its plan; writes nothing where they are."""
    new = insert_rows(conn, planned, now)
    counters = CounterUpdates()
    for row in conn.execute(_PRESENT, {"b_keys": sorted(planned.keys() - new), "b_name": name}).all():
        if row.url_key in planned:
            if _needs_adopting(row, name, planned[row.url_key]["kind"]):
                _adopt(conn, row, name, planned[row.url_key]["kind"], now, counters)
        elif row.outcome != Outcome.DENIED:
            conn.execute(_RETIRE, {"b_id": row.id, "b_now": now})
            counters.add(now, name, row.kind, Outcome.DENIED.value)
    counters.write(conn)


def _needs_adopting(row: AnyRow, name: str, kind: str) -> bool:
    """Whether the row differs from the plan. A listing in another source's plan stays with that source."""
    if row.found_by == FROM_PLAN and row.source != name and row.outcome != Outcome.DENIED:
        return False
    return (row.kind, row.source, row.found_by) != (kind, name, FROM_PLAN) or row.outcome == Outcome.DENIED


def _adopt(conn: Connection, row: AnyRow, name: str, kind: str, now: datetime, counters: CounterUpdates) -> None:
    conn.execute(_ADOPT, {"b_id": row.id, "b_kind": kind, "b_name": name, "b_now": now})
    counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    if row.kind == _PAGE:  # it was counted as a page
        counters.add(row.first_seen_at, row.source, _PAGE, FOUND, -1)
        counters.add(now, name, kind, FOUND)

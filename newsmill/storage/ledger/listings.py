"""A source's plan as listings in the ledger: what the plan names is there, what it no longer names is retired."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, update

from newsmill.model import OUTCOMES, Kind, Link, Outcome, Source
from newsmill.storage.ledger.counter_updates import FOUND, Tally
from newsmill.storage.ledger.links import OPEN_AGAIN, make, row_of
from newsmill.storage.ledger.priority import LISTING
from newsmill.storage.ledger.statements import IS_LISTING, AnyRow
from newsmill.storage.schema import ledger
from newsmill.url_rules import Urls

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


def listings(urls: Urls, source: Source, now: datetime) -> dict[str, dict[str, Any]]:
    """The rows a plan asks for, by key. Raises UrlError."""
    named = [(Kind.FEED, url) for url in source.feeds]
    named += [(Kind.SITEMAP, url) for url in source.sitemaps]
    named += [(Kind.SECTION, url) for url in source.sections]
    if source.homepage and source.discover:
        named.append((Kind.HOMEPAGE, source.homepage))
    rows: dict[str, dict[str, Any]] = {}
    for kind, url in named:
        row = row_of(urls, Link(url=url, kind=kind, source=source.name, found_by=FROM_PLAN), now)
        rows.setdefault(row["url_key"], row)
    return rows


def follow(conn: Connection, name: str, wanted: dict[str, dict[str, Any]], now: datetime) -> None:
    """Make the ledger's listings what the plan wants. Changes nothing when they are so already."""
    new = make(conn, wanted, now)
    tally = Tally()
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


def _adopt(conn: Connection, row: AnyRow, name: str, kind: str, now: datetime, tally: Tally) -> None:
    conn.execute(_ADOPT, {"b_id": row.id, "b_kind": kind, "b_name": name, "b_now": now})
    tally.take_back(row.ended_at, row.source, row.kind, row.outcome)
    if row.kind == PAGE:  # it was no page after all
        tally.add(row.first_seen_at, row.source, PAGE, FOUND, -1)
        tally.add(now, name, kind, FOUND)

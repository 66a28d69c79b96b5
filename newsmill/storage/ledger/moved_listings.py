"""A listing that has moved permanently: its new URL takes its place in the plan of its source, and the old one is not fetched any more.

The alarm `moved_listing` notes the move in the history of the source. It ends when the new URL was read for some time.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from newsmill.health.causes import Cause, Evidence, Finding
from newsmill.model import OUTCOMES, Kind, Link, Outcome, OutcomeRecord, Source
from newsmill.storage.alarm_rows import begin_alarms
from newsmill.storage.ledger import sources
from newsmill.storage.ledger.links import REQUEUED, insert_rows, make_row
from newsmill.storage.schema import ledger
from newsmill.urls import make_key

PLAN_FIELDS = {Kind.FEED: "feeds", Kind.SITEMAP: "sitemaps", Kind.SECTION: "sections"}

_ROW = select(ledger.c.kind, ledger.c.found_by).where(ledger.c.url_key == bindparam("b_key"), ledger.c.source == bindparam("b_name"))
_RETIRE = (
    update(ledger)
    .where(ledger.c.url_key == bindparam("b_key"), ledger.c.source == bindparam("b_name"))
    .values(
        **REQUEUED
        | {"fence": ledger.c.fence + 1, "outcome": Outcome.DENIED.value, "detail": bindparam("b_detail")}
        | {"state": OUTCOMES[Outcome.DENIED][0].value, "ended_at": bindparam("b_now", type_=ledger.c.ended_at.type), "failing_since": None}
    )
)


def move_listing(conn: Connection, name: str, url: str, new_url: str, failure: OutcomeRecord | None, now: datetime) -> bool:
    """Replace a feed, sitemap or section of a source by its new URL. False: the source has no such listing. Raises UrlError.

    `failure` is what the old URL answers with; None for a permanent redirect.
    """
    source, values = sources.get_source(conn, name), {"b_name": name, "b_key": make_key(url)}
    row = conn.execute(_ROW, values).one_or_none()
    if source is None or row is None or Kind(row.kind) not in PLAN_FIELDS or values["b_key"] == make_key(new_url):
        return False
    kind = Kind(row.kind)
    changed = _replace_url(source, PLAN_FIELDS[kind], url, new_url)
    if changed == source:  # discovery found it
        link = make_row(Link(new_url, kind, name, row.found_by, url), now)
        insert_rows(conn, {link["url_key"]: link}, now)
    else:
        sources.put(conn, changed, now)
    conn.execute(_RETIRE, {**values, "b_detail": f"moved to {new_url}", "b_now": now})
    begin_alarms(conn, [(name, Finding(Cause.MOVED_LISTING, now, Evidence(failure, url, new_url, 1, 1)))], now)
    return True


def _replace_url(source: Source, field: str, url: str, new_url: str) -> Source:
    """The source with the new URL in the place of the old one, once."""
    key, planned = make_key(url), getattr(source, field)
    if all(make_key(one) != key for one in planned):
        return source
    changed = {make_key(one): one for one in (new_url if make_key(one) == key else one for one in planned)}
    changes: dict[str, Any] = {field: tuple(changed.values())}
    return replace(source, **changes)

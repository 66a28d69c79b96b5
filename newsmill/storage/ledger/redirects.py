"""Redirects from one site to another: the URL at their end gets a row of its own.

A row that followed such a redirect would own a document of the other site, and could later replace or remove it.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, bindparam, literal_column, select, update

from newsmill.discovery.source_sites import MAX_SITE_REDIRECTS
from newsmill.model import Link
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger import links
from newsmill.storage.schema import ledger, sightings
from newsmill.text import urls

_KEY = ledger.c.url_key == bindparam("b_key")
_BEFORE = select(ledger.c.found_on).where(_KEY, ledger.c.kind == literal_column("'page'"))
_TARGET = select(ledger.c.id).where(_KEY)
_SET_TARGET = update(ledger).where(ledger.c.id == bindparam("b_id")).values(final_url=bindparam("b_url"))
_SIGHTED = select(sightings.c.listing_id, sightings.c.sighted_at, sightings.c.is_late).where(sightings.c.page_id == bindparam("b_id"))
_SIGHT = Upsert(sightings, ("page_id", "listing_id"))


def is_too_long(conn: Connection, url: str | None) -> bool:
    """Whether MAX_SITE_REDIRECTS redirects from site to site have led to the row of this URL, which redirects too."""
    for _ in range(MAX_SITE_REDIRECTS + 1):
        if url is None or urls.find_site(url) is None:
            return False
        url = conn.execute(_BEFORE, {"b_key": urls.make_key(url)}).scalar()
    return url is not None


def follow(conn: Connection, row_id: int, link: Link, now: datetime) -> None:
    """Give the end of a redirect a row, seen on the listings of the row that redirects."""
    links.add(conn, [link], now, again=False)
    conn.execute(_SET_TARGET, {"b_id": row_id, "b_url": link.url})
    target = conn.execute(_TARGET, {"b_key": urls.make_key(link.url)}).scalar()
    if target is not None:  # it may be known without a parameter that makes copies
        rows = conn.execute(_SIGHTED, {"b_id": row_id}).mappings()
        _SIGHT.run(conn, [{"page_id": target, **row} for row in rows])

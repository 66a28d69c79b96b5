"""Known rows that a link changes: the source of a row's site takes it over from another source, and a page that is a listing becomes one.

A feed may name any URL before the publisher's own listings do. Its source then has the row, although it does not speak for the site. The
row changes hands when a listing of a source that speaks for the site shows it. A feed or sitemap may also have a row of kind page, because
somebody's feed named it as an article; nobody would read it as a listing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from newsmill import urls
from newsmill.discovery.source_sites import list_sites
from newsmill.model import Kind, Outcome
from newsmill.storage.columns import load_source
from newsmill.storage.documents import make_stamp
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, NEVER_REQUEUED, REQUEUED, batches, requeue
from newsmill.storage.ledger.priority import FROM_PLAN
from newsmill.storage.schema import documents, ledger, listing_schedules, sources
from newsmill.storage.statements import FOUND, NOW, AnyRow, CounterUpdates

ENDED = frozenset({"done", "dropped", "failed"})  # quarantine holds pages that crash their extraction, whoever lists them

_KEYS: Any = bindparam("b_keys", expanding=True)
_IDS: Any = bindparam("b_ids", expanding=True)
_OF_ID = ledger.c.id == bindparam("b_id")
_HINT = bindparam("b_hint", type_=ledger.c.hint.type)
_HELD_BY_OTHERS = (
    select(*ENDED_COLUMNS, ledger.c.url_key, ledger.c.url, ledger.c.found_by, ledger.c.first_seen_at, ledger.c.rank)
    .where(ledger.c.url_key.in_(_KEYS), ledger.c.source != bindparam("b_source"))
    .order_by(ledger.c.id)
    .with_for_update()
)
_NOT_LISTINGS = (
    select(*ENDED_COLUMNS, ledger.c.url_key, ledger.c.url, ledger.c.found_by, ledger.c.first_seen_at, ledger.c.rank)
    .where(ledger.c.url_key.in_(_KEYS), or_(ledger.c.source != bindparam("b_source"), ledger.c.kind == Kind.PAGE.value))
    .order_by(ledger.c.id)
    .with_for_update()
)
_PLANS = select(sources.c.name, sources.c.plan, sources.c.enabled).where(sources.c.name.in_(bindparam("b_names", expanding=True)))
_OWNERS = select(documents.c.ledger_id).where(documents.c.ledger_id.in_(_IDS))
_TAKE = (
    update(ledger)
    .where(_OF_ID)
    .values(
        source=bindparam("b_source"),
        found_by=bindparam("b_found_by"),
        found_on=bindparam("b_found_on"),
        hint=_HINT,
        rank=bindparam("b_rank"),
    )
)
# The next fetch brings the whole page: its hint and the rules of its source are others.
_REVISIT = update(ledger).where(_OF_ID).values(revisit_at=NOW, etag=None, last_modified=None)
_CONVERT = (
    update(ledger)
    .where(_OF_ID)
    .values(
        **REQUEUED,
        state="due",
        fence=ledger.c.fence + 1,  # ends the lease of a crawler or worker that takes it for something else
        kind=bindparam("b_kind"),
        next_at=NOW,
        etag=None,
        last_modified=None,
        segment=None,
        document_id=None,
    )
)
_UNPLAN = delete(listing_schedules).where(listing_schedules.c.ledger_id == bindparam("b_id"))
_RENAME = update(documents).where(documents.c.ledger_id.in_(_IDS))

Row = Mapping[str, Any]  # of the ledger, as a link makes it


@dataclass(frozen=True, slots=True)
class Change:
    """What a link does to a known row. `converts`: the row becomes one of the link's kind."""

    row: AnyRow
    new: Row
    converts: bool
    has_document: bool

    @property
    def is_requeued(self) -> bool:
        """Whether the row is fetched again: its publisher announces it now, and another source's patterns may have left it out."""
        return not self.has_document and self.row.state in ENDED and self.row.outcome not in NEVER_REQUEUED


def read_sites(conn: Connection, names: Collection[str | None]) -> dict[str | None, frozenset[str]]:
    """The sites that these sources speak for, by name; those of sources that do not exist are left out."""
    wanted = sorted(name for name in names if name is not None)
    found = conn.execute(_PLANS, {"b_names": wanted}) if wanted else ()
    return {row.name: list_sites(load_source(row.plan, row.enabled)) for row in found}


def adopt(conn: Connection, rows: Mapping[str, Row], sites: Mapping[str | None, frozenset[str]], now: datetime) -> None:
    """Change those known rows that one of `rows` (of listings' links, by key) takes over or makes a listing.

    `sites`: those of the sources of `rows`. A row that a plan names stays with its source.
    """
    found = _find_candidates(conn, rows)
    if not found:
        return
    holders = read_sites(conn, {row.source for row in found})
    owners = set(conn.execute(_OWNERS, {"b_ids": [row.id for row in found]}).scalars())
    changes = [
        change for row in found if (change := _decide(row, rows[row.url_key], sites, holders, has_document=row.id in owners)) is not None
    ]
    counters = CounterUpdates()
    for change in changes:
        _apply(conn, change, counters, now)
    counters.write(conn)
    _rename_documents(conn, [change for change in changes if change.has_document], now)


def _find_candidates(conn: Connection, rows: Mapping[str, Row]) -> list[AnyRow]:
    by_source: dict[tuple[str, bool], list[str]] = {}
    for key in sorted(rows):
        if (source := rows[key]["source"]) is not None:
            by_source.setdefault((source, rows[key]["kind"] == Kind.PAGE), []).append(key)
    found: list[AnyRow] = []
    for (source, is_page), keys in sorted(by_source.items()):
        statement = _HELD_BY_OTHERS if is_page else _NOT_LISTINGS
        for batch in batches(keys):
            found += conn.execute(statement, {"b_keys": batch, "b_source": source})
    return sorted(found, key=lambda row: int(row.id))


def _decide(
    row: AnyRow,
    new: Row,
    sites: Mapping[str | None, frozenset[str]],
    holders: Mapping[str | None, frozenset[str]],
    *,
    has_document: bool,
) -> Change | None:
    if row.found_by == FROM_PLAN or row.outcome == Outcome.TAKEDOWN:
        return None
    site = urls.find_site(row.url)
    takes_over = row.source != new["source"] and site in sites.get(new["source"], ()) and site not in holders.get(row.source, {site})
    is_new_listing = row.kind == Kind.PAGE and new["kind"] != Kind.PAGE and row.state in ENDED
    if not takes_over and not (is_new_listing and not has_document):
        return None
    return Change(row, new, converts=row.kind != new["kind"] and not has_document, has_document=has_document)


def _apply(conn: Connection, change: Change, counters: CounterUpdates, now: datetime) -> None:
    row, new = change.row, change.new
    kind = new["kind"] if change.converts else row.kind
    if change.converts:
        conn.execute(_CONVERT, {"b_id": row.id, "b_kind": kind, "b_now": now})
        conn.execute(_UNPLAN, {"b_id": row.id})
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    elif change.is_requeued:
        requeue(conn, [row], now)
    else:
        if change.has_document and row.state == "done":
            conn.execute(_REVISIT, {"b_id": row.id, "b_now": now})
        counters.move(row, new["source"])
    counters.add(row.first_seen_at, row.source, row.kind, FOUND, -1)
    counters.add(row.first_seen_at, new["source"], kind, FOUND)
    values = {"b_source": new["source"], "b_found_by": new["found_by"], "b_found_on": new["found_on"], "b_hint": new["hint"]}
    rank = row.rank if change.has_document else new["rank"] if change.converts else min(row.rank, new["rank"])
    conn.execute(_TAKE, {"b_id": row.id, "b_rank": rank, **values})


def _rename_documents(conn: Connection, changes: Sequence[Change], now: datetime) -> None:
    by_source: dict[str, list[int]] = {}
    for change in changes:
        by_source.setdefault(change.new["source"], []).append(change.row.id)
    for source, ids in sorted(by_source.items()):
        conn.execute(_RENAME.values(source=source, stored_at=make_stamp(conn, now)), {"b_ids": ids})

"""Known rows that a link changes: the source of a row's site takes it over from another source, and a page that is a listing becomes one.

A feed may name any URL before the publisher's own listings do. Its source then has the row, although it does not speak for the site. The
row changes hands when a listing of a source that speaks for the site shows it. A feed or sitemap may also have a row of kind page, because
somebody's feed named it as an article; nobody would read it as a listing.

Such a feed may also spell the URL in a way that has the same key and that the site's server does not answer. A row without a document
therefore starts again with the URL of the link that takes it over, or that knows better how the URL is spelled. This happens once for each
step from a foreign listing to one of the site itself, so a site cannot end the waiting times of its own URLs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, literal, or_, select, update

from newsmill.discovery.source_sites import LISTED_BY, is_hint_trusted, list_sites
from newsmill.model import Kind
from newsmill.storage.columns import load_source
from newsmill.storage.counter_updates import FOUND, CounterUpdates
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, NEVER_REQUEUED, REQUEUED, batches
from newsmill.storage.ledger.priority import FROM_PLAN
from newsmill.storage.schema import documents, ledger, listing_schedules, sources
from newsmill.storage.statements import NOW, AnyRow
from newsmill.storage.storing_order import make_stamp
from newsmill.text import urls

ENDED = frozenset({"done", "dropped", "failed"})  # quarantine holds pages that crash their extraction, whoever lists them
RESTARTED = ENDED | {"due", "fetching"}  # at the same URL; a page that was fetched there is extracted

_KEYS: Any = bindparam("b_keys", expanding=True)
_IDS: Any = bindparam("b_ids", expanding=True)
_OF_ID = ledger.c.id == bindparam("b_id")
_HINT = bindparam("b_hint", type_=ledger.c.hint.type)
_COLUMNS = (*ENDED_COLUMNS, *(ledger.c[name] for name in ("url_key", "url", "found_by", "found_on", "first_seen_at", "rank")))
_CANDIDATES = select(*_COLUMNS).where(ledger.c.url_key.in_(_KEYS)).order_by(ledger.c.id).with_for_update()
# A listing of the same host spelled most rows without a document; the others are compared by site.
_IS_SPELLED_ELSEWHERE = and_(
    ledger.c.document_id.is_(None),
    ledger.c.found_by.in_(sorted(LISTED_BY)),
    ledger.c.found_on.not_like(literal("http%://").concat(ledger.c.host).concat("/%")),
)
_IS_HELD_BY_OTHERS = ledger.c.source != bindparam("b_source")
_OTHER_PAGES = _CANDIDATES.where(or_(_IS_HELD_BY_OTHERS, _IS_SPELLED_ELSEWHERE))
_OTHER_LISTINGS = _CANDIDATES.where(or_(_IS_HELD_BY_OTHERS, _IS_SPELLED_ELSEWHERE, ledger.c.kind == Kind.PAGE.value))
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
_RESTART = (
    update(ledger)
    .where(_OF_ID)
    .values(
        **REQUEUED,
        state="due",
        fence=ledger.c.fence + 1,  # ends the lease of a crawler or worker that takes it for something else
        url=bindparam("b_url"),
        host=bindparam("b_host"),
        kind=bindparam("b_kind"),
        next_at=NOW,
        **dict.fromkeys(("failing_since", "etag", "last_modified", "segment", "document_id", "rendering", "parts")),
    )
)
_UNPLAN = delete(listing_schedules).where(listing_schedules.c.ledger_id == bindparam("b_id"))
_RENAME = update(documents).where(documents.c.ledger_id.in_(_IDS))

Row = Mapping[str, Any]  # of the ledger, as a link makes it


@dataclass(frozen=True, slots=True)
class Change:
    """What a link does to a known row. `changes_source`: the row becomes one of the link's source; `restarts`: it is fetched anew, as what
    the link says and at its URL."""

    row: AnyRow
    new: Row
    changes_source: bool
    restarts: bool
    has_document: bool


def read_sites(conn: Connection, names: Collection[str | None]) -> dict[str | None, frozenset[str]]:
    """The sites that these sources speak for, by name; those of sources that do not exist are left out."""
    wanted = sorted(name for name in names if name is not None)
    found = conn.execute(_PLANS, {"b_names": wanted}) if wanted else ()
    return {row.name: list_sites(load_source(row.plan, row.enabled)) for row in found}


def adopt(conn: Connection, rows: Mapping[str, Row], sites: Mapping[str | None, frozenset[str]], now: datetime) -> None:
    """Change those known rows that one of `rows` (of links, by key) takes over, makes a listing or spells better.

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
        by_source.setdefault((rows[key]["source"] or "", rows[key]["kind"] == Kind.PAGE), []).append(key)
    found: list[AnyRow] = []
    for (source, is_page), keys in sorted(by_source.items()):
        for batch in batches(keys):
            found += conn.execute(_OTHER_PAGES if is_page else _OTHER_LISTINGS, {"b_keys": batch, "b_source": source or None})
    return sorted(found, key=lambda row: int(row.id))


def _decide(
    row: AnyRow,
    new: Row,
    sites: Mapping[str | None, frozenset[str]],
    holders: Mapping[str | None, frozenset[str]],
    *,
    has_document: bool,
) -> Change | None:
    if row.found_by == FROM_PLAN or row.outcome in NEVER_REQUEUED:
        return None
    site = urls.find_site(row.url)
    speaks = new["found_by"] in LISTED_BY and site in sites.get(new["source"], ())
    takes_over = speaks and row.source != new["source"] and site not in holders.get(row.source, {site})
    knows = _rank_spelling(new["found_by"], new["found_on"], row.url, sites.get(new["source"]))
    known = _rank_spelling(row.found_by, row.found_on, row.url, holders.get(row.source))
    is_other_kind, is_other_url = row.kind != new["kind"], row.url != new["url"]
    is_new_listing = is_other_kind and row.kind == Kind.PAGE and row.state in ENDED and not has_document and knows >= known
    respells = is_other_url and not is_other_kind and not has_document and knows > known
    if not (takes_over or is_new_listing or respells):
        return None
    is_other = is_other_kind or is_other_url or row.state in RESTARTED
    return Change(row, new, takes_over or is_new_listing, restarts=is_other and not has_document, has_document=has_document)


def _rank_spelling(found_by: str, found_on: str | None, url: str, sites: frozenset[str] | None) -> int:
    """How well the writer of a link knows which spelling of a URL its server answers: 2, the site itself, or a person or program of the
    operator; 1, another listing of a source that speaks for the site; 0, others. `sites`: those of the source."""
    return is_hint_trusted(frozenset(), found_by, found_on, url) + is_hint_trusted(sites or frozenset(), found_by, found_on, url)


def _apply(conn: Connection, change: Change, counters: CounterUpdates, now: datetime) -> None:
    row, new = change.row, change.new
    source = new["source"] if change.changes_source else row.source
    kind = new["kind"] if change.restarts else row.kind
    if change.restarts:
        conn.execute(_RESTART, {"b_id": row.id, "b_url": new["url"], "b_host": new["host"], "b_kind": kind, "b_now": now})
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    else:
        if change.has_document and row.state == "done":
            conn.execute(_REVISIT, {"b_id": row.id, "b_now": now})
        counters.move(row, source)
    if kind != row.kind:
        conn.execute(_UNPLAN, {"b_id": row.id})
    counters.add(row.first_seen_at, row.source, row.kind, FOUND, -1)
    counters.add(row.first_seen_at, source, kind, FOUND)
    values = {"b_source": source, "b_found_by": new["found_by"], "b_found_on": new["found_on"], "b_hint": new["hint"]}
    rank = row.rank if change.has_document else new["rank"] if kind != row.kind else min(row.rank, new["rank"])
    conn.execute(_TAKE, {"b_id": row.id, "b_rank": rank, **values})


def _rename_documents(conn: Connection, changes: Sequence[Change], now: datetime) -> None:
    by_source: dict[str, list[int]] = {}
    for change in changes:
        by_source.setdefault(change.new["source"], []).append(change.row.id)
    for source, ids in sorted(by_source.items()):
        conn.execute(_RENAME.values(source=source, stored_at=make_stamp(conn, now)), {"b_ids": ids})

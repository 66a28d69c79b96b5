"""Links become rows of the ledger: one per URL, however often it is found.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, select, update

from newsmill.discovery.source_sites import LISTED_BY, is_hint_trusted
from newsmill.discovery.url_variants import mask_tokens
from newsmill.exceptions import UrlError
from newsmill.model import NETWORK_FAILURES, OUTCOMES, Kind, Link, Outcome
from newsmill.storage.columns import dump_hint, make_storable
from newsmill.storage.counter_updates import FOUND, CounterUpdates
from newsmill.storage.database import writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.ledger import polls
from newsmill.storage.ledger.adoption import adopt, read_sites
from newsmill.storage.ledger.barred_urls import find_reasons
from newsmill.storage.ledger.ended_rows import ENDED_COLUMNS, batches, requeue, requeue_keys
from newsmill.storage.ledger.priority import RANK_RECENT, REQUESTED_BY, rank
from newsmill.storage.schema import hosts, ledger
from newsmill.storage.statements import AnyRow, state_is
from newsmill.storage.url_parameters import drop_useless
from newsmill.text import urls
from newsmill.text.redaction import redact

REOPEN_AFTER = timedelta(days=1)  # a page that a listing still shows is tried again so long after its last failure
# The same for HTTP 404 and a page that says so, but at least as long as the page is known: some sites list an article before all of their
# servers have it, or are out of order.
REOPEN_MISSING_AFTER = timedelta(minutes=10)
# Failures of the host or the network rather than of the page; of HTTP errors, those with PASSING_STATUSES.
PASSING_FAILURES = NETWORK_FAILURES | {Outcome.BLOCKED}
PASSING_STATUSES = ("HTTP 403", "HTTP 408", "HTTP 425", "HTTP 429", "HTTP 5")

INSERT = Upsert(ledger, ("url_key",))
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # a host that was never leased comes first
_INSERT_HOSTS = Upsert(hosts, ("host",))
_PAGES = select(*ENDED_COLUMNS, ledger.c.url_key, ledger.c.first_seen_at, ledger.c.detail).where(
    ledger.c.url_key.in_(bindparam("keys", expanding=True)), ledger.c.kind == Kind.PAGE.value
)
_KNOWN_KEYS = select(ledger.c.url_key).where(ledger.c.url_key.in_(bindparam("keys", expanding=True)))
_RAISE_RANK = (  # a page known from a sitemap is now in a feed
    update(ledger)
    # A row with an outcome is a stored article that is revisited; it is on the listing that showed it before.
    .where(ledger.c.url_key == bindparam("b_key"), state_is("due"), ledger.c.rank > bindparam("b_rank"), ledger.c.outcome.is_(None))
    .values(rank=bindparam("b_rank"))
)
_PENDING_HINTS = select(ledger.c.url_key, ledger.c.hint).where(
    ledger.c.url_key.in_(bindparam("keys", expanding=True)), state_is("due"), ledger.c.outcome.is_(None)
)
_SET_HINT = (
    update(ledger)
    .where(ledger.c.url_key == bindparam("b_key"), state_is("due"), ledger.c.outcome.is_(None))
    .values(hint=bindparam("b_hint", type_=ledger.c.hint.type))
)
_RESPELL = (
    update(ledger)
    .where(ledger.c.url_key == bindparam("b_key"), ledger.c.url != bindparam("b_url"))
    .values(url=bindparam("b_url"), host=bindparam("b_host"))
)


@dataclass(frozen=True, slots=True)
class Added:
    """The counts of a batch of links. `bad`: invalid URLs, except those that a person or a program requested (they get a row)."""

    new: int = 0
    known: int = 0
    bad: int = 0
    again: int = 0  # known URLs that are due again
    is_first_read: bool = False  # of the listing that has the links


def add(conn: Connection, links: Iterable[Link], now: datetime, again: bool, listing_id: int | None = None) -> Added:
    links = [*links]
    plain = drop_useless(conn, [link for link in links if link.found_by not in REQUESTED_BY])
    found = plain.links
    known_as = _name_discovered(conn, found) | plain.known_as
    requested = [link for link in links if link.found_by in REQUESTED_BY]
    read_at = None if listing_id is None else polls.get_read_at(conn, listing_id)
    is_first_read = listing_id is not None and read_at is None
    sites = read_sites(conn, {link.source for link in found})
    rows, shown, bad = _make_rows([*requested, *found], known_as, now, sites, is_first_read=is_first_read)
    new = insert_rows(conn, rows, now)
    known = sorted(rows.keys() - new)
    again_due: int = sum(requeue_keys(conn, batch, now) for batch in batches(known)) if again else 0
    adopt(conn, {key: rows[key] for key in known}, sites, now)
    _respell_listings(conn, [rows[key] for key in {urls.make_key(url) for url in known_as.values()} - new])
    news = set(known)
    if listing_id is not None:
        news = _record_sightings(conn, listing_id, read_at, {key: rows[key] for key in sorted(shown)}, now)
        if new and (not is_first_read or polls.has_news(found, now)):
            polls.mark_shown(conn, listing_id, now)
    _update_pending(conn, [rows[key] for key in known if key in news], sites)
    return Added(new=len(new), known=len(known), bad=bad, again=again_due, is_first_read=is_first_read)


def _update_pending(conn: Connection, rows: Sequence[Mapping[str, Any]], sites: Mapping[str | None, frozenset[str]]) -> None:
    """Give known pages the rank and the hint of the listing that shows them now (rows of its links), until they are fetched."""
    raised = [{"b_key": row["url_key"], "b_rank": row["rank"]} for row in rows if row["rank"] <= RANK_RECENT]
    if raised:
        conn.execute(_RAISE_RANK, raised)
    _add_hints(conn, {row["url_key"]: row["hint"] for row in rows if row["hint"] is not None and _describes(row, sites)})


def _describes(row: Mapping[str, Any], sites: Mapping[str | None, frozenset[str]]) -> bool:
    """Whether the hint of a link may be added to the row of another one."""
    return is_hint_trusted(sites.get(row["source"], frozenset()), row["found_by"], row["found_on"], row["url"])


def _name_discovered(conn: Connection, links: Sequence[Link]) -> dict[str, str]:
    """The URLs by which feeds and sections are known that a homepage names by a URL which may be new at each read, by their URL.

    Two that differ in nothing else are different listings, and so is one that has a row, such as a feed of `sources.toml`. The name of the
    source is part of the URL: two sources may follow parts of one site.
    """
    masked: dict[str, set[str]] = {}
    for link in links:
        if link.found_by == Kind.HOMEPAGE and link.kind in (Kind.FEED, Kind.SECTION) and urls.find_site(link.url) is not None:
            url = urls.normalize(link.url)
            if (mask := mask_tokens(url)) != url:
                masked.setdefault(f"{mask}{'&' if '?' in mask else '?'}source={link.source}", set()).add(link.url)
    names = {url: name for name, (url, *others) in masked.items() if not others}
    keys = {urls.make_key(url): url for url in names}
    for batch in batches(sorted(keys)):
        for row in conn.execute(_KNOWN_KEYS, {"keys": batch}):
            del names[keys[row.url_key]]
    return names


def _add_hints(conn: Connection, hints: Mapping[str, Mapping[str, Any]]) -> None:
    """Add to pages that are not fetched yet what their hints lack: a homepage shows a page without the date and tags of its feed entry."""
    for batch in batches(sorted(hints)):
        merged = [
            (row.url_key, row.hint or {}, _merge_hints(row.hint or {}, hints[row.url_key]))
            for row in conn.execute(_PENDING_HINTS, {"keys": batch})
        ]
        changed = [{"b_key": key, "b_hint": hint} for key, old, hint in merged if hint != old]
        if changed:
            conn.execute(_SET_HINT, changed)


def _merge_hints(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The old hint with what it lacks. The precision belongs to its own date."""
    return {**{name: value for name, value in new.items() if name != "published_precision" or "published_at" not in old}, **old}


def _respell(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Give known rows their newest URL: the id of a session in an older one may have expired, or its server does not answer it."""
    if rows:
        conn.execute(_RESPELL, [{"b_key": row["url_key"], "b_url": row["url"], "b_host": row["host"]} for row in rows])


def _respell_listings(conn: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    _respell(conn, [row for row in rows if row["kind"] != Kind.PAGE])


def _record_sightings(
    conn: Connection, listing_id: int, read_at: datetime | None, rows: Mapping[str, Mapping[str, Any]], now: datetime
) -> set[str]:
    """Record the pages (rows of links, by key) that a listing shows, and open failed and missing ones again; returns the keys that it had
    not shown before. A listing of the page's own site then says how its URL is spelled."""
    new: set[str] = set()
    for batch in batches([*rows]):
        pages = {row.id: row for row in conn.execute(_PAGES, {"keys": batch})}
        sighted = polls.record_sightings(conn, listing_id, read_at, {row.id: row.first_seen_at for row in pages.values()}, now)
        new |= {pages[page].url_key for page in sighted}
        opened = [row for row in pages.values() if _is_open(row, now)]
        requeue(conn, opened, now)
        _respell(conn, [row for row in (rows[page.url_key] for page in opened) if _describes(row, {})])
    return new


def _is_open(row: AnyRow, now: datetime) -> bool:
    """Whether a failed page is worth another try because a listing still shows it."""
    if row.state not in ("failed", "dropped") or row.ended_at is None:
        return False
    outcome = Outcome(row.outcome)
    if outcome is Outcome.SOFT_404 or (outcome is Outcome.GONE and row.detail == "HTTP 404"):
        return bool(now - row.ended_at >= max(REOPEN_MISSING_AFTER, row.ended_at - row.first_seen_at))
    if row.ended_at > now - REOPEN_AFTER:
        return False
    return outcome in PASSING_FAILURES or (outcome is Outcome.HTTP_ERROR and (row.detail or "").startswith(PASSING_STATUSES))


def insert_rows(conn: Connection, rows: dict[str, dict[str, Any]], now: datetime) -> set[str]:
    """Insert and count those of the rows (by key) that are new, and the hosts they need. Returns the keys inserted."""
    pages = [key for key, row in rows.items() if row["kind"] == Kind.PAGE]  # a listing stores no text
    for key, reason in find_reasons(conn, pages).items():
        rows[key] |= {"state": OUTCOMES[Outcome.TAKEDOWN].state.value, "outcome": Outcome.TAKEDOWN.value, "detail": reason}
        rows[key] |= {"ended_at": now, "hint": None}
    ordered = [rows[key] for key in sorted(rows)]
    insert_hosts(conn, (row["host"] for row in ordered if row["host"]))
    new = set(INSERT.run_returning_keys(conn, ordered))
    counters = CounterUpdates()
    for row in (row for row in ordered if row["url_key"] in new):
        counters.add(now, row["source"], row["kind"], FOUND)
        if row["outcome"]:
            counters.add(now, row["source"], row["kind"], row["outcome"])
    counters.write(conn)
    return new


def insert_hosts(conn: Connection, names: Iterable[str]) -> None:
    """Insert the hosts that have no row yet."""
    _INSERT_HOSTS.run(conn, [{"host": host, "leased_at": NEVER} for host in sorted(set(names))])


def _make_rows(
    links: Iterable[Link],
    known_as: Mapping[str, str],
    now: datetime,
    sites: Mapping[str | None, frozenset[str]],
    *,
    is_first_read: bool,
) -> tuple[dict[str, dict[str, Any]], set[str], int]:
    """(rows by key, of several links to one URL the first; keys whose sighting is recorded; number of invalid URLs that get no row).

    `known_as`: the URLs by which some links are known, by the URL of the link. `sites`: those of the sources of listings' links.
    """
    rows: dict[str, dict[str, Any]] = {}
    shown: set[str] = set()
    bad = 0
    for link in links:
        try:
            is_foreign = link.found_by in LISTED_BY and link.source in sites and urls.find_site(link.url) not in sites[link.source]
            row = make_row(link, now, is_first_read=is_first_read, is_foreign=is_foreign)
        except UrlError as error:
            if link.found_by not in REQUESTED_BY:
                bad += 1
                continue
            row = _make_bad_row(link, str(error), now)
        if (plain := known_as.get(link.url)) is not None:
            row["url_key"] = urls.make_key(plain)
        rows.setdefault(row["url_key"], row)
        if polls.is_sighting(link, now):
            shown.add(row["url_key"])
    return rows, shown, bad


def make_row(link: Link, now: datetime, *, is_first_read: bool = False, is_foreign: bool = False) -> dict[str, Any]:
    """A new row for a link, due now; see `rank`. Raises UrlError."""
    if link.kind is Kind.SPIDER:
        url, key, host = link.url, urls.make_spider_key(link.url), urls.make_spider_host(link.source or "")
    else:
        url = urls.normalize(link.url)
        key, host = urls.make_key(url), urls.get_host(url)
    return {
        "url_key": key,
        "url": url,
        "host": host,
        "source": link.source,
        "kind": link.kind.value,
        "rank": rank(link, now, is_first_read=is_first_read, is_foreign=is_foreign),
        "found_by": link.found_by,
        "found_on": link.found_on,
        "hint": dump_hint(link.hint),
        "first_seen_at": now,
        "state": "due",
        "next_at": now,
        "outcome": None,
        "detail": None,
        "ended_at": None,
    }


def _make_bad_row(link: Link, reason: str, now: datetime) -> dict[str, Any]:
    """A new row for an invalid URL, with the outcome bad_url."""
    return {
        "url_key": make_bad_key(link.url),
        "url": redact(link.url),
        "host": "",
        "source": link.source,
        "kind": link.kind.value,
        "rank": rank(link, now),
        "found_by": link.found_by,
        "found_on": link.found_on,
        "hint": None,
        "first_seen_at": now,
        "state": OUTCOMES[Outcome.BAD_URL].state.value,
        "next_at": now,
        "outcome": Outcome.BAD_URL.value,
        "detail": reason,
        "ended_at": now,
    }


def make_bad_key(url: str) -> str:
    """The key of an invalid URL. It has a colon, which no key of a valid URL has."""
    return "bad:" + hashlib.blake2b(make_storable(url).encode(), digest_size=16).hexdigest()


class Links:
    """URLs that were found or requested. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, links: Iterable[Link], *, now: datetime, again: bool = False, listing_id: int | None = None) -> Added:
        """One row per URL. A known row stays as it is; with `again`, one that has an outcome is due again.

        `listing_id` is the row of the listing that shows the links: its sightings are recorded, pages from its first poll rank behind new
        ones, and a page that failed for a passing reason, or was not found, and is still shown is due again.

        An invalid URL that a person or a program requested (found_by manual, api) gets a row with the outcome bad_url. Others are only
        counted in the result.
        """
        with writing(self._engine) as conn:
            return add(conn, links, now, again, listing_id)

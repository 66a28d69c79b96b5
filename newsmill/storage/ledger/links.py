"""Links become rows of the ledger: one per URL, however often it is found; and ended rows become due again, or are discarded.

The rank decides which of a host's due rows is fetched first. At one request per second, on a site with a long archive, the order decides
whether new pages are fetched soon.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, literal_column, or_, select, update

from newsmill import urls
from newsmill.discovery.url_patterns import mask_tokens
from newsmill.exceptions import UrlError
from newsmill.model import NETWORK_FAILURES, OUTCOMES, Kind, Link, Outcome
from newsmill.redaction import redact
from newsmill.storage.columns import dump_hint, make_storable
from newsmill.storage.ledger import polls
from newsmill.storage.ledger.barred_urls import find_reasons
from newsmill.storage.schema import hosts, ledger
from newsmill.storage.statements import FOUND, KEEP_FAILURE, LIMIT, NOW, AnyRow, CounterUpdates, Upsert, state_is
from newsmill.storage.url_parameters import drop_useless

RANK_LISTING = 0  # feeds, sitemaps, sections and home pages: few, and they announce the news
RANK_REQUESTED = 1  # a person or a program waits for it
RANK_NEW = 2  # new on a feed, a section or the home page since its last poll
RANK_RECENT = 3  # from the first poll of a listing, or from a sitemap and dated within MAX_RECENT_AGE
RANK_REVISIT = 4  # a stored article is fetched again; ledger.revisits
RANK_OLD = 5  # from a sitemap, older or without a date; older pages from the first poll of another listing
RANK_BACKFILL = 6  # what a backfill finds and reads: behind everything else
FROM_BACKFILL = "backfill"  # `found_by` of what a backfill finds

REQUESTED_BY = frozenset({"manual", "api"})  # the sender waits for an answer, so an invalid URL gets a row too
MAX_NEWS_AGE = timedelta(days=2)  # the age up to which Google's news sitemaps list a page
MAX_RECENT_AGE = timedelta(days=30)
END_STATES = frozenset({"done", "dropped", "failed", "quarantined"})
BATCH_SIZE = 500  # keys per statement: below every driver's limit on parameters
REOPEN_AFTER = timedelta(days=1)  # a page that a listing still shows is tried again so long after its last failure
# The same for HTTP 404 and a page that says so, but at least as long as the page is known: some sites list an article before all of their
# servers have it, or are out of order.
REOPEN_MISSING_AFTER = timedelta(minutes=10)
# Failures of the host or the network rather than of the page; of HTTP errors, those with PASSING_STATUSES.
PASSING_FAILURES = NETWORK_FAILURES | {Outcome.BLOCKED}
PASSING_STATUSES = ("HTTP 403", "HTTP 408", "HTTP 425", "HTTP 429", "HTTP 5")
REEXTRACT = "reextract"  # `stage` of an archived page that waits for another extraction
REQUEUED: dict[str, Any] = {
    **dict.fromkeys(("outcome", "detail", "stage", "ended_at", "owner", "lease_until", "stage_in_progress", "revisit_at")),
    **KEEP_FAILURE,
    "attempts": 0,
    "crashes": 0,
}
NEVER_REQUEUED = frozenset({Outcome.BAD_URL, Outcome.TAKEDOWN})
ENDED_COLUMNS = (ledger.c.id, ledger.c.source, ledger.c.kind, ledger.c.state, ledger.c.outcome, ledger.c.ended_at)

INSERT = Upsert(ledger, ("url_key",))
NEVER = datetime(1970, 1, 1, tzinfo=UTC)  # a host that was never leased comes first
_INSERT_HOSTS = Upsert(hosts, ("host",))
_PAGES = select(*ENDED_COLUMNS, ledger.c.url_key, ledger.c.first_seen_at, ledger.c.detail).where(
    ledger.c.url_key.in_(bindparam("keys", expanding=True)), ledger.c.kind == Kind.PAGE.value
)
_KNOWN_ROWS = select(*ENDED_COLUMNS).where(ledger.c.url_key.in_(bindparam("keys", expanding=True))).order_by(ledger.c.id).with_for_update()
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
_RESPELL = update(ledger).where(ledger.c.url_key == bindparam("b_key"), ledger.c.url != bindparam("b_url")).values(url=bindparam("b_url"))
_REQUEUE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(
        **REQUEUED,
        state="due",
        next_at=bindparam("b_now"),
        rendering=None,
        rank=case((ledger.c.rank == RANK_REVISIT, RANK_NEW), else_=ledger.c.rank),
    )
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
    rows, shown, bad = _make_rows([*requested, *found], known_as, now, is_first_read=is_first_read)
    new = insert_rows(conn, rows, now)
    known = sorted(rows.keys() - new)
    _respell(conn, [rows[key] for key in {urls.make_key(url) for url in known_as.values()} - new])
    again_due: int = sum(_requeue_keys(conn, batch, now) for batch in batches(known)) if again else 0
    news = set(known)
    if listing_id is not None:
        news = _record_sightings(conn, listing_id, read_at, sorted(shown), now)
        if new and (not is_first_read or polls.has_news(found, now)):
            polls.mark_shown(conn, listing_id, now)
    raised = [{"b_key": key, "b_rank": rows[key]["rank"]} for key in known if key in news and rows[key]["rank"] <= RANK_RECENT]
    if raised:
        conn.execute(_RAISE_RANK, raised)
    _add_hints(conn, {key: rows[key]["hint"] for key in known if key in news and rows[key]["hint"] is not None})
    return Added(new=len(new), known=len(known), bad=bad, again=again_due, is_first_read=is_first_read)


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
            (row.url_key, row.hint or {}, {**hints[row.url_key], **(row.hint or {})})
            for row in conn.execute(_PENDING_HINTS, {"keys": batch})
        ]
        changed = [{"b_key": key, "b_hint": hint} for key, old, hint in merged if hint != old]
        if changed:
            conn.execute(_SET_HINT, changed)


def _respell(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Give known listings their newest URL: the id of a session in an older one may have expired."""
    listings = [{"b_key": row["url_key"], "b_url": row["url"]} for row in rows if row["kind"] != Kind.PAGE]
    if listings:
        conn.execute(_RESPELL, listings)


def _record_sightings(conn: Connection, listing_id: int, read_at: datetime | None, keys: Sequence[str], now: datetime) -> set[str]:
    """Record the pages that a listing shows, and open failed and missing ones again; returns the keys that it had not shown before."""
    new: set[str] = set()
    for batch in batches(keys):
        pages = {row.id: row for row in conn.execute(_PAGES, {"keys": batch})}
        sighted = polls.record_sightings(conn, listing_id, read_at, {row.id: row.first_seen_at for row in pages.values()}, now)
        new |= {pages[page].url_key for page in sighted}
        requeue(conn, [row for row in pages.values() if _is_open(row, now)], now)
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
        rows[key] |= {"state": OUTCOMES[Outcome.TAKEDOWN][0].value, "outcome": Outcome.TAKEDOWN.value, "detail": reason}
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


def requeue(conn: Connection, ended: Sequence[AnyRow], now: datetime) -> int:
    """Make ended rows (locked, with ENDED_COLUMNS) due again and undo their outcome counts. Returns their number."""
    if ended:
        conn.execute(_REQUEUE, [{"b_id": row.id, "b_now": now} for row in ended])
    _undo_counts(conn, ended)
    return len(ended)


def _undo_counts(conn: Connection, rows: Sequence[AnyRow]) -> None:
    counters = CounterUpdates()
    for row in rows:
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
    counters.write(conn)


def _requeue_keys(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    return requeue(conn, [row for row in conn.execute(_KNOWN_ROWS, {"keys": keys}) if _can_requeue(row)], now)


def _can_requeue(row: AnyRow) -> bool:
    """Whether a row has an outcome and nothing happens to it: it has ended, or waits for a revisit."""
    return (row.state in END_STATES and row.outcome not in NEVER_REQUEUED) or (
        row.state == "due" and row.kind == Kind.PAGE and row.outcome is not None
    )


def batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + BATCH_SIZE] for at in range(0, len(keys), BATCH_SIZE))


def rank(link: Link, now: datetime, *, is_first_read: bool = False) -> int:
    """The rank of a link; the smaller is fetched first. `is_first_read`: it comes from the first poll of its listing."""
    if link.found_by == FROM_BACKFILL:
        return RANK_BACKFILL
    if link.kind is not Kind.PAGE:
        return RANK_LISTING
    if link.found_by in REQUESTED_BY:
        return RANK_REQUESTED
    published_at = link.hint.published_at or link.hint.modified_at
    age = None if published_at is None else now - published_at
    if link.found_by != Kind.SITEMAP:
        return RANK_NEW if not is_first_read else RANK_OLD if age is not None and age > MAX_RECENT_AGE else RANK_RECENT
    if age is None or age > MAX_RECENT_AGE:
        return RANK_OLD
    return RANK_RECENT if age > MAX_NEWS_AGE or is_first_read else RANK_NEW


def _make_rows(
    links: Iterable[Link], known_as: Mapping[str, str], now: datetime, *, is_first_read: bool
) -> tuple[dict[str, dict[str, Any]], set[str], int]:
    """(rows by key, of several links to one URL the first; keys whose sighting is recorded; number of invalid URLs that get no row).

    `known_as`: the URLs by which some links are known, by the URL of the link.
    """
    rows: dict[str, dict[str, Any]] = {}
    shown: set[str] = set()
    bad = 0
    for link in links:
        try:
            row = make_row(link, now, is_first_read=is_first_read)
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


def make_row(link: Link, now: datetime, *, is_first_read: bool = False) -> dict[str, Any]:
    """A new row for a link, due now. Raises UrlError."""
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
        "rank": rank(link, now, is_first_read=is_first_read),
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
        "state": OUTCOMES[Outcome.BAD_URL][0].value,
        "next_at": now,
        "outcome": Outcome.BAD_URL.value,
        "detail": reason,
        "ended_at": now,
    }


def make_bad_key(url: str) -> str:
    """The key of an invalid URL. It has a colon, which no key of a valid URL has."""
    return "bad:" + hashlib.blake2b(make_storable(url).encode(), digest_size=16).hexdigest()


# ---- what people can do with ended rows: try them again, or discard them

# Outcomes of extraction: the page is in the archive and can be extracted again without the network. BLOCKED is not among them, because the
# archived page is the bot filter's.
EXTRACTED = frozenset(
    {
        Outcome.STORED,
        Outcome.UNCHANGED,
        Outcome.DUPLICATE,
        Outcome.NOT_ARTICLE,
        Outcome.NO_TEXT,
        Outcome.CONSENT_WALL,
        Outcome.PAYWALL,
        Outcome.SOFT_404,
        Outcome.NEEDS_SCRIPT,
        Outcome.NOT_HTML,
        Outcome.BAD_ENCODING,
        Outcome.DIED,
        Outcome.DEADLINE,
        Outcome.TOO_DEEP,
        Outcome.DISCARDED,
    }
)

_IS_REVISIT_DUE = and_(state_is("due"), ledger.c.kind == literal_column("'page'"), ledger.c.outcome.is_not(None))
RETRY_COLUMNS = (*ENDED_COLUMNS, ledger.c.segment, ledger.c.crashes)
_RETRYABLE = (
    select(*RETRY_COLUMNS)
    .where(or_(state_is(*sorted(END_STATES)), _IS_REVISIT_DUE), ledger.c.outcome.not_in(sorted(NEVER_REQUEUED)))
    .order_by(ledger.c.id)
)
_BY_KEY = _RETRYABLE.where(ledger.c.url_key.in_(bindparam("b_keys", expanding=True))).with_for_update()
_BY_OUTCOME = (
    _RETRYABLE.where(ledger.c.outcome == bindparam("b_outcome"), ledger.c.id > bindparam("b_after"))
    .limit(LIMIT)
    .with_for_update(skip_locked=True)
)
_EXTRACT_AGAIN = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**REQUEUED | {"state": "fetched", "stage": REEXTRACT, "next_at": bindparam("b_now")})
)
# `ended_at` stays: a page whose document exists is not new because a better profile extracts it again.
_EXTRACT_AGAIN_IN_PLACE = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(**{key: value for key, value in REQUEUED.items() if key != "ended_at"} | {"state": "fetched", "next_at": NOW})
)
_BY_ID = select(*RETRY_COLUMNS).where(ledger.c.id.in_(bindparam("b_ids", expanding=True))).order_by(ledger.c.id).with_for_update()
_QUARANTINED = (
    select(*RETRY_COLUMNS)
    .where(state_is("quarantined"), ledger.c.url_key.in_(bindparam("b_keys", expanding=True)))
    .order_by(ledger.c.id)
    .with_for_update()
)
_DISCARD = (
    update(ledger)
    .where(ledger.c.id == bindparam("b_id"))
    .values(state=OUTCOMES[Outcome.DISCARDED][0].value, outcome=Outcome.DISCARDED.value, ended_at=NOW, failing_since=None)
)


def retry_keys(conn: Connection, keys: Sequence[str], now: datetime, refetch: bool) -> int:
    return extract_or_requeue(conn, conn.execute(_BY_KEY, {"b_keys": keys}).all(), now, refetch)


def retry_quarantined(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    return extract_or_requeue(conn, conn.execute(_QUARANTINED, {"b_keys": keys}).all(), now, refetch=False)


def retry_batch(
    conn: Connection, outcome: Outcome, source: str | None, kind: Kind | None, after: int, now: datetime, refetch: bool
) -> tuple[int, int | None]:
    """Requeue up to BATCH_SIZE rows with this outcome and ids above `after`; (rows requeued, last id or None when none is left).

    The batches go by id, because requeued rows may get the same outcome again before the last batch.
    """
    statement = _BY_OUTCOME
    if source is not None:
        statement = statement.where(ledger.c.source == source)
    if kind is not None:
        statement = statement.where(ledger.c.kind == kind.value)
    rows = conn.execute(statement, {"b_outcome": outcome.value, "b_after": after, "b_limit": BATCH_SIZE}).all()
    return extract_or_requeue(conn, rows, now, refetch), rows[-1].id if rows else None


def extract_or_requeue(conn: Connection, rows: Sequence[AnyRow], now: datetime, refetch: bool) -> int:
    """Have locked rows (with RETRY_COLUMNS) extracted again, or fetched again without an archived page. Returns their number."""
    extractable = [] if refetch else [row for row in rows if row.segment is not None and row.outcome in EXTRACTED]
    if extractable:
        conn.execute(_EXTRACT_AGAIN, [{"b_id": row.id, "b_now": now} for row in extractable])
    _undo_counts(conn, extractable)
    rest = {row.id: row for row in rows}
    for row in extractable:
        del rest[row.id]
    return len(extractable) + requeue(conn, list(rest.values()), now)


def requeue_for_extraction(conn: Connection, ids: Sequence[int], now: datetime) -> int:
    """Have archived pages of stored documents extracted again with the current profile; their number. Other rows are skipped."""
    rows = [
        row for row in conn.execute(_BY_ID, {"b_ids": ids}) if row.state == "done" and row.segment is not None and row.outcome in EXTRACTED
    ]
    if rows:
        conn.execute(_EXTRACT_AGAIN_IN_PLACE, [{"b_id": row.id, "b_now": now} for row in rows])
    _undo_counts(conn, rows)
    return len(rows)


def discard(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    rows = conn.execute(_QUARANTINED, {"b_keys": keys}).all()
    if rows:
        conn.execute(_DISCARD, [{"b_id": row.id, "b_now": now} for row in rows])
    counters = CounterUpdates()
    for row in rows:
        counters.undo(row.ended_at, row.source, row.kind, row.outcome)
        counters.add(now, row.source, row.kind, Outcome.DISCARDED.value)
    counters.write(conn)
    return len(rows)

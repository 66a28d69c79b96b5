"""Which of a host's due rows is fetched first. At one request a second, on a site with a long past, order decides what is fresh."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, bindparam, select, update

from newsmill import urls
from newsmill.exceptions import UrlError
from newsmill.model import OUTCOMES, Hint, Kind, Link, Outcome, Source
from newsmill.redaction import redact
from newsmill.storage.columns import Upsert, make_storable
from newsmill.storage.ledger import hosts
from newsmill.storage.ledger.counter_updates import FOUND, CounterUpdates
from newsmill.storage.ledger.records import Added
from newsmill.storage.ledger.statements import AnyRow, state_is
from newsmill.storage.schema import ledger

LISTING = 0  # where news is announced; there are few
ASKED = 1  # a person or a program waits for it
NEW = 2  # what a feed, a section or the front page shows
RECENT = 3  # from a sitemap, of the last weeks
PAST = 4  # from a sitemap, older or without a date

BY_HAND = frozenset({"manual", "api"})  # whoever gave such an address waits for an answer, so even a bad one gets a row
NEWS = timedelta(days=2)  # what Google's news sitemaps hold
WEEKS = timedelta(days=30)


def rank(link: Link, now: datetime) -> int:
    """Smaller comes first. Pure."""
    if link.kind is not Kind.PAGE:
        return LISTING
    if link.found_by in BY_HAND:
        return ASKED
    if link.found_by != Kind.SITEMAP:
        return NEW
    dated = link.hint.published_at or link.hint.modified_at
    age = None if dated is None else now - dated
    return PAST if age is None or age > WEEKS else RECENT if age > NEWS else NEW


# The nouns as JSON columns and back. Written out by pydantic from the dataclasses, so that a new field needs no code here.

HINT = TypeAdapter(Hint)
SOURCE = TypeAdapter(Source)
NOTHING = Hint()


def hint_out(hint: Hint) -> Any:
    """JSON, or None for an empty hint (most rows of a section page)."""
    return None if hint == NOTHING else HINT.dump_python(hint, mode="json", exclude_defaults=True)


def hint_in(value: Any) -> Hint:
    return NOTHING if value is None else HINT.validate_python(value)


def source_out(source: Source) -> Any:
    return SOURCE.dump_python(source, mode="json")


def source_in(plan: Any, enabled: bool) -> Source:
    """`enabled` of the row wins over the plan's: it is what `set_enabled` changes."""
    return SOURCE.validate_python({**plan, "enabled": enabled})


# Links become rows: one per address, whoever found it and however often.

ENDS = frozenset({"done", "dropped", "failed", "quarantined"})
BATCH = 500  # keys per statement: well under every driver's limit on parameters
OPEN_AGAIN: dict[str, Any] = {
    **dict.fromkeys(("outcome", "detail", "stage", "ended_at", "owner", "lease_until", "in_hand")),
    "attempts": 0,
    "crashes": 0,
}

_ROW = Upsert(ledger, ("url_key",))
ENDED_COLUMNS = (ledger.c.id, ledger.c.source, ledger.c.kind, ledger.c.state, ledger.c.outcome, ledger.c.ended_at)
_KNOWN = select(*ENDED_COLUMNS).where(ledger.c.url_key.in_(bindparam("keys", expanding=True))).order_by(ledger.c.id).with_for_update()
_SOONER = (  # a page that a sitemap buried and a feed now shows
    update(ledger)
    .where(ledger.c.url_key == bindparam("b_key"), state_is("due"), ledger.c.rank > bindparam("b_rank"))
    .values(rank=bindparam("b_rank"))
)
_AGAIN = update(ledger).where(ledger.c.id == bindparam("b_id")).values(state="due", next_at=bindparam("b_now"), **OPEN_AGAIN)


def add(conn: Connection, links: Iterable[Link], now: datetime, again: bool) -> Added:
    rows, bad = _rows(links, now)
    new = make(conn, rows, now)
    known = sorted(rows.keys() - new)
    sooner = [{"b_key": key, "b_rank": rows[key]["rank"]} for key in known if rows[key]["rank"] <= NEW]
    if sooner:
        conn.execute(_SOONER, sooner)
    reopened: int = sum(_reopen(conn, batch, now) for batch in batches(known)) if again else 0
    return Added(new=len(new), known=len(known), bad=bad, again=reopened)


def batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[at : at + BATCH] for at in range(0, len(keys), BATCH))


def _rows(links: Iterable[Link], now: datetime) -> tuple[dict[str, dict[str, Any]], int]:
    """Rows by key, the first link to an address winning; and how many links are no address at all."""
    rows: dict[str, dict[str, Any]] = {}
    bad = 0
    for link in links:
        try:
            row = row_of(link, now)
        except UrlError as error:
            if link.found_by not in BY_HAND:
                bad += 1
                continue
            row = bad_row(link, str(error), now)
        rows.setdefault(row["url_key"], row)
    return rows, bad


def row_of(link: Link, now: datetime) -> dict[str, Any]:
    """A new row for a link: due now. Raises UrlError."""
    url = urls.normalize(link.url)
    return {
        "url_key": urls.make_key(url),
        "url": url,
        "host": urls.get_host(url),
        "source": link.source,
        "kind": link.kind.value,
        "rank": rank(link, now),
        "found_by": link.found_by,
        "found_on": link.found_on,
        "hint": hint_out(link.hint),
        "first_seen_at": now,
        "state": "due",
        "next_at": now,
        "outcome": None,
        "detail": None,
        "ended_at": None,
    }


def bad_row(link: Link, why: str, now: datetime) -> dict[str, Any]:
    """A row that ended before it began."""
    return {
        "url_key": bad_key(link.url),
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
        "detail": why,
        "ended_at": now,
    }


def bad_key(url: str) -> str:
    """The identity of something that is no address; cannot meet a real key, which has no colon."""
    return "bad:" + hashlib.blake2b(make_storable(url).encode(), digest_size=16).hexdigest()


def make(conn: Connection, rows: dict[str, dict[str, Any]], now: datetime) -> set[str]:
    """Insert those rows whose key is not there yet, count them, and see that their hosts exist; the keys inserted."""
    ordered = [rows[key] for key in sorted(rows)]
    hosts.know(conn, (row["host"] for row in ordered if row["host"]))
    new = set(_ROW.inserted(conn, ordered))
    tally = CounterUpdates()
    for row in (row for row in ordered if row["url_key"] in new):
        tally.add(now, row["source"], row["kind"], FOUND)
        if row["outcome"]:
            tally.add(now, row["source"], row["kind"], row["outcome"])
    tally.write(conn)
    return new


def _reopen(conn: Connection, keys: Sequence[str], now: datetime) -> int:
    ended = [row for row in conn.execute(_KNOWN, {"keys": keys}) if row.state in ENDS and row.outcome != Outcome.BAD_URL]
    return reopen(conn, ended, now)


def reopen(conn: Connection, ended: Sequence[AnyRow], now: datetime) -> int:
    """Make ended rows (locked, with ENDED_COLUMNS) due again and take their counts back."""
    if ended:
        conn.execute(_AGAIN, [{"b_id": row.id, "b_now": now} for row in ended])
    tally = CounterUpdates()
    for row in ended:
        tally.take_back(row.ended_at, row.source, row.kind, row.outcome)
    tally.write(conn)
    return len(ended)

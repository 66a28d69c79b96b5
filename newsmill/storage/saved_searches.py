"""Saved searches of users, with the documents that matched them since they were saved.

A search of stories matches a story once, when enough sources carry it (`story_matches`), and the match is a document of that story.

Each saved search has a position in the order in which documents are stored (`ChangePosition`). `record` moves it and numbers the matches
before it in one transaction, so a crash misses no document and counts none twice. A document that changes is matched again, but keeps
its number.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, func, select, update

from newsmill.exceptions import ConfigError
from newsmill.storage.changes import ChangePosition, Changes
from newsmill.storage.database import reading, writing
from newsmill.storage.outbox import MessageKind, delete_messages
from newsmill.storage.schema import alerts, compared_stories, saved_searches, search_matches
from newsmill.storage.story_matches import WideStory, delete_compared, list_matched, list_wide, put_compared, skip_present
from newsmill.text.sentences import Sentence, keyed

ANYONE = ""  # the user of requests without a token of their own: no token has this name
MAX_SEARCHES = 200  # of one user
MAX_NAME_CHARACTERS = 100
MAX_QUERY_CHARACTERS = 2000
MIN_STORY_SOURCES, MAX_STORY_SOURCES = 2, 1000
MATCH_AGE = timedelta(days=30)  # for which the matches of a search are kept


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A search with a name. `seen`: the position in the order of storage up to which documents were matched.

    `story_sources`: it matches stories that at least so many sources carry; None: it matches documents.
    """

    id: str
    user: str
    name: str
    query: str
    created_at: datetime
    seen: ChangePosition
    matches: int
    looked: int
    looked_at: datetime | None
    story_sources: int | None = None

    @property
    def new(self) -> int:
        """Documents that matched since the user last looked, or since the search was saved."""
        return self.matches - self.looked


@dataclass(frozen=True, slots=True)
class Match:
    """A document that matched; `number` counts the matches of the search."""

    number: int
    document_id: str
    matched_at: datetime


@dataclass(frozen=True, slots=True)
class MatchedPage:
    """The documents between the position of a search and `end` that match, in the order of storage."""

    search: SavedSearch
    ids: Sequence[str]
    end: ChangePosition


class SavedSearches:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, user: str, name: str, query: str, *, now: datetime, story_sources: int | None = None) -> SavedSearch:
        """Save a search of a user; documents stored from now on are matched, or stories that get enough sources from now on.

        Only a search of stories may have an empty query. Raises ConfigError, also for a name that is in use.
        """
        name, query = check_name(name), query.strip()
        if (not query and story_sources is None) or len(query) > MAX_QUERY_CHARACTERS:
            raise ConfigError(keyed("query", Sentence("expected 1 to {n} characters", n=MAX_QUERY_CHARACTERS)))
        if story_sources is not None and not MIN_STORY_SOURCES <= story_sources <= MAX_STORY_SOURCES:
            limits = Sentence("expected a whole number from {first} to {last}", first=MIN_STORY_SOURCES, last=MAX_STORY_SOURCES)
            raise ConfigError(keyed("story_sources", limits))
        end = Changes(self._engine).end()
        search_id = secrets.token_hex(8)
        row = {"id": search_id, "user_name": user, "name": name, "query": query, "created_at": now, "looked_at": now}
        row |= {"story_sources": story_sources}
        with writing(self._engine) as conn:
            if _count(conn, user) >= MAX_SEARCHES:
                raise ConfigError(Sentence("there are {n} saved searches; remove one first", n=MAX_SEARCHES))
            _check_unused(conn, user, name)
            conn.execute(saved_searches.insert(), row | {"seen_at": end.stored_at, "seen_id": end.id, "matches": 0, "looked": 0})
            if story_sources is not None:
                skip_present(conn, search_id, story_sources, now=now)
        return SavedSearch(search_id, user, name, query, now, end, 0, 0, now, story_sources)

    def list_all(self, user: str | None = None) -> list[SavedSearch]:
        """The searches of a user, or of all users, by name."""
        wanted = [] if user is None else [saved_searches.c.user_name == user]
        with reading(self._engine) as conn:
            rows = conn.execute(select(saved_searches).where(*wanted).order_by(saved_searches.c.name, saved_searches.c.id))
            return [to_saved_search(row) for row in rows.mappings()]

    def get(self, search_id: str, user: str | None = None) -> SavedSearch | None:
        """The search with this ID; None if it does not exist or belongs to another user."""
        wanted = [saved_searches.c.id == search_id, *([] if user is None else [saved_searches.c.user_name == user])]
        with reading(self._engine) as conn:
            row = conn.execute(select(saved_searches).where(*wanted)).mappings().one_or_none()
        return None if row is None else to_saved_search(row)

    def find(self, user: str, name: str) -> SavedSearch | None:
        """The search of a user with this name."""
        return next((search for search in self.list_all(user) if search.name == name), None)

    def rename(self, search: SavedSearch, name: str) -> None:
        """Give a search another name. Raises ConfigError for a name that is invalid or in use."""
        name = check_name(name)
        with writing(self._engine) as conn:
            if name != search.name:
                _check_unused(conn, search.user, name)
                conn.execute(update(saved_searches).where(saved_searches.c.id == search.id).values(name=name))

    def remove(self, search_id: str) -> bool:
        """Delete a search with its matches and alerts. False: it does not exist."""
        with writing(self._engine) as conn:
            conn.execute(select(saved_searches.c.id).where(saved_searches.c.id == search_id).with_for_update())  # who records matches waits
            removed = conn.execute(delete(alerts).where(alerts.c.search == search_id).returning(alerts.c.id)).scalars().all()
            delete_messages(conn, MessageKind.ALERT, removed)
            for table in (search_matches, compared_stories):
                conn.execute(delete(table).where(table.c.search == search_id))
            return conn.execute(delete(saved_searches).where(saved_searches.c.id == search_id)).rowcount == 1

    def mark_looked(self, search: SavedSearch, *, now: datetime) -> None:
        """Record that the user has looked at all matches of the search as it was read."""
        is_older = and_(saved_searches.c.id == search.id, saved_searches.c.looked <= search.matches)
        with writing(self._engine) as conn:
            conn.execute(update(saved_searches).where(is_older).values(looked=search.matches, looked_at=now))

    def list_behind(self, end: ChangePosition, *, limit: int) -> list[SavedSearch]:
        """Searches before `end` (of `Changes.end`), those that are furthest behind first."""
        wanted = select(saved_searches).where(saved_searches.c.seen_at < end.stored_at)
        with reading(self._engine) as conn:
            rows = conn.execute(wanted.order_by(saved_searches.c.seen_at, saved_searches.c.id).limit(limit)).mappings()
            return [to_saved_search(row) for row in rows]

    def record(self, pages: Sequence[MatchedPage], *, now: datetime) -> int:
        """Move each search to the end of its page and number its matches, all in one transaction. Returns the number of new matches.

        A search that another process has moved meanwhile is left as it is.
        """
        with writing(self._engine) as conn:
            return sum(_record(conn, page, now) for page in sorted(pages, key=lambda page: page.search.id))

    def list_wide_stories(self, search: SavedSearch, *, now: datetime) -> list[WideStory]:
        """Some stories that a search of stories has yet to compare; none for a search of documents."""
        if search.story_sources is None:
            return []
        with reading(self._engine) as conn:
            return list_wide(conn, search.id, search.story_sources, now=now)

    def record_stories(self, search: SavedSearch, compared: Sequence[tuple[WideStory, str | None]], *, now: datetime) -> int:
        """Record stories with the document of each that matches, None without one, all in one transaction. Returns the number of new
        matches."""
        this = saved_searches.c.id == search.id  # the row is locked from here on, so its matches have no other writer
        with writing(self._engine) as conn:
            if conn.execute(update(saved_searches).where(this).values(story_sources=search.story_sources)).rowcount == 0:
                return 0
            before = list_matched(conn, search.id)
            new = [(story, document) for story, document in compared if story.id not in before]
            put_compared(conn, search.id, ((story, document is not None) for story, document in new))
            return add_matches(conn, search.id, [document for _, document in new if document is not None], now)

    def list_matches(self, search_id: str, *, after: int = 0, before: int | None = None, limit: int) -> list[Match]:
        """The newest matches with numbers above `after` and below `before`, newest first."""
        wanted = [search_matches.c.search == search_id, search_matches.c.number > after]
        if before is not None:
            wanted.append(search_matches.c.number < before)
        statement = select(search_matches).where(*wanted).order_by(search_matches.c.number.desc()).limit(limit)
        with reading(self._engine) as conn:
            return [Match(row.number, row.document_id, row.matched_at) for row in conn.execute(statement)]

    def delete_old(self, *, now: datetime) -> int:
        """Delete matches older than MATCH_AGE, and what was recorded about older stories; returns how many matches."""
        with writing(self._engine) as conn:
            delete_compared(conn, now - MATCH_AGE)
            return conn.execute(delete(search_matches).where(search_matches.c.matched_at < now - MATCH_AGE)).rowcount


def check_name(name: str) -> str:
    """The name without blanks around it. Raises ConfigError."""
    name = " ".join(name.split())
    if not name or not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
        raise ConfigError(keyed("name", Sentence("expected 1 to {n} printable characters", n=MAX_NAME_CHARACTERS)))
    return name


def _count(conn: Connection, user: str) -> int:
    return conn.execute(select(func.count()).select_from(saved_searches).where(saved_searches.c.user_name == user)).scalar_one()


def _check_unused(conn: Connection, user: str, name: str) -> None:
    wanted = and_(saved_searches.c.user_name == user, saved_searches.c.name == name)
    if conn.execute(select(saved_searches.c.id).where(wanted)).first() is not None:
        raise ConfigError(Sentence("a saved search with the name {name} exists already; choose another name", name=repr(name)))


def _record(conn: Connection, page: MatchedPage, now: datetime) -> int:
    search, seen = page.search, page.search.seen
    is_unmoved = and_(
        saved_searches.c.id == search.id, saved_searches.c.seen_at == seen.stored_at, saved_searches.c.seen_id == seen.id
    )  # the row is locked from here on, so its matches have no other writer
    moved = update(saved_searches).where(is_unmoved).values(seen_at=page.end.stored_at, seen_id=page.end.id)
    return add_matches(conn, search.id, page.ids, now) if conn.execute(moved).rowcount else 0


def add_matches(conn: Connection, search_id: str, ids: Sequence[str], now: datetime) -> int:
    """Number the documents that did not match before; returns how many. The transaction has locked the row of the search."""
    if not ids:
        return 0
    last = conn.execute(select(saved_searches.c.matches).where(saved_searches.c.id == search_id)).scalar_one()
    known = select(search_matches.c.document_id).where(search_matches.c.search == search_id, search_matches.c.document_id.in_(ids))
    matched_before = set(conn.execute(known).scalars())
    rows = [
        {"search": search_id, "number": number, "document_id": document_id, "matched_at": now}
        for number, document_id in enumerate(dict.fromkeys(one for one in ids if one not in matched_before), last + 1)
    ]
    if rows:
        conn.execute(search_matches.insert(), rows)
        conn.execute(update(saved_searches).where(saved_searches.c.id == search_id).values(matches=last + len(rows)))
    return len(rows)


def to_saved_search(row: Any) -> SavedSearch:
    """The search of a row of `saved_searches`."""
    names = ("id", "name", "query", "created_at", "matches", "looked", "looked_at", "story_sources")
    seen = ChangePosition(row["seen_at"], row["seen_id"])
    return SavedSearch(user=row["user_name"], seen=seen, **{name: row[name] for name in names})

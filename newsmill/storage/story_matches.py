"""The stories that match a saved search of stories: those that enough sources carry, with a document that matches the query.

A story matches once. One that is merged into a story that matched, or loses sources and gets them again, does not match again. Stories
that had enough sources when the search was saved have matched before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Connection, and_, bindparam, delete, exists, or_, select

from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import compared_stories, copy_groups, search_pending, stories, story_texts

NEWS_AGE = timedelta(days=7)  # of a story's last document; an archive that is imported alerts nobody
MAX_STORIES = 10  # compared with a search at a time
MAX_DOCUMENTS = 2000  # of each, the earliest

_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_MEMBERS = (
    select(copy_groups.c.document_id)
    .join(copy_groups, or_(copy_groups.c.ledger_id == story_texts.c.ledger_id, copy_groups.c.group_id == story_texts.c.ledger_id))
    .where(story_texts.c.story_id == bindparam("b_story"))
    .order_by(copy_groups.c.second, copy_groups.c.document_id)
    .limit(MAX_DOCUMENTS)
)
_PENDING = select(search_pending.c.document_id).where(search_pending.c.document_id.in_(_IDS))
_COMPARE = Upsert(compared_stories, ("search", "story_id"), lambda new: {name: new[name] for name in ("documents", "is_match")})
_MATCHED = select(compared_stories.c.story_id).where(compared_stories.c.search == bindparam("b_search"), compared_stories.c.is_match)


@dataclass(frozen=True, slots=True)
class WideStory:
    """A story that enough sources carry. `document_ids`: the earliest first, all of them in the search index."""

    id: int
    documents: int
    document_ids: tuple[str, ...]


def list_wide(conn: Connection, search_id: str, story_sources: int, *, now: datetime) -> list[WideStory]:
    """Some stories of at least so many sources that the search has not compared as they are now, and that did not match before."""
    rows = conn.execute(_select_wide(story_sources, now).limit(MAX_STORIES), {"b_search": search_id}).all()
    members = {row.id: conn.execute(_MEMBERS, {"b_story": row.id}).scalars().all() for row in rows}
    pending = set(conn.execute(_PENDING, {"b_ids": [one for ids in members.values() for one in ids]}).scalars())
    return [WideStory(row.id, row.documents, tuple(members[row.id])) for row in rows if pending.isdisjoint(members[row.id])]


def list_matched(conn: Connection, search_id: str) -> set[int]:
    """The stories that matched the search."""
    return set(conn.execute(_MATCHED, {"b_search": search_id}).scalars())


def put_compared(conn: Connection, search_id: str, found: Iterable[tuple[WideStory, bool]]) -> None:
    """Record stories as they were compared, and whether they match."""
    _put(conn, search_id, [(story.id, story.documents, is_match) for story, is_match in found])


def skip_present(conn: Connection, search_id: str, story_sources: int, *, now: datetime) -> None:
    """Count the stories that have enough sources now as if they had matched a new search."""
    rows = conn.execute(_select_wide(story_sources, now), {"b_search": search_id})
    _put(conn, search_id, [(row.id, row.documents, True) for row in rows])


def delete_compared(conn: Connection, before: datetime) -> None:
    """Delete what was recorded about stories whose last document is older, and that were not merged into a younger one."""
    second, survivor = int(before.timestamp()), stories.alias("survivor")
    goes_on = exists().where(survivor.c.id == stories.c.merged_into, survivor.c.last_second >= second)
    old = select(stories.c.id).where(stories.c.last_second < second, ~goes_on)
    conn.execute(delete(compared_stories).where(compared_stories.c.story_id.in_(old)))


def _select_wide(story_sources: int, now: datetime) -> Any:
    """The stories of so many sources that `b_search` has not compared as they are."""
    own = and_(compared_stories.c.search == bindparam("b_search"), compared_stories.c.story_id == stories.c.id)
    is_changed = and_(~compared_stories.c.is_match, compared_stories.c.documents != stories.c.documents)
    merged = stories.alias("merged")
    into = select(merged.c.merged_into).where(merged.c.id.in_(_MATCHED), merged.c.merged_into.is_not(None))
    return (
        select(stories.c.id, stories.c.documents)
        .join_from(stories, compared_stories, own, isouter=True)
        .where(
            stories.c.sources >= story_sources,
            stories.c.documents > 0,
            stories.c.last_second >= int((now - NEWS_AGE).timestamp()),
            or_(compared_stories.c.story_id.is_(None), is_changed),
            stories.c.id.not_in(into),
        )
        .order_by(stories.c.id.desc())
    )


def _put(conn: Connection, search_id: str, found: Iterable[tuple[int, int, bool]]) -> None:
    rows = [{"search": search_id, "story_id": story, "documents": count, "is_match": is_match} for story, count, is_match in sorted(found)]
    _COMPARE.run(conn, rows)

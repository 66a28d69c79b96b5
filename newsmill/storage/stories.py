"""The stories as they are decided: lists of them, and one with its documents, what each added and the evidence.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import BindParameter, Connection, Engine, bindparam, func, or_, select, tuple_

from newsmill.model import MoreOfSite, Story, StoryDetail, StoryEvent, StoryEventKind, StoryLead, StoryMember
from newsmill.similarity.new_sentences import find_new_sentences, list_content_words
from newsmill.storage.cursors import decode_cursor, encode_cursor
from newsmill.storage.database import reading
from newsmill.storage.schema import copy_groups, documents, stories, story_events, story_links, story_texts
from newsmill.storage.story_decisions import FIRST_SEEN, HEAD, IS_OF_PAGE, MAX_TEXT_CHARACTERS, read_document
from newsmill.stories import find_shared_terms
from newsmill.text.urls import find_site

StoryOrder = Literal["newest", "biggest"]

MAX_MEMBERS = 100  # of one story that are listed: each costs reading its text
MAX_OF_SITE = 5  # of them; a site that tells a story a thousand times hides no other
MAX_COUNTED = 10_000  # documents of a story among which they are chosen: its texts, which are few, then copies
MAX_EVENTS = 50
MAX_ADDED = 3  # sentences of one document
MIN_DOCUMENTS, MIN_SITES = 3, 2  # of a story that is listed; with less of both it is a pair of one site

_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_ID: BindParameter[Any] = bindparam("b_id")


def select_pages(heads: Any) -> Any:
    """The pages of some texts, with those of their copies. `heads`: the page of the first document of each group of copies."""
    return select(copy_groups.c.ledger_id).where(or_(copy_groups.c.ledger_id.in_(heads), copy_groups.c.group_id.in_(heads)))


_HEADS_OF_STORY = select(story_texts.c.ledger_id).where(story_texts.c.story_id == _ID)
_PAGES_OF_STORY = select_pages(_HEADS_OF_STORY)
_FIELDS = (
    *("id", "url", "title", "source", "site_name", "language", "published_at", "published_precision", "first_seen_at"),
)  # of a member
_TEXT = func.substr(documents.c.text, 1, MAX_TEXT_CHARACTERS).label("text")
_MEMBERS = (
    select(documents.c.id, documents.c.url, copy_groups.c.ledger_id, *FIRST_SEEN, HEAD.label("head"))
    .join_from(copy_groups, documents, IS_OF_PAGE)
    .where(or_(copy_groups.c.ledger_id.in_(_HEADS_OF_STORY), copy_groups.c.group_id.in_(_HEADS_OF_STORY)))
    .order_by(copy_groups.c.ledger_id != HEAD, *FIRST_SEEN)
    .limit(MAX_COUNTED)
)
_LEADS = (
    select(story_texts.c.story_id, documents.c.id, documents.c.description, documents.c.language, documents.c.image)
    .join_from(story_texts, stories, stories.c.id == story_texts.c.story_id)
    .join(copy_groups, copy_groups.c.ledger_id == story_texts.c.ledger_id)
    .join(documents, IS_OF_PAGE)
    .where(story_texts.c.story_id.in_(_IDS), story_texts.c.second == stories.c.first_second)
)
_DOCUMENTS = select(*(documents.c[name] for name in _FIELDS), _TEXT).where(documents.c.id.in_(_IDS))
_TERMS = select(story_texts, copy_groups.c.document_id).join_from(
    story_texts, copy_groups, copy_groups.c.ledger_id == story_texts.c.ledger_id
)
_TERMS = _TERMS.where(story_texts.c.ledger_id.in_(_IDS))
_EVENTS = (
    select(story_events)
    .where(or_(story_events.c.story_id == _ID, story_events.c.other_id == _ID))
    .order_by(story_events.c.id.desc())
    .limit(MAX_EVENTS)
)
# A page that a person linked becomes a copy when an earlier document arrives.
_PINNED = select(story_links.c.one).where(
    story_links.c.is_same, story_links.c.one.in_(_PAGES_OF_STORY), story_links.c.other.in_(_PAGES_OF_STORY)
)
_OF_DOCUMENTS = (
    select(documents.c.id.label("document_id"), stories)
    .join_from(documents, copy_groups, IS_OF_PAGE)
    .join(story_texts, story_texts.c.ledger_id == HEAD)
    .join(stories, stories.c.id == story_texts.c.story_id)
    .where(documents.c.id.in_(_IDS))
)


class Stories:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        *,
        order: StoryOrder = "newest",
        since: datetime | None = None,
        documents: Collection[str] | None = None,
        pairs: bool = False,
        cursor: str | None = None,
        limit: int = 20,
    ) -> tuple[list[Story], str | None]:
        """Stories, and the cursor of the next page. `newest`: those with the last document first. `biggest`: those of the most sources.

        `since`: only stories with a document from that time on. `documents`: only stories of these documents. `pairs`: also stories of two
        documents of one site. Raises CursorError.
        """
        column = stories.c.sources if order == "biggest" else stories.c.last_second
        statement = select(stories).where(stories.c.documents > 0).order_by(column.desc(), stories.c.id.desc()).limit(limit + 1)
        if not pairs:
            statement = statement.where(or_(stories.c.documents >= MIN_DOCUMENTS, stories.c.sources >= MIN_SITES))
        if since is not None:
            statement = statement.where(stories.c.last_second >= int(since.timestamp()))
        if documents is not None:
            statement = statement.where(stories.c.id.in_({story.id for story in self.of_documents(documents).values()}))
        if cursor is not None:
            statement = statement.where(tuple_(column, stories.c.id) < tuple_(*decode_cursor(order, cursor, int, int)))
        with reading(self._engine) as conn:
            rows = conn.execute(statement).all()
        shown = rows[:limit]
        following = encode_cursor(order, getattr(shown[-1], column.name), shown[-1].id) if len(rows) > limit else None
        return [_to_story(row) for row in shown], following

    def find_leads(self, found: Collection[Story]) -> dict[int, StoryLead]:
        """What shows each story: the document that gave its first time, if it has an image or a description."""
        with reading(self._engine) as conn:
            rows = conn.execute(_LEADS, {"b_ids": sorted(story.id for story in found)}).all()
        return {row.story_id: StoryLead(row.id, row.description, row.language, row.image is not None) for row in rows}

    def of_documents(self, ids: Collection[str]) -> dict[str, Story]:
        """The stories of documents; those that tell no story are left out."""
        if not ids:
            return {}
        with reading(self._engine) as conn:
            return {row.document_id: _to_story(row) for row in conn.execute(_OF_DOCUMENTS, {"b_ids": sorted(ids)})}

    def get(self, story_id: int) -> StoryDetail | None:
        """A story, or the one that it was merged into; None if it does not exist or lost its documents."""
        with reading(self._engine) as conn:
            row = find_story(conn, story_id)
            if row is None or row.documents == 0:
                return None
            story = _to_story(row)
            members = conn.execute(_MEMBERS, {"b_id": story.id}).all()
            chosen, more = choose_members(sorted(members, key=lambda one: (one.seen, one.second, one.document_id)))
            found = {one.id: one for one in conn.execute(_DOCUMENTS, {"b_ids": [one.id for one in chosen]})}
            terms = {one.ledger_id: read_document(one) for one in conn.execute(_TERMS, {"b_ids": sorted({one.head for one in chosen})})}
            events = conn.execute(_EVENTS, {"b_id": story.id}).all()
            is_pinned = conn.execute(_PINNED, {"b_id": story.id}).first() is not None
        first = {one.ledger_id: one.id for one in members}
        listed = _to_members([(one, found[one.id]) for one in chosen], first, terms)
        return StoryDetail(story, is_pinned, tuple(listed), tuple(map(_to_event, events)), more)


def find_story(conn: Connection, story_id: int) -> Any:
    """The row of a story, or of the one that it was merged into; None if it does not exist."""
    row = conn.execute(select(stories).where(stories.c.id == story_id)).first() if 0 < story_id < 1 << 62 else None
    return row if row is None or row.merged_into is None else find_story(conn, row.merged_into)


def choose_members(members: Sequence[Any]) -> tuple[list[Any], tuple[MoreOfSite, ...]]:
    """The documents that are listed, in their order, and how many others each of at most MAX_MEMBERS sites has, the most first.

    `members`: in the order in which they were seen. Of each site the first is chosen, then of each the second, and so on: MAX_OF_SITE of
    a site and MAX_MEMBERS at most.
    """
    sites = [find_site(one.url) or one.url for one in members]
    counts: Counter[str] = Counter()
    ranks = []
    for site in sites:
        counts[site] += 1
        ranks.append(counts[site])
    allowed = (number for number, rank in enumerate(ranks) if rank <= MAX_OF_SITE)
    listed = sorted(sorted(allowed, key=lambda number: ranks[number])[:MAX_MEMBERS])
    counts.subtract(sites[number] for number in listed)
    more = (MoreOfSite(site, count) for site, count in counts.most_common(MAX_MEMBERS) if count)
    return [members[number] for number in listed], tuple(more)


def _to_members(rows: Sequence[tuple[Any, Any]], first: Mapping[int, str], terms: Mapping[int, Any]) -> list[StoryMember]:
    """`rows`: of the group and of the document. `first`: documents by their pages. `terms`: the texts by the page of a group's anchor."""
    known: set[str] = set()
    members = []
    for row, document in rows:
        is_copy = row.head != row.ledger_id
        own, others = terms.get(row.head), [other.terms for page, other in terms.items() if page != row.head]
        members.append(
            StoryMember(
                **{name: getattr(document, name) for name in _FIELDS},
                at=_to_time(row.second),
                duplicate_of=first.get(row.head) if is_copy else None,
                shared_terms=find_shared_terms(own.terms, others, document.title, document.text) if own is not None else (),
                added=() if is_copy or not known else find_new_sentences(document.text, known, MAX_ADDED),
            )
        )
        known |= list_content_words(document.text)
    return members


def _to_story(row: Any) -> Story:
    counts = (row.documents, row.texts, row.sources)
    return Story(row.id, row.title, _to_time(row.first_second), _to_time(row.last_second), *counts)


def _to_event(row: Any) -> StoryEvent:
    return StoryEvent(row.at, StoryEventKind(row.kind), row.story_id, row.other_id, row.user_name)


def _to_time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)

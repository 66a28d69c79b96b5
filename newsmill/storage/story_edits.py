"""What persons decide about stories, for good: which are one, which documents tell another story, and which stay together.

A decision is stored as links between pages, which all later decisions honour. The last decision about two documents counts. A link names
the copies of a text as well, and `story_decisions` hands the links of a page that is gone on, so that a takedown undoes no decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, delete, select

from newsmill.exceptions import ConfigError
from newsmill.model import StoryEventKind
from newsmill.storage.database import writing
from newsmill.storage.dialects import Upsert, lock_numbers
from newsmill.storage.schema import copy_groups, documents, story_links, story_texts
from newsmill.storage.stories import find_story, select_pages
from newsmill.storage.story_decisions import HEAD, IS_OF_PAGE, LOCK, StoryDecisions
from newsmill.text.sentences import Sentence

_LINK = Upsert(story_links, ("one", "other"), lambda new: {name: new[name] for name in ("is_same", "created_at", "user_name")})


class StoryEdits:
    """Every call may raise ServiceError, and ConfigError for a story or document that does not exist. `user`: who decides."""

    def __init__(self, engine: Engine, user: str = "") -> None:
        self._engine, self._user = engine, user

    def merge(self, story_ids: Sequence[int], *, now: datetime) -> int:
        """Make one story of several. Returns its ID, which is that of the oldest."""
        with self._deciding() as conn:
            found = [_find(conn, story_id) for story_id in story_ids]
            if len(set(found)) < 2:
                raise ConfigError(Sentence("name two different stories to merge"))
            pages = [page for story in sorted(set(found)) for page in _list_pages(conn, story)]
            _unlink(conn, pages, pages)
            self._link(conn, pages[:1], pages[1:], is_same=True, now=now)
            return self._decide(conn, pages, now)

    def split(self, story_id: int, document_ids: Collection[str], *, now: datetime) -> int:
        """Make a story of its own of some documents of a story, with their copies. Returns its ID, or that of the story if one document is
        left alone."""
        with self._deciding() as conn:
            story = _find(conn, story_id)
            pages = _list_pages(conn, story)
            chosen = sorted(_find_heads(conn, document_ids))
            rest = [page for page in pages if page not in chosen]
            if not chosen or not set(chosen) <= set(pages):
                raise ConfigError(Sentence("name documents of story {id} to split off", id=story))
            if not rest:
                raise ConfigError(Sentence("story {id} has no other documents than these and their copies", id=story))
            # what an earlier decision keeps together through a document that leaves stays together
            kept = _find_linked(conn, chosen, rest)
            _unlink(conn, chosen, rest)
            self._link(conn, kept[:1], kept[1:], is_same=True, now=now)
            self._link(conn, chosen[:1], chosen[1:], is_same=True, now=now)
            self._link(conn, chosen[:1], rest, is_same=False, now=now)
            return self._decide(conn, pages, now, of=chosen[0]) or story

    def pin(self, story_id: int, *, now: datetime, pinned: bool = True) -> int:
        """Keep the documents of a story together, whatever their texts become; or no longer. Returns the ID of the story."""
        with self._deciding() as conn:
            story = _find(conn, story_id)
            pages = _list_pages(conn, story)
            if pinned:
                self._link(conn, pages[:1], pages[1:], is_same=True, now=now)
            else:
                _unlink(conn, pages, pages)
            StoryDecisions(conn, now, self._user).note(StoryEventKind.PINNED if pinned else StoryEventKind.UNPINNED, story, None)
            return self._decide(conn, pages, now) or story

    @contextmanager
    def _deciding(self) -> Iterator[Connection]:
        with writing(self._engine) as conn:
            lock_numbers(conn, [LOCK])
            yield conn

    def _link(self, conn: Connection, ones: Sequence[int], others: Sequence[int], *, is_same: bool, now: datetime) -> None:
        linked = conn.execute(select_pages([*ones, *others] if is_same else others)).scalars().all()
        pairs = sorted({(min(one, other), max(one, other)) for one in ones for other in linked if one != other})
        values = {"is_same": is_same, "created_at": now, "user_name": self._user}
        _LINK.run(conn, [{"one": one, "other": other, **values} for one, other in pairs])

    def _decide(self, conn: Connection, pages: Sequence[int], now: datetime, of: int | None = None) -> int:
        """Decide these pages now. Returns the story of one of them, 0 if it tells none."""
        StoryDecisions(conn, now, self._user).decide(pages)
        page = pages[0] if of is None else of
        return conn.execute(select(story_texts.c.story_id).where(story_texts.c.ledger_id == page)).scalar() or 0


def _find(conn: Connection, story_id: int) -> int:
    row = find_story(conn, story_id)
    if row is None or row.documents == 0:
        raise ConfigError(Sentence("story {id} does not exist", id=story_id))
    return int(row.id)


def _list_pages(conn: Connection, story_id: int) -> Sequence[int]:
    """The pages of its texts, the earliest first."""
    order = (story_texts.c.second, story_texts.c.ledger_id)
    return conn.execute(select(story_texts.c.ledger_id).where(story_texts.c.story_id == story_id).order_by(*order)).scalars().all()


def _find_heads(conn: Connection, document_ids: Collection[str]) -> set[int]:
    """The pages of the texts that some documents have."""
    found = select(HEAD).join_from(copy_groups, documents, IS_OF_PAGE).where(documents.c.id.in_(list(document_ids)))
    return set(conn.execute(found).scalars())


def _find_linked(conn: Connection, ones: Sequence[int], others: Sequence[int]) -> list[int]:
    """The pages of the second texts that a person linked with the first ones."""
    first, second = (set(conn.execute(select_pages(pages)).scalars()) for pages in (ones, others))
    links = conn.execute(select(story_links.c.one, story_links.c.other).where(story_links.c.is_same)).all()
    return sorted({page for one, other in links for page, its in ((one, other), (other, one)) if page in second and its in first})


def _unlink(conn: Connection, ones: Sequence[int], others: Sequence[int]) -> None:
    """Delete what was decided about pairs of texts, also about pages that have become copies since."""
    first_pages, second_pages = select_pages(ones), select_pages(others)
    for first, second in ((first_pages, second_pages), (second_pages, first_pages)):
        conn.execute(delete(story_links).where(story_links.c.one.in_(first), story_links.c.other.in_(second)))

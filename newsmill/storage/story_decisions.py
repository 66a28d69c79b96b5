"""The stories: which documents tell the same news (newsmill.stories has the rules).

`catch_up` decides the pages of `due_stories` some seconds after they are noted, in a transaction of its own, one process at a time. Texts
are linked if their terms agree; a component has all texts that links connect. Each change decides its components anew as a whole, so
stories end the same in every order of arrival. Texts that would make a component larger than MAX_COMPONENT are the exception: only the
stories next to a changed text are decided there, and at most MAX_COMPONENT texts of them.

A copy tells the story of the first document of its group, whose page has the only row. A text without a date has no terms: the time of its
capture says nothing about the news that it tells, so it joins by its copies or by a person's link only.

What a page states about itself decides where it belongs, never which page is the first of a story or gives it its title: that is the one
that Newsmill saw first. A site, its registered domain, counts once among the sources (SECURITY.md).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, insert, or_, select, text, update

from newsmill.model import StoryEventKind
from newsmill.storage.database import writing
from newsmill.storage.dialects import Upsert, lock_numbers, try_lock
from newsmill.storage.due_stories import end_due, take_due
from newsmill.storage.schema import copy_groups, documents, stories, story_events, story_links, story_terms, story_texts
from newsmill.storage.story_rules import read_rules
from newsmill.stories import (
    MAX_COMPONENT,
    WINDOW_SECONDS,
    StoryDocument,
    are_linked,
    cluster,
    find_terms,
    pack,
    rare_terms,
    unpack,
)
from newsmill.text.urls import find_site

BATCH_SIZE = 100  # pages per transaction
MAX_TEXT_CHARACTERS = 10_000  # of a document, in which terms are found
MIN_RARE_TERMS = 2  # in common of two texts that are compared: one costs 2.5 times the CPU, and adds 0.001 to the F1 of ECB+
MAX_CANDIDATES = 1000  # texts compared with one: those with the most rare terms in common
MAX_LOADED = 4 * MAX_COMPONENT  # texts of components that a change may have split
MAX_CACHED_TERMS = 5000  # texts, 30 MB
LOCK = 0x73746F72696573  # "stories"

_NO_TERMS = find_terms(None, "", None)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)

HEAD = func.coalesce(copy_groups.c.group_id, copy_groups.c.ledger_id)
IS_OF_PAGE = (documents.c.ledger_id == copy_groups.c.ledger_id) & (documents.c.id == copy_groups.c.document_id)
# What Newsmill saw first, and of one import the one that states the earliest time.
FIRST_SEEN = (copy_groups.c.seen, copy_groups.c.second, copy_groups.c.document_id)
_START = func.substr(documents.c.text, 1, MAX_TEXT_CHARACTERS).label("text")
_FACTS = ("url", "title", "language", "published_at")
_PAGES = (
    select(copy_groups.c.ledger_id, copy_groups.c.second, *(documents.c[name] for name in _FACTS), _START)
    .join_from(copy_groups, documents, IS_OF_PAGE)
    .where(copy_groups.c.ledger_id.in_(_IDS), copy_groups.c.ledger_id == HEAD)
)
_TEXTS = select(story_texts, copy_groups.c.document_id).join_from(
    story_texts, copy_groups, copy_groups.c.ledger_id == story_texts.c.ledger_id, isouter=True
)
_OF_PAGES = _TEXTS.where(story_texts.c.ledger_id.in_(_IDS))
_OF_COMPONENTS = _TEXTS.where(story_texts.c.component.in_(_IDS)).limit(MAX_LOADED + 1)
_OF_STORIES = _TEXTS.where(story_texts.c.story_id.in_(_IDS)).limit(MAX_COMPONENT + 1)
_PUT = text("""INSERT INTO story_texts (ledger_id, second, terms, component) VALUES (:ledger_id, :second, :terms, :ledger_id)
ON CONFLICT (ledger_id) DO UPDATE SET second = excluded.second, terms = excluded.terms""")
_DELETE = delete(story_texts).where(story_texts.c.ledger_id.in_(_IDS))
# A version that chose other rare terms has left rows, some of which are chosen again.
_INSERT_TERM = text("INSERT INTO story_terms (term, second, ledger_id) VALUES (:term, :second, :page) ON CONFLICT DO NOTHING")
_DELETE_TERM = text("DELETE FROM story_terms WHERE term = :term AND second = :second AND ledger_id = :page")
_ERASE_TERMS = update(story_texts).where(story_texts.c.ledger_id.in_(_IDS)).values(terms=pack(_NO_TERMS, None))
_ERASE_TITLES = update(stories).where(stories.c.id.in_(_IDS)).values(title=None)
_SET = text("UPDATE story_texts SET component = :component, story_id = :story WHERE ledger_id = :page")
_CANDIDATES = (
    select(story_terms.c.ledger_id)
    .where(story_terms.c.term.in_(_IDS), story_terms.c.second.between(bindparam("b_first"), bindparam("b_last")))
    .group_by(story_terms.c.ledger_id)
    .having(func.count() >= MIN_RARE_TERMS)
    .order_by(func.count().desc(), story_terms.c.ledger_id)
    .limit(MAX_CANDIDATES)
)

_ONE, _OTHER = copy_groups.alias("one"), copy_groups.alias("other")
# The links of persons between texts: a copy stands for the first document of its group.
_LINKS = (
    select(
        func.coalesce(_ONE.c.group_id, _ONE.c.ledger_id).label("one"),
        func.coalesce(_OTHER.c.group_id, _OTHER.c.ledger_id).label("other"),
        story_links.c.is_same,
    )
    .join_from(story_links, _ONE, _ONE.c.ledger_id == story_links.c.one)
    .join(_OTHER, _OTHER.c.ledger_id == story_links.c.other)
)
_ARE_COPIES = select(copy_groups.c.ledger_id).where(copy_groups.c.ledger_id.in_(_IDS))
_IS_LINKED = or_(story_links.c.one == bindparam("b_page"), story_links.c.other == bindparam("b_page"))
_LINKED = (story_links.c.one + story_links.c.other - bindparam("b_page")).label("page")
_LINKS_OF = select(_LINKED, story_links.c.is_same, story_links.c.created_at, story_links.c.user_name).where(_IS_LINKED).order_by(_LINKED)
_UNLINK = delete(story_links).where(_IS_LINKED)
_HAND_ON = Upsert(story_links, ("one", "other"))

_MEMBERS = select(HEAD.label("head"), copy_groups.c.second, documents.c.url).join_from(copy_groups, documents, IS_OF_PAGE)
_HEADS = _MEMBERS.where(copy_groups.c.ledger_id.in_(_IDS))
_COPIES = _MEMBERS.where(copy_groups.c.group_id.in_(_IDS), copy_groups.c.ledger_id != copy_groups.c.group_id)
_TITLES = (
    select(copy_groups.c.ledger_id, copy_groups.c.second, documents.c.title)
    .join_from(copy_groups, documents, IS_OF_PAGE)
    .where(copy_groups.c.ledger_id.in_(_IDS))
    .order_by(*FIRST_SEEN)
)
_EMPTY = {"title": None, "documents": 0, "texts": 0, "sources": 0}


def catch_up(engine: Engine, limit: int = BATCH_SIZE, *, now: datetime) -> int:
    """Decide at least `limit` pages if there are as many, unless another process does so. Returns their number."""
    done = 0
    while done < limit:
        with writing(engine) as conn:
            if not try_lock(conn, LOCK):
                return done
            due = take_due(conn, BATCH_SIZE)
            if not due.pages:
                return done
            StoryDecisions(conn, now).decide(due.pages)
            end_due(conn, due)
        done += len(due.pages)
    return done


def forget(conn: Connection, pages: Collection[int]) -> None:
    """Erase the terms of removed documents and the titles of their stories, which the next decision finds anew."""
    lock_numbers(conn, [LOCK])
    rows = conn.execute(_OF_PAGES, {"b_ids": sorted(pages)}).all()
    if keys := [key for row in rows for key in _list_keys(row.ledger_id, row.second, row.terms)]:
        conn.execute(_DELETE_TERM, [{"term": term, "second": second, "page": page} for term, second, page in keys])
    if rows:
        conn.execute(_ERASE_TERMS, {"b_ids": [row.ledger_id for row in rows]})
        conn.execute(_ERASE_TITLES, {"b_ids": sorted({row.story_id for row in rows} - {None})})


@dataclass(frozen=True, slots=True)
class _Text:
    """The text of a page, with what was decided about it."""

    page: int
    terms: bytes
    document: StoryDocument
    component: int
    story: int | None

    @property
    def key(self) -> tuple[int, str]:
        return self.document.second, self.document.id


Group = frozenset[int]  # of pages whose texts tell the same news


class StoryDecisions:
    """Decisions in one transaction, which holds LOCK. `user`: the person who asked for them."""

    def __init__(self, conn: Connection, now: datetime, user: str | None = None) -> None:
        self._conn, self._now, self._user = conn, now, user
        self._across_languages = read_rules(conn).across_languages
        self._read_links()

    def _read_links(self) -> None:
        links = [(row.one, row.other, row.is_same) for row in self._conn.execute(_LINKS) if row.one != row.other]
        self._same = [(one, other) for one, other, is_same in links if is_same]
        self._different = [(one, other) for one, other, is_same in links if not is_same]

    def decide(self, pages: Iterable[int]) -> None:
        """Decide the stories of some pages, and of all others that depend on them."""
        due = sorted(pages)
        before = self._load(_OF_PAGES, due)
        self._write_texts(due, before)
        current = self._load(_OF_PAGES, due)
        near = {page: self._find_neighbours(one) for page, one in current.items()}
        components = _Components(one.component for one in (*before.values(), *current.values()))
        for page, found in near.items():
            for other in found:
                components.join(current[page].component, other.component)
        for labels in components.list_all():
            texts = self._load(_OF_COMPONENTS, labels)
            parts = self._split(texts) if len(texts) <= MAX_LOADED else []
            lost = {one.story for page, one in before.items() if page not in current and one.component in labels and one.story is not None}
            others = self._load(_OF_STORIES, {one.story for one in texts.values() if one.story is not None}).keys() - texts.keys()
            if not parts or others or max(map(len, parts)) > MAX_COMPONENT:
                changed = {page: one for page, one in current.items() if one.component in labels}
                texts = self._choose_close(changed, near, lost)
                parts = [texts]
                labels_of = {page: one.component for page, one in texts.items()}
            else:
                labels_of = {page: min(part) for part in parts for page in part}
            self._decide_texts(parts, labels_of, lost, current)

    def _split(self, texts: Mapping[int, _Text]) -> list[Mapping[int, _Text]]:
        """The components of some texts, which may be smaller than before: a text that linked others has become a copy, or another text."""
        components, found = _Components(texts), defaultdict[int, list[int]](list)
        for pair in self._same:
            if pair[0] in texts and pair[1] in texts:
                components.join(*pair)
        for page, one in texts.items():
            shared = Counter(other for term in rare_terms(one.document.terms) for other in found[term])
            for other, count in shared.items():
                if count >= MIN_RARE_TERMS and are_linked(one.document, texts[other].document, self._across_languages):
                    components.join(page, other)
            for term in rare_terms(one.document.terms):
                found[term].append(page)
        return [{page: texts[page] for page in sorted(part)} for part in components.list_all()]

    def _choose_close(self, changed: Mapping[int, _Text], near: Mapping[int, list[_Text]], lost: Collection[int]) -> dict[int, _Text]:
        """Changed texts of a large component with the stories next to them, those with the most links first."""
        links = Counter(one.story for page in changed for one in (*near[page], changed[page]) if one.story is not None)
        links.update(dict.fromkeys(lost, len(changed) + 1))  # what a text has left is counted again
        texts = dict(changed)
        texts |= {one.page: one for page in changed for one in near[page] if one.story is None}
        for story, _ in sorted(links.items(), key=lambda item: (-item[1], item[0])):
            members = self._load(_OF_STORIES, [story])
            if len(texts.keys() | members.keys()) <= MAX_COMPONENT or story in lost or not members.keys().isdisjoint(changed):
                texts |= members
        return texts

    def _load(self, statement: Any, ids: Collection[int]) -> dict[int, _Text]:
        rows = self._conn.execute(statement, {"b_ids": sorted(ids)}) if ids else ()
        return {row.ledger_id: _read_text(row) for row in rows}

    def _write_texts(self, due: Sequence[int], before: Mapping[int, _Text]) -> None:
        """Write the terms of the pages that have a text of their own, and delete those of the others."""
        texts = {}
        for row in self._conn.execute(_PAGES, {"b_ids": due}).all():
            found = _NO_TERMS if row.published_at is None else find_terms(row.title, row.text, row.language)
            terms = pack(found, row.language, find_site(row.url))
            texts[row.ledger_id] = {"ledger_id": row.ledger_id, "second": row.second, "terms": terms}
        old = {key for page, one in before.items() for key in _list_keys(page, one.document.second, one.terms)}
        new = {key for page, row in texts.items() for key in _list_keys(page, row["second"], row["terms"])}
        if gone := [page for page in before if page not in texts]:
            self._conn.execute(_DELETE, {"b_ids": gone})
            self._hand_links_on(gone)
        for statement, keys in ((_DELETE_TERM, old - new), (_INSERT_TERM, new - old)):
            if keys:
                self._conn.execute(statement, [{"term": term, "second": second, "page": page} for term, second, page in sorted(keys)])
        if texts:
            self._conn.execute(_PUT, list(texts.values()))

    def _hand_links_on(self, gone: Sequence[int]) -> None:
        """Give the links of pages that no longer exist to a page that a person linked with them, so that the others stay linked."""
        copies = set(self._conn.execute(_ARE_COPIES, {"b_ids": gone}).scalars())
        for page in (one for one in gone if one not in copies):
            found = self._conn.execute(_LINKS_OF, {"b_page": page}).all()
            same = [row.page for row in found if row.is_same]
            self._conn.execute(_UNLINK, {"b_page": page})
            rows = [row._asdict() for row in found if same and row.page != same[0]]
            pairs = [(min(same[0], row["page"]), max(same[0], row.pop("page")), row) for row in rows]
            _HAND_ON.run(self._conn, [{"one": one, "other": other, **row} for one, other, row in sorted(pairs, key=lambda pair: pair[:2])])
        self._read_links()

    def _find_neighbours(self, one: _Text) -> list[_Text]:
        """The texts that are linked with one, by their terms or by a person."""
        second, terms = one.document.second, [term for term, _, _ in _list_keys(one.page, one.document.second, one.terms)]
        values = {"b_ids": terms, "b_first": second - WINDOW_SECONDS, "b_last": second + WINDOW_SECONDS}
        candidates = set(self._conn.execute(_CANDIDATES, values).scalars()) if terms else set[int]()
        same = {page for pair in self._same if one.page in pair for page in pair}
        found = self._load(_OF_PAGES, (candidates | same) - {one.page}).values()
        return [other for other in found if other.page in same or are_linked(one.document, other.document, self._across_languages)]

    def _decide_texts(
        self, parts: Sequence[Mapping[int, _Text]], labels: Mapping[int, int], lost: Collection[int], due: Collection[int]
    ) -> None:
        """Decide texts, in parts that nothing links. `labels`: their components from now on. `lost`: stories that a text has left.

        `due`: the pages that changed.
        """
        texts = {page: one for part in parts for page, one in part.items()}
        page_of = {one.document.id: page for page, one in texts.items()}
        same, different = (
            [(texts[one].document.id, texts[other].document.id) for one, other in pairs if one in texts and other in texts]
            for pairs in (self._same, self._different)
        )
        found = [
            story for part in parts for story in cluster([one.document for one in part.values()], same, different, self._across_languages)
        ]
        sizes = Counter(one.story for one in texts.values())
        changed = []
        for group in (frozenset(page_of[document] for document in one) for one in found):
            before = {texts[page].story for page in group}
            (story,) = before if len(before) == 1 else (0,)
            is_same = before == {story} and story not in lost and len(group) == (1 if story is None else sizes[story])
            if not is_same or not group.isdisjoint(due):
                changed.append(group)
        story_of = self._assign(sorted(changed, key=lambda group: min(texts[page].key for page in group)), texts, lost)
        for page, one in texts.items():
            story = story_of.get(page, one.story)
            if (one.component, one.story) != (labels[page], story):
                self._conn.execute(_SET, {"page": page, "component": labels[page], "story": story})

    def _assign(self, groups: Sequence[Group], texts: Mapping[int, _Text], lost: Collection[int]) -> dict[int, int | None]:
        """The stories of the pages of some groups. `groups`: in the order of time."""
        counts = self._count(groups)
        shared = [group for group in groups if counts[group]["documents"] > 1]
        kept: dict[Group, int] = {}
        survivors: dict[int, int] = {}  # of the stories that were merged
        for story in sorted({one for group in groups for page in group if (one := texts[page].story) is not None}.union(lost)):
            members = {page for group in groups for page in group if texts[page].story == story}
            first = min(members, key=lambda page: texts[page].key, default=0)
            largest = max(shared, key=lambda group: (len(members & group), first in group), default=None)
            if largest is None or members.isdisjoint(largest):
                self._conn.execute(update(stories).where(stories.c.id == story).values(**_EMPTY))
            elif largest in kept:  # the older story survives
                survivors[story] = kept[largest]
            else:
                kept[largest] = story
        seen = self._conn.execute(_TITLES, {"b_ids": sorted({*chain(*shared)})}).all() if shared else ()
        for group in shared:
            own = [row for row in seen if row.ledger_id in group]
            title = next((row.title for row in own if row.title), None)
            values = {**counts[group], "title": title, "first_second": own[0].second}
            if group in kept:
                self._conn.execute(update(stories).where(stories.c.id == kept[group]).values(**values))
                continue
            kept[group] = self._conn.execute(insert(stories).values(**values).returning(stories.c.id)).scalar_one()
            origins = Counter(one for page in sorted(group) if (one := texts[page].story) is not None)
            for origin, _ in origins.most_common(1):
                self.note(StoryEventKind.SPLIT, survivors.get(origin, origin), kept[group])
        for story, survivor in survivors.items():
            merged = {**_EMPTY, "merged_into": survivor}
            self._conn.execute(update(stories).where((stories.c.id == story) | (stories.c.merged_into == story)).values(**merged))
            self.note(StoryEventKind.MERGED, survivor, story)
        return {page: kept.get(group) for group in groups for page in group}

    def _count(self, groups: Sequence[Group]) -> dict[Group, dict[str, int]]:
        """The counts of each group, with the copies of its texts."""
        pages = sorted({*chain(*groups)})
        found = defaultdict[int, list[Any]](list)
        for statement in (_HEADS, _COPIES) if pages else ():
            for row in self._conn.execute(statement, {"b_ids": pages}):
                found[row.head].append(row)
        counts = {}
        for group in groups:
            rows = [row for page in group for row in found[page]]
            seconds = [row.second for row in rows] or [0]
            counts[group] = {
                "first_second": min(seconds),
                "last_second": max(seconds),
                "documents": len(rows),
                "texts": len(group),
                "sources": len({find_site(row.url) or row.url for row in rows}),
            }
        return counts

    def note(self, kind: StoryEventKind, story: int, other: int | None) -> None:
        """Record what happened to a story."""
        values = {"at": self._now, "kind": kind.value, "story_id": story, "other_id": other, "user_name": self._user}
        self._conn.execute(insert(story_events).values(**values))


class _Components:
    """Sets of labels that are joined."""

    def __init__(self, labels: Iterable[int]) -> None:
        self._sets = {label: {label} for label in labels}

    def join(self, one: int, other: int) -> None:
        first, second = (self._sets.setdefault(label, {label}) for label in (one, other))
        if first is not second:
            first |= second
            self._sets.update(dict.fromkeys(second, first))

    def list_all(self) -> list[set[int]]:
        return list({id(labels): labels for labels in self._sets.values()}.values())


def _list_keys(page: int, second: int, terms: bytes) -> list[tuple[int, int, int]]:
    """The keys of a text in `story_terms`."""
    return [(term, second, page) for term in rare_terms(_unpack(terms)[1])]


@lru_cache(MAX_CACHED_TERMS)
def _unpack(terms: bytes) -> Any:
    return unpack(terms)


def read_document(row: Any) -> StoryDocument:
    """The text in a row of `story_texts` with its document's ID."""
    language, terms, site = _unpack(row.terms)
    return StoryDocument(row.document_id or str(row.ledger_id), row.second, language, terms, site)


def _read_text(row: Any) -> _Text:
    return _Text(row.ledger_id, row.terms, read_document(row), row.component, row.story_id)

"""A corpus in a database. It writes nothing but marks, and never upgrades the schema."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from weakref import WeakSet

from newsmill.client.arguments import (
    check_choice,
    check_range,
    check_search,
    check_story_query,
    check_table,
    check_text,
    check_time,
    list_ids,
    list_strings,
)
from newsmill.client.corpus import (
    Change,
    Corpus,
    FacetCount,
    FacetCounts,
    Order,
    QueryCheck,
    Removal,
    SourceSummary,
    StoryOrder,
    TimelineBar,
    TimelineStep,
    UrlOutcome,
)
from newsmill.client.search_hits import HitPage, SearchHit, SearchHits
from newsmill.exceptions import ConfigError, NewsmillError, UrlError
from newsmill.model import CopyGroup, Document, DocumentMarks, NearDuplicate, Revision, RevisionSummary, Story, StoryDetail
from newsmill.search.facets import count_facets, list_counts
from newsmill.search.query import check_is_lasting
from newsmill.search.results import Hit
from newsmill.search.search import Search
from newsmill.search.story_search import find_stories
from newsmill.search.timelines import choose_period, count_timeline
from newsmill.storage import clock, database, frozen_stores, past_documents, schema_version
from newsmill.storage.changes import ChangePosition, Changes, RemovedDocument, StoredDocument
from newsmill.storage.database_errors import describe_location
from newsmill.storage.document_copies import DocumentCopies
from newsmill.storage.documents import Documents
from newsmill.storage.fingerprints import NearDuplicates
from newsmill.storage.ledger import Ledger
from newsmill.storage.marks import MarkChange, Marks
from newsmill.storage.past_folder import PastFolder
from newsmill.storage.revisions import Revisions
from newsmill.storage.stories import Stories

if TYPE_CHECKING:
    from newsmill.site_inspection.findings import SiteInspection

POLL_SECONDS = 2.0  # between two queries for new documents
PAGE_HITS = 200  # hits per statement
FACET_MATCHES = 50_000  # the newest matches, whose values are counted: 30 MB

_ENGINES: WeakSet[database.Engine] = WeakSet()  # of this process's corpora
_INHERITED: list[object] = []  # connections of the parent process: SQLite allows no use of them in a forked one, and no closing


def _leave_connections() -> None:
    """In a forked process: leave the connections to the parent, so that the next query opens another."""
    for engine in _ENGINES:
        _INHERITED.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_leave_connections)


class LocalCorpus(Corpus):
    """`newsmill.open("newsmill-data")`"""

    def __init__(self, url: str) -> None:
        """`url` as of DATABASE_URL. Raises ConfigError, ServiceError, and SchemaError where the schema is another program's."""
        self._url = url
        self._use(database.connect(url, read_only=True))

    def _use(self, engine: database.Engine) -> None:
        self._engine = engine
        try:
            schema_version.check_schema(self._engine)
        except NewsmillError:
            self._engine.dispose()
            raise
        _ENGINES.add(self._engine)
        self._documents = Documents(self._engine)
        self._near = NearDuplicates(self._engine)
        self._search = Search(self._engine)

    def __repr__(self) -> str:
        return f"<corpus {describe_location(self._engine)}>"

    def __reduce__(self) -> tuple[type[LocalCorpus], tuple[Any, ...]]:
        """A process that gets a copy, such as one of multiprocessing, opens the database itself."""
        return LocalCorpus, (self._url,)

    def documents(self, query: str = "", *, since: datetime | str | None = None, fold: bool = False) -> Iterator[Document]:
        check_text("query", query)
        check_time("since", since, may_be_cursor=True)
        return (stored.document for stored in self._search.iterate(query, since=since, fold=fold))

    def search(self, query: str = "", *, limit: int | None = 20, order: Order = "relevance", fold: bool = False) -> SearchHits:
        check_search(query, order, limit)

        def read_page(cursor: str | None) -> HitPage:
            size, is_first = min(PAGE_HITS, limit or PAGE_HITS), cursor is None
            page = self._search.search(query, limit=size, cursor=cursor, order=order, wait=True, count=is_first, fold=fold)
            return HitPage([_to_search_hit(hit) for hit in page.hits], page.cursor, page.total, page.answers)

        return SearchHits(read_page, limit)

    def check_query(self, query: str) -> QueryCheck:
        check_text("query", query)
        found = self._search.search(query, limit=1)
        return QueryCheck(tuple(note.message for note in found.notes), found.suggestion)

    def facets(self, query: str = "", *, limit: int = 10, fold: bool = False) -> FacetCounts:
        check_text("query", query)
        check_range("limit", limit, 1)
        found = count_facets(self._engine, query, limit=limit, matches=FACET_MATCHES, without_copies=fold)
        counts = tuple(FacetCount(facet, one.value, one.n, one.filter) for facet, one in list_counts(found))
        return FacetCounts(counts, found.counted, found.is_complete)

    def timeline(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step: TimelineStep | None = None,
        fold: bool = False,
    ) -> list[TimelineBar]:
        check_text("query", query)
        check_choice("step", step, get_args(TimelineStep))
        check_time("since", since)
        check_time("until", until)
        chosen = choose_period(query, clock.read_clock(self._engine), since=since, until=until, step=step)
        timeline = count_timeline(self._engine, query, chosen, without_copies=fold)
        whole = count_timeline(self._engine, "", timeline.period, without_copies=fold).bars
        return [TimelineBar(bar.start, bar.end, bar.n, all_.n, bar.share_of(all_)) for bar, all_ in zip(timeline.bars, whole, strict=True)]

    def changes(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change | Removal]:
        check_time("since", since, may_be_cursor=True)
        if wait is not None:
            check_range("wait", wait, 0, is_whole=False)
        changes = Changes(self._engine)
        if isinstance(since, str):
            position = ChangePosition.of(since)
            changes.check(position)
        else:
            position = changes.end() if since is None else ChangePosition(since)
        return self._follow(changes, position, wait)

    def _follow(self, changes: Changes, position: ChangePosition, wait: float | None) -> Iterator[Change | Removal]:
        last_change_at = time.monotonic()
        while True:
            while found := changes.after(position, limit=PAGE_HITS):
                for one in found:
                    yield _to_change(one)
                    position, last_change_at = one.place, time.monotonic()
            if wait is not None and time.monotonic() - last_change_at >= wait:
                return
            time.sleep(POLL_SECONDS if wait is None else min(POLL_SECONDS, wait))

    def document(self, id_or_url: str) -> Document | None:
        check_text("id_or_url", id_or_url)
        return self._documents.get(id_or_url)

    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        check_text("id_or_url", id_or_url)
        check_range("least", least, 0, 1, is_whole=False)
        check_range("limit", limit, 1)
        document = self._documents.get(id_or_url)
        return [] if document is None else list(self._near.of(document.id, least=least, limit=limit) or ())

    def copies(self, id_or_url: str) -> CopyGroup | None:
        check_text("id_or_url", id_or_url)
        document = self._documents.get(id_or_url)
        return None if document is None else DocumentCopies(self._engine).of(document.id)

    def stories(
        self, query: str = "", *, since: datetime | None = None, order: StoryOrder = "newest", pairs: bool = False, limit: int = 20
    ) -> list[Story]:
        check_story_query(query, since, order, limit)
        return find_stories(self._engine, query, since=since, order=order, pairs=pairs, limit=limit)[0]

    def story(self, story_id: int) -> StoryDetail | None:
        check_range("story_id", story_id, 1)
        return Stories(self._engine).get(story_id)

    def story_of(self, id_or_url: str) -> Story | None:
        check_text("id_or_url", id_or_url)
        document = self._documents.get(id_or_url)
        return None if document is None else Stories(self._engine).of_documents([document.id]).get(document.id)

    def revisions(self, id_or_url: str) -> list[RevisionSummary]:
        check_text("id_or_url", id_or_url)
        document = self._documents.get(id_or_url)
        return [] if document is None else list(Revisions(self._engine).list(document.id) or ())

    def revision(self, id_or_url: str, number: int) -> Revision | None:
        check_text("id_or_url", id_or_url)
        check_range("number", number, 1)
        document = self._documents.get(id_or_url)
        return None if document is None else Revisions(self._engine).get(document.id, number)

    def marks(self, ids: Iterable[str]) -> dict[str, DocumentMarks]:
        return Marks(self._engine).get(list_ids(ids))

    def mark(
        self,
        ids: Iterable[str],
        *,
        starred: bool | None = None,
        read: bool | None = None,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
        note: str | None = None,
    ) -> int:
        if note is not None:
            check_text("note=", note)
        wanted = list_ids(ids)
        added, removed = list_strings("add_tags=", add_tags), list_strings("remove_tags=", remove_tags)
        change = MarkChange(starred, read, tuple(added), tuple(removed), note)
        engine = database.connect(self._url)  # the corpus itself refuses every change
        try:
            return Marks(engine).change(wanted, change, now=clock.read_clock(engine))
        finally:
            engine.dispose()

    def tags(self) -> dict[str, int]:
        return {one.tag: one.documents for one in Marks(self._engine).list_tags()}

    def outcome(self, url: str) -> UrlOutcome | None:
        check_text("url", url)
        try:
            trace = Ledger(self._engine).traces.get(url)
        except UrlError:
            return None
        return None if trace is None else UrlOutcome.of(trace.url, trace.state, trace.outcome, trace.detail, trace.document_id)

    def sources(self) -> list[SourceSummary]:
        counts = dict(self._search.count_by_source())
        plans = {source.name: source for source in Ledger(self._engine).sources.list_all()}
        return [
            SourceSummary(name, counts.get(name, 0), plans[name].homepage, plans[name].enabled)
            if name in plans
            else SourceSummary(name, counts[name])
            for name in sorted({*plans, *counts} - {""})
        ]

    def inspect_site(self, url: str) -> SiteInspection:
        check_text("url", url)
        from newsmill.site_inspection.processes import inspect_site

        return inspect_site(url)

    def add_source(self, table: Mapping[str, Any], *, name: str | None = None) -> SourceSummary:
        check_table(table, name)
        from newsmill.sources.additions import make_source  # loads the public suffix list, which only sources need

        engine = database.connect(self._url)  # the corpus itself refuses every change
        try:
            ledger = Ledger(engine)
            source = make_source(ledger.sources.list_all(), table, name)
            ledger.sources.put(source, now=clock.read_clock(engine))
        finally:
            engine.dispose()
        return SourceSummary(source.name, dict(self._search.count_by_source()).get(source.name, 0), source.homepage, source.enabled)

    def as_of(self, at: datetime) -> Corpus:
        check_time("at", at)
        return _open_past(self._url, self._engine, at)

    def close(self) -> None:
        self._engine.dispose()


_NO_STORIES = "a corpus of the past has no stories; read those of the corpus of today"


class PastCorpus(LocalCorpus):
    """`corpus.as_of(time)`. Every call raises ServiceError after a takedown in the corpus of today, which deletes the file."""

    def __init__(self, url: str, path: Path, takedowns: int, taken_down: Mapping[str, str], folder: PastFolder | None = None) -> None:
        """`url`: of the corpus of today, which had so many takedowns when the file at `path` was made; `folder`: deleted by `close`."""
        self._url, self._path, self._takedowns, self._taken_down, self._folder = url, path, takedowns, taken_down, folder
        self._today = database.connect(url, read_only=True)
        _ENGINES.add(self._today)
        try:
            self._use(frozen_stores.open_frozen(self._today, path, takedowns))
        except NewsmillError:
            self._today.dispose()
            raise

    def __reduce__(self) -> tuple[type[LocalCorpus], tuple[Any, ...]]:
        return PastCorpus, (self._url, self._path, self._takedowns, self._taken_down)

    @property
    def taken_down(self) -> Mapping[str, str]:
        return self._taken_down

    def documents(self, query: str = "", *, since: datetime | str | None = None, fold: bool = False) -> Iterator[Document]:
        check_is_lasting(query)
        return super().documents(query, since=since, fold=fold)

    def search(self, query: str = "", *, limit: int | None = 20, order: Order = "relevance", fold: bool = False) -> SearchHits:
        check_is_lasting(query)
        return super().search(query, limit=limit, order=order, fold=fold)

    def facets(self, query: str = "", *, limit: int = 10, fold: bool = False) -> FacetCounts:
        check_is_lasting(query)
        return super().facets(query, limit=limit, fold=fold)

    def timeline(
        self,
        query: str = "",
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        step: TimelineStep | None = None,
        fold: bool = False,
    ) -> list[TimelineBar]:
        check_is_lasting(query)
        return super().timeline(query, since=since, until=until, step=step, fold=fold)

    def changes(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change | Removal]:
        raise ConfigError("a corpus of the past does not change; follow the corpus of today")

    def stories(
        self, query: str = "", *, since: datetime | None = None, order: StoryOrder = "newest", pairs: bool = False, limit: int = 20
    ) -> list[Story]:
        raise ConfigError(_NO_STORIES)

    def story(self, story_id: int) -> StoryDetail | None:
        raise ConfigError(_NO_STORIES)

    def story_of(self, id_or_url: str) -> Story | None:
        raise ConfigError(_NO_STORIES)

    def mark(self, ids: Iterable[str], **changes: Any) -> int:
        raise ConfigError("a corpus of the past has no marks; mark documents in the corpus of today")

    def add_source(self, table: Mapping[str, Any], *, name: str | None = None) -> SourceSummary:
        raise ConfigError("a corpus of the past cannot be changed; add the source to the corpus of today")

    def as_of(self, at: datetime) -> Corpus:
        raise ConfigError("the corpus is one of the past already; call as_of of the corpus of today")

    def close(self) -> None:
        super().close()
        self._today.dispose()
        if self._folder is not None:
            self._folder.close()


def _open_past(url: str, engine: database.Engine, at: datetime) -> Corpus:
    """The corpus of the database as it was. `engine`: read only."""
    now = clock.read_clock(engine)
    if past_documents.is_settled(engine, at):
        at = past_documents.settle(engine, at, now=now)
    else:  # a later time is noted in the database
        writer = database.connect(url)
        try:
            at = past_documents.settle(writer, at, now=now)
        finally:
            writer.dispose()
    with ExitStack() as stack:  # also Ctrl-C deletes the folder
        folder = PastFolder()
        stack.callback(folder.close)
        takedowns = past_documents.count_takedowns(engine)
        frozen_stores.freeze(engine, folder.path, at, with_index=True).dispose()
        (path,) = folder.path.glob("*.db")
        taken_down = {one.id: one.reason for one in past_documents.list_taken_down(engine, at)}
        corpus = PastCorpus(url, path, takedowns, taken_down, folder)
        stack.pop_all()
    return corpus


def _to_change(one: StoredDocument | RemovedDocument) -> Change | Removal:
    if isinstance(one, RemovedDocument):
        return Removal(one.id, one.source, one.removed_at, one.cursor)
    return Change(Document(**{field.name: getattr(one, field.name) for field in fields(Document)}), one.cursor)


def _to_search_hit(hit: Hit) -> SearchHit:
    values = {field.name: getattr(hit, field.name) for field in fields(SearchHit)}
    return SearchHit(**values | {"snippet": "".join(text for text, _ in hit.snippet)})

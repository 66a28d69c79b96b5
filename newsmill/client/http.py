"""A corpus behind the HTTP API of a Newsmill server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from http.client import HTTPException
from itertools import islice
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import quote

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
from newsmill.exceptions import ConfigError
from newsmill.model import CopyGroup, Document, DocumentMarks, NearDuplicate, Revision, RevisionSummary, Story, StoryDetail

if TYPE_CHECKING:
    from newsmill.site_inspection.findings import SiteInspection
from newsmill.client.api_connection import RETRY_STATUSES, TIMEOUT_SECONDS, ApiConnection, ErrorResponse, Event, parse_json, read_events
from newsmill.client.api_types import Changed, CheckedPage, FacetPage, FoundPage, ItemPage, Removed, SourceCount, TimelinePage

PAGE_DOCUMENTS = 50
PAGE_HITS = 200  # of one request
MAX_REVISIONS = 200  # of one request; a document keeps fewer
INSPECTION_SECONDS = 600.0  # without a byte: two inspections at a time, of at most four minutes


class HttpCorpus(ApiConnection, Corpus):
    """`newsmill.open("https://news.example.org", token="nm_…")`"""

    def __repr__(self) -> str:
        return f"<corpus {self._base}>"

    def documents(self, query: str = "", *, since: datetime | str | None = None, fold: bool = False) -> Iterator[Document]:
        check_text("query", query)
        check_time("since", since, may_be_cursor=True)
        if query or fold:
            return self._matching(query, since, fold)
        place = {"cursor": since} if isinstance(since, str) else {"stored_since": _format_time(since)}
        return (self.read(Document, item) for item in self._pages("documents", {"order": "stored", **place}, PAGE_DOCUMENTS))

    def _matching(self, query: str, since: datetime | str | None, fold: bool) -> Iterator[Document]:
        if isinstance(since, str):
            raise ConfigError("over an API, since= beside a query or fold= is a time; a cursor belongs to all documents")
        found = self._pages("search/documents", {"q": query, "order": "newest", "fold": _format_flag(fold)}, PAGE_DOCUMENTS)
        return (self.read(Document, item) for item in found if since is None or self.read(datetime, item.get("stored_at")) >= since)

    def search(self, query: str = "", *, limit: int | None = 20, order: Order = "relevance", fold: bool = False) -> SearchHits:
        check_search(query, order, limit)
        parameters = {"q": query, "order": order, "fold": _format_flag(fold), "limit": min(limit or PAGE_HITS, PAGE_HITS)}

        def read_page(cursor: str | None) -> HitPage:
            page = self.read(FoundPage, self.get("search", {**parameters, "cursor": cursor}))
            hits = [self.read(SearchHit, item | {"snippet": _join_snippet(item.get("snippet"))}) for item in page.items]
            return HitPage(hits, page.next, page.total, page.answers)

        return SearchHits(read_page, limit)

    def check_query(self, query: str) -> QueryCheck:
        check_text("query", query)
        found = self.read(CheckedPage, self.get("search", {"q": query, "limit": 1}))
        return QueryCheck(tuple(note.message for note in found.notes), found.suggestion)

    def facets(self, query: str = "", *, limit: int = 10, fold: bool = False) -> FacetCounts:
        check_text("query", query)
        check_range("limit", limit, 1)
        found = self.read(FacetPage, self.get("search/facets", {"q": query, "limit": min(limit, 100), "fold": _format_flag(fold)}))
        return FacetCounts(found.items, found.counted, found.is_complete)

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
        bounds = {"since": _format_time(since), "until": _format_time(until), "fold": _format_flag(fold)}
        return self.read(TimelinePage, self.get("search/timeline", {"q": query, "step": step, **bounds})).items

    def changes(self, since: datetime | str | None = None, *, wait: float | None = None) -> Iterator[Change | Removal]:
        check_time("since", since, may_be_cursor=True)
        if wait is not None:
            check_range("wait", wait, 0, is_whole=False)
        place = {"cursor": since} if isinstance(since, str) else {"since": _format_time(since)}
        last_event_at, connected, caught_up = time.monotonic(), False, False
        while True:
            # `wait` counts from when everything stored is read: the server's first query may take longer
            silence = TIMEOUT_SECONDS if wait is None else wait if caught_up else max(wait, TIMEOUT_SECONDS)
            try:
                with self.open("stream", {"full": "true", **place}, min(TIMEOUT_SECONDS, max(silence, 1.0))) as answer:
                    connected = True
                    for event in read_events(answer):
                        place = {"cursor": event.cursor} if event.cursor else place
                        if event.data is not None:
                            if (change := self._read_change(event)) is not None:
                                yield change
                            last_event_at = time.monotonic()
                        elif wait is not None and time.monotonic() - last_event_at >= silence:
                            return
                        elif wait is not None and event.is_caught_up and not caught_up:
                            caught_up, last_event_at = True, time.monotonic()
                            break  # and connect again with the shorter time limit
            except ErrorResponse as refusal:
                if refusal.status not in RETRY_STATUSES or not connected:
                    raise
            except (OSError, HTTPException) as error:  # silent for too long, or broken: the place is known
                if not connected:
                    raise self.connection_error(error) from error
            if wait is not None and time.monotonic() - last_event_at >= (wait if caught_up else silence):
                return
            time.sleep(min(1, wait) if wait is not None and caught_up else 1)

    def _read_change(self, event: Event) -> Change | Removal | None:
        """The change in an event; None for a kind of event that only a newer server has."""
        if event.name == b"removed":
            removed = self.read(Removed, parse_json(event.data or b""))
            return Removal(removed.id, removed.source, removed.removed_at, event.cursor or "")
        if event.name != b"document":
            return None
        return Change(self.read(Document, parse_json(event.data or b"")), event.cursor or "")

    def document(self, id_or_url: str) -> Document | None:
        check_text("id_or_url", id_or_url)
        if not id_or_url:
            return None
        by_url = "://" in id_or_url
        path, query = ("documents/by-url", {"url": id_or_url}) if by_url else (f"documents/{_quote(id_or_url)}", {})
        found = self.get(path, query, may_be_missing=True)
        return None if found is None else self.read(Document, found)

    def near_duplicates(self, id_or_url: str, *, least: float = 0.7, limit: int = 20) -> list[NearDuplicate]:
        check_text("id_or_url", id_or_url)
        check_range("least", least, 0, 1, is_whole=False)
        check_range("limit", limit, 1)
        found = self.get(
            f"{self._document_path(id_or_url)}/near-duplicates", {"least": least, "limit": min(limit, 100)}, may_be_missing=True
        )
        return [] if found is None else [self.read(NearDuplicate, item) for item in self.read(ItemPage, found).items][:limit]

    def copies(self, id_or_url: str) -> CopyGroup | None:
        check_text("id_or_url", id_or_url)
        found = self.get(f"{self._document_path(id_or_url)}/copies", {}, may_be_missing=True)
        return None if found is None else self.read(CopyGroup, found)

    def stories(
        self, query: str = "", *, since: datetime | None = None, order: StoryOrder = "newest", pairs: bool = False, limit: int = 20
    ) -> list[Story]:
        check_story_query(query, since, order, limit)
        found = self._pages(
            "stories", {"q": query, "since": _format_time(since), "order": order, "pairs": str(pairs).lower()}, min(limit, 200)
        )
        return [self.read(Story, item) for item in islice(found, limit)]

    def story(self, story_id: int) -> StoryDetail | None:
        check_range("story_id", story_id, 1)
        found = self.get(f"stories/{story_id}", {}, may_be_missing=True)
        return None if found is None else self.read(StoryDetail, found)

    def story_of(self, id_or_url: str) -> Story | None:
        check_text("id_or_url", id_or_url)
        found = self.get(f"{self._document_path(id_or_url)}/story", {}, may_be_missing=True)
        return None if found is None else self.read(Story, found)

    def _document_path(self, id_or_url: str) -> str:
        """The path of a document, which may not exist."""
        document = self.document(id_or_url) if "://" in id_or_url else None
        return f"documents/{_quote(document.id if document else id_or_url)}"

    def revisions(self, id_or_url: str) -> list[RevisionSummary]:
        check_text("id_or_url", id_or_url)
        found = self.get(f"{self._document_path(id_or_url)}/revisions", {"limit": MAX_REVISIONS}, may_be_missing=True)
        return [] if found is None else [self.read(RevisionSummary, item) for item in self.read(ItemPage, found).items]

    def revision(self, id_or_url: str, number: int) -> Revision | None:
        check_text("id_or_url", id_or_url)
        check_range("number", number, 1)
        found = self.get(f"{self._document_path(id_or_url)}/revisions/{number}", {}, may_be_missing=True)
        return None if found is None else self.read(Revision, found)

    def marks(self, ids: Iterable[str]) -> dict[str, DocumentMarks]:
        wanted = list_ids(ids)
        items = self.read(ItemPage, self.get("marks", {"id": wanted})).items if wanted else []
        return {str(item.get("id")): self.read(DocumentMarks, item) for item in items}

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
        wanted, added, removed = list_ids(ids), list_strings("add_tags=", add_tags), list_strings("remove_tags=", remove_tags)
        change = {"starred": starred, "read": read, "add_tags": added, "remove_tags": removed, "note": note}
        if not wanted:
            return 0
        found = self.post("marks", json.dumps({"ids": wanted, **change}).encode())
        return self.read(Changed, found).documents

    def tags(self) -> dict[str, int]:
        return {str(item.get("tag")): int(item.get("documents", 0)) for item in self._pages("tags", {}, None)}

    def outcome(self, url: str) -> UrlOutcome | None:
        check_text("url", url)
        found = self.get("ledger/trace", {"url": url}, may_be_missing=True)
        if found is None:
            return None
        row = self.read(UrlOutcome, found)
        return UrlOutcome.of(row.url, row.state, row.outcome, row.detail, row.document_id)

    def sources(self) -> list[SourceSummary]:
        plans = {str(item.get("name")): item for item in self._pages("sources", {}, 200)}
        found = (self.read(SourceCount, item) for item in self._pages("search/by-source", {"fold": "false"}, None))
        counts = {count.source: count.n for count in found}
        return [
            self.read(SourceSummary, {**plans.get(name, {}), "name": name, "documents": counts.get(name, 0)})
            for name in sorted({*plans, *counts} - {""})
        ]

    def inspect_site(self, url: str) -> SiteInspection:
        check_text("url", url)
        from newsmill.site_inspection.findings import SiteInspection

        found = self.post("sources/inspections", json.dumps({"url": url}).encode(), repeat=False, timeout=INSPECTION_SECONDS)
        return self.read(SiteInspection, found)

    def add_source(self, table: Mapping[str, Any], *, name: str | None = None) -> SourceSummary:
        check_table(table, name)
        named = {} if name is None else {"name": name}
        found = self.post("sources", json.dumps({**table, **named}, default=str).encode(), repeat=False)  # a date becomes a string
        return self.read(SourceSummary, {**found, "documents": 0} if isinstance(found, dict) else found)

    def as_of(self, at: datetime) -> Corpus:
        raise ConfigError("the past is read from a store, not over an API; open the data folder or the database of the server")

    def close(self) -> None:
        """Each request has its own connection."""

    def _pages(self, path: str, query: dict[str, Any], limit: int | None) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page. `limit` is None for a list that has one page."""
        while True:
            page = self.read(ItemPage, self.get(path, {**query, "limit": limit}))
            yield from page.items
            if page.next is None:
                return
            query = {**{key: value for key, value in query.items() if key != "stored_since"}, "cursor": page.next}


def _quote(text: str) -> str:
    """The text as one segment of a path."""
    return quote(text, safe="", errors="replace")


def _join_snippet(snippet: Any) -> str:
    """The text of a snippet."""
    return "".join(piece[0] for piece in snippet) if isinstance(snippet, list) else ""


def _format_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _format_flag(flag: bool) -> str:
    return "true" if flag else "false"

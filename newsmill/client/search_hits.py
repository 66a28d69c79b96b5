"""The matches of a search: a sequence that is read page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import overload

from newsmill.model import Author
from newsmill.model.display import format_html, format_line, format_table

MAX_SHOWN = 10  # hits that a Python shell shows; a notebook shows twice as many


@dataclass(frozen=True, slots=True, repr=False)
class SearchHit:
    """A search result: the main fields of a document. Times are aware and UTC."""

    id: str
    url: str
    title: str | None
    source: str | None
    site_name: str | None
    language: str | None
    section: str | None
    published_at: datetime | None
    first_seen_at: datetime
    authors: tuple[Author, ...]
    word_count: int
    is_free: bool | None
    snippet: str  # of the text, around words of the query
    image: str | None = None  # URL of the main image
    doubtful: bool = False  # `Document.doubtful`; an older server does not say
    gone_at: datetime | None = None
    published_precision: str | None = None  # second, minute, day; an older server does not say
    copies: int = 0  # other matches of its group of copies, for which it stands where a search folds
    is_answer: bool | None = None  # False: the document only mentions the words; None: it was not scored, or an older server does not say

    def __repr__(self) -> str:
        return format_line("SearchHit", self.title, (*self._list_facts(), self.url))

    def _repr_html_(self) -> str:
        """Show the result in a notebook."""
        return format_html(self.title, self.url, (*self._list_facts(), ", ".join(map(str, self.authors))), self.snippet)

    def _list_facts(self) -> tuple[str | None, ...]:
        return None if self.published_at is None else f"{self.published_at:%Y-%m-%d}", self.source or self.site_name


@dataclass(frozen=True, slots=True)
class HitPage:
    """One page of matches. `next`: the cursor of the page after it. `total`: the number of all matches; `answers`: of those that are about
    the query. None: not counted."""

    hits: Sequence[SearchHit]
    next: str | None
    total: int | None = None
    answers: int | None = None


class SearchHits(Sequence[SearchHit]):
    """The matches of a search. They are read when they are used: 200 at a time, each once.

    `total` is the number of all matches, whatever the limit, and `answers` of those that are about the query, where the others only mention
    its words; None if it takes too long to count. A slice is a list; `len` reads to the end.
    """

    def __init__(self, read_page: Callable[[str | None], HitPage], limit: int | None) -> None:
        """`read_page` gets a cursor; None is the first page, which is read now. Raises what it raises; a later use tries again."""
        self._read_page, self._limit = read_page, limit
        self._read: list[SearchHit] = []
        first = self._add(read_page(None))
        self.total, self.answers = first.total, first.answers

    def _add(self, page: HitPage) -> HitPage:
        self._read += page.hits
        is_full = self._limit is not None and len(self._read) >= self._limit
        self._next = None if is_full else page.next
        del self._read[self._limit if is_full else len(self._read) :]
        return page

    def _fill(self, count: int | None) -> list[SearchHit]:
        """The matches that are read, at least `count` of them if there are as many; None: all."""
        while self._next is not None and (count is None or len(self._read) < count):
            self._add(self._read_page(self._next))
        return self._read

    @overload
    def __getitem__(self, index: int) -> SearchHit: ...

    @overload
    def __getitem__(self, index: slice) -> list[SearchHit]: ...

    def __getitem__(self, index: int | slice) -> SearchHit | list[SearchHit]:
        if isinstance(index, int):
            return self._fill(index + 1 if index >= 0 else None)[index]
        bounds = (index.start or 0, -1 if index.stop is None else index.stop)
        return self._fill(bounds[1] if min(bounds) >= 0 else None)[index]

    def __iter__(self) -> Iterator[SearchHit]:
        number = 0
        while number < len(self._fill(number + 1)):
            yield self._read[number]
            number += 1

    def __len__(self) -> int:
        return len(self._fill(None))

    def __bool__(self) -> bool:
        return bool(self._read)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, (SearchHits, list)) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to a list, which has no hash

    def __reduce__(self) -> tuple[type[list[SearchHit]], tuple[list[SearchHit]]]:
        """A process that gets a copy gets a list, because pages are read from a connection."""
        return list, (list(self),)

    def __repr__(self) -> str:
        return "\n".join([f"<SearchHits {self._describe()}>", *map(repr, self[:MAX_SHOWN])])

    def _repr_html_(self) -> str:
        """Show a table in a notebook."""
        rows = [
            (hit.title, hit.url, hit.snippet, (*hit._list_facts(), hit.language, f"{hit.word_count:,}")) for hit in self[: 2 * MAX_SHOWN]
        ]
        return format_table(self._describe(), ("title", "published", "site", "language", "words"), rows)

    def _describe(self) -> str:
        if self.total is None:
            return "of very many matches"
        shown = self.total if self._limit is None else min(self._limit, self.total)
        about = "" if self.answers is None else f", {self.answers:,} of them about it"
        return f"{shown:,} of {self.total:,} {'match' if self.total == 1 else 'matches'}{about}"

"""Documents: articles as they are stored and exported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Self

from newsmill.model.blocks import Block, BlockType, Markup
from newsmill.model.display import format_html, format_line
from newsmill.text.sentences import Detail

if TYPE_CHECKING:
    from pydantic import TypeAdapter


class AuthorType(StrEnum):
    PERSON = "person"
    ORGANISATION = "organisation"


@dataclass(frozen=True, slots=True)
class Author:
    name: str
    type: AuthorType = AuthorType.PERSON

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Image:
    url: str
    caption: str | None = None
    credit: str | None = None


@dataclass(frozen=True, slots=True)
class LiveUpdate:
    text: str
    title: str | None = None
    at: datetime | None = None


DOUBTFUL_CONFIDENCE = 0.85
"""Expected F1 over words, 0 to 1, below which a page is read a second time and a document is shown as doubtful.

Out of fold, 39 % of the pages below it have an F1 under 0.6, and 1.4 % of the others (`benchmarks/quality.py --folds DIR`, 984 pages).
The search index stores which documents are doubtful, so another value needs a migration that updates the index.
"""


MIN_UPDATE_CHARACTERS = 30  # characters of an update that is searched in the text; a short one ("Goal!") may be in any lead


_WORD = re.compile(r"\w+")


def is_doubtful(confidence: float | None) -> bool:
    """True for a confidence (0 to 1) below DOUBTFUL_CONFIDENCE, False for None."""
    return confidence is not None and confidence < DOUBTFUL_CONFIDENCE


@dataclass(frozen=True, slots=True, repr=False)
class Document:
    """An article as stored and exported. An unknown value is None, never a guess. Mappings are in the order of their keys."""

    id: str  # newsmill.text.urls.make_key(canonical_url or url)
    url: str  # final URL
    requested_url: str
    canonical_url: str | None
    source: str | None
    site_name: str | None
    title: str | None
    description: str | None
    text: str
    blocks: tuple[Block, ...]  # kept ones only
    authors: tuple[Author, ...]
    published_at: datetime | None
    modified_at: datetime | None
    first_seen_at: datetime
    fetched_at: datetime
    published_source: str | None  # json-ld, meta, feed, dom, url, text, spider
    published_precision: str | None  # second, minute, day
    language: str | None
    section: str | None
    tags: tuple[str, ...]
    image: str | None
    images: tuple[Image, ...]
    article_type: str | None
    live_updates: tuple[LiveUpdate, ...]
    is_free: bool | None
    is_free_reason: Detail | None
    license: str | None
    rights: Mapping[str, str]
    word_count: int
    extractor: str  # e.g. "trafilatura 2.3.1"
    profile_version: int | None
    confidence: float | None
    warnings: tuple[Detail, ...]
    content_hash: str
    provenance: Mapping[str, str]  # field name → origin of its value
    revision: int = 1
    archive_ref: str | None = None  # "segment-id@offset"
    published_day: str | None = None  # ISO date of published_at in the time zone of the site; the date in UTC may differ
    gone_at: datetime | None = None  # when a visit first got HTTP 404 or 410; None while the page exists
    original_url: str | None = None  # on another site, which the page names as its canonical URL
    text_seen_at: datetime | None = None  # when the store first got this text, however the page dates it; None outside a store

    def __post_init__(self) -> None:
        for name in ("rights", "provenance"):  # a database may have another order, and what is exported must not depend on it
            object.__setattr__(self, name, dict(sorted(getattr(self, name).items())))

    @property
    def doubtful(self) -> bool:
        """Whether the confidence is below DOUBTFUL_CONFIDENCE; such a text needs a check."""
        return is_doubtful(self.confidence)

    def __repr__(self) -> str:
        return format_line(type(self).__name__, self.title, (*self._list_facts(), self.url))

    def _repr_html_(self) -> str:
        """Show the document in a notebook."""
        return format_html(self.title, self.url, (*self._list_facts(), ", ".join(map(str, self.authors))), self.text)

    def _list_facts(self) -> tuple[str | None, ...]:
        day = self.published_day or (None if self.published_at is None else f"{self.published_at:%Y-%m-%d}")
        return day, self.source or self.site_name, f"{self.word_count:,} {'word' if self.word_count == 1 else 'words'}"

    def to_dict(self) -> dict[str, Any]:
        """Return every field by name, as a row of `newsmill.arrow_schema()`: a mapping is a list of keys and values, a day is a date."""
        values: dict[str, Any] = _adapter().dump_python(self)
        day = self.published_day
        return values | {
            "published_day": None if day is None else date.fromisoformat(day),
            "rights": self.list_pairs("rights"),
            "provenance": self.list_pairs("provenance"),
            "doubtful": self.doubtful,
        }

    def list_pairs(self, name: str) -> list[dict[str, str]]:
        """Return a mapping (`rights`, `provenance`) as a list of key and value: not all readers of tables support maps."""
        return [{"key": key, "value": value} for key, value in getattr(self, name).items()]

    def text_with_updates(self) -> str:
        """Return the text, followed by the updates of a live blog. Each update has a heading with its time (UTC) and title."""
        return "\n\n".join(filter(None, (self.text, *(block.text for block in self.update_blocks()))))

    def update_blocks(self) -> tuple[Block, ...]:
        """Return the updates that the text does not contain, in page order: a heading (time in UTC, title) and paragraphs for each."""
        words = _join_words(self.text)
        return tuple(block for update in self.live_updates if not _contains(words, update) for block in _blocks_of(update))

    def with_updates(self) -> Self:
        """Return the document with its updates in `text` and `blocks`. All other fields, including `word_count`, describe the article."""
        blocks = self.update_blocks()
        return replace(self, text=self.text_with_updates(), blocks=(*self.blocks, *blocks)) if blocks else self


@cache
def _adapter() -> TypeAdapter[Document]:
    """Ten times as fast as dataclasses.asdict. pydantic costs 0.1 s of CPU, which most users of a document need not spend."""
    from pydantic import TypeAdapter

    return TypeAdapter(Document)


def _join_words(text: str) -> str:
    """Join the words, with a space at either end so that a part of a word does not match."""
    return f" {' '.join(_WORD.findall(text.casefold()))} "


def _contains(words: str, update: LiveUpdate) -> bool:
    """Whether the words of a text contain an update, as on a page without a lead. A match of a few words is not evidence."""
    parts = [_join_words(part) for part in (update.title, update.text) if part]
    return sum(map(len, parts)) >= MIN_UPDATE_CHARACTERS and all(part in words for part in parts)


def _blocks_of(update: LiveUpdate) -> Iterator[Block]:
    at = "" if update.at is None else f"{update.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if heading := " · ".join(filter(None, (at, update.title))):
        yield Block(BlockType.HEADING, heading, markup=Markup(level=3))
    if update.text != update.title:
        yield from (Block(BlockType.PARAGRAPH, part) for part in update.text.split("\n\n") if part)


class MarkKind(StrEnum):
    """What a user may note about a document."""

    STAR = "star"
    READ = "read"
    TAG = "tag"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class DocumentMarks:
    """What one user has noted about a document."""

    starred: bool = False
    read: bool = False
    tags: tuple[str, ...] = ()  # the user's own, not `Document.tags`
    note: str | None = None

"""Index entries, made from rows of `documents`, and their order by time. Pure, and the same for both databases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from newsmill.model import MarkKind, is_doubtful
from newsmill.search.tokens import character_term, common_bigrams, fold, is_unspaced, tokenize
from newsmill.search.word_forms import Form, find_forms, lemmatizer_of
from newsmill.storage.columns import make_storable

MAX_TEXT_CHARACTERS = 100_000  # indexed: twenty long articles, and less than the 1 MB that a tsvector may have
MAX_WORDS = 16_000  # a tsvector counts positions up to 16,383
_MAX_PART_WORDS = (MAX_WORDS // 4, MAX_WORDS // 4, MAX_WORDS // 2)
MAX_FACET_CHARACTERS = 100  # of a section, an author's name, a type or a host in a list of counts
MAX_FACET_AUTHORS = 10  # of one document
LEAD_CHARACTERS = 300  # the lead is the description and the paragraphs up to here
MOMENTS_PER_SECOND = 1024  # so that documents of the same second have an order
MOMENTS_PER_DAY = 86_400 * MOMENTS_PER_SECOND

EVERY_ENTRY = "\ue000"  # a term of every entry, for queries that only exclude. U+E000 is in no word of a text (`tokens._WORD`)
_SPECIAL = re.compile("[^0-9a-z\u0080-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class FacetValues:
    """What facets count of one document besides its source. Cut to MAX_FACET_CHARACTERS, on one line, without NUL."""

    language: str | None  # the first part of its tag: "de" of "de-AT"
    section: str | None
    authors: tuple[str, ...]
    type: str | None
    site: str | None  # the host, folded, without "www."


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One document in the index."""

    document_id: str
    moment: int
    source: str | None
    title: list[str]
    lead: list[str]
    body: list[str]
    facets: list[str]
    facet_values: FacetValues
    synthetic: tuple[list[str], ...]  # of title, lead and body; see `_synthetic_terms`
    lemmatizer: str  # of its language; "" without one
    forms: frozenset[Form]  # for the table `search_forms`: the words that the lemmatizer knows, and those of the title


def build_entry(row: Mapping[Any, Any], marks: Iterable[Any] = ()) -> IndexEntry:
    """The entry of a row of `documents`, with its rows of `marks`."""
    texts = _split_parts(row)
    language = (row["language"] or "").lower().replace("_", "-")
    lemmatizer, values = lemmatizer_of(language), _facet_values(row, language)
    title, lead, body = (tokenize(part)[:most] for part, most in zip(texts, _MAX_PART_WORDS, strict=True))
    forms = [find_forms(part, lemmatizer) for part in texts]
    return IndexEntry(
        row["id"],
        to_moment(document_time(row["published_at"], row["published_precision"], row["first_seen_at"])),
        row["source"],
        title,
        lead,
        body,
        [EVERY_ENTRY, *sorted({*_facet_terms(row, values, language, lemmatizer), *(term for mark in marks for term in _mark_terms(mark))})],
        values,
        tuple(_synthetic_terms(words, held, lemmatizer) for words, held in zip((title, lead, body), forms, strict=True)),
        lemmatizer,
        frozenset(form for held in forms for form in held if form.is_known or held is forms[0]),
    )


def document_time(published_at: datetime | None, precision: str | None, first_seen_at: datetime) -> datetime:
    """A document's time: when it was published, but never later than it was first seen. A day without an hour counts to its end."""
    if published_at is None:
        return first_seen_at
    return min(published_at + timedelta(days=1, seconds=-1) if precision == "day" else published_at, first_seen_at)


def to_moment(at: datetime) -> int:
    """The number by which the index orders a time: the first moment of its second. Times before 1970 count as 1970."""
    return max(0, int(at.timestamp())) * MOMENTS_PER_SECOND


def to_time(moment: int) -> datetime:
    """The second that a moment lies in."""
    return datetime.fromtimestamp(moment // MOMENTS_PER_SECOND, UTC)


def facet_term(name: str, value: str) -> str:
    """A property as a term of the index. `value` is folded. The term does not begin with the name, so that no `mark*` finds it.

    >>> facet_term("source", "the paper") == facet_term("source", "the-paper")
    False
    """
    spelled = _SPECIAL.sub(lambda match: f"{ord(match[0]):x}\ue001", make_storable(value[:200]))
    return f"\ue007{name}\ue000{spelled}\ue000"


def lemma_term(lemmatizer: str, lemma: str) -> str:
    """The term of documents in which another form of the lemma stands. It does not begin with the lemma, so that no `mark*` finds it."""
    return f"\ue006{lemmatizer}\ue006{lemma}"


def _split_parts(row: Mapping[Any, Any]) -> tuple[str, str, str]:
    """The texts of title, lead and body."""
    text, description = row["text"][:MAX_TEXT_CHARACTERS], (row["description"] or "")[:MAX_TEXT_CHARACTERS]
    end = text.find("\n", LEAD_CHARACTERS) if len(text) > LEAD_CHARACTERS else -1
    lead, body = (text, "") if end < 0 else (text[:end], text[end:])
    if description and description not in text:
        lead = f"{description}\n{lead}"
    return (row["title"] or "")[:MAX_TEXT_CHARACTERS], lead, body


def _synthetic_terms(words: list[str], forms: Iterable[Form], lemmatizer: str) -> list[str]:
    """Terms that no text contains: lemmas, and what would be slow to find, common bigrams and characters of unspaced scripts."""
    terms = common_bigrams(words)
    terms |= {lemma_term(lemmatizer, form.lemma) for form in forms if form.word != form.lemma}
    if not all(map(str.isascii, words)):
        terms |= {character_term(word[0]) for word in set(words) if is_unspaced(word)}
    return sorted(terms)


def _facet_values(row: Mapping[Any, Any], language: str) -> FacetValues:
    names = filter(None, (_one_line(author["name"]) for author in row["authors"][:MAX_FACET_AUTHORS]))
    authors = {fold(name): name for name in names}  # one name in two spellings counts once
    return FacetValues(
        language.partition("-")[0][:MAX_FACET_CHARACTERS] or None,
        _one_line(row["section"] or "") or None,
        tuple(authors.values()),
        _one_line(row["article_type"] or "") or None,
        fold(urlsplit(row["url"]).hostname or "").removeprefix("www.")[:MAX_FACET_CHARACTERS] or None,
    )


def _one_line(text: str) -> str:
    return " ".join(make_storable(text[: 10 * MAX_FACET_CHARACTERS]).split())[:MAX_FACET_CHARACTERS].strip()


def whole_value(text: str) -> str:
    """The value of a section or an author as `section:=` and `author:=` compare it.

    >>> whole_value("  Local  News ")
    'local news'
    """
    return fold(_one_line(text))


def _facet_terms(row: Mapping[Any, Any], values: FacetValues, language: str, lemmatizer: str) -> Iterator[str]:
    if row["source"]:
        yield facet_term("source", fold(row["source"]))
    if language:
        yield facet_term("lang", language)
        yield facet_term("lang", language.partition("-")[0])
    if lemmatizer:
        yield facet_term("lemmatizer", lemmatizer)
    yield facet_term("is_free", {True: "yes", False: "no", None: "unknown"}[row["is_free"]])
    if is_doubtful(row["confidence"]):
        yield facet_term("doubtful", "yes")
    if values.type:
        yield facet_term("type", fold(values.type))
    if values.section:
        yield facet_term("section_is", fold(values.section))
    for author_name in values.authors:
        yield facet_term("author_is", fold(author_name))
    for word in tokenize((row["section"] or "")[:1000]):
        yield facet_term("section", word)
    for author in row["authors"][:100]:
        for word in tokenize(author["name"][:1000]):
            yield facet_term("author", word)
    labels = fold(urlsplit(row["url"]).hostname or "").removeprefix("www.").split(".")[-10:]
    for at in range(max(1, len(labels) - 1)):  # news.bbc.co.uk, bbc.co.uk, co.uk
        yield facet_term("site", ".".join(labels[at:]))


# ---- marks of users ----------------------------------------------------------------------------------------------------------


def mark_value(user: str, value: str = "") -> str:
    """The value of a property that a document has for one user only. `value` is folded, and no longer than a tag."""
    return f"{blake2b(user.encode('utf-8', 'replace'), digest_size=9).hexdigest()} {value}"


def _mark_terms(mark: Any) -> Iterator[str]:
    """The properties that a row of `marks` gives: its kind alone, and with it the name of the tag or each word of the note."""
    yield facet_term(mark.kind, mark_value(mark.user_name))
    values = {fold(mark.tag)} if mark.kind == MarkKind.TAG else set(tokenize(mark.note or ""))
    yield from (facet_term(mark.kind, mark_value(mark.user_name, value)) for value in values)


# ---- time buckets ------------------------------------------------------------------------------------------------------------

# A time bucket is a term of the index, and each document is in one bucket of each length. For a word alone, GIN returns every document with
# it, and FTS5 reads on until the next match. For a word and a few time buckets, both skip everything else. With a small source and a common
# word, which lie far apart, a search then takes 40 ms on SQLite (p95) at a million documents (`benchmarks/growth.py --sizes 1000000`).

# Half an hour to two years, each eight times the one before, so that few buckets cover any span.
BUCKET_MOMENTS = tuple(1800 * 8**level * MOMENTS_PER_SECOND for level in range(6))
MAX_BUCKETS = 16


def bucket_terms(moment: int) -> list[str]:
    """The terms of the buckets that a moment lies in, one for each length."""
    return [_bucket_term(level, moment // length) for level, length in enumerate(BUCKET_MOMENTS)]


def covering_terms(lower: int, upper: int) -> list[str]:
    """The terms of at most MAX_BUCKETS buckets that cover the times from `lower` on and before `upper`, and little else.

    Empty for a span that is too long for buckets to exclude anything.
    """
    for level, length in enumerate(BUCKET_MOMENTS):
        first, last = lower // length, (upper - 1) // length
        if last - first < MAX_BUCKETS:
            return [_bucket_term(level, number) for number in range(first, last + 1)]
    return []


def _bucket_term(level: int, number: int) -> str:
    return f"\ue005{level}{number:x}"


# ---- positions by time -------------------------------------------------------------------------------------------------------

IndexPosition = tuple[int, str]  # an entry's moment and its document's id

MIN_POSITION: IndexPosition = (0, "")
MAX_POSITION: IndexPosition = (1 << 62, "")


@dataclass(frozen=True, slots=True)
class Span:
    """The positions from `lower` on and before `upper`."""

    lower: IndexPosition = MIN_POSITION
    upper: IndexPosition = MAX_POSITION

    def intersect(self, lower: IndexPosition = MIN_POSITION, upper: IndexPosition = MAX_POSITION) -> Span:
        return Span(max(self.lower, lower), min(self.upper, upper))

    def limit_to_times(self, since: datetime | None, until: datetime | None) -> Span:
        """The part from `since` on and before `until`; None: without that bound."""
        lower = MIN_POSITION if since is None else (to_moment(since), "")
        return self.intersect(lower, MAX_POSITION if until is None else (to_moment(until), ""))

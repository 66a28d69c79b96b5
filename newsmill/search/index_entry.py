"""The entries of the index, made from rows of `documents`. Pure, and the same for both databases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from newsmill.model import Document, MarkKind, is_doubtful
from newsmill.search.common_bigrams import common_bigrams
from newsmill.search.index_terms import EVERY_ENTRY, MAX_FACET_CHARACTERS, facet_term, lemma_term, mark_value, one_line, title_term
from newsmill.search.positions import find_moment
from newsmill.search.tokens import character_term, fold, is_unspaced, tokenize
from newsmill.search.variants import is_compound
from newsmill.search.word_forms import Form, find_forms, lemmatizer_of

MAX_TEXT_CHARACTERS = 100_000  # indexed: twenty long articles, and less than the 1 MB that a tsvector may have
MAX_WORDS = 16_000  # a tsvector counts positions up to 16,383
_MAX_PART_WORDS = (MAX_WORDS // 4, MAX_WORDS // 4, MAX_WORDS // 2)
MAX_FACET_AUTHORS = 10  # of one document
LEAD_CHARACTERS = 300  # the lead is the description and the paragraphs up to here

# The three parts of each document of a transaction are split before it begins, and read again in it.
_tokenize = lru_cache(maxsize=128)(tokenize)
_find_forms = lru_cache(maxsize=128)(find_forms)


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
    synthetic: tuple[list[str], ...]  # of title, lead and body: lemmas; common bigrams and characters, which would be slow to find
    lemmatizer: str  # of its language; "" without one
    forms: list[Form]  # for the table `search_forms`: the words that the lemmatizer knows, those of the title, and compounds


def build_entry(row: Mapping[Any, Any], marks: Iterable[Any] = (), known: Sequence[Iterable[str]] | None = None) -> IndexEntry:
    """The entry of a row of `documents` with its rows of `marks`. With `known` (synthetic terms, title terms) it has no forms."""
    texts = _split_parts(row["title"], row["description"], row["text"])
    language = (row["language"] or "").lower().replace("_", "-")
    lemmatizer, values = lemmatizer_of(language), _facet_values(row, language)
    title, lead, body = (_tokenize(part)[:most] for part, most in zip(texts, _MAX_PART_WORDS, strict=True))
    forms = [] if known else [_find_forms(part, lemmatizer) for part in texts]
    *synthetic, title_terms = known or [
        *(_lemmas_and_bigrams(words, held, lemmatizer) for words, held in zip((title, lead, body), forms, strict=True)),
        {title_term(word) for word in (*title, *(form.lemma for form in forms[0]))},
    ]
    terms = {
        *_facet_terms(row, values, language, lemmatizer),
        *title_terms,
        *(term for mark in marks for term in _mark_terms(mark)),
    }
    return IndexEntry(
        row["id"],
        find_moment(row),
        row["source"],
        title,
        lead,
        body,
        [EVERY_ENTRY, *sorted(terms)],
        values,
        tuple(sorted(_character_terms(words).union(held)) for words, held in zip((title, lead, body), synthetic, strict=True)),
        lemmatizer,
        [form for held in forms for form in held if form.is_known or held is forms[0] or is_compound(form.word, lemmatizer)],
    )


def split_ahead(found: Iterable[Document | None]) -> None:
    """Split documents that a transaction will write, and look their words up in the dictionaries, so that it holds no lock meanwhile."""
    for document in found:
        if document is not None:
            lemmatizer = lemmatizer_of(document.language)
            for part in _split_parts(document.title, document.description, document.text):
                _tokenize(part)
                _find_forms(part, lemmatizer)


def _split_parts(title: str | None, description: str | None, text: str) -> tuple[str, str, str]:
    """The texts of title, lead and body."""
    text, description = text[:MAX_TEXT_CHARACTERS], (description or "")[:MAX_TEXT_CHARACTERS]
    end = text.find("\n", LEAD_CHARACTERS) if len(text) > LEAD_CHARACTERS else -1
    lead, body = (text, "") if end < 0 else (text[:end], text[end:])
    if description and description not in text:
        lead = f"{description}\n{lead}"
    return (title or "")[:MAX_TEXT_CHARACTERS], lead, body


def _lemmas_and_bigrams(words: list[str], forms: Iterable[Form], lemmatizer: str) -> set[str]:
    return common_bigrams(words) | {lemma_term(lemmatizer, form.lemma) for form in forms if form.word != form.lemma}


def _character_terms(words: list[str]) -> set[str]:
    return set() if all(map(str.isascii, words)) else {character_term(word[0]) for word in set(words) if is_unspaced(word)}


def _facet_values(row: Mapping[Any, Any], language: str) -> FacetValues:
    names = filter(None, (one_line(author["name"]) for author in row["authors"][:MAX_FACET_AUTHORS]))
    authors = {fold(name): name for name in names}  # one name in two spellings counts once
    return FacetValues(
        language.partition("-")[0][:MAX_FACET_CHARACTERS] or None,
        one_line(row["section"] or "") or None,
        tuple(authors.values()),
        one_line(row["article_type"] or "") or None,
        fold(urlsplit(row["url"]).hostname or "").removeprefix("www.")[:MAX_FACET_CHARACTERS] or None,
    )


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
    if row["published_at"] is None:
        yield facet_term("dated", "no")
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


def _mark_terms(mark: Any) -> Iterator[str]:
    """The properties that a row of `marks` gives: its kind alone, and with it the name of the tag or each word of the note."""
    yield facet_term(mark.kind, mark_value(mark.user_name))
    values = {fold(mark.tag)} if mark.kind == MarkKind.TAG else set(tokenize(mark.note or ""))
    yield from (facet_term(mark.kind, mark_value(mark.user_name, value)) for value in values)

"""Unusual terms: words whose share of the documents rose most in the last week against the four weeks before.

The statistic is Dunning's log-likelihood ratio G² ("Accurate Methods for the Statistics of Surprise and Coincidence", 1993) on numbers of
documents, so that a text that repeats a word counts once. A term is shown above MIN_SCORE, where its share at least doubled, in at least
MIN_DOCUMENTS documents of MIN_SOURCES sources. Texts with the same title or beginning count once, so that no single repeated text wins.
Words that are as frequent every week, such as stop words and weekdays, have no G² and need no list. Names of months rise at the turn of
the month, as they are used.

Each language is compared with itself. Title, description and the first LEAD_CHARACTERS of the text are read, of a random sample where a
period has more documents than MAX_WEEK_SAMPLE and MAX_BEFORE_SAMPLE: the work is bounded and does not grow with the corpus.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from math import log
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, func, select, text

from newsmill.search.backend import Backend, backend_of, limit_statements, read_connection
from newsmill.search.positions import IndexPosition, Span
from newsmill.search.tokens import fold, is_unspaced, is_word, split_words, tokenize
from newsmill.search.word_forms import lemmatizer_of
from newsmill.storage.columns import make_storable
from newsmill.storage.schema import documents, search_forms

WEEK = timedelta(days=7)
WEEKS_BEFORE = 4
LEAD_CHARACTERS = 300
MAX_WEEK_SAMPLE = 1500  # documents of the week that are read; with twice as many before, 0.4 to 0.9 s of CPU
MAX_BEFORE_SAMPLE = 3000
MAX_COUNTED = 100_000  # documents of a period among which is sampled; the newest
MIN_WEEK_DOCUMENTS = 20  # fewer documents have no usual share of a word
MIN_BEFORE_DOCUMENTS = 40
MIN_DOCUMENTS = 4
MIN_SOURCES = 3  # or as many as there are
MIN_RISE = 2.0  # the share of the week to that before
MIN_SCORE = 15.13  # of G² with one degree of freedom: p < 0.0001, because thousands of words are compared
MIN_TERM_CHARACTERS = 2
MAX_TERMS = 20
MAX_LANGUAGES = 8
MAX_TESTED = 4000  # words, by their number of documents, whose lemmas are looked up
CACHED_SECONDS = 1800
STATEMENT_SECONDS = 2.0  # on Postgres
SAME_BEGINNING_WORDS = 12
_STATEMENT_VALUES = 500

_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_TEXTS = select(
    documents.c.id, documents.c.title, documents.c.description, func.substr(documents.c.text, 1, LEAD_CHARACTERS).label("lead")
).where(documents.c.id.in_(_IDS))
_LEMMAS = select(search_forms.c.form, func.min(search_forms.c.lemma)).where(search_forms.c.form.in_(_IDS)).group_by(search_forms.c.form)
_IN_SPAN = "moment >= :lower AND moment < :upper"
_LANGUAGES = text(f"SELECT language, count(*) AS n FROM search_entries WHERE {_IN_SPAN} AND language IS NOT NULL GROUP BY 1")
# Document ids are hashes, so that an upper bound of the id draws a random sample.
_SAMPLE = text(f"""SELECT document_id, source, site FROM search_entries
WHERE {_IN_SPAN} AND language = :language AND document_id < :below ORDER BY moment DESC LIMIT :limit""")
_ID_DIGITS = 8


@dataclass(frozen=True, slots=True)
class UnusualTerm:
    """A word, in the spelling that most documents have. Shares are of the documents read in each period."""

    term: str
    documents: int
    sources: int
    share: float
    share_before: float
    score: float  # G²


@dataclass(frozen=True, slots=True)
class UnusualTerms:
    """The terms of one language, most unusual first."""

    language: str | None  # None: no document has a language
    languages: tuple[str, ...]  # of the week's documents, the most frequent first
    since: datetime  # the start of the week; WEEKS_BEFORE weeks before it are compared
    until: datetime
    documents: int  # distinct texts read in the week
    documents_before: int
    is_sample: bool
    terms: tuple[UnusualTerm, ...]

    @property
    def is_comparable(self) -> bool:
        """Whether there are enough documents to compare."""
        return self.documents >= MIN_WEEK_DOCUMENTS and self.documents_before >= MIN_BEFORE_DOCUMENTS


def find_unusual_terms(engine: Engine, now: datetime, language: str | None = None) -> UnusualTerms:
    """What is unusual in the seven days before `now`. `language`: a code; by default the most frequent one.

    A result is reused for CACHED_SECONDS. Raises ServiceError.
    """
    until = datetime.fromtimestamp(now.timestamp() // CACHED_SECONDS * CACHED_SECONDS, UTC)
    return _find_cached(engine, until, None if language is None else make_storable(language))


@lru_cache(maxsize=32)
def _find_cached(engine: Engine, until: datetime, language: str | None) -> UnusualTerms:
    since, backend = until - WEEK, backend_of(engine)
    with read_connection(engine) as conn, limit_statements(conn, STATEMENT_SECONDS):
        week = _newest_part(conn, backend, Span().limit_to_times(since, until))
        before = _newest_part(conn, backend, Span().limit_to_times(since - WEEKS_BEFORE * WEEK, since))
        counts, counts_before = _count_languages(conn, week), _count_languages(conn, before)
        languages = tuple(sorted(counts, key=lambda code: (-counts[code], code)))[:MAX_LANGUAGES]
        chosen = language or (languages[0] if languages else None)
        if chosen is None:
            return UnusualTerms(None, (), since, until, 0, 0, False, ())
        texts = _read_texts(conn, week, chosen, counts[chosen], MAX_WEEK_SAMPLE)
        texts_before = _read_texts(conn, before, chosen, counts_before[chosen], MAX_BEFORE_SAMPLE)
        terms = _compare(conn, texts, texts_before, chosen)
    is_sample = counts[chosen] > MAX_WEEK_SAMPLE or counts_before[chosen] > MAX_BEFORE_SAMPLE
    return UnusualTerms(chosen, languages, since, until, len(texts), len(texts_before), is_sample, terms)


# ---- reading -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Text:
    """The words of one document's title, description and first paragraph: folded → as written."""

    words: Mapping[str, str]
    source: str


def _newest_part(conn: Connection, backend: Backend, span: Span) -> Span:
    """A span without what comes before its newest MAX_COUNTED documents."""
    lower: IndexPosition | None = backend.nth_position(conn, span, MAX_COUNTED)
    return span if lower is None else Span(lower, span.upper)


def _bounds(span: Span) -> dict[str, int]:
    return {"lower": span.lower[0], "upper": span.upper[0]}


def _count_languages(conn: Connection, span: Span) -> Counter[str]:
    return Counter({row.language: row.n for row in conn.execute(_LANGUAGES, _bounds(span))})


def _read_texts(conn: Connection, span: Span, language: str, count: int, limit: int) -> list[_Text]:
    """The distinct texts of a random sample of a span's documents in a language."""
    share = min(1.0, limit / max(1, count))
    below = "g" if share == 1 else f"{int(share * 16**_ID_DIGITS):0{_ID_DIGITS}x}"
    rows = conn.execute(_SAMPLE, {**_bounds(span), "language": language, "below": below, "limit": 2 * limit}).all()
    sources = {row.document_id: row.source or row.site or "" for row in rows}
    texts, seen = [], set[tuple[str, ...]]()
    for row in _rows_of(conn, list(sources)):
        pieces = [" ".join(filter(None, (row.title, row.description))), row.lead]
        words = {} if row.title is None else dict(_list_words(" . ".join(pieces)))
        keys = {("title", fold(row.title or row.id)), ("text", *islice(map(fold, split_words(row.lead)), SAME_BEGINNING_WORDS))}
        if words and not keys & seen:
            texts.append(_Text(words, sources[row.id]))
        seen |= keys
    return texts


def _rows_of(conn: Connection, ids: Sequence[str]) -> Iterator[Any]:
    for at in range(0, len(ids), _STATEMENT_VALUES):
        yield from conn.execute(_TEXTS, {"b_ids": ids[at : at + _STATEMENT_VALUES]})


def _list_words(text: str) -> Iterator[tuple[str, str]]:
    """The words of a text, folded and as they are written. Runs of an unspaced script are pairs of characters."""
    for word in split_words(unicodedata.normalize("NFC", text)):
        folded = fold(word)
        if is_word(folded):
            if len(folded) >= MIN_TERM_CHARACTERS and not folded[0].isdecimal():
                yield folded, word
        elif any(map(is_unspaced, folded)):
            yield from ((pair, pair) for pair in tokenize(word) if len(pair) > 1 and is_unspaced(pair))


# ---- comparing ---------------------------------------------------------------------------------------------------------------


def _compare(conn: Connection, texts: Sequence[_Text], before: Sequence[_Text], language: str) -> tuple[UnusualTerm, ...]:
    if len(texts) < MIN_WEEK_DOCUMENTS or len(before) < MIN_BEFORE_DOCUMENTS:
        return ()
    common = Counter(word for one in texts for word in one.words).most_common(MAX_TESTED)
    lemmas = _load_lemmas(conn, [word for word, _ in common], lemmatizer_of(language))
    return tuple(islice(find_risen(texts, before, lemmas), MAX_TERMS))


def _load_lemmas(conn: Connection, words: Sequence[str], lemmatizer: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if lemmatizer:
        statement = _LEMMAS.where(search_forms.c.lemmatizer == lemmatizer)
        for at in range(0, len(words), _STATEMENT_VALUES):
            found.update((form, lemma) for form, lemma in conn.execute(statement, {"b_ids": words[at : at + _STATEMENT_VALUES]}))
    return found


def find_risen(texts: Sequence[_Text], before: Sequence[_Text], lemmas: Mapping[str, str]) -> Iterator[UnusualTerm]:
    """The terms whose share rose, most unusual first. Forms of one lemma are one term. Pure."""
    counts, counts_before = _count_terms(texts, lemmas), _count_terms(before, lemmas)
    spellings, sources = defaultdict[str, Counter[str]](Counter), defaultdict[str, set[str]](set)
    for one in texts:
        for word, spelling in one.words.items():
            spellings[lemmas.get(word, word)][spelling] += 1
            sources[lemmas.get(word, word)].add(one.source)
    min_sources = min(MIN_SOURCES, len({one.source for one in texts}))
    scored = []
    for term, n in counts.items():
        share, share_before = n / len(texts), counts_before[term] / len(before)
        if n < MIN_DOCUMENTS or len(sources[term]) < min_sources or share < MIN_RISE * share_before:
            continue
        score = log_likelihood_ratio(n, len(texts), counts_before[term], len(before))
        if score >= MIN_SCORE:
            spelling = max(spellings[term].items(), key=lambda pair: (pair[1], pair[0]))[0]
            scored.append(UnusualTerm(spelling, n, len(sources[term]), share, share_before, round(score, 2)))
    yield from sorted(scored, key=lambda one: (-one.score, one.term))


def _count_terms(texts: Iterable[_Text], lemmas: Mapping[str, str]) -> Counter[str]:
    return Counter(term for one in texts for term in {lemmas.get(word, word) for word in one.words})


def log_likelihood_ratio(n: int, total: int, n_before: int, total_before: int) -> float:
    """Dunning's G² of two shares, n of total and n_before of total_before: how unlikely both are of one distribution.

    >>> round(log_likelihood_ratio(20, 1000, 4, 2000), 2), log_likelihood_ratio(10, 100, 20, 200)
    (25.78, 0.0)
    """
    pooled = (n + n_before) / (total + total_before)
    cells = (
        (n, total * pooled),
        (total - n, total * (1 - pooled)),
        (n_before, total_before * pooled),
        (total_before - n_before, total_before * (1 - pooled)),
    )
    return max(0.0, 2 * sum(seen * log(seen / expected) for seen, expected in cells if seen))

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

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from sqlalchemy import Engine

from newsmill.search.connections import backend_of, limit_statements, read_connection
from newsmill.search.positions import Span
from newsmill.search.term_comparison import MIN_BEFORE_DOCUMENTS, MIN_WEEK_DOCUMENTS, UnusualTerm, compare
from newsmill.search.term_samples import count_languages, newest_part, read_texts
from newsmill.storage.columns import make_storable

WEEK = timedelta(days=7)
WEEKS_BEFORE = 4
MAX_WEEK_SAMPLE = 1500  # documents of the week that are read; with twice as many before, 0.4 to 0.9 s of CPU
MAX_BEFORE_SAMPLE = 3000
MAX_LANGUAGES = 8
CACHED_SECONDS = 1800
STATEMENT_SECONDS = 2.0  # on Postgres


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
        week = newest_part(conn, backend, Span().limit_to_times(since, until))
        before = newest_part(conn, backend, Span().limit_to_times(since - WEEKS_BEFORE * WEEK, since))
        counts, counts_before = count_languages(conn, week), count_languages(conn, before)
        languages = tuple(sorted(counts, key=lambda code: (-counts[code], code)))[:MAX_LANGUAGES]
        chosen = language or (languages[0] if languages else None)
        if chosen is None:
            return UnusualTerms(None, (), since, until, 0, 0, False, ())
        texts = read_texts(conn, week, chosen, counts[chosen], MAX_WEEK_SAMPLE)
        texts_before = read_texts(conn, before, chosen, counts_before[chosen], MAX_BEFORE_SAMPLE)
        terms = compare(conn, texts, texts_before, chosen)
    is_sample = counts[chosen] > MAX_WEEK_SAMPLE or counts_before[chosen] > MAX_BEFORE_SAMPLE
    return UnusualTerms(chosen, languages, since, until, len(texts), len(texts_before), is_sample, terms)

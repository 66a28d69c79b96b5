"""Terms that are more frequent than before, by their log-likelihood ratio."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import log

from sqlalchemy import Connection, func, select

from newsmill.search.term_samples import IDS, STATEMENT_VALUES, Text
from newsmill.search.word_forms import lemmatizer_of
from newsmill.storage.schema import search_forms

MIN_WEEK_DOCUMENTS = 20  # fewer documents have no usual share of a word
MIN_BEFORE_DOCUMENTS = 40
MIN_DOCUMENTS = 4
MIN_SOURCES = 3  # or as many as there are
MIN_RISE = 2.0  # the share of the week to that before
MIN_SCORE = 15.13  # of G² with one degree of freedom: p < 0.0001, because thousands of words are compared
MAX_TERMS = 20
MAX_TESTED = 4000  # words, by their number of documents, whose lemmas are looked up
_LEMMAS = select(search_forms.c.form, func.min(search_forms.c.lemma)).where(search_forms.c.form.in_(IDS)).group_by(search_forms.c.form)


@dataclass(frozen=True, slots=True)
class UnusualTerm:
    """A word, in the spelling that most documents have. Shares are of the documents read in each period."""

    term: str
    documents: int
    sources: int
    share: float
    share_before: float
    score: float  # G²


def compare(conn: Connection, texts: Sequence[Text], before: Sequence[Text], language: str) -> tuple[UnusualTerm, ...]:
    if len(texts) < MIN_WEEK_DOCUMENTS or len(before) < MIN_BEFORE_DOCUMENTS:
        return ()
    common = Counter(word for one in texts for word in one.words).most_common(MAX_TESTED)
    lemmas = _load_lemmas(conn, [word for word, _ in common], lemmatizer_of(language))
    return tuple(islice(find_risen(texts, before, lemmas), MAX_TERMS))


def _load_lemmas(conn: Connection, words: Sequence[str], lemmatizer: str) -> dict[str, str]:
    found: dict[str, str] = {}
    if lemmatizer:
        statement = _LEMMAS.where(search_forms.c.lemmatizer == lemmatizer)
        for at in range(0, len(words), STATEMENT_VALUES):
            found.update((form, lemma) for form, lemma in conn.execute(statement, {"b_ids": words[at : at + STATEMENT_VALUES]}))
    return found


def find_risen(texts: Sequence[Text], before: Sequence[Text], lemmas: Mapping[str, str]) -> Iterator[UnusualTerm]:
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


def _count_terms(texts: Iterable[Text], lemmas: Mapping[str, str]) -> Counter[str]:
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

"""The evidence for a document's membership in a story."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from newsmill.stories.terms import Terms, find_spellings

MAX_SHOWN_TERMS = 5
MAX_RANKED_TERMS = 20  # among which no word is shown twice


def find_shared_terms(own: Terms, others: Sequence[Terms], title: str | None, text: str) -> tuple[str, ...]:
    """The terms that a document shares with most others of its story, as it writes them, the weightiest first.

    A pair of words replaces its words. Of `title` and `text`, the terms are `own`.
    """
    carriers = Counter(term for other in others for term in other.weights)
    ranked = sorted((term for term in own.weights if carriers[term]), key=lambda term: (-carriers[term] * own.weights[term], term))
    shown: list[str] = []
    for term in ranked[:MAX_RANKED_TERMS]:
        words = set(term.split())
        same = [other for other in shown if not words.isdisjoint(other.split())]
        if not same:
            shown.append(term)
        elif all(words.issuperset(other.split()) for other in same):
            shown[shown.index(same[0])] = term
            shown = [other for other in shown if other not in same]
    spellings = find_spellings({word for term in shown for word in term.split()}, f"{title or ''}\n{text}")
    return tuple(" ".join(spellings.get(word, word) for word in term.split()) for term in shown[:MAX_SHOWN_TERMS])

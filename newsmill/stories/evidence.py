"""The evidence for a document's membership in a story."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from newsmill.stories.clusters import StoryDocument

MAX_SHOWN_TERMS = 9


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why a document is in its story. `hours_apart`: from the nearest other document; None if it is alone."""

    terms: tuple[str, ...]
    hours_apart: float | None


def explain(member: StoryDocument, others: Sequence[StoryDocument]) -> Evidence:
    """The terms that a document shares with most others of its story, the weightiest first, and its distance in time."""
    carriers = Counter(term for other in others for term in other.terms.weights)
    weights = member.terms.weights
    shared = sorted((term for term in weights if carriers[term]), key=lambda term: (-carriers[term] * weights[term], term))
    gap = min((abs(member.second - other.second) for other in others), default=None)
    return Evidence(tuple(shared[:MAX_SHOWN_TERMS]), None if gap is None else gap / 3600)


def choose_title(titles: Iterable[str | None]) -> str | None:
    """The title whose words most other titles have; of equal ones the shortest."""
    found = sorted({title for title in titles if title})
    words = {title: frozenset(title.lower().split()) for title in found}
    counts = Counter(word for title in found for word in words[title])

    def score(title: str) -> float:
        return sum(counts[word] - 1 for word in words[title]) / (len(words[title]) + 3)

    return max(found, key=lambda title: (score(title), -len(title), title), default=None)

"""The evidence for a document's membership in a story."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
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

"""The clusters of documents that tell the same news.

Clusters are merged by average linkage: the two clusters whose documents are most similar on average become one, as long as that average
is at least MIN_SIMILARITY. One shared name or one similar document merges nothing, so look-alike events stay apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from newsmill.stories.terms import Terms

WINDOW_SECONDS = 4 * 86_400  # documents further apart are never compared
MAX_COMPONENT = 300
MIN_SIMILARITY = 0.16  # of two clusters, on average
MIN_LINK = MIN_SIMILARITY  # of two documents; a cluster of two or more has at least one such pair between any two parts

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoryDocument:
    """What clustering needs of a document. `second`: the document's time."""

    id: str
    second: int
    language: str | None
    terms: Terms


def similarity(one: StoryDocument, other: StoryDocument) -> float:
    """The cosine of the terms, less for documents further apart in time; 0 to 1. Symmetric."""
    gap = abs(one.second - other.second)
    if gap > WINDOW_SECONDS or one.language != other.language:
        return 0.0
    ours, theirs = one.terms.weights, other.terms.weights
    shared = sum(weight * theirs[term] for term, weight in ours.items() if term in theirs)
    return shared / sqrt(one.terms.square * other.terms.square) * (1 - gap / (2 * WINDOW_SECONDS)) if shared else 0.0


def are_linked(one: StoryDocument, other: StoryDocument) -> bool:
    """Whether two documents may be of one story."""
    return similarity(one, other) >= MIN_LINK


def cluster(documents: Sequence[StoryDocument], same: Iterable[Pair] = (), different: Iterable[Pair] = ()) -> tuple[frozenset[str], ...]:
    """The stories of documents, in the order of their first documents. Independent of the order of `documents`.

    `same`, `different`: pairs of IDs that a person decided; of two that contradict one another, `same` counts.
    """
    # numpy costs 0.07 s of CPU, which the processes that only read stories need not spend
    import numpy as np

    ordered = sorted(documents, key=lambda document: (document.second, document.id))
    at = {document.id: number for number, document in enumerate(ordered)}
    count = len(ordered)
    sums = np.zeros((count, count))
    for number, document in enumerate(ordered):
        for earlier in range(number):
            sums[number, earlier] = sums[earlier, number] = similarity(document, ordered[earlier])
    for left, right in different:
        if left in at and right in at:
            sums[at[left], at[right]] = sums[at[right], at[left]] = -np.inf
    np.fill_diagonal(sums, -np.inf)
    members = [[number] for number in range(count)]
    sizes = np.ones(count)
    root = list(range(count))

    def merge(kept: int, gone: int) -> None:
        sums[kept] += sums[gone]
        sums[:, kept] = sums[kept]
        sums[gone] = sums[:, gone] = sums[kept, kept] = -np.inf
        sizes[kept] += sizes[gone]
        members[kept] += members[gone]
        for number in members[gone]:
            root[number] = kept
        members[gone] = []

    for one, other in sorted((at[left], at[right]) for left, right in same if left in at and right in at):
        if root[one] != root[other]:
            merge(*sorted((root[one], root[other])))
    while count > 1:
        averages = sums / np.outer(sizes, sizes)
        first, second = divmod(int(averages.argmax()), count)
        if averages[first, second] < MIN_SIMILARITY:
            break
        merge(min(first, second), max(first, second))
    return tuple(frozenset(ordered[number].id for number in group) for group in members if group)

"""The clusters of documents that tell the same news.

A component is all documents that links connect; no other document counts. In each, average linkage builds a tree: it joins the two
clusters whose documents are most similar on average, again and again. A cluster of the tree is a story if its two parts tell the same news
(`cut`); else its parts are judged. Large parts need more in common than small ones: two events of one kind share many words, but
the similarity of two documents of one event is seldom low by chance in all of many pairs.

One document never joins two clusters, whatever it says: links of at least MIN_LINKED documents on either side must do so, of as many sites.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import log, sqrt
from typing import TYPE_CHECKING

from newsmill.stories.terms import Terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

WINDOW_SECONDS = 4 * 86_400  # documents further apart are never linked
MAX_COMPONENT = 150  # texts that are clustered at once, some 0.2 s of CPU; the largest component of the texts named below has 37

# The similarity of two documents that are linked. In the texts named below, one pair of unrelated documents in 100,000 has more; in 904
# pages in 20 languages, no two of different languages have more than 0.21. From 0.22 to 0.28, the F1 of those texts falls by 0.01. But of
# 314 news pages, which share few stories, 24 instead of 48 look as if they did, and 38 instead of 87 of 120 texts that share none
# (MEANTIME, each language alone).
MIN_LINK = 0.28

# Documents of a cluster, and sites, that are linked with a cluster that it joins; of a smaller cluster all. Of 150 texts that are half of
# one story and half of another in ECB+, 14 join the two with 1 and none with 2 (benchmarks/train_stories.py). The held-out B-cubed F1 falls
# from 0.940 to 0.929 there, and rises from 0.889 to 0.924 in MEANTIME.
MIN_LINKED = 2

# Shares of the similarity. What the lead has in common counts as much as all other terms.
WORDS, LEAD, NAMES, NUMBERS, YEARS = 0.34, 0.34, 0.2, 0.09, 0.03
# Of mean, maximum, smaller part, larger part and 1: a logistic regression on the trees of 770 English texts of ECB+ (33 topics, two
# look-alike events each), by benchmarks/train_stories.py. In five folds over topics, the held-out B-cubed F1 is 0.929, and 28 of 33
# look-alike events stay apart; those texts have no times.
WEIGHTS = (9.0, 21.2, -2.4, -1.5, -3.8)
MAX_PART = 20  # larger parts count as this many documents, the largest in the texts from which the weights come

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class StoryDocument:
    """What clustering needs of a document. `second`: the document's time. `site`: its registered domain; None: it has one of its own."""

    id: str
    second: int
    language: str | None
    terms: Terms
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A cluster of the tree, with the similarities of the documents of its parts; without parts, a document."""

    members: tuple[int, ...]
    parts: tuple[Node, Node] | None = None
    mean: float = 0
    maximum: float = 0


def similarity(one: StoryDocument, other: StoryDocument, across_languages: bool = False) -> float:
    """How much two documents have in common, 0 to 1; less if they are further apart in time. Symmetric.

    Documents of different languages have nothing in common, or, with `across_languages`, at least MIN_LINK or nothing: less is chance.
    A language is the primary subtag (RFC 5646): en-GB and en-US are one.
    """
    gap, is_one_language = abs(one.second - other.second), _find_primary(one.language) == _find_primary(other.language)
    if gap > WINDOW_SECONDS or not (is_one_language or across_languages):
        return 0
    ours, theirs = one.terms, other.terms
    shared = ours.weights.keys() & theirs.weights.keys()
    if not shared:
        return 0
    words = sum(ours.weights[term] * theirs.weights[term] for term in shared) / sqrt(ours.square * theirs.square)
    lead, names, numbers = (
        len(mine & yours) / sqrt(len(mine) * len(yours)) if mine and yours else 0
        for mine, yours in ((ours.lead, theirs.lead), (ours.names, theirs.names), (ours.numbers, theirs.numbers))
    )
    years = (1 if ours.years & theirs.years else -1) if ours.years and theirs.years else 0
    found = WORDS * words + LEAD * lead + NAMES * names + NUMBERS * numbers + YEARS * years
    found = max(0, found) * (1 - gap / (2 * WINDOW_SECONDS))
    return found if is_one_language or found >= MIN_LINK else 0


def are_linked(one: StoryDocument, other: StoryDocument, across_languages: bool = False) -> bool:
    """Whether two documents belong to one component."""
    return similarity(one, other, across_languages) >= MIN_LINK


def cluster(
    documents: Sequence[StoryDocument], same: Iterable[Pair] = (), different: Iterable[Pair] = (), across_languages: bool = False
) -> tuple[frozenset[str], ...]:
    """The stories of documents, in the order of their first documents. Independent of the order of `documents`.

    `same`, `different`: pairs of IDs that persons decided. If they contradict one another, `same` counts.
    """
    ordered, trees = build_trees(documents, same, different, across_languages)
    stories = [story for tree in trees for story in cut(tree)]
    return tuple(frozenset(ordered[number].id for number in story) for story in sorted(stories, key=min))


def build_trees(
    documents: Sequence[StoryDocument], same: Iterable[Pair] = (), different: Iterable[Pair] = (), across_languages: bool = False
) -> tuple[list[StoryDocument], list[Node]]:
    """(The documents in the order of time, the trees of their components, whose members are places in that order)."""
    # numpy costs 0.07 s of CPU, which the processes that only read stories need not spend
    import numpy as np

    ordered = sorted(documents, key=lambda document: (document.second, document.id))
    at = {document.id: number for number, document in enumerate(ordered)}
    similar = np.full((len(ordered), len(ordered)), -np.inf)
    for number, document in enumerate(ordered):
        for earlier in range(number):
            similar[number, earlier] = similar[earlier, number] = similarity(document, ordered[earlier], across_languages)
    for one, other in different:
        if one in at and other in at:
            similar[at[one], at[other]] = similar[at[other], at[one]] = -np.inf
    leaves = _join(len(ordered), [(at[one], at[other]) for one, other in same if one in at and other in at])
    sites = [document.site or document.id for document in ordered]
    return ordered, [tree for component in _list_components(similar, leaves) for tree in _join_nearest(similar, component, sites)]


@cache
def _find_primary(language: str | None) -> str | None:
    return None if language is None else language.partition("-")[0].lower()


def _join(count: int, pairs: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The documents that stay together, in the order of the first ones."""
    group_of = {number: {number} for number in range(count)}
    for one, other in pairs:
        joined = group_of[one] | group_of[other]
        group_of.update(dict.fromkeys(joined, joined))
    return sorted({tuple(sorted(group)) for group in group_of.values()})


def _list_components(similar: Matrix, leaves: Iterable[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """The leaves that links connect, in order."""
    linked, leaf_of = similar >= MIN_LINK, {number: leaf for leaf in leaves for number in leaf}
    left = dict.fromkeys(leaf_of.values())
    while left:
        found, waiting = set[tuple[int, ...]](), [next(iter(left))]
        while waiting:
            leaf = waiting.pop()
            if leaf not in found:
                found.add(leaf)
                waiting += {leaf_of[other] for number in leaf for other in linked[number].nonzero()[0].tolist()}
        left = {leaf: None for leaf in left if leaf not in found}
        yield sorted(found)


def _join_nearest(similar: Matrix, leaves: Sequence[tuple[int, ...]], sites: Sequence[str]) -> list[Node]:
    """The tree of a component; several where documents must stay apart, or too few link two clusters. `sites`: of the documents."""
    import numpy as np

    nodes: list[Node | None] = [Node(leaf) for leaf in leaves]
    numbers, sizes = [number for leaf in leaves for number in leaf], np.array([len(leaf) for leaf in leaves], dtype=float)
    starts = np.cumsum([0, *(len(leaf) for leaf in leaves[:-1])])
    chosen = similar[np.ix_(numbers, numbers)]
    sums, maxima = (pool.reduceat(pool.reduceat(chosen, starts, axis=0), starts, axis=1) for pool in (np.add, np.maximum))
    for matrix in (sums, maxima):
        np.fill_diagonal(matrix, -np.inf)
    is_refused = np.zeros(maxima.shape, dtype=bool)  # as long as both clusters are what they are
    while True:
        means = np.where((maxima >= MIN_LINK) & ~is_refused, sums, -np.inf) / np.outer(sizes, sizes)
        one, other = divmod(int(means.argmax()), len(leaves))  # of equal ones the first in time
        first, second = nodes[one], nodes[other]
        if means[one, other] == -np.inf or first is None or second is None:
            break
        is_linked = similar[np.ix_(first.members, second.members)] >= MIN_LINK
        ours, theirs = (np.asarray(is_linked.any(axis=axis)).tolist() for axis in (1, 0))
        if not (_are_enough(first.members, ours, sites) and _are_enough(second.members, theirs, sites)):
            is_refused[one, other] = is_refused[other, one] = True
            continue
        is_refused[one] = is_refused[:, one] = False
        nodes[one] = Node(first.members + second.members, (first, second), float(means[one, other]), float(maxima[one, other]))
        nodes[other] = None
        sums[one] += sums[other]
        maxima[one] = np.maximum(maxima[one], maxima[other])
        for matrix in (sums, maxima):
            matrix[one, one] = -np.inf
            matrix[:, one] = matrix[one]
            matrix[other] = matrix[:, other] = -np.inf
        sizes[one] += sizes[other]
    return [node for node in nodes if node is not None]


def _are_enough(members: Sequence[int], is_linked: Sequence[bool], sites: Sequence[str]) -> bool:
    """Whether the linked members of a cluster are MIN_LINKED documents of MIN_LINKED sites, or all that it has."""
    linked = [number for number, is_one in zip(members, is_linked, strict=True) if is_one]
    all_sites, linked_sites = ({sites[number] for number in numbers} for numbers in (members, linked))
    return len(linked) >= min(MIN_LINKED, len(members)) and len(linked_sites) >= min(MIN_LINKED, len(all_sites))


def cut(tree: Node, weights: Sequence[float] = WEIGHTS) -> Iterator[tuple[int, ...]]:
    """The members of each story in a tree. A cluster is a story if a logistic model says that its two parts tell the same news."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if node.parts is None or _score(node, weights) > 0:
            yield node.members
        else:
            waiting += node.parts


def _score(node: Node, weights: Sequence[float]) -> float:
    """The logarithm of the odds that the parts of a cluster tell the same news."""
    return sum(weight * feature for weight, feature in zip(weights, list_features(node), strict=True))


def list_features(node: Node) -> tuple[float, float, float, float, float]:
    """What the judgement on a cluster depends on: mean and highest similarity across its parts, the logarithms of their sizes, and 1."""
    assert node.parts is not None
    smaller, larger = sorted(log(min(len(part.members), MAX_PART)) for part in node.parts)
    return node.mean, node.maximum, smaller, larger, 1.0

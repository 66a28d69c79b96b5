"""Folding: of each group of copies, the first match stands for all: the head of the group if it matches, else the match seen first.

Which matches are left out depends on the query and the groups alone, not on the order of results: pages, counts, facets and timelines of
one query leave out the same documents, and a group with a match never disappears, whatever a query excludes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, bindparam, select

from newsmill.search.backend import GroupedTime
from newsmill.search.index_query import IndexQuery
from newsmill.search.positions import IndexPosition, Span
from newsmill.storage.schema import copy_groups, search_entries

MAX_COMPARED = 200  # of a group's first members; the others are compared only if none of these matches

_GROUPS: BindParameter[Any] = bindparam("b_groups", expanding=True)
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_COPY_GROUP = search_entries.c.copy_group
_IN_GROUPS = select(search_entries.c.document_id, _COPY_GROUP).where(search_entries.c.document_id.in_(_IDS), _COPY_GROUP.is_not(None))
_MEMBERS = (
    select(search_entries.c.moment, search_entries.c.document_id, search_entries.c.copy_place, copy_groups.c.group_id)
    .join_from(copy_groups, search_entries, search_entries.c.document_id == copy_groups.c.document_id)
    .where(copy_groups.c.group_id.in_(_GROUPS))
)


@dataclass(frozen=True, slots=True)
class BucketCount:
    """The matches of one time bucket, or a correction of their number."""

    bucket: int
    n: int


def fold_copies(
    index: IndexQuery, span: Span, positions: Sequence[IndexPosition], complete: Span, known: Collection[IndexPosition]
) -> dict[IndexPosition, int]:
    """The positions that stand for their groups, in the same order, each with the number of other matches of its group.

    `positions` match the query within `span`. Within `complete`, `known` are all matches: the index is asked about the other members only,
    because each takes some 30 µs. MAX_COMPARED limits the numbers.
    """
    ids = [document for _, document in positions]
    groups = {row.document_id: row.copy_group for row in index.conn.execute(_IN_GROUPS, {"b_ids": ids})} if ids else {}
    if not groups:
        return dict.fromkeys(positions, 0)
    members = _list_members(index, span, set(groups.values()))
    matches = _find_matches(index, members.values(), complete, known)
    matching = {group: [position for position in found if position in matches] for group, found in members.items()}
    return {
        position: max(0, len(matching.get(group, ())) - 1) if group is not None else 0
        for position in positions
        if (group := groups.get(position[1])) is None or not matching.get(group) or matching[group][0] == position
    }


def _list_members(index: IndexQuery, span: Span, groups: Collection[int]) -> dict[int, list[IndexPosition]]:
    """The members of groups within a span, by group, in the order in which they stand for it."""
    members = defaultdict[int, list[tuple[int, IndexPosition]]](list)
    for moment, document, place, group in index.conn.execute(_MEMBERS, {"b_groups": sorted(groups)}):
        if span.lower <= (moment, document) < span.upper:
            members[group].append((place or 0, (moment, document)))
    return {group: [position for _, position in sorted(found)] for group, found in members.items()}


def _find_matches(
    index: IndexQuery, members: Collection[Sequence[IndexPosition]], complete: Span, known: Collection[IndexPosition]
) -> set[IndexPosition]:
    """The members of groups that match the query. `complete` and `known` as in `fold_copies`."""
    matches = {position for found in members for position in found}.intersection(known)

    def ask(wanted: Iterable[IndexPosition]) -> None:
        if unknown := [position for position in wanted if not complete.lower <= position < complete.upper]:
            matches.update(index.filter(unknown))

    ask(position for found in members for position in found[:MAX_COMPARED])
    ask(position for found in members if matches.isdisjoint(found[:MAX_COMPARED]) for position in found[MAX_COMPARED:])
    return matches


def count_copies(times: Sequence[GroupedTime]) -> int:
    """How many of the matches that are in groups folding leaves out."""
    return len(times) - len({group for group, _, _ in times})


def count_left_out(grouped: Iterable[Any], positions: Collection[IndexPosition]) -> int:
    """How many of some matches folding leaves out. `grouped`: all matches that are in groups, as in `fold_sources`."""
    return sum((row.moment, row.document_id) in positions for found in _sort_groups(grouped) for row in found[1:])


def find_first(times: Sequence[GroupedTime]) -> dict[int, tuple[int, int]]:
    """Of each group the (place, moment) of its first match."""
    first: dict[int, tuple[int, int]] = {}
    for group, place, moment in times:
        known = first.get(group)
        if known is None or (place, moment) < known:
            first[group] = place, moment
    return first


def fold_buckets(counts: Mapping[int, int], times: Sequence[GroupedTime], bucket: int) -> Counter[int]:
    """The matches per bucket of `bucket` units without copies. `times`: of the dated matches in groups."""
    folded = Counter(dict(counts))
    folded.subtract(Counter([moment // bucket for _, _, moment in times]))
    folded.update(Counter([moment // bucket for _, moment in find_first(times).values()]))
    return folded


def count_buckets_folded(
    index: IndexQuery, bucket: int, count: Callable[[Span, float | None], Sequence[Any]]
) -> Callable[[Span, float | None], Sequence[Any]]:
    """`count` for the chunks of a scan from the newest on, with corrections for copies in this chunk and in earlier ones."""
    first: dict[int, tuple[int, int]] = {}  # of each group its first match so far

    def count_folded(chunk: Span, seconds: float | None) -> Sequence[Any]:
        counts = {row.bucket: row.n for row in count(chunk, seconds)}
        times = index.grouped_times(chunk, seconds)
        folded = fold_buckets(counts, times, bucket)
        for group, match in find_first(times).items():
            known = first.get(group, match)
            if group in first:
                folded[max(known, match)[1] // bucket] -= 1
            first[group] = min(known, match)
        return [BucketCount(number, n) for number, n in folded.items()]

    return count_folded


def fold_sources(counts: Mapping[str, int], grouped: Iterable[Any]) -> dict[str, int]:
    """The matches per source without copies; sources that are left without documents are left out.

    `grouped`: the matches that are in groups, with moment, document_id, source, copy_group and copy_place.
    """
    left = Counter(dict(counts))
    for found in _sort_groups(grouped):
        left.subtract(row.source or "" for row in found[1:])
    return {source: n for source, n in left.items() if n > 0}


def _sort_groups(grouped: Iterable[Any]) -> Iterable[list[Any]]:
    """The matches of each group, that which stands for it first."""
    groups = defaultdict[int, list[Any]](list)
    for row in grouped:
        groups[row.copy_group].append(row)
    for found in groups.values():
        found.sort(key=lambda row: (row.copy_place or 0, row.moment, row.document_id))
    return groups.values()

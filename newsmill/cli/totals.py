"""Sums over several sources: their progress, and how much of it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from newsmill.context import AppContext
from newsmill.model import Outcome, State
from newsmill.storage.ledger import Progress, Waiting

Key = TypeVar("Key")


def sum_progress(store: AppContext, sources: Sequence[str]) -> Progress:
    """The progress of several sources together."""
    each = [store.ledger.progress(source) for source in sources]
    return Progress(
        pages=sum(progress.pages for progress in each),
        states=_sum_counts(progress.states for progress in each),
        outcomes=_sum_counts(progress.outcomes for progress in each),
        listings=_sum_counts(progress.listings for progress in each),
    )


def sum_waiting(store: AppContext, sources: Sequence[str], until: datetime) -> Waiting:
    """How many URLs of several sources are due by `until`, and how many only later."""
    each = [store.ledger.waiting(source, until=until) for source in sources]
    times = [waiting.next_at for waiting in each if waiting.next_at is not None]
    return Waiting(sum(waiting.soon for waiting in each), sum(waiting.later for waiting in each), min(times, default=None))


def _sum_counts(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    total: Counter[Key] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def count_stored(progress: Progress) -> int:
    """Pages that became a document."""
    return progress.outcomes.get(Outcome.STORED, 0)


def count_finished(progress: Progress) -> int:
    """Pages with an outcome."""
    return sum(progress.outcomes.values())


def count_unfetched(progress: Progress) -> int:
    """Pages that are not fetched yet."""
    return progress.states.get(State.DUE, 0) + progress.states.get(State.FETCHING, 0)

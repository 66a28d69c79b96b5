"""Sums over sources: where several of them stand together, and what of it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from newsmill.context import AppContext
from newsmill.model import Outcome, State
from newsmill.storage.ledger import Progress, Waiting

Key = TypeVar("Key")


def progress_of(store: AppContext, sources: Sequence[str]) -> Progress:
    """Where several sources stand together."""
    each = [store.ledger.progress(source) for source in sources]
    return Progress(
        pages=sum(progress.pages for progress in each),
        states=_sum(progress.states for progress in each),
        outcomes=_sum(progress.outcomes for progress in each),
        listings=_sum(progress.listings for progress in each),
    )


def waiting_of(store: AppContext, sources: Sequence[str], until: datetime) -> Waiting:
    """How much of several sources can go on by `until`, and how much only later."""
    each = [store.ledger.waiting(source, until=until) for source in sources]
    times = [waiting.next_at for waiting in each if waiting.next_at is not None]
    return Waiting(sum(waiting.soon for waiting in each), sum(waiting.later for waiting in each), min(times, default=None))


def _sum(counts: Iterable[Mapping[Key, int]]) -> dict[Key, int]:
    total: Counter[Key] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def stored(progress: Progress) -> int:
    """Pages that became a document."""
    return progress.outcomes.get(Outcome.STORED, 0)


def ended(progress: Progress) -> int:
    """Pages that have ended, one way or another."""
    return sum(progress.outcomes.values())


def open_pages(progress: Progress) -> int:
    """Pages that nobody has fetched yet."""
    return progress.states.get(State.DUE, 0) + progress.states.get(State.FETCHING, 0)

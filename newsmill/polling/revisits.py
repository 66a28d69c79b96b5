"""When a stored article is fetched again, to see whether it changed or disappeared.

Everything follows from its age: no revisit is counted, and a jump of the clock costs one revisit at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum


class RevisitResult(Enum):
    """What a fetch of an article showed, with the extra revisit that follows: (share of the age to wait, oldest age in last steps).

    The wait grows with the age, so that the number of extra revisits grows with its logarithm only. A page that still changes at the oldest
    age never ends to change.
    """

    UNCHANGED = (0.0, 0)  # also the first fetch
    CHANGED = (0.5, 4)
    FAILED = (0.25, 2)  # also an absence, which one more fetch confirms


def find_age_start(first_seen_at: datetime, published_at: datetime | None, precision: str | None) -> datetime:
    """The time from which the age of an article counts: its publication, if that was before its first sight.

    An article of an archive is old when it is found, so that few steps of the plan are left. A publication time that is known to the day
    only counts from the end of that day. `precision`: Document.published_precision.
    """
    if published_at is None:
        return first_seen_at
    return min(first_seen_at, published_at + timedelta(days=1) if precision == "day" else published_at)


def compute_next_revisit(steps: Sequence[timedelta], start: datetime, now: datetime, result: RevisitResult) -> datetime | None:
    """When an article that was fetched at `now` is fetched next; None: never.

    `steps`: the ages, ascending, at which its source revisits articles; empty: never. `start`: see `find_age_start`.
    """
    if not steps:
        return None
    age = max(now - start, timedelta())
    waits = [step - age for step in steps if step > age][:1]
    share, oldest = result.value
    extra = max(steps[0], age * share)
    if share and age + extra <= steps[-1] * oldest:
        waits.append(extra)
    return now + min(waits) if waits else None

"""Polls that no scheduler can avoid, computed from the publication times of a live world. Pure functions; times in hours, lags in hours.

A poll sees everything that a site has published. Both bounds ignore exploration, robots.txt, listings that show only a part, and the fetch
of the article itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


def count_clairvoyant_polls(published: Iterable[float], lag: float) -> int:
    """The fewest polls of one site that find every article at most `lag` after its publication, if all publication times are known.

    Each article needs a poll in [published, published + lag]. The poll at the end of the first open interval serves the most others.

    >>> count_clairvoyant_polls([1.0, 1.1, 1.3, 5.0], 0.25)
    3
    """
    times, polls, position = sorted(published), 0, 0
    while position < len(times):
        polls += 1
        position = bisect_right(times, times[position] + lag)
    return polls


@dataclass(frozen=True, slots=True)
class Cell:
    """Hours of one site with one true rate (articles per hour)."""

    hours: float
    rate: float


def count_rate_polls(cells: Sequence[Cell], median: float, p95: float, pushed: float = 0.0) -> float:
    """The fewest expected polls that reach both lags, if the true rates are known but not the publication times.

    Articles come at random with the rate of their cell. With polls `interval` apart, a share of min(1, lag / interval) has at most `lag`.
    So the cells with the highest rates are polled every `median`, the next ones every `p95`, until 95 % of the articles have at most `p95`;
    the others are not polled. The first group is as small as half of the articles allow. `pushed` is the share of all articles that a hub
    delivers at once; the cells are those of the other articles.

    >>> cells = [Cell(24, 2.5)]
    >>> round(count_rate_polls(cells, 0.05, 0.25) / 60, 2), round(count_rate_polls(cells, 0.05, 0.25, pushed=0.25) / 60, 2)
    (4.0, 2.67)
    """
    total = sum(cell.hours * cell.rate for cell in cells)
    if not total:
        return 0.0
    p95 = max(p95, median)
    half, most = max(0.0, 0.5 - pushed) / (1 - pushed), max(0.0, 0.95 - pushed) / (1 - pushed)
    ratio = median / p95  # the share of the articles of the second group that has at most `median`
    fast = most if ratio == 1 else min(most, max(0.0, (half - most * ratio) / (1 - ratio)))
    polls, covered = 0.0, 0.0
    for cell in sorted(cells, key=lambda cell: -cell.rate):
        share = cell.hours * cell.rate / total
        for until, interval in ((fast, median), (most, p95)):
            part = min(share, max(0.0, until - covered))
            if part > 0:
                polls += part * total / cell.rate / interval
                covered, share = covered + part, share - part
    return polls


def estimate_cells(published: Mapping[str, Sequence[float]], start: float, end: float, window: tuple[float, float]) -> list[Cell]:
    """The true rates by site and hour of day, and how much of the window each covers.

    `published` are the publication times by site between `start` and `end` (hours; 0 is midnight). All sites have one daily rhythm, so its
    shape is estimated from all of them, and only the daily number of articles is the site's own.
    """
    by_hour = [0.0] * 24
    for times in published.values():
        for at in times:
            by_hour[int(at % 24)] += 1
    seen = [_overlap(hour, start, end) for hour in range(24)]
    weights = [count / hours if hours else 0.0 for count, hours in zip(by_hour, seen, strict=True)]
    expected = sum(weight * hours for weight, hours in zip(weights, seen, strict=True)) or 1.0
    return [
        Cell(hours, weights[hour] * len(times) / expected)
        for times in published.values()
        for hour in range(24)
        if (hours := _overlap(hour, *window)) > 0
    ]


def _overlap(hour: int, start: float, end: float) -> float:
    """How many hours of [start, end] are in this hour of a day."""
    days = range(int(start // 24), int(end // 24) + 1)
    return sum(max(0.0, min(end, day * 24 + hour + 1) - max(start, day * 24 + hour)) for day in days)

"""How well the adaptive schedule finds the articles of simulated sites, without a network.

    python benchmarks/schedule.py [--per-day 60] [--days 3] [--seeds 5] [--freshness 1m,3m,30m] [--pushed 0.25]

A site publishes by a Poisson process with the daily rhythm of a newspaper. It has a feed, a homepage, a news sitemap and six sections that
show the same articles. Each minute of the simulated clock, the listings whose time has come are polled, and the policy of
`newsmill.polling` plans them again. The first day is for learning and is not counted. Beside it stand polls at fixed intervals,
and two schedulers that no program can be: one knows the true rate of each hour, one knows the time of each article and polls as rarely as
the delay of the adaptive one (its 95th percentile) allows. `--pushed` is the share of all articles that hubs of other sites send at once,
without a poll.
"""

from __future__ import annotations

import argparse
import bisect
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from newsmill.polling import listings, publication_rates
from newsmill.polling.listings import ListingFacts, SourcePattern, choose_listings
from newsmill.polling.publication_rates import PublicationRates, compute_today_factor, estimate_rates
from newsmill.sources.table_values import format_duration, parse_freshness

RHYTHM = (1, 1, 1, 1, 2, 4, 8, 10, 10, 9, 9, 9, 8, 8, 9, 9, 9, 8, 7, 5, 4, 3, 2, 1)  # of a day's hours
START = datetime(2026, 11, 2, tzinfo=UTC)
FEED, HOMEPAGE, NEWS_SITEMAP, SECTIONS = 0, 1, 2, range(3, 9)
WINDOWS = {FEED: 20, HOMEPAGE: 30, NEWS_SITEMAP: 120, **dict.fromkeys(SECTIONS, 20)}
WARM_UP = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Figures:
    """Polls per article, and the delays of articles in minutes."""

    polls: float
    median: float
    p95: float


def publish(per_day: float, days: int, seed: int) -> list[datetime]:
    """The times of a site's articles from two days before START on."""
    rng = random.Random(seed)
    times, total = [], sum(RHYTHM)
    for hour in range(-48, days * 24):
        start = START + timedelta(hours=hour)
        mean = per_day * RHYTHM[start.hour] / total
        at = rng.expovariate(mean)
        while at < 1:
            times.append(start + timedelta(hours=at))
            at += rng.expovariate(mean)
    return sorted(times)


def simulate(
    times: Sequence[datetime], days: int, freshness: timedelta = listings.DEFAULT_FRESHNESS
) -> tuple[list[datetime], dict[int, datetime]]:
    """(times of polls, when each article (its number) was seen first)."""
    section_of = {number: SECTIONS[number % len(SECTIONS)] for number in range(len(times))}
    seen: dict[int, datetime] = {}
    shown: dict[int, set[int]] = {listing: set() for listing in WINDOWS}
    late: dict[int, set[int]] = {listing: set() for listing in WINDOWS}
    facts = {listing: ListingFacts(START, 0) for listing in WINDOWS}
    due = dict.fromkeys(WINDOWS, START)
    polls: list[datetime] = []
    pattern, computed_at = SourcePattern(PublicationRates(publication_rates.UNKNOWN_RATE), {}), START - timedelta(days=1)
    for minute in range(days * 1440):
        now = START + timedelta(minutes=minute)
        polled = [listing for listing in WINDOWS if due[listing] <= now]
        for listing in polled:
            polls.append(now)
            out = bisect.bisect_right(times, now)
            numbers = [number for number in range(max(0, out - 400), out) if listing < SECTIONS[0] or section_of[number] == listing]
            for number in numbers[-WINDOWS[listing] :]:
                if number not in shown[listing] and number in seen and facts[listing].polls and seen[number] < facts[listing].polled_at:
                    late[listing].add(number)
                shown[listing].add(number)
                seen.setdefault(number, now)
            facts[listing] = ListingFacts(now, facts[listing].polls + 1)
        if not polled:
            continue
        if now - computed_at >= min(max((now - START) / 20, timedelta(minutes=10)), timedelta(hours=6)):
            pattern, computed_at = learn(times, seen, shown, late, now), now
        today = compute_today_factor(pattern.rates, sum(now - timedelta(hours=3) < times[number] for number in seen), now)
        copies = sum(listing not in pattern.shares for listing in WINDOWS)
        for listing in WINDOWS:  # all, as newsmill.storage.listing_plans does: a new lead does not wait for its poll as a copy
            due[listing] = listings.plan_poll(listing, facts[listing], pattern, copies=copies, today=today, now=now, freshness=freshness).at
    return polls, seen


def learn(
    times: Sequence[datetime], seen: dict[int, datetime], shown: dict[int, set[int]], late: dict[int, set[int]], now: datetime
) -> SourcePattern:
    """What the scheduler learns from the articles that were seen (newsmill.storage.listing_plans)."""
    newest = sorted(seen, key=lambda number: times[number], reverse=True)
    since_start = sum(times[number] >= START for number in newest)
    since = START if since_start >= 20 or not newest else min(START, times[newest[min(20, len(newest)) - 1]])
    counted = {*next((some[:500] for some in (newest[:since_start], newest) if len(some) >= 20), newest)}
    articles = {listing: frozenset(str(number) for number in (shown[listing] - late[listing]) & counted) for listing in shown}
    return SourcePattern(
        estimate_rates([times[number] for number in newest], since, now),
        choose_listings({k: v for k, v in articles.items() if v}, list(WINDOWS)),
    )


def measure(times: Sequence[datetime], polls: Sequence[datetime], seen: Callable[[int], datetime | None], pushed: float = 0.0) -> Figures:
    """The figures after WARM_UP. `pushed`: the share of all articles that come at once and without polls, beside those of `times`."""
    begin = START + WARM_UP
    numbers = [number for number, at in enumerate(times) if at >= begin and seen(number) is not None]
    delays = sorted((found - times[number]).total_seconds() / 60 for number in numbers if (found := seen(number)) is not None)
    delays = [0.0] * round(len(delays) * pushed / (1 - pushed)) + delays
    return Figures(sum(at >= begin for at in polls) / len(delays), statistics.median(delays), delays[int(0.95 * len(delays))])


def find_next(polls: Sequence[datetime], times: Sequence[datetime]) -> Callable[[int], datetime | None]:
    """When each article is seen by these polls of one listing."""

    def seen(number: int) -> datetime | None:
        at = bisect.bisect_left(polls, times[number])
        return polls[at] if at < len(polls) else None

    return seen


def poll_every(minutes: int, days: int) -> list[datetime]:
    return [START + timedelta(minutes=at) for at in range(0, days * 1440, minutes)]


def poll_by_true_rates(per_day: float, days: int, freshness: timedelta = listings.DEFAULT_FRESHNESS) -> list[datetime]:
    """The polls of one listing where the rate of each hour is known."""
    rates = PublicationRates(per_day / 1440, tuple(24 * weight / sum(RHYTHM) for weight in RHYTHM))
    polls, at = [], START
    while at < START + timedelta(days=days):
        polls.append(at)
        at += listings.compute_interval(rates, 1.0, at, freshness)
    return polls


def poll_knowing_all(times: Sequence[datetime], longest: float) -> list[datetime]:
    """The fewest polls with no delay above `longest` minutes."""
    polls: list[datetime] = []
    for at in times:
        if at >= START and (not polls or at > polls[-1]):
            polls.append(at + timedelta(minutes=longest))
    return polls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-day", type=float, default=60)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--freshness", default=format_duration(listings.DEFAULT_FRESHNESS))
    parser.add_argument("--pushed", type=float, default=0.0)
    options = parser.parse_args()
    worlds = [publish(options.per_day, options.days, seed) for seed in range(options.seeds)]
    print(f"{'schedule':44}{'polls per article':>18}{'median':>9}{'p95 minutes':>13}")

    def show(name: str, found: Sequence[Figures]) -> None:
        figures = [statistics.mean(values) for values in zip(*((one.polls, one.median, one.p95) for one in found), strict=True)]
        print(f"{name:44}{figures[0]:18.2f}{figures[1]:9.1f}{figures[2]:13.1f}")

    for text in options.freshness.split(","):
        freshness = parse_freshness(text)
        adaptive = []
        for times in worlds:
            polls, seen = simulate(times, options.days, freshness)
            adaptive.append(measure(times, polls, seen.get, options.pushed))
        show(f"adaptive, freshness {text}", adaptive)
        known = poll_by_true_rates(options.per_day, options.days, freshness)
        show("  true rates known, one listing", [measure(times, known, find_next(known, times), options.pushed) for times in worlds])
        bound = [poll_knowing_all(times, found.p95) for times, found in zip(worlds, adaptive, strict=True)]
        show(
            "  all times known, at the adaptive p95",
            [measure(t, p, find_next(p, t), options.pushed) for t, p in zip(worlds, bound, strict=True)],
        )
    for minutes in (3, 5, 10, 15):
        polls = poll_every(minutes, options.days)
        one = [measure(times, polls, find_next(polls, times), options.pushed) for times in worlds]
        show(f"every {minutes} minutes, one listing", one)


if __name__ == "__main__":
    main()

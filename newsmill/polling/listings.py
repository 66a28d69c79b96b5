"""When a listing is read again. Pure functions: the time and the source's pattern are arguments.

A source with neither `every` nor `cron` is adaptive. Its articles come with a rate that depends on the hour of the week.
Articles that are out and not found yet wait. A listing is read when their expected waiting times add up to `compute_worth` minutes.
With a constant rate, the interval is sqrt(2 * worth / rate), the square-root law for the fewest requests at a given delay (Cho and
Garcia-Molina 2003; Kolobov et al. 2019). If several listings show the same articles, one is read at this pace, the others now and then.

A due listing is fetched before all articles but one. So the listings of a source on one host have a budget: a share of the requests that
politeness allows.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from newsmill.polling.publication_rates import UNKNOWN_RATE, PublicationRates

# Minutes of delay, added up over articles, that are worth one request at DEFAULT_FRESHNESS. With 1.0 a site with 60 articles a day is read
# every six minutes in its busy hours, and half of the articles are found within three minutes if a quarter of all come by hubs
# (benchmarks/follow.py).
MINUTES_PER_POLL = 1.0
DEFAULT_FRESHNESS = timedelta(minutes=3)  # the expected delay of a new article of such a site
MIN_FRESHNESS, MAX_FRESHNESS = timedelta(minutes=1), timedelta(days=1)
MAX_NEW_PER_POLL = 10  # expected articles, half the length of most feeds, so that none leaves its feed unseen
MIN_INTERVAL, MAX_INTERVAL = timedelta(minutes=1), timedelta(days=1)
FIRST_INTERVALS = (timedelta(hours=1), timedelta(hours=6))  # of a listing that has shown nothing that another listing does not show
EXPLORATION_SHARE = 0.07  # polls of such listings, per poll of the others
# A feed that breaks, moves or empties is named within six hours, whatever other listings and hubs show: the proof takes up to two more.
MAX_FEED_INTERVAL = timedelta(hours=3)
EMPTIED_INTERVAL = timedelta(hours=1)  # of a listing that had entries and shows none: a second read proves that it lost them
ARTICLES_PER_CHECK = 4.0  # expected articles without a new one, after which a listing is checked; by chance one silence in 55 (Poisson)
STALLED_CHANCE = 0.01  # below this chance that a working listing shows none of the articles that others show, it counts as stalled
MAX_TRUSTED_SHARE = 0.8  # so that a listing counts as stalled after three articles at the earliest
MAX_CACHE_SECONDS = 600.0  # a longer max-age is for browsers
SPIDER_INTERVAL = timedelta(minutes=15)
PUSHED_INTERVAL = MAX_FEED_INTERVAL  # of a feed whose hub sends every change
FAILING_INTERVALS = ((timedelta(days=1), timedelta(hours=1)), (timedelta(days=30), timedelta(days=1)))  # (failing for less than, interval)
MAX_FAILING_INTERVAL = timedelta(days=30)
LISTING_SHARE = 0.1  # of the requests that may be sent to a host, one every `delay` seconds


def compute_next_due(every: timedelta | None, cron: str | None, after: datetime) -> datetime:
    """The first time after `after` (aware) at which a source's listings are due, in UTC. Give exactly one of `every` and `cron`.

    Cron expressions are in UTC, where no hour is skipped or repeated. Missed times are made up once: the result is always later than
    `after`. Raises ValueError for an invalid expression and for one that never comes true.
    """
    after = after.astimezone(UTC)
    if (every is None) == (cron is None):
        raise ValueError("a source has exactly one of every and cron")
    if cron is not None:
        from croniter import croniter  # 0.01 s of CPU, which most installations need not spend

        return croniter(cron, after).get_next(datetime)
    if every is None or every <= timedelta(0):
        raise ValueError(f"every must be positive, not {every}")
    return after + every


class Reason(StrEnum):
    """Why a listing is read when it is."""

    LEAD = "lead"  # it shows articles that no other listing shows, or shows most of them
    COPY = "copy"  # all that it showed lately was on other listings too
    SPIDER = "spider"
    PUSHED = "pushed"
    CACHED = "cached"
    BUDGET = "budget"  # the budget of its host makes the interval longer; `fit_budget`
    ANNOUNCED = "announced"  # it says itself how often it changes, and nothing else is known yet
    FAILING = "failing"
    EMPTIED = "emptied"  # it has no entries any more
    CHECKED = "checked"  # no listing has shown a new article for improbably long; `count_checks`
    FIXED = "fixed"  # the source has `every` or `cron`


@dataclass(frozen=True, slots=True)
class ListingFacts:
    """What is known about one listing when its next poll is planned."""

    polled_at: datetime  # the last time it was read
    polls: int
    cache_seconds: float = 0.0  # for which the last response may be reused: Cache-Control, Expires, Age
    update_interval: timedelta | None = None  # between two changes, as the feed itself says: ttl, sy:updatePeriod
    failing_since: datetime | None = None
    is_spider: bool = False
    is_feed: bool = False
    is_pushed: bool = False  # a hub sends its changes (WebSub)
    is_emptied: bool = False  # it showed new articles in the last days, and has no entries now


@dataclass(frozen=True, slots=True)
class NextPoll:
    """When a listing is read next, and why."""

    at: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class SourcePattern:
    """What Newsmill has learned about a source: its rates, and of each listing (ledger id) the share of articles that only it shows.

    The shares are those of a greedy choice: the first listing has the share of all articles that it shows, the second that of the articles
    which the first does not show, and so on. Listings with the share 0 are left out.
    """

    rates: PublicationRates
    shares: Mapping[int, float]


def choose_listings(shown: Mapping[int, frozenset[str]], order: Sequence[int], pushed: Container[int] = ()) -> dict[int, float]:
    """The shares of SourcePattern. `shown`: the articles that each listing showed in time. Of equal listings the first in `order` wins.

    Those whose changes a hub sends (`pushed`) come before all others, because they cost no polls.
    """
    every = frozenset().union(*shown.values()) if shown else frozenset()
    shares: dict[int, float] = {}
    missing = set(every)
    while missing:
        gains = {listing: shown[listing] & missing for listing in order if listing in shown}
        best = max(gains, key=lambda listing: (bool(gains[listing]) and listing in pushed, len(gains[listing])), default=None)
        if best is None or not (gain := gains[best]):
            break
        shares[best] = len(gain) / len(every)
        missing -= gain
    return shares


def count_checks(rates: PublicationRates, last: datetime, now: datetime) -> int:
    """How many listings without a share are read once, because since `last` no listing has shown a new article.

    Either nothing was published, or the listings with shares do not show it: a feed that its software no longer writes is unchanged, too.
    """
    return int(rates.expect(last, now) / ARTICLES_PER_CHECK)


def is_stalled(share: float, missed: int) -> bool:
    """Whether a listing that showed this `share` of all articles is stalled: `missed` articles came since its last new one."""
    return (1 - min(share, MAX_TRUSTED_SHARE)) ** missed < STALLED_CHANCE


def plan_poll(
    listing: int,
    facts: ListingFacts,
    pattern: SourcePattern,
    *,
    copies: int,
    today: float,
    now: datetime,
    freshness: timedelta = DEFAULT_FRESHNESS,
) -> NextPoll:
    """When to read a listing next. `copies`: the source's listings without a share; `today`: compute_today_factor.

    Polls that are `slowest` apart have `freshness` as their mean delay, so no rule needs more of them.
    """
    slowest = 2 * freshness
    polled_at = min(facts.polled_at, now)  # a clock that was ahead may have written it
    if facts.failing_since is not None:
        return NextPoll(polled_at + compute_failing_interval(now - facts.failing_since), Reason.FAILING)
    if facts.is_spider:
        return NextPoll(polled_at + min(max(SPIDER_INTERVAL, slowest), MAX_INTERVAL), Reason.SPIDER)
    share = pattern.shares.get(listing, 0.0) if pattern.shares else 1.0  # before the first article each listing may have it
    reason = Reason.LEAD if share > 0 else Reason.COPY
    if not pattern.shares and facts.polls <= 1 and facts.update_interval is not None:
        interval, reason = _compute_announced_interval(facts.update_interval, polled_at, freshness), Reason.ANNOUNCED
    elif share > 0:
        interval = compute_interval(pattern.rates, share * today, polled_at, freshness)
    else:
        explored = compute_interval(pattern.rates, today, polled_at, freshness) * max(copies, 1) / EXPLORATION_SHARE
        interval = FIRST_INTERVALS[facts.polls - 1] if 1 <= facts.polls <= len(FIRST_INTERVALS) else explored
        interval = max(min(interval, MAX_FEED_INTERVAL) if facts.is_feed else interval, slowest)
    if facts.is_pushed:
        interval, reason = max(interval, PUSHED_INTERVAL), Reason.PUSHED
    elif (cached := timedelta(seconds=min(facts.cache_seconds, MAX_CACHE_SECONDS))) > interval:
        interval, reason = cached, Reason.CACHED
    if facts.is_emptied and interval > EMPTIED_INTERVAL:
        interval, reason = EMPTIED_INTERVAL, Reason.EMPTIED
    return NextPoll(polled_at + min(max(interval, MIN_INTERVAL), MAX_INTERVAL), reason)


def compute_worth(freshness: timedelta) -> float:
    """The minutes of delay, added up over articles, that are worth one request. By the square-root law the delay grows with their root."""
    return MINUTES_PER_POLL * (freshness / DEFAULT_FRESHNESS) ** 2


def compute_interval(rates: PublicationRates, factor: float, start: datetime, freshness: timedelta = DEFAULT_FRESHNESS) -> timedelta:
    """How long after `start` the expected delays of the articles that come after it add up to `compute_worth`.

    In whole minutes, at most MAX_INTERVAL, and at most until MAX_NEW_PER_POLL articles are to be expected. Hour by hour: with `waiting`
    articles at its begin and a constant rate, the delays after some minutes are waiting * minutes + rate * minutes² / 2.
    """
    minute, last = 0, int(MAX_INTERVAL.total_seconds() // 60)
    waiting = delay = 0.0
    worth = compute_worth(freshness)
    while minute < last:
        at = start + timedelta(minutes=minute)
        length, rate = min(60 - at.minute, last - minute), rates.at(at) * factor
        missing = worth - delay
        if waiting * length + rate * length**2 / 2 >= missing or waiting + rate * length >= MAX_NEW_PER_POLL:
            needed = 2 * missing / (waiting + math.sqrt(waiting**2 + 2 * rate * missing))
            needed = min(needed, (MAX_NEW_PER_POLL - waiting) / rate)
            return timedelta(minutes=minute + min(max(math.ceil(needed), 1), length))
        delay += waiting * length + rate * length**2 / 2
        waiting += rate * length
        minute += length
    return MAX_INTERVAL


def _compute_announced_interval(update_interval: timedelta, start: datetime, freshness: timedelta) -> timedelta:
    """The first interval of a feed that says how often it changes: a prior that weighs as much as UNKNOWN_RATE, one article.

    So no value makes it shorter than 12 minutes, and FIRST_INTERVALS bounds it above. Most feeds carry the default of their software.
    """
    minutes = update_interval.total_seconds() / 60
    rates = PublicationRates(2 / (1 / UNKNOWN_RATE + max(minutes, 0.0)))
    return min(compute_interval(rates, 1.0, start, freshness), FIRST_INTERVALS[0])


def compute_failing_interval(failing_for: timedelta) -> timedelta:
    """How long to wait before a failing listing is read again: an hour, after a day of failures a day, after 30 days 30 days."""
    return next((interval for limit, interval in FAILING_INTERVALS if failing_for < limit), MAX_FAILING_INTERVAL)


def fit_budget(polled_at: Mapping[int, datetime], plans: Mapping[int, NextPoll], delay: float) -> dict[int, NextPoll]:
    """The plans of a host's listings (by id) within its budget: if they need more, all intervals grow by the same factor.

    `polled_at` has the last poll of each listing, `delay` the seconds between two requests to the host. An interval stays within
    MAX_INTERVAL. A failing listing keeps its own, which is an hour at least, and one that is checked is read only once.
    """
    intervals = {listing: plan.at - polled_at[listing] for listing, plan in plans.items()}
    load = sum(delay / LISTING_SHARE / interval.total_seconds() for interval in intervals.values())
    if load <= 1:
        return dict(plans)
    return {
        listing: plan if plan.reason in (Reason.FAILING, Reason.CHECKED) else _stretch(plan, polled_at[listing], intervals[listing] * load)
        for listing, plan in plans.items()
    }


def _stretch(plan: NextPoll, polled_at: datetime, wanted: timedelta) -> NextPoll:
    """In whole minutes, so that a load that hardly changed gives the same plan."""
    longer = timedelta(minutes=math.ceil(wanted / timedelta(minutes=1)))
    return replace(plan, at=max(plan.at, polled_at + min(longer, MAX_INTERVAL)), reason=Reason.BUDGET)

"""The budget of a host for polls. The listings of a source on one host take a share of the requests that politeness allows.

Listings are fetched before articles. Without a budget, a host with a long Crawl-delay and many listings would receive no other requests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from newsmill.discovery.schedule import MAX_INTERVAL, NextPoll, Reason

LISTING_SHARE = 0.1  # of the requests that may be sent to a host, one every `delay` seconds


def fit_budget(polled_at: Mapping[int, datetime], plans: Mapping[int, NextPoll], delay: float) -> dict[int, NextPoll]:
    """The plans of a host's listings (by id) within its budget: if they need more, all intervals grow by the same factor.

    `polled_at` has the last poll of each listing, `delay` the seconds between two requests to the host. An interval stays within
    MAX_INTERVAL, and a failing listing keeps its own, which is an hour at least.
    """
    intervals = {listing: plan.at - polled_at[listing] for listing, plan in plans.items()}
    load = sum(delay / LISTING_SHARE / interval.total_seconds() for interval in intervals.values())
    if load <= 1:
        return dict(plans)
    return {
        listing: plan if plan.reason is Reason.FAILING else _stretch(plan, polled_at[listing], intervals[listing] * load)
        for listing, plan in plans.items()
    }


def _stretch(plan: NextPoll, polled_at: datetime, wanted: timedelta) -> NextPoll:
    """In whole minutes, so that a load that hardly changed gives the same plan."""
    longer = timedelta(minutes=math.ceil(wanted / timedelta(minutes=1)))
    return replace(plan, at=max(plan.at, polled_at + min(longer, MAX_INTERVAL)), reason=Reason.BUDGET)

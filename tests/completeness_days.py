"""Whether the bound of `newsmill/health/completeness.py` holds: simulated days of sources whose hidden articles are known.

    python tests/completeness_days.py --days 500 --seed 1

Each day has sections, hours by a daily rhythm, and listings that overlap by one of the mechanisms of MECHANISMS. For each mechanism, and
for all together, it prints how often the bound holds the true share of missed articles, how wide it is, and how often it is unknown.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log
from statistics import median

from newsmill.health.completeness import SeenArticle, estimate

RHYTHM = (1, 1, 1, 1, 2, 4, 7, 9, 10, 10, 9, 9, 9, 9, 9, 9, 9, 8, 7, 6, 5, 4, 3, 2)  # articles by hour
SECTIONS = ("politics", "world", "business", "sport", "culture", "science")
MEDIAN_ARTICLES = 90


@dataclass(frozen=True, slots=True)
class Day:
    """Articles of a day as (minute, section), in the order of publication."""

    articles: list[tuple[float, str]]


def make_day(rng: random.Random) -> Day:
    count = max(25, round(rng.lognormvariate(log(MEDIAN_ARTICLES), 0.5)))
    weights = [rng.uniform(0.3, 2) for _ in SECTIONS]
    hours = rng.choices(range(24), RHYTHM, k=count)
    return Day(sorted((hour * 60 + rng.uniform(0, 60), rng.choices(SECTIONS, weights)[0]) for hour in hours))


Sighted = list[set[str]]  # the kinds of listings that showed each article


def independent(day: Day, rng: random.Random) -> Sighted:
    """Each kind shows each article with a probability of its own."""
    shares = {
        "feed": rng.uniform(0.8, 1),
        "sitemap": rng.uniform(0.85, 1),
        "section": rng.uniform(0.6, 0.98),
        "homepage": rng.uniform(0.3, 0.8),
    }
    kinds = rng.sample(list(shares), rng.choice((2, 3, 3, 4, 4, 4)))
    return [{kind for kind in kinds if rng.random() < shares[kind]} for _ in day.articles]


def by_section(day: Day, rng: random.Random) -> Sighted:
    """The feed leaves out most of one or two sections; the homepage prefers some."""
    left_out = rng.sample(SECTIONS, rng.choice((1, 2)))
    front = {section: rng.uniform(0.15, 0.9) for section in SECTIONS}
    pages = rng.uniform(0.85, 0.99)
    return [
        {
            kind
            for kind, share in (("feed", 0.1 if section in left_out else 0.97), ("homepage", front[section]), ("section", pages))
            if rng.random() < share
        }
        for _, section in day.articles
    ]


def by_prominence(day: Day, rng: random.Random) -> Sighted:
    """What editors find important is in every listing, and what they do not is in fewer: listings agree more than by chance."""
    base = {"feed": rng.uniform(2, 4), "section": rng.uniform(2, 4), "homepage": rng.uniform(-0.5, 1.5)}
    if rng.random() < 0.5:
        base["sitemap"] = rng.uniform(2.5, 4.5)
    strength = rng.uniform(0.3, 1.2)
    sighted = []
    for _ in day.articles:
        prominence = rng.gauss(0, strength)
        sighted.append({kind for kind, value in base.items() if rng.random() < 1 / (1 + exp(-value - prominence))})
    return sighted


def by_polls(day: Day, rng: random.Random) -> Sighted:
    """Listings of the newest articles, polled at intervals; an outage of up to five hours stops all polls."""
    lengths = {"feed": rng.choice((10, 20, 30)), "homepage": rng.choice((15, 30)), "section": 20, "sitemap": 1000}
    kinds = ["feed", "homepage", *rng.sample(("section", "sitemap"), rng.choice((0, 1, 1, 2, 2, 2)))]
    outage = rng.uniform(0, 1440)
    until = outage + (rng.uniform(0, 300) if rng.random() < 0.3 else 0)
    chosen = [rng.random() < 0.7 for _ in day.articles]  # by the editors of the homepage
    sighted: Sighted = [set() for _ in day.articles]
    for kind in kinds:
        interval = rng.choice((10, 30, 60, 180, 360))
        minute = rng.uniform(0, interval)
        while minute < 1440 + 360:
            if not outage <= minute < until:
                out = [number for number, (at, _) in enumerate(day.articles) if at <= minute and (kind != "homepage" or chosen[number])]
                if kind == "section":
                    for section in SECTIONS:
                        for number in [number for number in out if day.articles[number][1] == section][-lengths[kind] :]:
                            sighted[number].add(kind)
                else:
                    for number in out[-lengths[kind] :]:
                        sighted[number].add(kind)
            minute += interval * rng.uniform(0.8, 1.2)
    return sighted


def unlisted(day: Day, rng: random.Random) -> Sighted:
    """Some articles are marked "not for listings": machines leave them out, and only people put a few on the homepage."""
    share = rng.uniform(0, 0.02)
    kinds = {"feed": 0.98, "sitemap": 0.98, "section": 0.95}
    sighted = []
    for _ in day.articles:
        is_marked = rng.random() < share
        shown = {kind for kind, value in kinds.items() if rng.random() < (0.05 if is_marked else value)}
        sighted.append(shown | ({"homepage"} if rng.random() < (0.5 if is_marked else 0.6) else set()))
    return sighted


def copied(day: Day, rng: random.Random) -> Sighted:
    """The sitemap is a copy of the feed; the homepage is made separately, and on half of the sites sections are, too."""
    shares = {"feed": rng.uniform(0.9, 1), "homepage": rng.uniform(0.5, 0.9)} | (
        {"section": rng.uniform(0.7, 0.98)} if rng.random() < 0.5 else {}
    )
    sighted = [{kind for kind, share in shares.items() if rng.random() < share} for _ in day.articles]
    return [kinds | ({"sitemap"} if "feed" in kinds else set()) for kinds in sighted]


def all_copied(day: Day, rng: random.Random) -> Sighted:
    """Every listing is a copy of one; a part of the articles is in none. The bound is unknown."""
    share = rng.uniform(0.7, 1)
    return [{"feed", "sitemap", "homepage"} if rng.random() < share else set() for _ in day.articles]


MECHANISMS: tuple[Callable[[Day, random.Random], Sighted], ...] = (
    *(independent, by_section, by_prominence, by_polls, unlisted, copied),
    all_copied,
)


@dataclass(frozen=True, slots=True)
class Result:
    """One day: whether the bound held (None: it is unknown), its width in points, and the true share of missed articles in points."""

    mechanism: str
    holds: bool | None
    width: float
    truth: float


def simulate(number: int, seed: int) -> Result:
    rng = random.Random(f"{seed} {number}")
    mechanism = MECHANISMS[number % len(MECHANISMS)]
    day = make_day(rng)
    sighted = mechanism(day, rng)
    articles = [
        SeenArticle(frozenset(kinds), section, int(minute // 60))
        for (minute, section), kinds in zip(day.articles, sighted, strict=True)
        if kinds
    ]
    truth = 1 - len(articles) / len(day.articles)
    found = estimate(articles)
    holds = None if found.at_most is None else truth <= found.at_most + 1e-9
    return Result(mechanism.__name__, holds, 100 * (found.at_most or 0), 100 * truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    results = [simulate(number, options.seed) for number in range(options.days)]
    print("| mechanism | days | unknown | bound holds | width in points: median, p90 | truth in points: median, p90, max |")
    print("|---|---|---|---|---|---|")
    for name in (*(mechanism.__name__ for mechanism in MECHANISMS), "all"):
        chosen = [result for result in results if name in (result.mechanism, "all")]
        known = [result for result in chosen if result.holds is not None]
        holds = f"{100 * sum(bool(result.holds) for result in known) / len(known):.1f} %" if known else "-"
        widths, truths = sorted(result.width for result in known), sorted(result.truth for result in chosen)
        width = f"{median(widths):.2f}, {widths[int(0.9 * len(widths))]:.2f}" if known else "-"
        truth = f"{median(truths):.2f}, {truths[int(0.9 * len(truths))]:.2f}, {truths[-1]:.2f}"
        print(f"| {name} | {len(chosen)} | {len(chosen) - len(known)} | {holds} | {width} | {truth} |")


if __name__ == "__main__":
    main()

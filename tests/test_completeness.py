"""The bound of missed articles: what it says about listings whose overlap is known."""

from __future__ import annotations

import pytest
from completeness_days import simulate

from newsmill.health.completeness import Completeness, SeenArticle, Unknown, estimate, group_kinds


def articles(**counts: int) -> list[SeenArticle]:
    """`feed_homepage=3`: three articles that both showed."""
    return [SeenArticle(frozenset(name.split("_"))) for name, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (articles(feed=5, homepage=5), Unknown.FEW_ARTICLES),
        (articles(feed=100), Unknown.ONE_LISTING),
        (articles(feed_sitemap=100), Unknown.ONE_LISTING),  # a copy
        (articles(feed=50, homepage=50), Unknown.NO_OVERLAP),
        ([], Unknown.FEW_ARTICLES),
    ],
)
def test_it_says_why_there_is_no_bound(found: list[SeenArticle], reason: Unknown) -> None:
    result = estimate(found)
    assert (result.unknown, result.at_most) == (reason, None)


def bound(found: list[SeenArticle]) -> float:
    result = estimate(found)
    assert result.at_most is not None
    return result.at_most


def test_kinds_that_show_the_same_articles_count_as_one() -> None:
    found = articles(feed_sitemap_homepage=200, feed_sitemap=100, homepage=2)
    assert group_kinds(found) == (("feed", "sitemap"), ("homepage",))
    alone = [SeenArticle(article.kinds - {"sitemap"}) for article in found]
    assert bound(found) == bound(alone)


def test_the_bound_follows_the_evidence() -> None:
    """More articles of one side only raise it, more recaptured ones lower it, and it is never below one article."""
    bounds = [bound(articles(feed_homepage=200, feed=100, homepage=own)) for own in (0, 5, 20, 60)]
    assert bounds == sorted(bounds)
    assert bounds[0] >= 1 / 301
    assert bound(articles(feed_homepage=2000, feed=1000, homepage=5)) < bounds[1]


def test_a_section_that_the_feed_leaves_out_raises_the_bound() -> None:
    def week(section: str) -> list[SeenArticle]:
        news = [SeenArticle(frozenset(("feed", "homepage")), "news")] * 200 + [SeenArticle(frozenset(("feed",)), "news")] * 40
        sport = [SeenArticle(frozenset(("homepage",)), section)] * 30 + [SeenArticle(frozenset(("feed", "homepage")), section)] * 2
        return news + sport + [SeenArticle(frozenset(("feed",)), section)] * 4

    assert bound(week("sport")) > bound(week("news"))


def test_listings_that_agree_more_than_by_chance_raise_the_bound() -> None:
    """By the sitemap, feed and homepage miss the same articles or not; the numbers of each alone are the same."""
    independent = articles(feed_homepage_sitemap=160, feed_sitemap=40, homepage_sitemap=40, sitemap=10)
    agreeing = articles(feed_homepage_sitemap=190, feed_sitemap=10, homepage_sitemap=10, sitemap=40)
    more = articles(feed=4, homepage=4)
    assert bound(agreeing + more) > bound(independent + more)


def test_one_article_counts_if_the_other_listings_agree_too_well_to_miss_it_separately() -> None:
    """Feed, sitemap and section show the same 99 of 100 articles. Without the homepage they would seem to be complete."""
    machines = articles(feed_sitemap_section=40, feed_sitemap_section_homepage=56, feed_sitemap=1, feed_section=1, sitemap_section=1)
    assert bound(machines) == pytest.approx(1 / 100)
    assert bound([*machines, *articles(homepage=1)]) > 2 / 102
    separate = articles(feed_sitemap_homepage=50, feed_sitemap=20, feed_homepage=20, sitemap_homepage=20, feed=8, sitemap=8)
    expected = bound([*separate, *articles(homepage=8)])
    assert bound([*separate, *articles(homepage=9)]) < 1.5 * expected, "of separate listings one more says little"


def test_the_bound_holds_in_simulated_days() -> None:
    """As `python tests/completeness_days.py --days 500`, with fewer days: the bound holds for 95 % and is below 3 points."""
    results = [simulate(number, seed=1) for number in range(140)]
    known = [result for result in results if result.holds is not None]
    assert sum(result.holds is True for result in known) >= 0.95 * len(known)
    assert sorted(result.width for result in known)[len(known) // 2] < 3
    assert not any(result.mechanism == "all_copied" for result in known)


def test_numbers_stay_in_range_at_the_extremes() -> None:
    for found in (articles(feed_homepage=10, feed=100_000, homepage=1), articles(feed_homepage=10, feed=3000, homepage=3000)):
        result = estimate(found)
        assert isinstance(result, Completeness)
        assert result.at_most is not None and 0 < result.at_most < 1

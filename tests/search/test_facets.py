"""Facets and timelines, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from articles import article, found, store
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from newsmill.model import Author
from newsmill.search.facets import FACETS, count_facets
from newsmill.search.search import Search
from newsmill.search.timelines import (
    FITTED_BARS,
    MAX_BARS,
    TIMELINE_STEPS,
    PeriodChoice,
    TimelineBar,
    TimelineStep,
    build_timeline,
    choose_period,
    count_bars,
    count_timeline,
    format_bar_filters,
)

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


# ---- facets ------------------------------------------------------------------------------------------------------------------


def test_the_filter_of_a_facet_finds_as_many_documents_as_it_counts(engine: Engine) -> None:
    ann, bob, both = (Author("Ann Smith"),), (Author("Ann"), Author("BOB Jones")), (Author("ann smith"), Author("Ann Smith"), Author("Bob"))
    store(
        engine,
        article(1, "harbour", source="paper", section="Local News", authors=ann, article_type="NewsArticle"),
        article(2, "harbour", source="The Paper", section="local  news", authors=bob, article_type="newsarticle", language="de-AT"),
        article(3, "harbour", source=None, section="News", authors=both, article_type="OpinionNewsArticle", language="de"),
        article(4, "ferry", source="paper", section='The "best"', authors=ann, article_type=None, language=None),
        article(5, "harbour", section="ÄRGER & Co. (neu)\t*", authors=(Author("O'Neill, 王"),), article_type="a=b", language="zh-Hans"),
    )
    search = Search(engine)
    for query in ("", "harbour", "harbour OR ferry after:2026-01-01"):
        facets = count_facets(engine, query)
        assert facets.is_complete and facets.counted == search.count(query)
        for name in FACETS:
            for one in facets.values[name]:
                assert one.filter is None or search.count(f"{query} {one.filter}") == one.n, (query, one)
    values = {name: {one.value: one.n for one in counts} for name, counts in count_facets(engine).values.items()}
    assert values["language"] == {"en": 1, "de": 2, "zh": 1}
    assert values["section"]["Local News"] == 2 and values["section"]["News"] == 1 and values["section"]['The "best"'] == 1
    assert values["author"] == {"Ann Smith": 3, "Ann": 1, "BOB Jones": 1, "Bob": 1, "O'Neill, 王": 1}
    assert values["type"] == {"NewsArticle": 2, "OpinionNewsArticle": 1, "a=b": 1}
    assert values["site"] == {"paper.example": 5}
    assert found(search, 'section:="local news"') == {"1", "2"} != found(search, "section:news") == {"1", "2", "3"}
    assert (
        found(search, "author:=Ann") == {"2"}
        and found(search, "type:NEWSARTICLE") == {"1", "2"}
        and found(search, "-type:newsarticle") >= {"4"}
    )
    assert len(count_facets(engine, limit=1).values["language"]) == 1


# ---- timelines ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "step", "days", "since", "until", "chosen"),
    [
        ("", None, "", "2026-10-30", "2026-11-29", "day"),
        ("", None, "2019-03-02", "2019-03-02", "2019-03-03", "day"),
        ("", None, "2026-10-01 2026-11-28", "2026-10-01", "2026-11-29", "day"),
        ("", None, "2026-09-01 2026-11-28", "2026-08-31", "2026-11-29", "week"),
        ("", None, "2019-03-02 2021-07-14", "2019-03-01", "2021-08-01", "month"),
        ("", None, "1998-03-02 2012-07-14 2026-11-28", "1998-01-01", "2026-11-29", "year"),
        ("", "month", "1998-03-02 2012-07-14", "1998-03-01", "2012-08-01", "month"),
        ("", "day", "1998-03-02 2012-07-14", "1998-03-01", "2012-08-01", "month"),
        ("harbour after:2026-11-01", "week", "2026-11-20", "2026-11-01", "2026-11-23", "week"),
        ("after:2026-01-01 before:2026-11-01", None, "2026-03-01", "2026-01-01", "2026-11-01", "week"),
        ("before:2026-02-01", "month", "", "2026-01-01", "2026-02-01", "month"),
        ("after:2020", "day", "", "2020-01-01", "2026-11-29", "week"),
        ("after:2030 before:2031", None, "", "2026-11-28", "2026-11-29", "day"),
        ("before:1960", None, "", "1970-01-01", "1970-01-02", "day"),
    ],
)
def test_the_period_of_a_query_fits_its_matches(
    query: str, step: TimelineStep | None, days: str, since: str, until: str, chosen: str
) -> None:
    choice = choose_period(query, NOW, step=step)
    period = choice.fit([datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in days.split()], choice.widest.since)
    assert (period.since.date().isoformat(), period.until.date().isoformat(), period.step) == (since, until, chosen)
    assert period.step in period.steps


TIMES = st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(since=TIMES, until=TIMES, step=st.sampled_from([None, *TIMELINE_STEPS]))
def test_bars_cover_a_period_without_gaps(since: datetime, until: datetime, step: TimelineStep | None) -> None:
    choice = choose_period("", NOW, since=since, until=until, step=step)
    period = choice.fit([], choice.widest.since)
    bars = build_timeline(period, {}, period.since).bars
    assert bars[0].start == period.since and bars[-1].end == period.until
    assert 0 < len(bars) == count_bars(period.since, period.until, period.step) <= (MAX_BARS if step else FITTED_BARS)
    assert all(one.end == other.start > one.start for one, other in pairwise(bars))


def test_the_filters_of_a_bar_find_as_many_documents_as_it_counts(engine: Engine) -> None:
    store(engine, *(article(n * 60, "harbour" if n % 4 else "ferry") for n in range(60)))  # 150 days from 2026-11-25
    now, search = NOW + timedelta(days=160), Search(engine)
    for step in TIMELINE_STEPS:
        timeline = count_timeline(engine, "harbour", choose_period("", now, since=NOW - timedelta(days=2), step=step))
        assert timeline.is_complete and timeline.total == search.count("harbour after:2026-11-26T09:30:00")
        for bar in timeline.bars:
            assert search.count(f"harbour {' '.join(format_bar_filters(bar))}") == bar.n, bar
    assert TimelineBar(NOW, NOW, None).n is None


def test_a_timeline_opens_where_the_matches_are(engine: Engine) -> None:
    """A store of old documents, long after them; what was not counted in time is a bar at the left."""
    store(engine, *(article(n * 24 * 40, "harbour" if n % 2 else "ferry") for n in range(60)), article(5, "harbour", published_at=None))
    now = NOW + timedelta(days=5_000)
    timeline = count_timeline(engine, "harbour", choose_period("", now))
    assert (timeline.period.step, len(timeline.bars), timeline.total) == ("year", 7, 30)
    assert timeline.bars[0].n and timeline.bars[-1].n, "it begins and ends with matches"
    assert count_timeline(engine, "ferry", timeline.period).period == timeline.period
    cut = PeriodChoice(None, None, None, now).fit([NOW], NOW - timedelta(days=3))
    assert [bar.n for bar in build_timeline(cut, {}, NOW - timedelta(days=3)).bars[:2]] == [None, 0]

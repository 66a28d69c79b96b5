"""The counts of a query's matches: by facet, by source, over time."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from newsmill.search.facets import MAX_FACET_VALUES, FacetName, count_facets, list_counts
from newsmill.search.search import Search
from newsmill.search.timelines import FITTED_BARS, MAX_BARS, TimelineStep, choose_period, count_timeline
from newsmill.storage.tokens import Scope
from newsmill.web.api.search import Fold, SearchQuery
from newsmill.web.auth import require_scope
from newsmill.web.parameters import ItemList, Timestamp, User, complete_list
from newsmill.web.past_stores import SearchContext

router = APIRouter(tags=["search"], dependencies=[Depends(require_scope(Scope.READ))])


class HourCount(BaseModel):
    """The number of matches in one hour or day."""

    at: datetime
    n: int


class SourceCount(BaseModel):
    """The number of matches of one source; "" is the name for documents without a source."""

    source: str
    n: int


@router.get("/search/over-time")
def count_over_time(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    step: Literal["hour", "day"] = "day",
    since: Timestamp | None = None,
    until: Timestamp | None = None,
    fold: Fold = True,
) -> ItemList[HourCount]:
    """Count the matches per hour or day (UTC), without hours or days that have none."""
    counts = Search(context.engine, user).count_over_time(q, step, since=since, until=until, fold=fold)
    return complete_list(HourCount(at=at, n=n) for at, n in counts)


@router.get("/search/by-source")
def count_by_source(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    since: Timestamp | None = None,
    until: Timestamp | None = None,
    fold: Fold = True,
) -> ItemList[SourceCount]:
    """Count the matches per source, largest count first."""
    counts = Search(context.engine, user).count_by_source(q, since=since, until=until, fold=fold)
    return complete_list(SourceCount(source=source, n=n) for source, n in counts)


MAX_FACET_MATCHES = 20_000  # the newest matches, of which a response counts the values: 0.1 s
COUNT_SECONDS = 2.0  # for each count of a response; CPU seconds on SQLite
STEP_DESCRIPTION = (
    f"By default the shortest step that makes at most {FITTED_BARS} bars; a step of more than {MAX_BARS} bars becomes the next longer one."
)


class FacetItem(BaseModel):
    """One value of a facet."""

    facet: FacetName
    value: str
    n: int
    filter: str | None = Field(description="Added to the query, it selects these documents; null where no filter can express the value.")


class FacetList(ItemList[FacetItem]):
    """The most frequent values of each facet."""

    counted: int = Field(description="The newest matches, whose values were counted.")
    is_complete: bool = Field(description='All matches were counted, so that every `n` is exact; otherwise it means "at least".')


class TimelineItem(BaseModel):
    """One bar of a timeline."""

    start: datetime
    end: datetime = Field(description="Exclusive.")
    n: int | None = Field(description="Matching documents; null where counting takes too long.")
    all_documents: int | None = Field(description="All documents of this time.")
    share: float | None = Field(description="`n` divided by `all_documents`.")


class TimelineList(ItemList[TimelineItem]):
    """The bars of a period, oldest first, with those that are zero."""

    step: TimelineStep = Field(description="Of the bars; a longer one than requested if that would make too many bars.")


@router.get("/search/facets")
def list_facets(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    limit: Annotated[int, Query(ge=1, le=100)] = MAX_FACET_VALUES,
    fold: Fold = True,
) -> FacetList:
    """Count the matches by language, source, section, author, type and site, at most `limit` values of each."""
    found = count_facets(context.engine, q, user=user, limit=limit, matches=MAX_FACET_MATCHES, seconds=COUNT_SECONDS, without_copies=fold)
    items = tuple(FacetItem(facet=facet, value=one.value, n=one.n, filter=one.filter) for facet, one in list_counts(found))
    return FacetList(items=items, next=None, counted=found.counted, is_complete=found.is_complete)


@router.get("/search/timeline")
def show_timeline(
    context: SearchContext,
    user: User,
    q: SearchQuery = "",
    step: Annotated[TimelineStep | None, Query(description=STEP_DESCRIPTION)] = None,
    since: Annotated[Timestamp | None, Query(description="By default that of the query, or the first match.")] = None,
    until: Annotated[Timestamp | None, Query(description="By default that of the query, or the last match.")] = None,
    fold: Fold = True,
) -> TimelineList:
    """Count the dated matches, and all dated documents, per day, week (from Monday), month or year (UTC)."""
    chosen = choose_period(q, context.now(), since=since, until=until, step=step)
    timeline = count_timeline(context.engine, q, chosen, user=user, seconds=COUNT_SECONDS, without_copies=fold)
    whole = count_timeline(context.engine, "", timeline.period, seconds=COUNT_SECONDS, without_copies=fold)
    items = tuple(
        TimelineItem(start=bar.start, end=bar.end, n=bar.n, all_documents=all_.n, share=bar.share_of(all_))
        for bar, all_ in zip(timeline.bars, whole.bars, strict=True)
    )
    return TimelineList(items=items, next=None, step=timeline.period.step)

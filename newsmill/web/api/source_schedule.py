"""The schedule of a source: when each listing is polled next."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from newsmill.model import Kind
from newsmill.polling.listing_schedule import Why, describe_why, read_schedule
from newsmill.storage.tokens import Scope
from newsmill.web.api.sources import Name, get_existing
from newsmill.web.auth import require_scope
from newsmill.web.parameters import Context, ItemList, Limit
from newsmill.web.problem_details import error_responses

router = APIRouter(prefix="/sources", tags=["sources"], dependencies=[Depends(require_scope(Scope.READ))])


class ScheduledListing(BaseModel):
    """When a listing is polled next, and why."""

    id: int
    kind: Kind
    url: str
    why: Why = Field(description="The reason of the next poll.")
    text: str = Field(description="`why` in English.", examples=["it shows articles first"])
    polled_at: datetime = Field(description="The last poll.")
    next_poll_at: datetime | None = Field(description="null: it is due, or polled at no time of its own.")
    is_due: bool = Field(description="It is polled as soon as the crawler reaches it.")
    interval_seconds: float | None = Field(description="From the last poll to the next.")
    shown_at: datetime | None = Field(description="The last time it showed a page that it had not shown before.")
    share: float | None = Field(description="Share of the articles that no better listing shows; null: not known yet.", examples=[0.75])


@router.get("/{name}/schedule", responses=error_responses(404))
def get_schedule(
    context: Context,
    name: Name,
    limit: Limit = 50,
    cursor: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the previous page.")] = 0,
) -> ItemList[ScheduledListing]:
    """List the polled listings of a source with the time of the next poll and its reason, by id."""
    schedule = read_schedule(context, get_existing(context, name))
    following = [listing for listing in schedule.listings if listing.id > cursor]
    items = tuple(ScheduledListing(**asdict(listing), text=describe_why(listing)) for listing in following[:limit])
    return ItemList[ScheduledListing](items=items, next=str(items[-1].id) if len(following) > limit else None)

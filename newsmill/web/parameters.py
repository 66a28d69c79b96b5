"""The types of parameters that the routes share."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from newsmill.context import AppContext
from newsmill.storage.columns import make_storable
from newsmill.web.auth import get_user

T = TypeVar("T")

MAX_LIMIT = 200  # items of one page of a list; documents have about 5 kB each
MIN_YEAR, MAX_YEAR = 1900, 2200


async def get_context(request: Request) -> AppContext:
    """A dependency: the context. Async, because FastAPI runs other functions in a thread."""
    context: AppContext = request.app.state.context
    return context


def _make_storable(text: str) -> str:
    """The text without NUL, which databases do not store."""
    return make_storable(text)


def _check_timestamp(at: datetime) -> datetime:
    if not MIN_YEAR <= at.year <= MAX_YEAR:
        raise ValueError(f"expected a year from {MIN_YEAR} to {MAX_YEAR}")
    return at.astimezone(UTC)


def _check_day(day: date) -> date:
    if not MIN_YEAR <= day.year <= MAX_YEAR:
        raise ValueError(f"expected a year from {MIN_YEAR} to {MAX_YEAR}")
    return day


Context = Annotated[AppContext, Depends(get_context)]
User = Annotated[str, Depends(get_user)]  # whose marks the request is about
Timestamp = Annotated[AwareDatetime, AfterValidator(_check_timestamp)]
Day = Annotated[date, AfterValidator(_check_day)]
QueryText = Annotated[str, AfterValidator(_make_storable), Field(max_length=2_000)]
Url = Annotated[str, AfterValidator(_make_storable), Field(max_length=8_000, examples=["https://example.org/a"])]
Id = Annotated[str, AfterValidator(_make_storable), Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="The maximum number of items.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the previous page.")]
SourceName = Annotated[QueryText | None, Query(description="Only of this source.")]


class ItemList(BaseModel, Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


def complete_list(items: Iterable[T]) -> ItemList[T]:
    """A list without further pages."""
    return ItemList(items=tuple(items), next=None)

"""What the files of this folder have in common: parameters, the envelope of lists, and how a refusal is described in the schema."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from newsmill.context import AppContext
from newsmill.storage.columns import make_storable

T = TypeVar("T")

MAX_LIMIT = 200  # items of one page of a list: documents have about 5 kB each


async def get_context(request: Request) -> AppContext:
    """The house, as a dependency; async, because FastAPI sends every other one to a thread."""
    context: AppContext = request.app.state.context
    return context


def _make_storable(text: str) -> str:
    """Without what no database takes (NUL)."""
    return make_storable(text)


def _check_timestamp(at: datetime) -> datetime:
    if not 1900 <= at.year <= 2200:
        raise ValueError("expected a year from 1900 to 2200")
    return at.astimezone(UTC)


def _check_day(day: date) -> date:
    if not 1900 <= day.year <= 2200:
        raise ValueError("expected a year from 1900 to 2200")
    return day


Context = Annotated[AppContext, Depends(get_context)]
Timestamp = Annotated[AwareDatetime, AfterValidator(_check_timestamp)]
Day = Annotated[date, AfterValidator(_check_day)]
QueryText = Annotated[str, AfterValidator(_make_storable), Field(max_length=2_000)]
Url = Annotated[str, AfterValidator(_make_storable), Field(max_length=8_000, examples=["https://example.org/a"])]
Id = Annotated[str, AfterValidator(_make_storable), Path(max_length=64)]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Items of one page.")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before.")]
SourceName = Annotated[QueryText | None, Query(description="Only of this source.")]


class ItemList(BaseModel, Generic[T]):
    """One page of a list."""

    items: tuple[T, ...]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


def complete_list(items: Iterable[T]) -> ItemList[T]:
    """A list that one answer holds whole."""
    return ItemList(items=tuple(items), next=None)


class ProblemError(BaseModel):
    """One thing that is wrong with a request."""

    where: str = Field(description="A JSON pointer into the body, or the place and name of a parameter.")
    detail: str


class Problem(BaseModel):
    """RFC 9457 problem details: what every refusal looks like."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: tuple[ProblemError, ...] | None = None


def problem_schemas() -> dict[str, Any]:
    """The schema of refusals, by name."""
    whole = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**whole.pop("$defs"), "Problem": whole}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the schema describes these statuses."""
    words = {401: "No token.", 403: "The token's scope does not reach.", 404: "There is no such thing.", 409: "Not as things stand."}
    words |= {422: "Something is wrong with the request.", 429: "Too many requests.", 503: "The store cannot be reached."}
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": words[status], "content": content} for status in statuses}

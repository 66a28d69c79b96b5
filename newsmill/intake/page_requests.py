"""The body of POST /api/v1/pages: pages and items as JSON."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, AwareDatetime, Base64Bytes, BaseModel, ConfigDict, Field, field_validator, model_validator

from newsmill.archive.archive import MAX_SEGMENT_PAGES
from newsmill.extraction.article_item import load_item
from newsmill.extraction.decode import MAX_BODY_BYTES
from newsmill.intake.page_checks import MAX_HEADER_LINES
from newsmill.intake.page_submission import make_item_page
from newsmill.model import ArticleItem, Hint, Page

MAX_REQUEST_PAGES = MAX_SEGMENT_PAGES
MAX_TEXT_CHARACTERS = 2_000_000  # of an item, as of a document
MIN_YEAR = 1990
HTML_TYPE = "text/html; charset=utf-8"


HeaderText = Annotated[str, Field(max_length=8_000)]
UrlText = Annotated[str, Field(max_length=8_000, examples=["https://example.org/a"])]


_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _check_item(item: ArticleItem) -> ArticleItem:
    if len(item.text) > MAX_TEXT_CHARACTERS:
        raise ValueError(f"the text has over {MAX_TEXT_CHARACTERS:,} characters")
    return item


class SubmittedPage(BaseModel):
    """A fetched page: its URL with the HTML as text, or with the body and the headers that the server sent."""

    model_config = ConfigDict(extra="forbid")

    url: UrlText = Field(description="The final URL, after redirects.")
    html: str | None = Field(default=None, max_length=MAX_BODY_BYTES, description="The page as text.")
    body: Base64Bytes | None = Field(default=None, description="The body in Base64, in the Content-Encoding of the headers.")
    status: int = Field(default=200, ge=100, le=599)
    headers: list[tuple[HeaderText, HeaderText]] = Field(
        default=[], max_length=MAX_HEADER_LINES, description="Names and values, in their order."
    )
    requested_url: UrlText | None = Field(default=None, description="The URL before redirects, which the ledger names; default: `url`.")
    redirects: list[UrlText] = Field(default=[], max_length=20)
    fetched_at: AwareDatetime | None = Field(default=None, description="Default: now.")
    hint: Hint = Field(default=Hint(), description="Values for fields that the page does not have.")

    @field_validator("hint", mode="before")
    @classmethod
    def _keep_day(cls, hint: Any) -> Any:
        """A hint whose publication is a day has this precision: its type makes a day midnight."""
        is_day = isinstance(hint, dict) and isinstance(at := hint.get("published_at"), str) and _DAY.fullmatch(at) is not None
        return {"published_precision": "day", **hint} if is_day else hint

    @model_validator(mode="after")
    def _check_content(self) -> Self:
        if (self.html is None) == (self.body is None):
            raise ValueError("expected exactly one of html and body")
        return self


class PagesRequest(BaseModel):
    """Up to 32 pages and 32 items, and at least one of them."""

    model_config = ConfigDict(extra="forbid")

    pages: list[SubmittedPage] = Field(default=[], max_length=MAX_REQUEST_PAGES)
    items: list[Annotated[ArticleItem, AfterValidator(_check_item)]] = Field(
        default=[], max_length=MAX_REQUEST_PAGES, description="Articles with ready fields."
    )
    source: Annotated[str, Field(max_length=2_000)] | None = Field(default=None, description="Name of the source they belong to.")

    @model_validator(mode="after")
    def _check_number(self) -> Self:
        if not self.pages and not self.items:
            raise ValueError("expected at least one page or item")
        return self

    def to_pages(self, now: datetime) -> list[Page]:
        """The pages, then those of the items."""
        pages = [_decode_page(page, self.source, now) for page in self.pages]
        return pages + [make_item_page(item, fetched_at=now, source=self.source) for item in self.items]


def encode_page(page: Page) -> SubmittedPage:
    """A page as it is sent. Its source is that of the request."""
    return SubmittedPage.model_construct(
        url=page.url,
        body=page.body,
        status=page.status,
        headers=list(page.headers),
        requested_url=page.requested_url,
        redirects=list(page.redirects),
        fetched_at=page.fetched_at,
        hint=page.hint,
    )


def encode_item(page: Page) -> ArticleItem:
    """The item of a page as it is sent."""
    return load_item(page)


def _decode_page(page: SubmittedPage, source: str | None, now: datetime) -> Page:
    headers = tuple(page.headers)
    if page.html is not None:  # text has no charset of its own any more
        headers = (*(line for line in headers if line[0].lower() not in ("content-type", "content-encoding")), ("Content-Type", HTML_TYPE))
    return Page(
        requested_url=page.requested_url or page.url,
        url=page.url,
        fetched_at=limit_time(page.fetched_at, now),
        status=page.status,
        headers=headers,
        body=page.body if page.html is None and page.body is not None else (page.html or "").encode("utf-8", "replace"),
        redirects=tuple(page.redirects),
        source=source,
        hint=replace(page.hint, published_at=_to_aware(page.hint.published_at), modified_at=_to_aware(page.hint.modified_at)),
    )


def _to_aware(at: datetime | None) -> datetime | None:
    """A time without a time zone is read as UTC."""
    return at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC)


def limit_time(at: datetime | None, now: datetime) -> datetime:
    """The time of a fetch; now for one in the future or before the web."""
    return now if at is None or at.year < MIN_YEAR or at > now else at.astimezone(UTC)

"""What a Scrapy spider can yield for Newsmill, and what it becomes: pages, links, and articles with ready fields."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from itemadapter import ItemAdapter
from pydantic import TypeAdapter, ValidationError
from scrapy.http import Response

from newsmill.model import ArticleItem, Hint, Link, Page
from newsmill.urls import normalize

# Names of a field in items, Newsmill's own first. The others are those of zyte-common-items and of schema.org.
FIELD_NAMES: Mapping[str, tuple[str, ...]] = {
    "url": ("url",),
    "title": ("title", "headline"),
    "text": ("text", "articleBody"),
    "description": ("description",),
    "authors": ("authors", "author"),
    "published_at": ("published_at", "published", "datePublished"),
    "modified_at": ("modified_at", "modified", "dateModified"),
    "language": ("language", "inLanguage"),
    "section": ("section", "articleSection"),
    "tags": ("tags", "keywords"),
    "image": ("image", "mainImage"),
    "canonical_url": ("canonical_url", "canonicalUrl"),
    "site_name": ("site_name",),
    "article_type": ("article_type",),
}
REQUIRED_FIELDS = ("url", "title", "text")
LIST_FIELDS = ("authors", "tags")
TIME_FIELDS = ("published_at", "modified_at")
# A spider that logs in has a session, which does not belong in an archive that others read.
SECRET_HEADERS = frozenset({"cookie", "set-cookie", "authorization", "proxy-authorization"})

_TIME: TypeAdapter[datetime | date] = TypeAdapter(datetime | date)


@dataclass(frozen=True, slots=True)
class PageItem:
    """A response whose page Newsmill archives and extracts. `hint` is used only for fields that the page does not have.

    Raises TypeError for a response or a source of another type.
    """

    response: Response
    source: str | None = None  # name of a source
    hint: Hint = field(default_factory=Hint)

    def __post_init__(self) -> None:
        _check_type("response", self.response, Response)
        _check_type("source", self.source, str, type(None))


@dataclass(frozen=True, slots=True)
class LinkItem:
    """A URL that Newsmill fetches itself, if it is new. `hint` is used only for fields that the page does not have.

    Raises TypeError for a URL or a source of another type.
    """

    url: str
    source: str | None = None  # name of a source
    hint: Hint = field(default_factory=Hint)

    def __post_init__(self) -> None:
        _check_type("url", self.url, str)
        _check_type("source", self.source, str, type(None))


def page(
    response: Response,
    *,
    source: str | None = None,
    title: str | None = None,
    authors: Sequence[str] | str = (),
    published: datetime | str | None = None,
    language: str | None = None,
) -> PageItem:
    """The item that puts a response into Newsmill. The keywords are hints for fields that the page does not have.

    `authors` is a list of names, or one name. `published` is a time, or ISO 8601; without a time zone it is read as UTC. Raises ValueError
    for another text, and TypeError for a value of another type.
    """
    return PageItem(response, source, _make_hint(title, authors, published, language))


def link(
    url: str,
    *,
    source: str | None = None,
    title: str | None = None,
    authors: Sequence[str] | str = (),
    published: datetime | str | None = None,
    language: str | None = None,
) -> LinkItem:
    """The item that has Newsmill fetch an absolute URL. The keywords are as for `page`."""
    return LinkItem(url, source, _make_hint(title, authors, published, language))


def make_page(item: PageItem, *, fetched_at: datetime, source: str | None = None) -> Page:
    """The page of a response, without cookies and credentials. `source`: for an item that names none."""
    response = item.response
    request = response.request
    redirects = () if request is None else tuple(str(url) for url in request.meta.get("redirect_urls", ()))
    return Page(
        requested_url=redirects[0] if redirects else response.url,
        url=response.url,
        fetched_at=fetched_at,
        status=response.status,
        headers=_header_lines(response.headers),
        body=response.body,
        ip=None if response.ip_address is None else str(response.ip_address),
        redirects=redirects,
        request_headers=() if request is None else _header_lines(request.headers),
        source=item.source or source,
        hint=item.hint,
    )


def make_link(item: LinkItem, *, source: str | None = None, found_by: str) -> Link:
    """The link of an item. `source`: for an item that names none. Raises UrlError."""
    return Link(normalize(item.url), source=item.source or source, found_by=found_by, hint=item.hint)


def make_article_item(item: Any) -> ArticleItem | None:
    """The article of any Scrapy item that has a URL, a title and a text under one of FIELD_NAMES; None for other items.

    Fields that cannot be read, such as a date in words, stay empty.
    """
    if not ItemAdapter.is_item(item):
        return None
    adapter = ItemAdapter(item)
    values = {name: _find_value(adapter, names) for name, names in FIELD_NAMES.items()}
    if not all(isinstance(values[name], str) and values[name] for name in REQUIRED_FIELDS):
        return None
    read = {name: _read_field(name, value) for name, value in values.items()}
    return ArticleItem(**{name: value for name, value in read.items() if value})


def _make_hint(title: str | None, authors: Sequence[str] | str, published: datetime | str | None, language: str | None) -> Hint:
    names = [authors] if isinstance(authors, str) else list(authors)
    for name in names:
        _check_type("authors", name, str)
    _check_type("title", title, str, type(None))
    _check_type("language", language, str, type(None))
    at = _read_time(published)
    if at is None and published is not None:
        raise ValueError(f"published={published!r}: expected a time such as 2026-11-25T08:30:00+01:00")
    if at is not None and not isinstance(at, datetime):
        at = datetime.combine(at, time())
    return Hint(
        title=None if title is None else _without_surrogates(title),
        authors=tuple(map(_without_surrogates, names)),
        published_at=at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC),
        language=language,
    )


def _check_type(name: str, value: object, *types: type) -> None:
    """A wrong value is an error of the callback that gives it; in a batch it would cost the pages of others."""
    if not isinstance(value, types):
        raise TypeError(f"{name}={value!r:.200}: expected {types[0].__name__}, not {type(value).__name__}")


def _without_surrogates(text: str) -> str:
    """The text as JSON can carry it."""
    return text.encode("utf-8", "replace").decode()


def _header_lines(headers: Mapping[bytes, Iterable[bytes]]) -> tuple[tuple[str, str], ...]:
    lines = ((name.decode("latin-1"), value.decode("latin-1")) for name in headers for value in headers.getlist(name))  # type: ignore[attr-defined]
    return tuple((name, value) for name, value in lines if name.lower() not in SECRET_HEADERS)


def _find_value(adapter: ItemAdapter, names: Sequence[str]) -> Any:
    return next((adapter[name] for name in names if adapter.get(name)), None)


def _read_field(name: str, value: Any) -> Any:
    if name in LIST_FIELDS:
        values = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
        return tuple(text for item in values if (text := _read_text(item)))
    return _read_time(value) if name in TIME_FIELDS else _read_text(value)


def _read_text(value: Any) -> str | None:
    """A string, or the name or URL of an object such as an author or an image."""
    if value is None or isinstance(value, str):
        return value
    if not ItemAdapter.is_item(value):
        return None
    adapter = ItemAdapter(value)
    return next((adapter[key] for key in ("name", "url") if key in adapter and isinstance(adapter[key], str)), None)


def _read_time(value: Any) -> datetime | date | None:
    try:
        # Pydantic tells a day from a time in JSON only.
        return _TIME.validate_json(json.dumps(value)) if isinstance(value, str) else _TIME.validate_python(value, strict=True)
    except ValidationError:
        return None

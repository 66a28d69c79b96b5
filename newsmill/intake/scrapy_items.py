"""What a Scrapy spider can yield for Newsmill, and what it becomes: pages, links, and articles with ready fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from numbers import Number
from time import struct_time
from typing import Any

from itemadapter import ItemAdapter
from scrapy.http import Response

from newsmill.discovery.dates import get_precision, parse_day_or_time, to_time
from newsmill.model import ArticleItem, Hint, Link, Page
from newsmill.text.urls import normalize

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
UNREADABLE_DATE_MESSAGE = "the date %r cannot be read and stays empty; other such dates are counted only"

Date = datetime | date | struct_time | int | float | str


@dataclass(frozen=True, slots=True)
class PageItem:
    """A response whose page Newsmill archives and extracts. `hint` is used only for fields that the page does not have.

    `unreadable_date` is a date that `page` could not read. Raises TypeError for a response or a source of another type.
    """

    response: Response
    source: str | None = None  # name of a source
    hint: Hint = field(default_factory=Hint)
    unreadable_date: str | None = None

    def __post_init__(self) -> None:
        _check_type("response", self.response, Response)
        _check_type("source", self.source, str, type(None))


@dataclass(frozen=True, slots=True)
class LinkItem:
    """A URL that Newsmill fetches itself, if it is new. `hint` is used only for fields that the page does not have.

    `unreadable_date` is a date that `link` could not read. Raises TypeError for a URL or a source of another type.
    """

    url: str
    source: str | None = None  # name of a source
    hint: Hint = field(default_factory=Hint)
    unreadable_date: str | None = None

    def __post_init__(self) -> None:
        _check_type("url", self.url, str)
        _check_type("source", self.source, str, type(None))


def page(
    response: Response,
    *,
    source: str | None = None,
    title: str | None = None,
    authors: Sequence[str] | str = (),
    published: Date | None = None,
    language: str | None = None,
) -> PageItem:
    """The item that puts a response into Newsmill. The keywords are hints for fields that the page does not have.

    `authors` is a list of names, or one name. `published` is a time, or a date as feeds and feedparser write it: RFC 822, ISO 8601, Unix
    time, `published_parsed`. Without a time zone it is read as UTC. A date that cannot be read stays empty and is counted.
    Raises TypeError for another value of a wrong type.
    """
    return PageItem(response, source, _make_hint(title, authors, published, language), _find_unreadable(published))


def link(
    url: str,
    *,
    source: str | None = None,
    title: str | None = None,
    authors: Sequence[str] | str = (),
    published: Date | None = None,
    language: str | None = None,
) -> LinkItem:
    """The item that has Newsmill fetch an absolute URL. The keywords are as for `page`."""
    return LinkItem(url, source, _make_hint(title, authors, published, language), _find_unreadable(published))


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

    Fields that cannot be read, such as a date "yesterday", stay empty; `find_unreadable_dates` names these dates.
    """
    values = _find_values(item)
    if not all(isinstance(values.get(name), str) and values[name] for name in REQUIRED_FIELDS):
        return None
    read = {name: _read_field(name, value) for name, value in values.items()}
    return ArticleItem(**{name: value for name, value in read.items() if value})


def find_unreadable_dates(item: Any) -> tuple[str, ...]:
    """The dates of an item that cannot be read, each with at most 100 characters; its document has none of them."""
    if isinstance(item, PageItem | LinkItem):
        return () if item.unreadable_date is None else (item.unreadable_date,)
    values = _find_values(item)
    return tuple(text for name in TIME_FIELDS if (text := _find_unreadable(values.get(name))) is not None)


def _find_values(item: Any) -> dict[str, Any]:
    """The values of an item by Newsmill's names of the fields; empty for what is not an item."""
    if not ItemAdapter.is_item(item):
        return {}
    adapter = ItemAdapter(item)
    return {name: _find_value(adapter, names) for name, names in FIELD_NAMES.items()}


def _make_hint(title: str | None, authors: Sequence[str] | str, published: Date | None, language: str | None) -> Hint:
    names = [authors] if isinstance(authors, str) else list(authors)
    for name in names:
        _check_type("authors", name, str)
    _check_type("title", title, str, type(None))
    _check_type("language", language, str, type(None))
    given = _read_time(published)
    at = to_time(given)
    return Hint(
        title=None if title is None else _without_surrogates(title),
        authors=tuple(map(_without_surrogates, names)),
        published_at=at if at is None or at.tzinfo is not None else at.replace(tzinfo=UTC),
        language=language,
        published_precision=get_precision(given),
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
    return next((adapter[name] for name in names if name in adapter and not _is_empty(adapter[name])), None)


def _is_empty(value: Any) -> bool:
    try:
        return not value
    except (TypeError, ValueError):  # arrays of numpy and pandas have no truth value
        return False


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
    """The time or the day that a spider gives, as feeds and their parsers write it; None for what cannot be read."""
    match value:
        case datetime() | date():
            return _make_plain(value)
        case struct_time():  # of feedparser, in UTC
            value = "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z".format(*value[:6])
        case Number() if not isinstance(value, bool):  # Unix time
            value = str(value)
    return parse_day_or_time(value)


def _make_plain(value: datetime | date) -> datetime | date | None:
    """The value without its subclass; None for one that is no time, such as pandas.NaT, which is a datetime and not equal to itself."""
    try:
        plain = datetime.fromisoformat(value.isoformat()) if isinstance(value, datetime) else date.fromisoformat(value.isoformat())
    except (TypeError, ValueError):
        return None
    return plain if value == value else None  # that is the question


def _find_unreadable(value: Any) -> str | None:
    """The beginning of a date that cannot be read; None for a readable date and for an empty value."""
    is_empty = value is None or (isinstance(value, str) and not value.strip())
    return None if is_empty or _read_time(value) is not None else _without_surrogates(str(value)[:100])

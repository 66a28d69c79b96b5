"""Feeds and their dates against the suites of feedparser, gofeed, feedvalidator and miniflux; `pytest -s` shows the tables."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import feedparser
import pytest
import rates
from feedparser.datetimes import _parse_date
from lxml import html
from rates import Result

from newsmill.discovery.dates import parse_date
from newsmill.discovery.feed_entries import FeedEntries, FeedEntry
from newsmill.discovery.feeds import read_entries
from newsmill.discovery.xml_feeds import MAX_ENTRIES
from newsmill.exceptions import ListingError, UrlError
from newsmill.text import urls

URL = "https://news.example/feeds/all.xml"
FEEDPARSER_URL = "http://127.0.0.1:8097/"  # where feedparser's suite serves its files


def entries_of(feed: bytes, url: str = URL, content_type: str | None = None) -> FeedEntries:
    try:
        return read_entries(feed, url, content_type, None)
    except ListingError:
        return FeedEntries(None, ())


def shown(value: str) -> str:
    return " ".join(html.fromstring(f"<div>{value}</div>").text_content().split()) if value.strip() else ""


def same_url(one: str | None, other: str, base: str) -> bool:
    try:
        return urls.normalize(one or "", base) == urls.normalize(other, base)
    except UrlError:
        return (one or "") == other


def same_tag(one: str | None, other: str) -> bool:
    """Language tags are the same in upper and lower case (RFC 5646 section 2.1.1)."""
    return (one or "").lower() == other.lower()


def holds(field: str, value: Any, entry: FeedEntry | None, base: str) -> bool | None:
    """Whether an entry has the value that feedparser's test expects; None for a field that Newsmill does not keep."""
    hint = entry.hint if entry else None
    if field in ("title", "title_detail.value"):
        return hint is not None and (hint.title or "") in (" ".join(value.split()), shown(value))
    if field in ("link", "links.href"):
        return entry is not None and same_url(entry.url, value, base)
    if field in ("author_detail.name", "authors.name", "author"):
        return hint is not None and any(name in value for name in hint.authors)
    if field == "tags.term":
        return hint is not None and value in hint.tags
    if field in ("published_parsed", "updated_parsed", "created_parsed"):
        return hint is not None and datetime(*value[:6], tzinfo=UTC) in (hint.published_at, hint.modified_at)
    if field == "language":
        return hint is not None and same_tag(hint.language, value)
    return None


def feedparser_results(shared: Path) -> Iterator[Result]:
    for case in rates.cases(shared, "feedparser"):
        headers = {name.lower(): value for name, value in case["headers"].items()}
        base = headers.get("content-location") or FEEDPARSER_URL
        found = entries_of(rates.body(case), base, headers.get("content-type"))
        language, entries = found.language, found.entries
        for want in case["portable"] or ():
            path = want.get("path", [])
            if path == ["feed", "language"] and "content-language" not in headers:
                yield Result("feed.language", same_tag(language, want["value"]), case["id"])
            elif path[:1] == ["entries"] and len(path) > 2:
                field = ".".join(part for part in path[2:] if isinstance(part, str))
                entry = entries[path[1]] if path[1] < len(entries) else None
                if (result := holds(field, want["value"], entry, base)) is not None:
                    yield Result(field, result, case["id"])


def test_feedparser_guarantees_for_the_fields_we_keep(shared: Path) -> None:
    rates.check("feedparser's suite", feedparser_results(shared), 0.99)


def gofeed_results(shared: Path) -> Iterator[Result]:
    for case in rates.cases(shared, "feeds_other", "gofeed", "fastfeedparser-pair"):
        files = {name.rpartition(".")[2] == "json": name for name in case["files"]}
        if len(files) < 2:
            continue
        expected = json.loads(rates.body(case, files[True]))
        entries = entries_of(rates.body(case, files[False])).entries
        wanted = expected.get("items") or expected.get("entries") or []
        yield Result("number of entries", len(wanted) == len(entries), case["id"])
        for want, entry in zip(wanted, entries, strict=False):
            if link := want.get("link"):
                yield Result("link", same_url(entry.url, link, URL), case["id"])
            if title := want.get("title"):
                yield Result("title", (entry.hint.title or "") in (title, shown(title)), case["id"])
            for field in ("publishedParsed", "updatedParsed"):
                if at := want.get(field):
                    yield Result(field, datetime.fromisoformat(at) in (entry.hint.published_at, entry.hint.modified_at), case["id"])


def test_gofeed_and_fastfeedparser_guarantees(shared: Path) -> None:
    rates.check("gofeed's and fastfeedparser's suites", gofeed_results(shared), 0.99)


def feeds(shared: Path) -> Iterator[tuple[str, bytes]]:
    for collection in ("feedparser", "feeds_other"):
        for case in rates.cases(shared, collection):
            if "input" in case:
                yield case["id"], case["input"].encode()
            for name in case.get("files", ()):
                if not name.endswith(".json"):
                    yield case["id"], rates.body(case, name)


@pytest.mark.slow
def test_no_feed_has_fewer_entries_than_feedparser_finds(shared: Path) -> None:
    """Every third feed; of the 2,000 entries that are read at most. feedparser takes 40 s for all 2,400 feeds."""

    def results() -> Iterator[Result]:
        for name, feed in islice(feeds(shared), 0, None, 3):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # feedparser's own
                found = len(feedparser.parse(feed, response_headers={"content-type": "application/xml"}).entries)
            yield Result(name.partition("/")[0], len(entries_of(feed)[1]) >= min(found, MAX_ENTRIES), name)

    rates.check("as many entries as feedparser", results(), 1.0)


def miniflux_results(shared: Path) -> Iterator[Result]:
    """Miniflux's titles, links, authors and tags of the feed itself; Newsmill does not have its fallbacks for missing ones."""
    for case in rates.cases(shared, "feeds_other", "miniflux-inline"):
        entries = entries_of(case["input"].encode(), "http://example.org/").entries
        for path, want in case["expect_go"]:
            match = re.fullmatch(r"feed\.Entries\[(\d+)\]\.(Title|URL|Author)", path)
            if match is None or "Without" in case["id"] or "Fallback" in case["id"]:
                continue
            entry = entries[int(match[1])] if int(match[1]) < len(entries) else None
            if match[2] == "Title":
                yield Result("title", entry is not None and (entry.hint.title or "") == want, case["id"])
            elif match[2] == "URL":
                yield Result("link", entry is not None and same_url(entry.url, want, want), case["id"])
            else:
                yield Result("author", entry is not None and all(name in want for name in entry.hint.authors), case["id"])


def test_miniflux_cases(shared: Path) -> None:
    rates.check("miniflux's suite", miniflux_results(shared), 0.99)


_MONTH = re.compile(r"\d{4}-\d\d|-\d\d-?\d\d")


def test_dates_are_read_no_worse_than_by_feedparser(shared: Path) -> None:
    """The cases of feedparser itself and of miniflux with the meaning of a string. A month alone is no date of an article here."""

    def feedparsers(text: str) -> datetime | None:
        parsed = _parse_date(text)
        return datetime(*parsed[:6], tzinfo=UTC) if parsed else None

    ours, theirs = [], []
    for case in rates.cases(shared, "dates", "date-string-tuple", "date-string-ts"):
        text = case["string"]
        if not text.strip() or _MONTH.fullmatch(text):
            continue
        want = case.get("utc_tuple")
        meant = datetime.fromtimestamp(case["unix_ts"], UTC) if "unix_ts" in case else datetime(*want[:6], tzinfo=UTC) if want else None
        group = case["id"].partition("/")[0]
        ours.append(Result(group, parse_date(text) == meant, text))
        theirs.append(Result(group, feedparsers(text) == meant, text))
    rates.check("dates as read by feedparser", theirs, 0)
    rates.check("dates as read here", ours, 0.99)
    assert sum(result.holds for result in ours) >= sum(result.holds for result in theirs)


def test_dates_of_dateparser_are_read_or_unknown(shared: Path) -> None:
    """dateparser's cases in many languages: a date read here is right, unless a setting of dateparser gives another order."""

    def results() -> Iterator[Result]:
        for case in rates.cases(shared, "dates", "date-string"):
            at = parse_date(case["string"])
            if case["expect"] and not case["kwargs_py"]:
                means = at is None or at.astimezone(UTC).replace(tzinfo=None) == datetime.fromisoformat(case["expect"]).replace(
                    microsecond=0
                )
                yield Result("not read" if at is None else "read", means, case["string"])

    rates.check("dateparser's suite", results(), 0.98)


def test_dates_that_miniflux_accepts_are_read(shared: Path) -> None:
    """One contradicts itself: "2020-11-08T16:20:00-05:00Z"."""
    accepted = rates.cases(shared, "dates", "date-string-parses")
    rates.check(
        "dates miniflux accepts", (Result("read", parse_date(case["string"]) is not None, case["string"]) for case in accepted), 0.96
    )

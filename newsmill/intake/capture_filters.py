"""The captures of WARC files that can be articles, and those that a caller wants."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from urllib.parse import urlsplit

from newsmill.archive.warc_records import IsWanted
from newsmill.exceptions import DecodeError
from newsmill.extraction.article_parts import MAX_TEXT_CHARACTERS
from newsmill.extraction.decode import decode_body
from newsmill.extraction.non_html import HTML_TYPES, detect_non_html
from newsmill.model import Page

OK = 200
MARKUP_TYPES = ("text/html", "application/xhtml+xml")  # bodies of other types are looked at before they are archived
_TAG = re.compile(rb"(?:\xef\xbb\xbf)?\s*<")


def find_refusal(page: Page) -> str | None:
    """The field of WarcCounts for a response that cannot be an article, as most responses of a browser's archive; None for a page.

    The bytes decide, except for markup in scripts and data: a page with another type than HTML begins with a tag.
    """
    if page.is_item:
        return None if _is_item_readable(page) else "rejected"
    if page.status != OK:
        return "http_error"
    declared = page.header("Content-Type") or ""
    media = declared.partition(";")[0].strip().lower()
    if media in MARKUP_TYPES:
        return None
    try:
        body = decode_body(page.header("Content-Encoding"), page.body)
    except DecodeError:
        return None if media in HTML_TYPES else "not_html"  # the worker names what is wrong with a page
    is_page = detect_non_html(body, declared) is None and (media in HTML_TYPES or _TAG.match(body) is not None)
    return None if is_page else "not_html"


def _is_item_readable(page: Page) -> bool:
    from newsmill.extraction.article_item import load_item  # it loads what detects languages: 0.1 s of CPU, which HTML need not spend

    try:
        return len(load_item(page).text) <= MAX_TEXT_CHARACTERS
    except ValueError:
        return False


def is_any(url: str, at: datetime) -> bool:
    """The filter that wants every capture."""
    return True


def make_filter(hosts: Sequence[str], since: datetime | None, until: datetime | None) -> IsWanted:
    """A filter of captures: of these hosts and the hosts below them, from `since` on, and before `until`."""
    wanted = tuple(host.strip().lower().strip(".") for host in hosts)

    def is_wanted(url: str, at: datetime) -> bool:
        if (since is not None and at < since) or (until is not None and at >= until):
            return False
        return not wanted or _is_host_below(url, wanted)

    return is_wanted


def describe_filters(source: str | None, hosts: Iterable[str] = (), since: str | None = None, until: str | None = None) -> str:
    """The options that decide which pages of a file are submitted, as text."""
    return json.dumps([source, sorted(hosts), since, until])


def _is_host_below(url: str, hosts: tuple[str, ...]) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return any(host == wanted or host.endswith(f".{wanted}") for wanted in hosts)

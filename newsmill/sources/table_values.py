"""The values in a table of sources.toml, and the error for each invalid one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from newsmill.exceptions import UrlError
from newsmill.polling.listings import MAX_FRESHNESS, MIN_FRESHNESS, compute_next_due
from newsmill.text.sentences import Sentence

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SPIDER_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"  # package.module:ClassName
MIN_SPIDER_TIME, MAX_SPIDER_TIME = timedelta(seconds=10), timedelta(hours=6)
NO_CREDENTIALS = Sentence("a URL without user and password: Newsmill would store and show them, and does not send them")


def parse_duration(value: object) -> timedelta:
    """`"15m"`, `"1h30m"`, `"2 d"` → timedelta, from 1 second to 366 days. Raises ValueError for anything else."""
    if not isinstance(value, str) or not re.fullmatch(r"(\s*\d{1,6}\s*[smhd])+\s*", value):
        raise ValueError("not a duration")
    seconds = sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)\s*([smhd])", value))
    if not 1 <= seconds <= 366 * 86400:
        raise ValueError("out of range")
    return timedelta(seconds=seconds)


def parse_spider_time(value: object) -> timedelta:
    span = parse_duration(value)
    if not MIN_SPIDER_TIME <= span <= MAX_SPIDER_TIME:
        raise ValueError("out of range")
    return span


def parse_freshness(value: object) -> timedelta:
    """A duration from a minute to a day. Raises ValueError for anything else."""
    span = parse_duration(value)
    if not MIN_FRESHNESS <= span <= MAX_FRESHNESS:
        raise ValueError("out of range")
    return span


def format_duration(span: timedelta) -> str:
    """A duration as a whole number of the largest possible unit: "15m", "90m", "2d"."""
    seconds = int(span.total_seconds())
    unit, length = next((unit, length) for unit, length in reversed(UNITS.items()) if seconds % length == 0)
    return f"{seconds // length}{unit}"


def _check_url(value: str) -> str:
    from newsmill.text import urls  # loads the public suffix list, which only sources need

    try:
        urls.normalize(value)
    except UrlError as error:
        raise ValueError(str(error)) from None
    if "@" in urlsplit(value).netloc:
        raise ValueError(NO_CREDENTIALS)
    return value


def _check_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(str(error)) from None
    return value


def _check_url_pattern(value: str) -> str:
    import regex  # as in the crawler, where it has a time limit; loaded only for patterns

    try:
        regex.compile(value)
    except regex.error as error:
        raise ValueError(str(error)) from None
    return value


def _check_selector(value: str) -> str:
    import cssselect  # loaded only for selectors, as lxml below

    try:
        cssselect.HTMLTranslator().css_to_xpath(value)
    except cssselect.SelectorError as error:
        raise ValueError(str(error)) from None
    return value


def _check_xpath(value: str) -> str:
    from lxml import etree

    try:
        etree.XPath(value)
    except etree.XPathError as error:
        raise ValueError(str(error)) from None
    return value


def check_cron(value: str) -> str:
    compute_next_due(None, value, datetime(2026, 1, 1, tzinfo=UTC))
    return value


Url = Annotated[str, AfterValidator(_check_url)]
Pattern = Annotated[str, AfterValidator(_check_pattern)]
UrlPattern = Annotated[str, AfterValidator(_check_url_pattern)]
Selector = Annotated[str, AfterValidator(_check_selector)]
SELECTOR_DESCRIPTION = "a CSS selector"
XPath = Annotated[str, AfterValidator(_check_xpath)]

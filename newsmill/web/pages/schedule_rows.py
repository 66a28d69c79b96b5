"""The rows of a source's schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from newsmill.polling.listing_schedule import ListingSchedule
from newsmill.web.pages.source_health_view import write_time
from newsmill.web.pages.translations import Translations


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One listing: its interval and the reason for it in the reader's language."""

    listing: ListingSchedule
    interval: str
    why: str


def list_schedule_rows(listings: Sequence[ListingSchedule], words: Translations, now: datetime) -> list[ScheduleRow]:
    """The rows of the table."""
    return [ScheduleRow(one, _write_interval(one, words), _write_why(one, words, now)) for one in listings]


def _write_interval(listing: ListingSchedule, words: Translations) -> str:
    """The shortest interval is a minute, so it is written in whole minutes."""
    return "" if listing.interval_seconds is None else words.span(60 * round(listing.interval_seconds / 60))


def _write_why(listing: ListingSchedule, words: Translations, now: datetime) -> str:
    at = "" if listing.failing_since is None else write_time(words, listing.failing_since, now)
    span = "" if listing.span is None else words.span(listing.span.total_seconds())
    return words(f"schedule.why.{listing.why}", at=at, span=span)

"""What is known of the articles that were missed, for `status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from newsmill.cli.terminal import print_table
from newsmill.completeness import Unknown
from newsmill.storage.completeness import WeekCompleteness, choose_week

COLUMNS = ("source", "week from", "articles listed", "in no listing (95 %)", "found late")
REASONS = {
    Unknown.FEW_ARTICLES: "unknown: too few articles",
    Unknown.ONE_LISTING: "unknown: one listing, or copies of one",
    Unknown.NO_OVERLAP: "unknown: the listings share too few articles",
}


def print_weeks(sources: Mapping[str, Mapping[str, Any]]) -> None:
    """Print one line for each source of the report with a week, the newest that tells something."""
    weeks = {name: week for name, source in sources.items() if (week := choose_week(source["completeness"])) is not None}
    if weeks:
        rows = [[name, week.week.isoformat(), week.articles, describe_missed(week), week.late] for name, week in weeks.items()]
        print_table(COLUMNS, rows)


def describe_missed(week: WeekCompleteness) -> str:
    """ "at most 1.2 %", or why it is unknown."""
    if week.unknown is not None or week.at_most is None:
        return REASONS.get(week.unknown or Unknown.FEW_ARTICLES, "")
    return f"at most {100 * week.at_most:.1f} %"

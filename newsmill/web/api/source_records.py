"""Sources in JSON.

The settings of a source are as in sources.toml, and newsmill/sources/table.py checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from newsmill.context import AppContext
from newsmill.health.assessment import weigh
from newsmill.health.cause_texts import REMEDIES
from newsmill.health.causes import Cause, Finding, HealthState
from newsmill.health.completeness import Unknown
from newsmill.model import Kind, Outcome, Source, describe_failure
from newsmill.sources.table import to_table
from newsmill.storage.alarms import SourceAlarm
from newsmill.storage.source_health import SourceHealth, SourceHealthReader
from newsmill.web.parameters import QueryText, Url


class SourceRules(BaseModel):
    """What to drop from a source's pages, what to keep, and the positions of fields."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    drop_css: list[QueryText] = Field(default=[], max_length=200)
    drop_xpath: list[QueryText] = Field(default=[], max_length=200)
    drop_lines: list[QueryText] = Field(default=[], max_length=200)
    keep_css: list[QueryText] = Field(default=[], max_length=200)
    keep_xpath: list[QueryText] = Field(default=[], max_length=200)
    fields: dict[str, QueryText] = Field(default={}, max_length=200)
    expires: date | None = None


class SourcePoliteness(BaseModel):
    """The request rate per host."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    delay: float = Field(default=1.0, ge=0, le=3600, description="Seconds between two requests to one host.")
    concurrency: int = Field(default=1, ge=1, le=16, description="Concurrent requests to one host.")


class SourceExpectations(BaseModel):
    """How many documents the source should yield."""

    model_config = ConfigDict(extra="forbid")
    documents_per_day: int | None = Field(default=None, ge=0, le=1 << 31)


class SourcePlan(BaseModel):
    """The keys of one table of sources.toml."""

    model_config = ConfigDict(extra="forbid")
    homepage: Url | None = None
    feeds: list[Url] = Field(default=[], max_length=200)
    sitemaps: list[Url] = Field(default=[], max_length=200)
    sections: list[Url] = Field(default=[], max_length=200)
    language: str | None = Field(default=None, max_length=40, description='Default language (BCP 47), such as "de".')
    every: str | None = Field(
        default=None,
        max_length=40,
        description='Check every "15m", "2h" or "1d". Without it and `cron`, each listing is read when news is expected.',
    )
    cron: QueryText | None = Field(default=None, description="Check at these times: five cron fields, UTC.")
    freshness: str | None = Field(
        default=None,
        max_length=40,
        description='Expected delay of a new article, "1m" to "1d", in place of `every` and `cron`. Default: `NEWSMILL_FRESHNESS`.',
    )
    max_age: str | None = Field(
        default=None, max_length=40, description='Pages that a listing dates further back, such as "90d", are not fetched.'
    )
    allow: list[QueryText] = Field(default=[], max_length=200, description="Regular expressions; a page's URL must match one.")
    deny: list[QueryText] = Field(default=[], max_length=200, description="Regular expressions; a page's URL must match none.")
    rules: SourceRules = SourceRules()
    politeness: SourcePoliteness = SourcePoliteness()
    expect: SourceExpectations = SourceExpectations()
    discover: bool = True
    enabled: bool = True
    trusted: bool = Field(default=False, description="Rely on the dates that its pages state, beside those of other trusted sources.")
    robots: bool = Field(default=True, description="Obey robots.txt; false only where the publisher permits it.")
    render: Literal["never", "auto", "always"] = Field(
        default="never",
        description="Display pages in a browser, so that their scripts run: none, those without text, or all. Needs `newsmill[render]`.",
    )
    revisit: list[QueryText] | None = Field(
        default=None, max_length=20, description='Ages at which a stored article is fetched again; default: "1h", "6h", "1d", "7d".'
    )


TIMES = ("every", "cron", "freshness")  # a source has one of them at most


class SourceRequest(SourcePlan):
    """A source to add, or the changes of a source."""

    name: str | None = Field(
        default=None, max_length=100, description="Default: the host of the homepage, such as example-org. Another name renames a source."
    )

    def to_table(self) -> dict[str, Any]:
        """The given values as a table of sources.toml."""
        return drop_nulls(self.model_dump(exclude={"name"}, exclude_unset=True))

    def update(self, table: dict[str, Any]) -> dict[str, Any]:
        """The table with the given values. Of `every`, `cron` and `freshness` each replaces the others."""
        given = self.model_dump(exclude={"name"}, exclude_unset=True)
        is_replaced = any(given.get(key) is not None for key in TIMES)
        unchanged = {key: value for key, value in table.items() if not (is_replaced and key in TIMES)}
        return drop_nulls(unchanged | given)


class SourceResponse(SourcePlan):
    """A source, active or paused (`enabled`)."""

    name: str
    spider: str | None = Field(default=None, description="Class of the Scrapy spider that runs; sources.toml sets it.")


class HealthEvidence(BaseModel):
    """The numbers, times and URLs that prove a cause; null where they do not belong to it."""

    model_config = ConfigDict(from_attributes=True)
    url: str | None = Field(default=None, description="One of the URLs that fail, or the listing.")
    new_url: str | None = Field(default=None, description="Where a moved listing is now.")
    failing: int = Field(default=0, description="Listings or pages with this failure.")
    of: int = Field(default=0, description="Of so many.")
    is_pages: bool = Field(default=False, description="They are pages, not listings.")
    last_at: datetime | None = Field(default=None, description="When the newest document was first seen.")
    expected: float | None = Field(default=None, description="Hours with documents that were usual since then.")
    probability: float | None = Field(default=None, description="That it is chance.")
    site: str | None = None
    fit: float | None = Field(default=None, description="Share of the words of the newest documents at known positions.")
    usual: float | None = Field(default=None, description="What is usual: of `fit`, or of the share of pages.")
    words: int | None = Field(default=None, description="Median number of words of the newest documents.")
    usual_words: int | None = Field(default=None, description="The same as it was before.")


class HealthCause(BaseModel):
    """Why a source needs an administrator."""

    cause: Cause
    state: HealthState
    since: datetime
    failure: str | None = Field(default=None, description="What fails, in a few words.", examples=["blocked: HTTP 403"])
    evidence: HealthEvidence
    remedy: str = Field(description="What to do.")


class SourceHealthResponse(BaseModel):
    """The state of a source with its causes, and what fails now: most of its listings, or its newest pages."""

    state: HealthState = Field(
        description="ok, failing (no cause is proven yet), quiet, stale, blocked, extraction_broken, moved, gone, paused, or unread (no"
        " listing has been read)."
    )
    causes: list[HealthCause] = Field(default=[], description="Proven causes, the heaviest first.")
    failure: str | None = Field(default=None, description="What fails now, proven or not.", examples=["blocked: HTTP 403"])
    outcome: Outcome | None = None
    detail: str | None = None
    since: datetime | None = Field(default=None, description="When the first of the failing URLs began to fail.")
    url: str | None = Field(default=None, description="One of the failing URLs.")
    kind: Kind | None = None
    failing: int = Field(default=0, description="Failing listings, or failing pages.")
    listings: int = Field(default=0, description="Listings that were read or have failed; 0 if none of them fails.")


class SourceWeek(BaseModel):
    """What is known of the articles of one week that no listing showed."""

    model_config = ConfigDict(from_attributes=True)
    week: date = Field(description="Its Monday (UTC).")
    articles: int = Field(description="Articles that a listing showed.")
    late: int = Field(description="Articles that were found in this week and published more than two days before.")
    at_most: float | None = Field(description="At most this share of the articles was in no listing (95 % confidence).", examples=[0.012])
    unknown: Unknown | None = Field(description="Why the share is unknown.")


class SourceAlarmResponse(HealthCause):
    """An alarm of a source: a cause from its beginning to its end."""

    begun_at: datetime = Field(description="When it was proven.")
    until: datetime | None = Field(description="When the opposite was proven; null: it is open.")


class ListedSource(SourceResponse):
    """A source with its state."""

    health: SourceHealthResponse


def drop_nulls(table: dict[str, Any]) -> dict[str, Any]:
    """The table without null values, which TOML does not have."""
    return {key: drop_nulls(value) if isinstance(value, dict) else value for key, value in table.items() if value is not None}


def to_response(source: Source) -> SourceResponse:
    """The source in a response of the API."""
    hidden = ("spider_args", "spider_limits")  # arguments may hold a password
    return SourceResponse(name=source.name, **{key: value for key, value in to_table(source).items() if key not in hidden})


def to_health(health: SourceHealth) -> SourceHealthResponse:
    """The state of a source in a response of the API."""
    failure = health.failure
    return SourceHealthResponse(
        state=health.state,
        causes=[HealthCause.model_validate(describe_cause(finding)) for finding in health.causes],
        failure=None if failure is None else describe_failure(failure),
        outcome=None if failure is None else failure.outcome,
        detail=None if failure is None else failure.detail,
        since=health.since,
        url=health.url,
        kind=health.kind,
        failing=health.failing,
        listings=health.of,
    )


def describe_cause(finding: Finding) -> dict[str, Any]:
    """A cause as the fields of HealthCause."""
    failure = finding.evidence.failure
    return {
        "cause": finding.cause,
        "state": weigh(finding)[1],
        "since": finding.since,
        "failure": None if failure is None else describe_failure(failure),
        "evidence": HealthEvidence.model_validate(finding.evidence),
        "remedy": REMEDIES[finding.cause],
    }


def to_alarm(alarm: SourceAlarm) -> SourceAlarmResponse:
    """An alarm in a response of the API."""
    return SourceAlarmResponse(**describe_cause(alarm.finding), begun_at=alarm.begun_at, until=alarm.until)


def to_listed(context: AppContext, sources: Sequence[Source]) -> tuple[ListedSource, ...]:
    """The sources with their states."""
    states = SourceHealthReader(context.engine).read_all(sources, now=context.now())
    return tuple(ListedSource(**to_response(source).model_dump(), health=to_health(states[source.name])) for source in sources)

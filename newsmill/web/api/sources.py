"""Sources: list, add, inspect, change, remove, pause and resume them; one with its progress; and when its listings are polled next.

In JSON, the settings of a source are as in sources.toml, and newsmill/sources/table.py checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill import address_guard
from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import UrlError
from newsmill.health.assessment import weigh
from newsmill.health.causes import REMEDIES, Cause, Finding, HealthState
from newsmill.health.completeness import Unknown
from newsmill.listing_schedule import Why, describe_why, read_schedule
from newsmill.model import Kind, Outcome, Source, describe_failure
from newsmill.search.indexer import index_pending
from newsmill.site_inspection import SiteInspection, add_scheme
from newsmill.sources.additions import find_follower
from newsmill.sources.table import format_duration, make_name, parse_source, spider_table
from newsmill.storage.alarms import SourceAlarm
from newsmill.storage.completeness import CompletenessReader
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealth, SourceHealthReader
from newsmill.storage.tokens import Scope
from newsmill.web.api.operations import LedgerProgress
from newsmill.web.auth import Caller, require_scope
from newsmill.web.responses import Context, Cursor, ItemList, Limit, QueryText, Url, error_responses

# ---- sources in JSON: settings, state with its causes, alarms -------------------------------------------------------------------


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
        description='Check every "15m", "2h" or "1d". Without it and `cron`, each listing is read when news is to be expected.',
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


def to_table(source: Source) -> dict[str, Any]:
    """The source as a table of sources.toml."""
    rules = SourceRules.model_validate(source.rules).model_dump(exclude_none=True)
    table: dict[str, Any] = {
        "homepage": source.homepage,
        **{key: list(getattr(source, key)) for key in ("feeds", "sitemaps", "sections", "allow", "deny")},
        "language": source.language,
        "every": None if source.every is None else format_duration(source.every),
        "cron": source.cron,
        "freshness": None if source.freshness is None else format_duration(source.freshness),
        "max_age": None if source.max_age is None else format_duration(source.max_age),
        "rules": rules,
        "politeness": {"delay": source.politeness.delay, "concurrency": source.politeness.concurrency},
        "expect": dict(source.expect),
        "discover": source.discover,
        "enabled": source.enabled,
        "robots": source.robots,
        **spider_table(source),
        "render": source.render.value,
        "revisit": [format_duration(step) for step in source.revisit],
    }
    return drop_nulls(table)


# ---- routes --------------------------------------------------------------------------------------------------------------------

router = APIRouter(prefix="/sources", tags=["sources"], dependencies=[Depends(require_scope(Scope.READ))])
Name = Annotated[QueryText, Path(max_length=100)]
Writer = Annotated[Caller, Depends(require_scope(Scope.WRITE))]
Admin = Annotated[Caller, Depends(require_scope(Scope.ADMIN))]

# Patterns and selectors run as written, and a bad one can block a process for ever. Not to obey robots.txt is the administrator's decision.
ADMIN_FIELDS = frozenset({"allow", "deny", "rules", "robots"})


class RemovedSourceResponse(BaseModel):
    """What was removed with a source."""

    model_config = ConfigDict(from_attributes=True)
    documents: int
    urls: int = Field(description="Pages and listings of the ledger.")


class SourceDetails(BaseModel):
    """A source with its state, progress and listings."""

    source: SourceResponse
    health: SourceHealthResponse
    alarms: tuple[SourceAlarmResponse, ...] = Field(description="The newest alarms, newest first.")
    progress: LedgerProgress
    rendered: int = Field(description="Archived pages that a browser rendered.")
    completeness: tuple[SourceWeek, ...] = Field(description="The last eight weeks, the newest first.")
    listings: tuple[Trace, ...] = Field(description="Feeds, sitemaps, sections and homepage, with the result of the last check.")


@router.get("")
def list_sources(context: Context, limit: Limit = 50, cursor: Cursor = None) -> ItemList[ListedSource]:
    """List sources by name with their states, paused ones included."""
    following = [source for source in context.ledger.sources.list_all() if cursor is None or source.name > cursor]
    page = following[:limit]
    return ItemList[ListedSource](items=to_listed(context, page), next=page[-1].name if len(following) > limit else None)


@router.get("/{name}", responses=error_responses(404))
def get_source(context: Context, name: Name) -> SourceDetails:
    """Get a source with its settings, state, progress and listings."""
    source = get_existing(context, name)
    progress = LedgerProgress.model_validate(context.ledger.progress.count(source.name))
    rendered = context.ledger.rendering.count_rendered(source.name).get(source.name, 0)
    listings = tuple(context.ledger.traces.list_listings(source.name))
    health = to_health(SourceHealthReader(context.engine).read(source, now=context.now()))
    alarms = tuple(to_alarm(alarm) for alarm in SourceAlarms(context.engine).list_history(source.name))
    weeks = CompletenessReader(context.engine).read([source.name], context.now())[source.name]
    return SourceDetails(
        source=to_response(source),
        health=health,
        alarms=alarms,
        progress=progress,
        rendered=rendered,
        completeness=tuple(map(SourceWeek.model_validate, weeks)),
        listings=listings,
    )


@router.post("", status_code=201, responses=error_responses(403, 409))
def add_source(request: Request, response: Response, context: Context, caller: Writer, plan: SourceRequest) -> SourceResponse:
    """Add a source. Newsmill finds its feeds, sitemaps and sections, and fetches them after this response."""
    name = plan.name or default_name(plan)
    if context.ledger.sources.get(name) is not None:
        raise HTTPException(409, f"source {name!r} exists already; PATCH changes it")
    source = build_source(request, caller, plan, name, plan.to_table())
    refuse_followed_url(context, source, None)
    context.ledger.sources.put(source, now=context.now())
    response.headers["Location"] = f"/api/v1/sources/{source.name}"
    return to_response(source)


def refuse_followed_url(context: Context, source: Source, before: Source | None) -> None:
    """Raises HTTPException 409 if a URL of a new or changed source belongs to another one."""
    if other := find_follower(context.ledger.sources.list_all(), source, before):
        raise HTTPException(409, f"source {other!r} follows a URL of this one already, and a URL belongs to one source; PATCH changes it")


class InspectionRequest(BaseModel):
    """The site to inspect."""

    model_config = ConfigDict(extra="forbid")
    url: Url = Field(description="A homepage, section, feed or sitemap.", examples=["https://www.example.org/"])


@router.post("/inspections", responses=error_responses(403, 503))
async def inspect(request: Request, caller: Writer, site: InspectionRequest) -> SiteInspection:
    """Inspect a site: its listings, robots.txt, three articles, and the plan to follow it. Takes 10 to 60 s and adds nothing."""
    if reason := address_guard.refusal_reason(add_scheme(site.url), Guard.from_networks(request.app.state.config.allow_nets)):
        raise HTTPException(422, reason)
    result: SiteInspection = await request.app.state.inspections.run(site.url, caller.user)
    return result


@router.patch("/{name}", responses=error_responses(403, 404, 409))
def change_source(request: Request, context: Context, caller: Writer, name: Name, plan: SourceRequest) -> SourceResponse:
    """Change the given keys of a source; null resets a key. Another `name` renames it, with its URLs, documents and counters. At the next
    start, config/sources.toml overrides the sources it names."""
    before = get_existing(context, name)
    after = build_source(request, caller, plan, plan.name or before.name, plan.update(to_table(before)))
    refuse_followed_url(context, after, before)
    if after.name == before.name:
        context.ledger.sources.put(after, now=context.now())
        return to_response(after)
    if context.ledger.sources.get(after.name) is not None:
        raise HTTPException(409, f"source {after.name!r} exists already; choose another name")
    SourceChanges(context.engine).rename(replace(after, name=before.name), after.name, now=context.now())
    while index_pending(context.engine):  # the search index holds the names
        pass
    return to_response(after)


@router.delete("/{name}", responses=error_responses(403, 404))
def remove_source(
    context: Context,
    caller: Admin,
    name: Name,
    keep_documents: Annotated[bool, Query(description="Keep its documents and their URLs, under its name.")] = False,
) -> RemovedSourceResponse:
    """Remove a source with its URLs and documents. Archived pages stay. A source that config/sources.toml names comes back at the next
    start."""
    changes = SourceChanges(context.engine)
    if not changes.has_rest(name):  # a part may be left of a source that was removed
        get_existing(context, name)
    return RemovedSourceResponse.model_validate(changes.remove(name, now=context.now(), keep_documents=keep_documents))


@router.post("/{name}/pause", responses=error_responses(403, 404))
def pause_source(context: Context, caller: Writer, name: Name) -> SourceResponse:
    """Pause a source. Newsmill stops checking its listings, but fetches its pending URLs."""
    return set_enabled(context, name, False)


@router.post("/{name}/resume", responses=error_responses(403, 404))
def resume_source(context: Context, caller: Writer, name: Name) -> SourceResponse:
    """Resume a paused source."""
    return set_enabled(context, name, True)


def get_existing(context: Context, name: str) -> Source:
    source = context.ledger.sources.get(name)
    if source is None:
        raise HTTPException(404, f"source {name[:100]!r} does not exist; GET /api/v1/sources lists all")
    return source


def set_enabled(context: Context, name: str, enabled: bool) -> SourceResponse:
    context.ledger.sources.set_enabled(get_existing(context, name).name, enabled, now=context.now())
    return to_response(get_existing(context, name))


def build_source(request: Request, caller: Caller, plan: SourceRequest, name: str, table: dict[str, object]) -> Source:
    """The source that a table describes. Raises ConfigError as for sources.toml, HTTPException 403 and 422."""
    if plan.model_fields_set & ADMIN_FIELDS and not caller.may(Scope.ADMIN):
        raise HTTPException(403, f"{', '.join(sorted(ADMIN_FIELDS))} need a token with the scope admin, because patterns run as written")
    source = parse_source(name, table, "the source")
    if reason := address_guard.source_refusal_reason(source, Guard.from_networks(request.app.state.config.allow_nets)):
        raise HTTPException(422, reason)
    return source


def default_name(plan: SourceRequest) -> str:
    """The name made of the homepage's host, which `newsmill add` uses as well."""
    if not plan.homepage:
        raise HTTPException(422, "name: expected a name, because the source has no homepage that would give one")
    try:
        return make_name(plan.homepage)
    except UrlError as error:
        raise HTTPException(422, f"homepage: {error}") from None


# ---- schedule ------------------------------------------------------------------------------------------------------------------


class ScheduledListing(BaseModel):
    """When a listing is polled next, and why."""

    id: int
    kind: Kind
    url: str
    why: Why = Field(description="The reason of the next poll.")
    text: str = Field(description="`why` in English.", examples=["it shows articles first"])
    polled_at: datetime = Field(description="The last poll.")
    next_poll_at: datetime | None = Field(description="null: it is due, or polled at no time of its own.")
    is_due: bool = Field(description="It is polled as soon as the crawler reaches it.")
    interval_seconds: float | None = Field(description="From the last poll to the next.")
    shown_at: datetime | None = Field(description="The last time it showed a page that it had not shown before.")
    share: float | None = Field(description="Share of the articles that no better listing shows; null: not known yet.", examples=[0.75])


@router.get("/{name}/schedule", responses=error_responses(404))
def get_schedule(
    context: Context,
    name: Name,
    limit: Limit = 50,
    cursor: Annotated[int, Query(ge=0, lt=1 << 62, description="`next` of the previous page.")] = 0,
) -> ItemList[ScheduledListing]:
    """List the polled listings of a source with the time of the next poll and its reason, by id."""
    schedule = read_schedule(context, get_existing(context, name))
    following = [listing for listing in schedule.listings if listing.id > cursor]
    items = tuple(ScheduledListing(**asdict(listing), text=describe_why(listing)) for listing in following[:limit])
    return ItemList[ScheduledListing](items=items, next=str(items[-1].id) if len(following) > limit else None)

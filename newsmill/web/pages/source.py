"""The page of one source: statistics, settings, site profile and newest pages; pausing, resuming and changing it; its rules and its
schedule. The forms have one value per line; newsmill/sources/table.py checks the values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from anyio import from_thread
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill import address_guard
from newsmill.address_guard import Guard
from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.extraction.site_profile import apply_profile
from newsmill.intake import reextract
from newsmill.intake.reextract import ReextractionDiff
from newsmill.listing_schedule import ListingSchedule, read_schedule
from newsmill.model import ArticleNorm, Kind, Outcome, Profile, Render, Rules, Source
from newsmill.site_inspection import add_scheme
from newsmill.sources.additions import find_follower
from newsmill.sources.table import format_duration, parse_source, spider_table
from newsmill.spider_logs import read_log_end, spider_log
from newsmill.storage.completeness import CompletenessReader, choose_week
from newsmill.storage.profiles import Profiles
from newsmill.storage.statistics import STATISTICS_DAYS, OperationStatistics, SourceStatistics, Statistics
from newsmill.storage.tokens import Scope
from newsmill.text import urls
from newsmill.web.auth import require_csrf, require_scope
from newsmill.web.pages import charts
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source_health_view import list_past_alarms, read_health, write_time
from newsmill.web.pages.translations import Translations

MAX_DOCUMENTS = 8
MAX_ROWS = 10  # in a table before the reader asks for all
MAX_ALL = 100  # rows then; each has about 500 bytes of markup

SUMMARY_FIELDS = ("every", "cron", "freshness", "language", "delay", "render")  # of the settings, beside their closed section

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]
# Patterns and selectors run as written, in every process, so even a preview needs the scope admin, as in the API.
ADMIN_ACCESS = [Depends(require_scope(Scope.ADMIN)), Depends(require_csrf)]
PREVIEW_PAGES = 20  # as in `newsmill sources preview`; each is extracted twice, which takes about 0.05 s
NOTICES = ("added", "extended", "changed", "paused", "resumed", "due", "rules")  # values of `done` after a redirect


@router.get("/{name}")
def show_source(request: Request, name: str, done: str = "", show: str = "") -> Response:
    """The page of a source. `show`: the table that is shown whole, `listings`, `schedule` or `recent`."""
    return render_source(request, name, notice=f"source.notice.{done}" if done in NOTICES else None, show=show)


@router.post("/{name}/state", dependencies=WRITE_ACCESS)
def change_state(request: Request, name: str, do: Literal["pause", "resume", "read"] = Form()) -> Response:
    """Pause or resume the source, or read its listings now."""
    context: AppContext = request.app.state.context
    get_source(context, name)
    if do == "read":
        context.ledger.sources.make_listings_due(name, now=context.now())
        return RedirectResponse(f"/sources/{name}?done=due", 303)
    context.ledger.sources.set_enabled(name, do == "resume", now=context.now())
    return RedirectResponse(f"/sources/{name}?done={'resumed' if do == 'resume' else 'paused'}", 303)


@router.post("/{name}", dependencies=WRITE_ACCESS)
async def change_plan(request: Request, name: str) -> Response:
    """Save the settings without the rules. A mistake is shown on the page, beside the submitted text."""
    form = await request.form()
    return await run_sync(save_plan, request, name, form)


def save_plan(request: Request, name: str, form: FormData) -> Response:
    """Save the settings, in a worker thread because the database blocks."""
    context: AppContext = request.app.state.context
    before = get_source(context, name)
    values = read_form(form)
    try:
        after = parse_source(name, plan_table(before, values), "form")
        check_urls(after, request.app.state.config.allow_nets)
    except ConfigError as error:
        return render_source(request, name, status=422, values=values, problem=PageView(request).describe_refusal(error))
    if (after.allow, after.deny) != (before.allow, before.deny):
        require_scope(Scope.ADMIN)(request)  # patterns run as written, in every process
    if other := find_follower(context.ledger.sources.list_all(), after, before):
        problem = PageView(request).words("sources.followed", name=other)
        return render_source(request, name, status=409, values=values, problem=problem)
    context.ledger.sources.put(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=changed", 303)


def get_source(context: AppContext, name: str) -> Source:
    """The source of that name. Raises HTTPException 404."""
    source = context.ledger.sources.get(name)
    if source is None:
        raise HTTPException(404, f"source {name[:100]!r} does not exist; /sources lists all")
    return source


def render_source(
    request: Request,
    name: str,
    *,
    status: int = 200,
    notice: str | None = None,
    problem: str | None = None,
    show: str = "",
    values: Mapping[str, str] | None = None,
    rules: Mapping[str, str] | None = None,
    changes: Sequence[ReextractionDiff] | None = None,
) -> Response:
    """The page; `values` and `rules` are submitted form fields, `changes` the result of a preview."""
    context: AppContext = request.app.state.context
    view = PageView(request, path=f"/sources/{name}")
    statistics, operation = Statistics(context.engine), OperationStatistics(context.engine)
    rows = statistics.list_sources(view.now.date(), name)
    if not rows:
        raise HTTPException(404, f"source {name[:100]!r} does not exist; /sources lists all")
    stats, progress, documents = rows[0], context.ledger.progress.count(name), statistics.newest(MAX_DOCUMENTS, name)
    max_listings, max_polls, max_traces = (MAX_ALL if show == table else MAX_ROWS for table in ("listings", "schedule", "recent"))
    listings = [trace for trace in context.ledger.traces.list_listings(name, limit=max_listings + 1) if trace.kind is not Kind.SPIDER]
    polls = read_schedule(context, stats.source).by_time
    recent = operation.recent(name, max_traces + 1)
    plan = describe_plan(stats.source, view.words)
    return view.page(
        "source.html",
        status,
        source=stats.source,
        stats=stats,
        health=read_health(context, [stats.source], view.words, view.now)[name],
        past_alarms=list_past_alarms(context, name, view.words, view.now),
        stored=context.documents.count(name),
        found=progress.pages,
        pending=progress.pending,
        rendered=context.ledger.rendering.count_rendered(name).get(name, 0),
        completeness=choose_week(CompletenessReader(context.engine).read([name], view.now)[name]),
        ranked=charts.rank_outcomes(stats.outcomes),
        counted=sum(stats.outcomes.values()),
        **build_chart(stats, view),
        documents=documents,
        marks=view.marks(document.id for document in documents),
        plan=plan,
        plan_summary=" · ".join(values[0] for key, values in plan if key in SUMMARY_FIELDS),
        values=plan_values(stats.source) if values is None else values,
        changing=values is not None,
        show=show,
        listings=listings[:max_listings],
        has_more_listings=len(listings) > max_listings,
        polls=list_schedule_rows(polls[:max_polls], view.words, view.now),
        poll_count=len(polls),
        spider=read_spider(context, stats.source),
        profile=describe_profile(context.profiles, stats),
        rules=rules_values(stats.source.rules) if rules is None else rules,
        rule_count=count_rules(stats.source.rules),
        changing_rules=rules is not None,
        recent=recent[:max_traces],
        has_more_recent=len(recent) > max_traces,
        notice=view.words(notice) if notice else None,
        problem=problem,
        **sum_changes(changes),
    )


def read_spider(context: AppContext, source: Source) -> dict[str, Any] | None:
    """The last run of the source's spider, and the end of its log if this machine has it; None for a source without a spider."""
    if source.spider is None:
        return None
    trace = context.ledger.traces.get(urls.make_spider_url(source.name))
    return {"trace": trace, "log": read_log_end(spider_log(context.settings, source.name))}


def build_chart(stats: SourceStatistics, view: PageView) -> dict[str, Any]:
    """The chart of documents per day."""
    words: Translations = view.words
    dates = [view.now - timedelta(days=back) for back in range(STATISTICS_DAYS - 1, -1, -1)]  # two weeks
    return {
        "series": [charts.Series(words("search.documents"), stats.stored)],
        "labels": [words.day(day) for day in dates],
        "ticks": [words.date(date) for date in dates[::7]],
    }


def count_rules(rules: Rules) -> int:
    """The number of selectors and patterns."""
    return sum(len(getattr(rules, name)) for name in RULE_LINE_FIELDS) + len(rules.fields)


def sum_changes(changes: Sequence[ReextractionDiff] | None) -> dict[str, Any]:
    """The totals of a preview."""
    diffs = changes or ()
    return {
        "changes": changes,
        "changed": sum(diff.has_changes for diff in diffs),
        "removed": sum(diff.removed for diff in diffs),
        "added": sum(diff.added for diff in diffs),
        "lost": sum(diff.before == Outcome.STORED != diff.after for diff in diffs),
    }


# ---- the rule editor


@router.post("/{name}/rules", dependencies=ADMIN_ACCESS)
async def change_rules(request: Request, name: str) -> Response:
    """Preview or save the rules, depending on the button."""
    form = await request.form()
    return await run_sync(preview_or_save, request, name, form)


def preview_or_save(request: Request, name: str, form: FormData) -> Response:
    """Preview or save the rules, in a worker thread. A mistake is shown on the page, beside the submitted text."""
    context: AppContext = request.app.state.context
    before, values = get_source(context, name), read_form(form)
    try:
        after = parse_source(name, plan_table_with_rules(before, values), "form")
        if form.get("do") != "save":
            changes = from_thread.run(request.app.state.extraction_executor.run, preview_rules, context, before, after)
            return render_source(request, name, rules=values, changes=changes)
    except ConfigError as error:
        return render_source(request, name, status=422, rules=values, problem=PageView(request).describe_refusal(error))
    except HTTPException as error:  # the executor is busy; the submitted text must not be lost
        return render_source(request, name, status=error.status_code, rules=values, problem=PageView(request).translate(str(error.detail)))
    context.ledger.sources.put(after, now=context.now())
    return RedirectResponse(f"/sources/{name}?done=rules", 303)


def preview_rules(context: AppContext, before: Source, after: Source) -> list[reextract.ReextractionDiff]:
    """What the changed rules would do to the pages of the newest documents."""
    positions = context.documents.newest_pages(before.name, PREVIEW_PAGES)
    return list(reextract.compare_rules(context.archive, context.profiles, before.rules, after, positions))


# ---- the schedule of its listings


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


# ---- its site profile, with examples

MAX_EXAMPLES = 12  # of each kind
MAX_BODY_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """A line with its path, or a path; digits are masked as 0."""

    text: str
    path: str | None
    pages: int  # of the profile's pages, those that have it


@dataclass(frozen=True, slots=True)
class SiteProfileView:
    """The newest version of a profile."""

    site: str
    version: int
    pages: int
    fit: float | None
    at: datetime
    lines: tuple[Example, ...]  # that are removed
    paths: tuple[Example, ...]  # that never hold article text
    body: tuple[Example, ...]  # paths of article text
    fields: tuple[tuple[str, Example], ...]  # paths of title, authors or date
    norm: ArticleNorm | None
    is_fast: bool  # pages are extracted by known paths only


def describe_profile(profiles: Profiles, statistics: SourceStatistics) -> SiteProfileView | None:
    """The profile for the site of the source's newest document, else of its homepage; None before one is learned."""
    url = statistics.last.url if statistics.last else statistics.source.homepage
    site = urls.get_profile_site(url) if url else ""
    version, profile = profiles.newest(site), profiles.latest(site)
    if version is None or profile is None:
        return None
    return SiteProfileView(
        site=site,
        version=version.version,
        pages=profile.pages,
        fit=profile.fit,
        at=version.created_at,
        lines=most_frequent(_lines(profile)),
        paths=most_frequent(_paths(profile)),
        body=most_frequent(_body(profile))[:MAX_BODY_EXAMPLES],
        fields=tuple(_fields(profile)),
        norm=profile.norm,
        is_fast=apply_profile.is_proven(profile),
    )


def most_frequent(examples: Iterator[Example]) -> tuple[Example, ...]:
    """The examples on the most pages."""
    return tuple(sorted(examples, key=lambda one: (-one.pages, one.text))[:MAX_EXAMPLES])


def _lines(profile: Profile) -> Iterator[Example]:
    for key in apply_profile.find_removed_lines(profile):
        path, separator, line = key.partition(" | ")
        if separator:
            yield Example(line, path, profile.lines[key].pages)


def _paths(profile: Profile) -> Iterator[Example]:
    for path, counts in profile.paths.items():
        if apply_profile.find_path_reason(profile, path):
            yield Example(path, None, counts.pages)


def _body(profile: Profile) -> Iterator[Example]:
    for path, counts in profile.paths.items():
        if counts.kept > 1 and 2 * counts.kept_words > counts.words:
            yield Example(path, None, counts.kept)


def _fields(profile: Profile) -> Iterator[tuple[str, Example]]:
    for name, counts in profile.fields.items():
        path = apply_profile.find_field_position(profile, name)
        if path is not None:
            yield name, Example(path, None, counts[path].agreed)


# ---- conversion between a source and the text fields of its forms

LINE_FIELDS = ("feeds", "sitemaps", "sections", "allow", "deny")
RULE_LINE_FIELDS = ("drop_css", "drop_lines", "drop_xpath", "keep_css", "keep_xpath")
MAX_FIELD_CHARACTERS = 20_000


def plan_values(source: Source) -> dict[str, str]:
    """The fields of the settings form."""
    return {
        "homepage": source.homepage or "",
        "every": "" if source.every is None else format_duration(source.every),
        "cron": source.cron or "",
        "freshness": "" if source.freshness is None else format_duration(source.freshness),
        "language": source.language or "",
        "delay": f"{source.politeness.delay:g}",
        "render": source.render.value,
        **{name: "\n".join(getattr(source, name)) for name in LINE_FIELDS},
    }


def rules_values(rules: Rules) -> dict[str, str]:
    """The fields of the rules form."""
    return {
        **{name: "\n".join(getattr(rules, name)) for name in RULE_LINE_FIELDS},
        "fields": "\n".join(f"{name} = {selector}" for name, selector in rules.fields.items()),
        "expires": rules.expires.isoformat() if rules.expires else "",
    }


def read_form(form: FormData) -> dict[str, str]:
    """The text fields of a submitted form."""
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in form.items() if isinstance(value, str) and name not in ("csrf", "do")}


def plan_table(before: Source, values: Mapping[str, str]) -> dict[str, Any]:
    """The source as a table of sources.toml, changed by the form; other keys keep their values. Raises ConfigError."""
    changed: dict[str, Any] = {name: split_lines(values.get(name, "\n".join(getattr(before, name)))) for name in LINE_FIELDS}
    for name in ("homepage", "every", "cron", "freshness", "language", "render"):
        if value := values.get(name, "").strip():
            changed[name] = add_scheme(value) if name == "homepage" else value
    unchanged = {
        "rules": rules_table(rules_values(before.rules)),
        "politeness": {"delay": _parse_number(values.get("delay", "")), "concurrency": before.politeness.concurrency},
        "expect": dict(before.expect),
        "discover": before.discover,
        "enabled": before.enabled,
        "robots": before.robots,
        "revisit": [format_duration(step) for step in before.revisit],
        **({} if before.max_age is None else {"max_age": format_duration(before.max_age)}),
        **spider_table(before),
    }
    return {name: value for name, value in changed.items() if value} | unchanged


def rules_table(values: Mapping[str, str]) -> dict[str, Any]:
    """The table `rules` of sources.toml, from the form. Raises ConfigError."""
    table: dict[str, Any] = {name: split_lines(values.get(name, "")) for name in RULE_LINE_FIELDS}
    table["fields"] = {}
    for line in split_lines(values.get("fields", "")):
        name, equals, selector = line.partition("=")
        if not equals:
            raise ConfigError(f"form: rules.fields: expected lines such as title = h1.headline, not {line[:80]!r}")
        table["fields"][name.strip()] = selector.strip()
    if value := values.get("expires", "").strip():
        table["expires"] = _parse_date(value)
    return table


def plan_table_with_rules(source: Source, values: Mapping[str, str]) -> dict[str, Any]:
    """The source as a table of sources.toml, with the rules of the form. Raises ConfigError."""
    return plan_table(source, plan_values(source)) | {"rules": rules_table(values)}


def check_urls(source: Source, allow_nets: tuple[str, ...]) -> None:
    """Raises ConfigError for a source with a URL that Newsmill never fetches. The crawler checks each connection again."""
    if reason := address_guard.source_refusal_reason(source, Guard.from_networks(allow_nets)):
        raise ConfigError(reason)


def describe_plan(source: Source, words: Translations) -> list[tuple[str, list[str]]]:
    """The settings for display: (field, values) for each field that has a value."""
    every = [words("plan.every", span=words.span(source.every.total_seconds()))] if source.every else []
    every += [words("plan.adaptive")] if source.is_adaptive else []
    rows: dict[str, list[str]] = {
        "homepage": [source.homepage] if source.homepage else [],
        "every": every,
        "cron": [f"{source.cron} (UTC)"] if source.cron else [],
        "freshness": [words.span(source.freshness.total_seconds())] if source.freshness else [],
        "language": [source.language] if source.language else [],
        "delay": [
            words(
                "plan.delay",
                n=f"{source.politeness.delay:g}".replace(".", words.texts["format.point"]),
                concurrency=source.politeness.concurrency,
            )
        ],
        **{name: list(getattr(source, name)) for name in LINE_FIELDS},
        "render": [] if source.render is Render.NEVER else [words(f"plan.render.{source.render}")],
        "discover": [] if source.spider and not source.homepage else [words(f"plan.discover.{'on' if source.discover else 'off'}")],
        "robots": [] if source.robots else [words("plan.robots.off")],
        "spider": [source.spider] if source.spider else [],
        "expect": [words("plan.expect", documents=words.n("documents", n)) for n in source.expect.values()],
    }
    return [(name, values) for name, values in rows.items() if values]


def split_lines(text: str) -> list[str]:
    """The lines that are not blank."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def _parse_number(value: str) -> float:
    try:
        return float(value.strip().replace(",", ".") or 1)
    except ValueError:
        raise ConfigError(f"form: politeness.delay: expected a number of seconds from 0 to 3600, not {value[:80]!r}") from None


def _parse_date(value: str) -> date:
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise ConfigError(f"form: rules.expires: expected a date such as 2027-06-30, not {value[:80]!r}") from None

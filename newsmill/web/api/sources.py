"""Sources: list, add, inspect, change, remove, pause and resume them, and one with its progress."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill.exceptions import UrlError
from newsmill.model import Source
from newsmill.network import submitted_urls
from newsmill.network.address_guard import Guard
from newsmill.search.indexer import index_pending
from newsmill.site_inspection.findings import SiteInspection
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.additions import find_follower
from newsmill.sources.table import make_name, parse_source, to_table
from newsmill.storage.completeness import CompletenessReader
from newsmill.storage.ledger import Trace
from newsmill.storage.ledger.source_changes import SourceChanges
from newsmill.storage.source_checks import SourceAlarms
from newsmill.storage.source_health import SourceHealthReader
from newsmill.storage.tokens import Scope
from newsmill.web.api.ledger import LedgerProgress
from newsmill.web.api.source_records import (
    ListedSource,
    SourceAlarmResponse,
    SourceHealthResponse,
    SourceRequest,
    SourceResponse,
    SourceWeek,
    to_alarm,
    to_health,
    to_listed,
    to_response,
)
from newsmill.web.auth import Caller, require_scope
from newsmill.web.parameters import Context, Cursor, ItemList, Limit, QueryText, Url
from newsmill.web.problem_details import error_responses

router = APIRouter(prefix="/sources", tags=["sources"], dependencies=[Depends(require_scope(Scope.READ))])
Name = Annotated[QueryText, Path(max_length=100)]
Writer = Annotated[Caller, Depends(require_scope(Scope.WRITE))]
Admin = Annotated[Caller, Depends(require_scope(Scope.ADMIN))]

# Patterns and selectors run as written, and a bad one can block a process for ever. Not to obey robots.txt, and to
# trust a source, are the administrator's decisions.
ADMIN_FIELDS = frozenset({"allow", "deny", "rules", "robots", "trusted"})


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
    if reason := submitted_urls.refusal_reason(add_scheme(site.url), Guard.from_networks(request.app.state.config.allow_nets)):
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
    if reason := submitted_urls.source_refusal_reason(source, Guard.from_networks(request.app.state.config.allow_nets)):
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

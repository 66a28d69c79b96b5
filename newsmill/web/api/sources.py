"""A source as the API shows it and takes it: the keys of sources.toml, in JSON. What is allowed, newsmill/sources.py says."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.exceptions import UrlError
from newsmill.model import Source
from newsmill.sources import format_duration, parse_source
from newsmill.storage.ledger import Trace
from newsmill.storage.tokens import Scope
from newsmill.web import submitted_urls
from newsmill.web.api.ledger import LedgerProgress
from newsmill.web.api.responses import Context, Cursor, ItemList, Limit, QueryText, Url, error_responses
from newsmill.web.auth import Caller, require_scope


class SourceRules(BaseModel):
    """What to drop from a source's pages, what to keep of them, and where their fields stand."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    drop_css: list[QueryText] = Field(default=[], max_length=200)
    drop_xpath: list[QueryText] = Field(default=[], max_length=200)
    drop_lines: list[QueryText] = Field(default=[], max_length=200)
    keep_css: list[QueryText] = Field(default=[], max_length=200)
    keep_xpath: list[QueryText] = Field(default=[], max_length=200)
    fields: dict[str, QueryText] = Field(default={}, max_length=200)
    expires: date | None = None


class SourcePoliteness(BaseModel):
    """How gently the hosts are asked."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    delay: float = Field(default=1.0, ge=0, le=3600, description="Seconds between two requests to one host.")
    concurrency: int = Field(default=1, ge=1, le=16, description="Requests in flight to one host.")


class SourceExpectations(BaseModel):
    """What a source should yield."""

    model_config = ConfigDict(extra="forbid")
    documents_per_day: int | None = Field(default=None, ge=0, le=1 << 31)


class SourcePlan(BaseModel):
    """The keys of one table of sources.toml."""

    model_config = ConfigDict(extra="forbid")
    homepage: Url | None = None
    feeds: list[Url] = Field(default=[], max_length=200)
    sitemaps: list[Url] = Field(default=[], max_length=200)
    sections: list[Url] = Field(default=[], max_length=200)
    language: str | None = Field(default=None, max_length=40, description='For pages that do not say, such as "de".')
    every: str | None = Field(default=None, max_length=40, description='"15m", "2h", "1d"; 15 minutes unless this or `cron` is said.')
    cron: QueryText | None = Field(default=None, description="Five cron fields, UTC.")
    allow: list[QueryText] = Field(default=[], max_length=200, description="Regular expressions; an article's address must match one.")
    deny: list[QueryText] = Field(default=[], max_length=200, description="And none of these.")
    rules: SourceRules = SourceRules()
    politeness: SourcePoliteness = SourcePoliteness()
    expect: SourceExpectations = SourceExpectations()
    discover: bool = True
    enabled: bool = True


class SourceRequest(SourcePlan):
    """A source to follow, or what to change of one."""

    name: str | None = Field(default=None, max_length=100, description="The homepage's host unless said.")

    def table(self) -> dict[str, Any]:
        """As a parsed table of sources.toml: only what was said, nothing that is null."""
        said = self.model_dump(exclude={"name"}, exclude_unset=True)
        return drop_nulls(said)

    def over(self, table: dict[str, Any]) -> dict[str, Any]:
        """`table` with what was said here instead. `every` takes the place of `cron`, and the other way round."""
        said = self.model_dump(exclude={"name"}, exclude_unset=True)
        gone = {"every": "cron", "cron": "every"}
        kept = {key: value for key, value in table.items() if gone.get(key) not in said or said[gone[key]] is None}
        return drop_nulls(kept | said)


class SourceResponse(SourcePlan):
    """A source that is followed, or paused (`enabled`)."""

    name: str


def drop_nulls(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: what is not there is not said. A float stays one, as TOML writes it."""
    return {key: drop_nulls(value) if isinstance(value, dict) else value for key, value in table.items() if value is not None}


def to_response(source: Source) -> SourceResponse:
    """The noun as the API shows it."""
    return SourceResponse(name=source.name, **to_table(source))


def to_table(source: Source) -> dict[str, Any]:
    """The noun as a parsed table of sources.toml."""
    rules = SourceRules.model_validate(source.rules).model_dump(exclude_none=True)
    table: dict[str, Any] = {
        "homepage": source.homepage,
        **{key: list(getattr(source, key)) for key in ("feeds", "sitemaps", "sections", "allow", "deny")},
        "language": source.language,
        "every": None if source.every is None else format_duration(source.every),
        "cron": source.cron,
        "rules": rules,
        "politeness": {"delay": source.politeness.delay, "concurrency": source.politeness.concurrency},
        "expect": dict(source.expect),
        "discover": source.discover,
        "enabled": source.enabled,
    }
    return drop_nulls(table)


# Sources: what is followed, how it fares, and changing it. The rules of sources.toml hold here as well.

router = APIRouter(prefix="/sources", tags=["sources"], dependencies=[Depends(require_scope(Scope.READ))])
Name = Annotated[QueryText, Path(max_length=100)]
Writer = Annotated[Caller, Depends(require_scope(Scope.WRITE))]

# Patterns and selectors run as written, in every process: whoever may write them can make them run for ever.
ADMIN_FIELDS = frozenset({"allow", "deny", "rules"})


class SourceDetails(BaseModel):
    """One source with how it fares."""

    source: SourceResponse
    progress: LedgerProgress
    listings: tuple[Trace, ...]  # its feeds, sitemaps, sections and homepage, each with how it was read last


@router.get("")
def list_sources(context: Context, limit: Limit = 50, cursor: Cursor = None) -> ItemList[SourceResponse]:
    """Every source by name, paused ones too."""
    found = [source for source in context.ledger.sources() if cursor is None or source.name > cursor]
    page = found[:limit]
    return ItemList[SourceResponse](items=tuple(map(to_response, page)), next=page[-1].name if len(found) > limit else None)


@router.get("/{name}", responses=error_responses(404))
def get_source(context: Context, name: Name) -> SourceDetails:
    """One source: its plan, how far it is, and how each of its listings was read last."""
    found = get_existing(context, name)
    progress = LedgerProgress.model_validate(context.ledger.progress(found.name))
    return SourceDetails(source=to_response(found), progress=progress, listings=tuple(context.ledger.listings(found.name)))


@router.post("", status_code=201, responses=error_responses(403, 409))
def add_source(request: Request, response: Response, context: Context, caller: Writer, plan: SourceRequest) -> SourceResponse:
    """Follow a site. Its feeds, sitemaps and sections are found by themselves; nothing is fetched before this answers."""
    name = plan.name or default_name(plan)
    if context.ledger.source(name) is not None:
        raise HTTPException(409, f"there is a source called {name} already; PATCH changes it")
    made = build_source(request, caller, plan, name, plan.table())
    context.ledger.put_source(made, now=context.now())
    response.headers["Location"] = f"/api/v1/sources/{made.name}"
    return to_response(made)


@router.patch("/{name}", responses=error_responses(403, 404))
def change_source(request: Request, context: Context, caller: Writer, name: Name, plan: SourceRequest) -> SourceResponse:
    """Change what is given, and leave the rest; null takes a value back. config/sources.toml, where it names the source, wins at the next
    start."""
    before = get_existing(context, name)
    if plan.name not in (None, before.name):
        raise HTTPException(422, "name: a source keeps its name")
    made = build_source(request, caller, plan, before.name, plan.over(to_table(before)))
    context.ledger.put_source(made, now=context.now())
    return to_response(made)


@router.post("/{name}/pause", responses=error_responses(403, 404))
def pause_source(context: Context, caller: Writer, name: Name) -> SourceResponse:
    """Read its listings no more. What is stored stays; what is already due is still fetched."""
    return set_enabled(context, name, False)


@router.post("/{name}/resume", responses=error_responses(403, 404))
def resume_source(context: Context, caller: Writer, name: Name) -> SourceResponse:
    """Follow it again."""
    return set_enabled(context, name, True)


def get_existing(context: Context, name: str) -> Source:
    found = context.ledger.source(name)
    if found is None:
        raise HTTPException(404, "there is no source of this name")
    return found


def set_enabled(context: Context, name: str, enabled: bool) -> SourceResponse:
    context.ledger.set_enabled(get_existing(context, name).name, enabled)
    return to_response(get_existing(context, name))


def build_source(request: Request, caller: Caller, plan: SourceRequest, name: str, table: dict[str, object]) -> Source:
    """The source that a table describes. Raises ConfigError for what sources.toml would refuse, HTTPException 403 and 422."""
    if plan.model_fields_set & ADMIN_FIELDS and not caller.may(Scope.ADMIN):
        raise HTTPException(403, f"{', '.join(sorted(ADMIN_FIELDS))} need a token with the scope admin: patterns run as written")
    made = parse_source(name, table, "the source")
    if said := submitted_urls.source_refusal_reason(made, Guard.from_networks(request.app.state.config.allow_nets)):
        raise HTTPException(422, said)
    return made


def default_name(plan: SourceRequest) -> str:
    """The host of the homepage, as `newsmill add` names a source."""
    if not plan.homepage:
        raise HTTPException(422, "name: expected one, where there is no homepage")
    try:
        return urls.get_host(plan.homepage)
    except UrlError as error:
        raise HTTPException(422, f"homepage: {error}") from None

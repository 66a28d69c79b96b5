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
from newsmill.sources import format_duration, read_source
from newsmill.storage.ledger import Trace
from newsmill.storage.tokens import Scope
from newsmill.web import submitted_urls
from newsmill.web.api.ledger import Standing
from newsmill.web.api.responses import Address, Context, Cursor, Limit, Listed, QueryText, refusals
from newsmill.web.auth import Caller, authorised


class RulesIn(BaseModel):
    """What to drop from a source's pages, what to keep of them, and where their fields stand."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    drop_css: list[QueryText] = Field(default=[], max_length=200)
    drop_xpath: list[QueryText] = Field(default=[], max_length=200)
    drop_lines: list[QueryText] = Field(default=[], max_length=200)
    keep_css: list[QueryText] = Field(default=[], max_length=200)
    keep_xpath: list[QueryText] = Field(default=[], max_length=200)
    fields: dict[str, QueryText] = Field(default={}, max_length=200)
    expires: date | None = None


class PolitenessIn(BaseModel):
    """How gently the hosts are asked."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)
    delay: float = Field(default=1.0, ge=0, le=3600, description="Seconds between two requests to one host.")
    concurrency: int = Field(default=1, ge=1, le=16, description="Requests in flight to one host.")


class ExpectIn(BaseModel):
    """What a source should yield."""

    model_config = ConfigDict(extra="forbid")
    documents_per_day: int | None = Field(default=None, ge=0, le=1 << 31)


class Plan(BaseModel):
    """The keys of one table of sources.toml."""

    model_config = ConfigDict(extra="forbid")
    homepage: Address | None = None
    feeds: list[Address] = Field(default=[], max_length=200)
    sitemaps: list[Address] = Field(default=[], max_length=200)
    sections: list[Address] = Field(default=[], max_length=200)
    language: str | None = Field(default=None, max_length=40, description='For pages that do not say, such as "de".')
    every: str | None = Field(default=None, max_length=40, description='"15m", "2h", "1d"; 15 minutes unless this or `cron` is said.')
    cron: QueryText | None = Field(default=None, description="Five cron fields, UTC.")
    allow: list[QueryText] = Field(default=[], max_length=200, description="Regular expressions; an article's address must match one.")
    deny: list[QueryText] = Field(default=[], max_length=200, description="And none of these.")
    rules: RulesIn = RulesIn()
    politeness: PolitenessIn = PolitenessIn()
    expect: ExpectIn = ExpectIn()
    discover: bool = True
    enabled: bool = True


class SourceIn(Plan):
    """A source to follow, or what to change of one."""

    name: str | None = Field(default=None, max_length=100, description="The homepage's host unless said.")

    def table(self) -> dict[str, Any]:
        """As a parsed table of sources.toml: only what was said, nothing that is null."""
        said = self.model_dump(exclude={"name"}, exclude_unset=True)
        return without_nulls(said)

    def over(self, table: dict[str, Any]) -> dict[str, Any]:
        """`table` with what was said here instead. `every` takes the place of `cron`, and the other way round."""
        said = self.model_dump(exclude={"name"}, exclude_unset=True)
        gone = {"every": "cron", "cron": "every"}
        kept = {key: value for key, value in table.items() if gone.get(key) not in said or said[gone[key]] is None}
        return without_nulls(kept | said)


class SourceOut(Plan):
    """A source that is followed, or paused (`enabled`)."""

    name: str


def without_nulls(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: what is not there is not said. A float stays one, as TOML writes it."""
    return {key: without_nulls(value) if isinstance(value, dict) else value for key, value in table.items() if value is not None}


def shown(source: Source) -> SourceOut:
    """The noun as the API shows it."""
    return SourceOut(name=source.name, **table_of(source))


def table_of(source: Source) -> dict[str, Any]:
    """The noun as a parsed table of sources.toml."""
    rules = RulesIn.model_validate(source.rules).model_dump(exclude_none=True)
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
    return without_nulls(table)


# Sources: what is followed, how it fares, and changing it. The rules of sources.toml hold here as well.

router = APIRouter(prefix="/sources", tags=["sources"], dependencies=[Depends(authorised(Scope.READ))])
Name = Annotated[QueryText, Path(max_length=100)]
Writer = Annotated[Caller, Depends(authorised(Scope.WRITE))]

# Patterns and selectors run as written, in every process: whoever may write them can make them run for ever.
TRUSTED = frozenset({"allow", "deny", "rules"})


class SourceState(BaseModel):
    """One source with how it fares."""

    source: SourceOut
    progress: Standing
    listings: tuple[Trace, ...]  # its feeds, sitemaps, sections and homepage, each with how it was read last


@router.get("")
def sources(context: Context, limit: Limit = 50, cursor: Cursor = None) -> Listed[SourceOut]:
    """Every source by name, paused ones too."""
    found = [source for source in context.ledger.sources() if cursor is None or source.name > cursor]
    page = found[:limit]
    return Listed[SourceOut](items=tuple(map(shown, page)), next=page[-1].name if len(found) > limit else None)


@router.get("/{name}", responses=refusals(404))
def source(context: Context, name: Name) -> SourceState:
    """One source: its plan, how far it is, and how each of its listings was read last."""
    found = existing(context, name)
    progress = Standing.model_validate(context.ledger.progress(found.name))
    return SourceState(source=shown(found), progress=progress, listings=tuple(context.ledger.listings(found.name)))


@router.post("", status_code=201, responses=refusals(403, 409))
def add(request: Request, response: Response, context: Context, caller: Writer, plan: SourceIn) -> SourceOut:
    """Follow a site. Its feeds, sitemaps and sections are found by themselves; nothing is fetched before this answers."""
    name = plan.name or named_after(plan)
    if context.ledger.source(name) is not None:
        raise HTTPException(409, f"there is a source called {name} already; PATCH changes it")
    made = judged(request, caller, plan, name, plan.table())
    context.ledger.put_source(made, now=context.now())
    response.headers["Location"] = f"/api/v1/sources/{made.name}"
    return shown(made)


@router.patch("/{name}", responses=refusals(403, 404))
def change(request: Request, context: Context, caller: Writer, name: Name, plan: SourceIn) -> SourceOut:
    """Change what is given, and leave the rest; null takes a value back. config/sources.toml, where it names the source, wins at the next
    start."""
    before = existing(context, name)
    if plan.name not in (None, before.name):
        raise HTTPException(422, "name: a source keeps its name")
    made = judged(request, caller, plan, before.name, plan.over(table_of(before)))
    context.ledger.put_source(made, now=context.now())
    return shown(made)


@router.post("/{name}/pause", responses=refusals(403, 404))
def pause(context: Context, caller: Writer, name: Name) -> SourceOut:
    """Read its listings no more. What is stored stays; what is already due is still fetched."""
    return switched(context, name, False)


@router.post("/{name}/resume", responses=refusals(403, 404))
def resume(context: Context, caller: Writer, name: Name) -> SourceOut:
    """Follow it again."""
    return switched(context, name, True)


def existing(context: Context, name: str) -> Source:
    found = context.ledger.source(name)
    if found is None:
        raise HTTPException(404, "there is no source of this name")
    return found


def switched(context: Context, name: str, enabled: bool) -> SourceOut:
    context.ledger.set_enabled(existing(context, name).name, enabled)
    return shown(existing(context, name))


def judged(request: Request, caller: Caller, plan: SourceIn, name: str, table: dict[str, object]) -> Source:
    """The source that a table describes. Raises ConfigError for what sources.toml would refuse, HTTPException 403 and 422."""
    if plan.model_fields_set & TRUSTED and not caller.may(Scope.ADMIN):
        raise HTTPException(403, f"{', '.join(sorted(TRUSTED))} need a token with the scope admin: patterns run as written")
    made = read_source(name, table, "the source")
    if said := submitted_urls.refusal_of(made, Guard.of(request.app.state.config.allow_nets)):
        raise HTTPException(422, said)
    return made


def named_after(plan: SourceIn) -> str:
    """The host of the homepage, as `newsmill add` names a source."""
    if not plan.homepage:
        raise HTTPException(422, "name: expected one, where there is no homepage")
    try:
        return urls.host(plan.homepage)
    except UrlError as error:
        raise HTTPException(422, f"homepage: {error}") from None

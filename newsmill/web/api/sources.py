"""Sources: what is followed, how it fares, and changing it. The rules of sources.toml hold here as well."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from newsmill import urls
from newsmill.address_guard import Guard
from newsmill.exceptions import UrlError
from newsmill.model import Source
from newsmill.sources import read_source
from newsmill.storage.ledger import Trace
from newsmill.storage.tokens import Scope
from newsmill.web import submitted_urls
from newsmill.web.api.ledger import Standing
from newsmill.web.api.responses import Cursor, Limit, Listed, TheHouse, Words, refusals
from newsmill.web.api.source_plans import SourceIn, SourceOut, shown, table_of
from newsmill.web.auth import Caller, authorised

router = APIRouter(prefix="/sources", tags=["sources"], dependencies=[Depends(authorised(Scope.READ))])
Name = Annotated[Words, Path(max_length=100)]
Writer = Annotated[Caller, Depends(authorised(Scope.WRITE))]

# Patterns and selectors run as written, in every process: whoever may write them can make them run for ever.
TRUSTED = frozenset({"allow", "deny", "rules"})


class SourceState(BaseModel):
    """One source with how it fares."""

    source: SourceOut
    progress: Standing
    listings: tuple[Trace, ...]  # its feeds, sitemaps, sections and homepage, each with how it was read last


@router.get("")
def sources(house: TheHouse, limit: Limit = 50, cursor: Cursor = None) -> Listed[SourceOut]:
    """Every source by name, paused ones too."""
    found = [source for source in house.ledger.sources() if cursor is None or source.name > cursor]
    page = found[:limit]
    return Listed[SourceOut](items=tuple(map(shown, page)), next=page[-1].name if len(found) > limit else None)


@router.get("/{name}", responses=refusals(404))
def source(house: TheHouse, name: Name) -> SourceState:
    """One source: its plan, how far it is, and how each of its listings was read last."""
    found = existing(house, name)
    progress = Standing.model_validate(house.ledger.progress(found.name))
    return SourceState(source=shown(found), progress=progress, listings=tuple(house.ledger.listings(found.name)))


@router.post("", status_code=201, responses=refusals(403, 409))
def add(request: Request, response: Response, house: TheHouse, caller: Writer, plan: SourceIn) -> SourceOut:
    """Follow a site. Its feeds, sitemaps and sections are found by themselves; nothing is fetched before this answers."""
    name = plan.name or named_after(plan)
    if house.ledger.source(name) is not None:
        raise HTTPException(409, f"there is a source called {name} already; PATCH changes it")
    made = judged(request, caller, plan, name, plan.table())
    house.ledger.put_source(made, now=house.now())
    response.headers["Location"] = f"/api/v1/sources/{made.name}"
    return shown(made)


@router.patch("/{name}", responses=refusals(403, 404))
def change(request: Request, house: TheHouse, caller: Writer, name: Name, plan: SourceIn) -> SourceOut:
    """Change what is given, and leave the rest; null takes a value back. config/sources.toml, where it names the source, wins at the next
    start."""
    before = existing(house, name)
    if plan.name not in (None, before.name):
        raise HTTPException(422, "name: a source keeps its name")
    made = judged(request, caller, plan, before.name, plan.over(table_of(before)))
    house.ledger.put_source(made, now=house.now())
    return shown(made)


@router.post("/{name}/pause", responses=refusals(403, 404))
def pause(house: TheHouse, caller: Writer, name: Name) -> SourceOut:
    """Read its listings no more. What is stored stays; what is already due is still fetched."""
    return switched(house, name, False)


@router.post("/{name}/resume", responses=refusals(403, 404))
def resume(house: TheHouse, caller: Writer, name: Name) -> SourceOut:
    """Follow it again."""
    return switched(house, name, True)


def existing(house: TheHouse, name: str) -> Source:
    found = house.ledger.source(name)
    if found is None:
        raise HTTPException(404, "there is no source of this name")
    return found


def switched(house: TheHouse, name: str, enabled: bool) -> SourceOut:
    house.ledger.set_enabled(existing(house, name).name, enabled)
    return shown(existing(house, name))


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

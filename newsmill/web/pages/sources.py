"""The list of sources, and the form that adds one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request, Response
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError, UrlError
from newsmill.model import Source
from newsmill.site_inspection.processes import add_scheme
from newsmill.sources.additions import find_follower
from newsmill.sources.table import make_name, parse_source
from newsmill.storage.statistics import Statistics
from newsmill.storage.tokens import Scope
from newsmill.web.auth import require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.pages.holdings import count_holdings, list_sites
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.source_form import check_urls
from newsmill.web.pages.source_health_view import read_health
from newsmill.web.pages.template_filters import shorten

MAX_SOURCES = 30  # on one page; each has about 2 KB of markup
MAX_SITES = 120  # on one page, in columns

router = APIRouter(prefix="/sources", include_in_schema=False, dependencies=[Depends(require_scope(Scope.READ))])
WRITE_ACCESS = [Depends(require_scope(Scope.WRITE)), Depends(require_csrf)]
Text = Annotated[str, Form(max_length=8000)]


@router.get("")
def show_sources(request: Request, after: str | None = None, sites: Annotated[int, Query(ge=1, le=1_000)] = 1) -> Response:
    """The sources with their statistics. `sites`: the page of the sites."""
    return render_sources(request, after=after, page_of_sites=sites)


@router.post("", dependencies=WRITE_ACCESS)
def add_source(request: Request, homepage: Text, name: Text = "", every: Text = "", language: Text = "") -> Response:
    """Add a source. A mistake is shown on the page, beside the submitted text."""
    context: AppContext = request.app.state.context
    values = {"homepage": homepage, "name": name, "every": every, "language": language}
    try:
        source = build_source(**values)
        check_urls(source, request.app.state.config.allow_nets)
    except UrlError:
        return render_sources(
            request, status=422, values=values, problem=PageView(request).words("sources.not_a_url", given=shorten(homepage, 80))
        )
    except ConfigError as error:
        return render_sources(request, status=422, values=values, problem=PageView(request).describe_refusal(error))
    if context.ledger.sources.get(source.name) is not None:
        problem = PageView(request).words("sources.known", name=source.name)
        return render_sources(request, status=409, values=values, problem=problem)
    if other := find_follower(context.ledger.sources.list_all(), source):
        problem = PageView(request).words("sources.followed", name=other)
        return render_sources(request, status=409, values=values, problem=problem)
    context.ledger.sources.put(source, now=context.now())
    return RedirectResponse(f"/sources/{source.name}?done=added", 303)


def build_source(homepage: str, name: str, every: str, language: str) -> Source:
    """The source that the form describes; its default name is made of the host. Raises ConfigError, UrlError."""
    url = add_scheme(homepage.strip())
    table = {"homepage": url, "every": every.strip(), "language": language.strip()}
    return parse_source(name.strip() or make_name(url), {key: value for key, value in table.items() if value}, "form")


def render_sources(
    request: Request,
    *,
    status: int = 200,
    after: str | None = None,
    values: dict[str, str] | None = None,
    problem: str | None = None,
    page_of_sites: int = 1,
) -> Response:
    """The page; `values` and `problem` are a form with a mistake."""
    context: AppContext = request.app.state.context
    view = PageView(request, path="/sources")
    rows = Statistics(context.engine).list_sources(view.now.date(), after=after, limit=MAX_SOURCES + 1)
    page, holdings = rows[:MAX_SOURCES], count_holdings(context)
    sites = list_sites(holdings)[(page_of_sites - 1) * MAX_SITES :]
    return view.page(
        "sources.html",
        status,
        sources=page,
        health=read_health(context, [stats.source for stats in page], view.words, view.now),
        later=f"?after={page[-1].source.name}" if len(rows) > MAX_SOURCES else None,
        holdings=holdings,
        sites=sites[:MAX_SITES],
        earlier_sites=f"?sites={page_of_sites - 1}#sites" if page_of_sites > 1 else None,
        later_sites=f"?sites={page_of_sites + 1}#sites" if len(sites) > MAX_SITES else None,
        values=values or {},
        problem=problem,
        notice=None,
    )

"""Saved searches: the list, and one search with its matches and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from newsmill.context import AppContext
from newsmill.exceptions import ConfigError
from newsmill.notifications.channels.mail import mail_server
from newsmill.notifications.channels.targets import check_target, find_needed_scope
from newsmill.search.check import check_saved_query
from newsmill.search.search import Search
from newsmill.storage.alert_schedule import WEEKDAYS, Frequency, make_schedule
from newsmill.storage.alerts import Alert, Alerts, Channel
from newsmill.storage.changes import Changes
from newsmill.storage.saved_searches import SavedSearch, SavedSearches
from newsmill.storage.stories import Stories
from newsmill.storage.tokens import Scope
from newsmill.text.sentences import Sentence, keyed
from newsmill.web.api.alerts import find_alert
from newsmill.web.api.searches import find_search, save_search
from newsmill.web.auth import Caller, require_scope
from newsmill.web.csrf import require_csrf
from newsmill.web.pages.rendering import PageView
from newsmill.web.pages.template_filters import params

MAX_MATCHES = 20  # on the page of one search

router = APIRouter(prefix="/searches", include_in_schema=False)
Reader = Annotated[Caller, Depends(require_scope(Scope.READ))]
Writer = Annotated[Caller, Depends(require_scope(Scope.WRITE))]
Text = Annotated[str, Form(max_length=2000)]
FORM = [Depends(require_csrf)]
DONE = ("saved", "renamed", "removed", "added", "paused", "resumed", "alert_removed", "tested")


@router.get("")
def show_searches(request: Request, caller: Reader, done: str = "") -> Response:
    """The saved searches of the user."""
    return render_searches(request, caller, notice=done)


@router.post("", dependencies=FORM)
def save(request: Request, caller: Reader, q: Text = "", name: Text = "", story_sources: Text = "") -> Response:
    """Save the search of the search page or of the page of stories. A mistake is shown beside the submitted text."""
    context: AppContext = request.app.state.context
    try:
        search = save_search(context, caller.user, name or q[:100], q, read_story_sources(story_sources))
    except ConfigError as error:
        problem = PageView(request).describe_refusal(error)
        return render_searches(request, caller, status=422, problem=problem, values={"q": q, "name": name, "story_sources": story_sources})
    return RedirectResponse(f"/searches/{search.id}?done=saved", 303)


def read_story_sources(text: str) -> int | None:
    """The number of sources in a form. Raises ConfigError."""
    if text and not (text.isascii() and text.isdigit()):
        raise ConfigError(keyed("story_sources", Sentence("expected a whole number")))
    return int(text) if text else None


@router.get("/{id}")
def show_search(request: Request, caller: Reader, id: str, done: str = "") -> Response:
    """The newest matches and the alerts of a search. The user has then looked at them."""
    context: AppContext = request.app.state.context
    search = find_search(context, caller, id)
    response = render_search(request, search, notice=done)
    if search.new and request.headers.get("sec-purpose") is None:  # a page that a browser loads ahead was not looked at
        SavedSearches(context.engine).mark_looked(search, now=context.now())
    return response


@router.post("/{id}", dependencies=FORM)
def change(request: Request, caller: Reader, id: str, do: Annotated[Literal["rename", "remove"], Form()], name: Text = "") -> Response:
    """Rename or remove a search."""
    context: AppContext = request.app.state.context
    search = find_search(context, caller, id)
    if do == "remove":
        SavedSearches(context.engine).remove(search.id)
        return RedirectResponse("/searches?done=removed", 303)
    try:
        SavedSearches(context.engine).rename(search, name)
    except ConfigError as error:
        return render_search(request, search, status=422, problem=PageView(request).describe_refusal(error), new_name=name)
    return RedirectResponse(f"/searches/{search.id}?done=renamed", 303)


@router.post("/{id}/alerts", dependencies=FORM)
def add_alert(
    request: Request,
    caller: Writer,
    id: str,
    channel: Annotated[Channel, Form()],
    target: Text = "",
    schedule: Text = "at_once",
    hour: Annotated[int, Form()] = 8,
    weekday: Annotated[int, Form()] = 0,
    zone: Text = "UTC",
) -> Response:
    """Add an alert. The secret of a web hook is shown once, on the page that answers."""
    context: AppContext = request.app.state.context
    require_scope(find_needed_scope(channel, context.settings))(request)
    search, view = find_search(context, caller, id), PageView(request)
    values = {"channel": channel, "target": target, "schedule": schedule, "hour": str(hour), "weekday": str(weekday), "zone": zone}
    try:
        when = make_schedule(schedule, hour, weekday, zone.strip())
        allowed = check_target(channel, target, context.settings)
        alert = Alerts(context.engine).add(search, channel, allowed, when, now=view.now, language=view.words.language)
    except ConfigError as error:
        return render_search(request, search, status=422, problem=view.describe_refusal(error), values=values)
    if alert.secret is not None:
        return render_search(request, search, secret=alert.secret)
    return RedirectResponse(f"/searches/{search.id}?done=added#alerts", 303)


@router.post("/{id}/alerts/{alert_id}", dependencies=FORM)
def change_alert(
    request: Request, caller: Writer, id: str, alert_id: str, do: Annotated[Literal["pause", "resume", "remove", "test"], Form()]
) -> Response:
    """Pause, resume, remove or test an alert."""
    context: AppContext = request.app.state.context
    search, alert, alerts = find_search(context, caller, id), find_alert(context, caller, alert_id), Alerts(context.engine)
    if alert.search.id != search.id:
        raise HTTPException(404)
    if do == "test":
        return show_test(request, search, alert)
    if do == "pause":
        alerts.pause(alert.id)
    elif do == "resume":
        alerts.resume(alert.id, now=context.now())
    else:
        alerts.remove(alert.id)
    done = {"pause": "paused", "resume": "resumed", "remove": "alert_removed"}[do]
    return RedirectResponse(f"/searches/{search.id}?done={done}#alerts", 303)


def show_test(request: Request, search: SavedSearch, alert: Alert) -> Response:
    """Send a test message and show the result."""
    problem: str | None = request.app.state.test_sender.send(alert)
    if problem is None:
        return render_search(request, search, notice="tested")
    return render_search(request, search, problem=PageView(request).words("searches.test_failed", why=PageView(request).translate(problem)))


def render_searches(
    request: Request, caller: Caller, *, status: int = 200, notice: str = "", problem: str | None = None, values: Mapping[str, str] = {}
) -> Response:
    """The list; `notice` is one of DONE, `values` a form with a mistake."""
    context: AppContext = request.app.state.context
    view = PageView(request)
    alerts: dict[str, list[Alert]] = {}
    for alert in Alerts(context.engine).list_all(user=caller.user):
        alerts.setdefault(alert.search.id, []).append(alert)
    return view.page(
        "saved_searches.html",
        status,
        searches=SavedSearches(context.engine).list_all(caller.user),
        alerts=alerts,
        notice=view.words(f"searches.done.{notice}") if notice in DONE else None,
        problem=problem,
        values=values,
    )


def render_search(
    request: Request,
    search: SavedSearch,
    *,
    status: int = 200,
    notice: str = "",
    problem: str | None = None,
    values: Mapping[str, str] | None = None,
    new_name: str | None = None,
    secret: str | None = None,
) -> Response:
    """The page of one search; `values` is a form with a mistake, `new_name` a name with one, `secret` that of a new web hook."""
    context: AppContext = request.app.state.context
    view = PageView(request, path=f"/searches/{search.id}")
    current = SavedSearches(context.engine).get(search.id) or search
    found = SavedSearches(context.engine).list_matches(search.id, limit=MAX_MATCHES)
    by_id = {document.id: document for document in Changes(context.engine).get_many([match.document_id for match in found])}
    is_of_documents = search.story_sources is None
    newest = (
        Search(context.engine, search.user).search(search.query, limit=MAX_MATCHES, order="newest", count=False).hits
        if is_of_documents
        else []
    )
    settings = context.settings
    is_usable = {Channel.EMAIL: mail_server(settings) is not None, Channel.WEBHOOK: True, Channel.APPRISE: bool(settings.apprise)}
    return view.page(
        "saved_search.html",
        status,
        search=current,
        notes=check_saved_query(search.query),
        results=f"/{'search' if is_of_documents else 'stories'}{params({'q': search.query})}",
        stories=Stories(context.engine).of_documents([] if is_of_documents else list(by_id)),
        hits=[hit for hit in newest if hit.id not in by_id],
        matches=[(match, by_id[match.document_id]) for match in found if match.document_id in by_id],
        alerts=Alerts(context.engine).list_all(search=search.id),
        channels=[one for one, usable in is_usable.items() if usable and view.may(find_needed_scope(one, settings))],
        frequencies=list(Frequency),
        weekdays=range(WEEKDAYS),
        values=values or {"channel": "", "target": "", "schedule": "at_once", "hour": "8", "weekday": "0", "zone": str(view.words.zone)},
        is_adding=values is not None,
        new_name=current.name if new_name is None else new_name,
        notice=view.words(f"searches.done.{notice}") if notice in DONE else None,
        problem=problem,
        secret=secret,
    )

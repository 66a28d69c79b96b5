"""The page of the reader's preferences."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from newsmill.web.csrf import require_csrf
from newsmill.web.pages.reader_cookies import COOKIE_SECONDS, KEYS_COOKIE, NO_KEYS, ZONE_COOKIE, has_keys, known_zones
from newsmill.web.pages.rendering import PageView
from newsmill.web.sessions import local_path

router = APIRouter(include_in_schema=False)


@router.get("/preferences")
def show_preferences(request: Request, next: str = "/") -> Response:
    """The form, and the list of keyboard shortcuts. `next`: the path that saving it leads to."""
    chosen = request.cookies.get(ZONE_COOKIE, "UTC")
    zones = listed_zones() if chosen in listed_zones() or chosen not in known_zones() else (chosen, *listed_zones())
    return PageView(request).page("preferences.html", zones=zones, chosen=chosen, next=local_path(next), has_keys=has_keys(request))


@router.post("/preferences", dependencies=[Depends(require_csrf)])
def save_preferences(
    request: Request,
    zone: Annotated[str, Form(max_length=100)] = "UTC",
    keys: Annotated[bool, Form()] = False,
    next: Annotated[str, Form(max_length=4000)] = "/",
) -> Response:
    """Save the form of the page /preferences, and lead back. An unknown time zone is left out."""
    response = RedirectResponse(local_path(next), 303)
    values = {KEYS_COOKIE: "on" if keys else NO_KEYS} | ({ZONE_COOKIE: zone} if zone in known_zones() else {})
    for name, value in values.items():
        response.set_cookie(name, value, max_age=COOKIE_SECONDS, samesite="lax", secure=request.url.scheme == "https")
    return response


@cache
def listed_zones() -> tuple[str, ...]:
    """The names to choose from: continents with a city, and UTC."""
    continents = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
    return ("UTC", *sorted(name for name in known_zones() if name.partition("/")[0] in continents))

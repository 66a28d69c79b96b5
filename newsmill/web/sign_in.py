"""How a browser gets a session: by the link that `newsmill up` and `newsmill web` print, or with a token in a form."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from newsmill.storage.tokens import Token, TokenKind, Tokens
from newsmill.web.auth import COOKIE, caller, check_origin, checked_form

router = APIRouter(include_in_schema=False)

SESSION = timedelta(days=30)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Newsmill</title><h1>Newsmill</h1><p>{said}</p>
<form method="post" action="/login"><label>Token <input name="token" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form>"""
ASKED = "Open the link that <code>newsmill up</code> printed (<code>newsmill token link</code> prints a new one), or give a token."
WRONG = "This is no token that is in force."
USED = "This link was used or is too old: <code>newsmill token link</code> prints a new one."


@router.get("/login")
def login(request: Request, key: str = "", next: str = "/") -> Response:
    """With a link's key: a session. Without: the form."""
    tokens: Tokens = request.app.state.house.tokens
    if not key:
        return page(request, ASKED)
    link = tokens.check(key, now=request.app.state.house.now())
    if link is not None and link.kind is TokenKind.LINK:
        tokens.end(link.id)
        return opened(request, link, None, next)
    if request.cookies.get(COOKIE) and caller(request):
        return RedirectResponse(inside(next), 303)
    return page(request, USED, 401)


@router.post("/login")
def sign_in(request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form(max_length=2000)] = "/") -> Response:
    """A token in the form becomes a session with the token's scope, which ends with the token."""
    check_origin(request)
    found = request.app.state.house.tokens.check(token.strip(), now=request.app.state.house.now())
    if found is None or found.kind is not TokenKind.TOKEN:
        return page(request, WRONG, 401)
    return opened(request, found, found.id, next)


@router.post("/logout", dependencies=[Depends(checked_form)])
def sign_out(request: Request, everywhere: Annotated[bool, Form()] = False) -> Response:
    """End the session; with `everywhere`, all sessions opened the same way."""
    found, tokens = caller(request), request.app.state.house.tokens
    if found is not None and found.token is not None:
        if everywhere:
            tokens.end_sessions(found.token)
        else:
            tokens.end(found.token.id)
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


def opened(request: Request, way_in: Token, parent: str | None, next: str) -> Response:
    """A new session in a cookie no script can read."""
    house = request.app.state.house
    name = way_in.name if parent else "link"  # a printed link is called as the process that printed it
    secret = house.tokens.add(name, way_in.scope, now=house.now(), kind=TokenKind.SESSION, life=SESSION, parent=parent)
    response = RedirectResponse(inside(next), 303)
    response.set_cookie(
        COOKIE, secret, max_age=int(SESSION.total_seconds()), httponly=True, samesite="lax", secure=request.app.state.config.secure
    )
    return response


def inside(target: str) -> str:
    """A path of ours; the start page for what would lead elsewhere.

    >>> inside("/ops?a=b"), inside("//evil.example"), inside("/\\\\evil.example")
    ('/ops?a=b', '/', '/')
    """
    try:
        netloc = urlsplit(target).netloc
    except ValueError:  # such as //[
        return "/"
    plain = target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") and not netloc else "/"


def page(request: Request, said: str, status: int = 200) -> Response:
    """The sign-in page: the pages' own where they set `app.state.sign_in_page`, else a plain one. `said` is HTML of ours."""
    made = getattr(request.app.state, "sign_in_page", None)
    if made is not None:
        return made(request, said, status)  # type: ignore[no-any-return]
    return HTMLResponse(PAGE.format(said=said), status)

"""The sessions of browsers."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from newsmill.storage.tokens import Token, TokenKind, Tokens
from newsmill.web.auth import get_caller
from newsmill.web.csrf import COOKIE, check_origin, require_csrf

LINK_NAME = "link"  # of a session that a sign-in link started
SESSION_LIFETIME = timedelta(days=30)

router = APIRouter(include_in_schema=False)


@router.get("/login")
def show_sign_in(request: Request, key: str = "", next: str = "/") -> Response:
    """Start a session with the key of a sign-in link; without a key, show the form."""
    tokens: Tokens = request.app.state.context.tokens
    if not key:
        return sign_in_page(request, "prompt")
    link = tokens.check(key, now=request.app.state.context.now())
    if link is not None and link.kind is TokenKind.LINK and tokens.end(link.id):
        return start_session(request, link, None, next)
    if request.cookies.get(COOKIE) and get_caller(request):
        return RedirectResponse(local_path(next), 303)
    return sign_in_page(request, "used_link", 401)


@router.post("/login")
def sign_in(request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form(max_length=8000)] = "/") -> Response:
    """Start a session with a token. It has the token's scope and ends with the token."""
    check_origin(request)
    parent = request.app.state.context.tokens.check(token.strip(), now=request.app.state.context.now())
    if parent is None or parent.kind is not TokenKind.TOKEN:
        return sign_in_page(request, "invalid_token", 401)
    return start_session(request, parent, parent.id, next)


@router.post("/logout", dependencies=[Depends(require_csrf)])
def sign_out(request: Request, everywhere: Annotated[bool, Form()] = False) -> Response:
    """End the session; with `everywhere`, all sessions started the same way."""
    caller, tokens = get_caller(request), request.app.state.context.tokens
    if caller is not None and caller.token is not None:
        if everywhere:
            tokens.end_sessions(caller.token)
        else:
            tokens.end(caller.token.id)
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


def start_session(request: Request, token: Token, parent: str | None, next: str) -> Response:
    """Redirect to `next` with the cookie of a new session, which scripts cannot read. It expires no later than its token `parent`."""
    context = request.app.state.context
    name = token.name if parent else LINK_NAME  # the name of a link identifies the process that printed it
    now, life = context.now(), SESSION_LIFETIME
    if parent and token.expires_at is not None:
        life = min(life, token.expires_at - now)
    secret = context.tokens.add(name, token.scope, now=now, kind=TokenKind.SESSION, life=life, parent=parent)
    response = RedirectResponse(local_path(next), 303)
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(life.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.app.state.config.uses_https,
    )
    return response


def local_path(target: str) -> str:
    """The target if it is a path on this server, else the home page.

    >>> local_path("/ops?a=b"), local_path("//evil.example"), local_path("/\\\\evil.example")
    ('/ops?a=b', '/', '/')
    """
    try:
        netloc = urlsplit(target).netloc
    except ValueError:  # such as //[
        return "/"
    is_plain = target.isprintable() and "\\" not in target
    return target if is_plain and target.startswith("/") and not target.startswith("//") and not netloc else "/"


def sign_in_page(request: Request, message: str, status: int = 200) -> Response:
    """The sign-in form with a message (a key of `login.message` in the catalogues); newsmill/web/server.py registers the function."""
    return request.app.state.sign_in_page(request, message, status)  # type: ignore[no-any-return]

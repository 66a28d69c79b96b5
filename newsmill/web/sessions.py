"""The sessions of browsers.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Form, Request
from starlette.responses import RedirectResponse, Response

from newsmill.storage.tokens import ENVIRONMENT_ID, Token, TokenKind, Tokens
from newsmill.web.auth import get_caller
from newsmill.web.csrf import check_origin, require_csrf, session_cookie
from newsmill.web.request_guard import CONTENT_POLICY

LINK_NAME = "link"  # of a session that a sign-in link started
SESSION_LIFETIME = timedelta(days=30)
REDIRECT_LIFETIME = timedelta(minutes=1)  # of the link that leads a browser to the host of its session
# Browsers apply `form-action` to the redirect that follows a form, too.
REDIRECT_POLICY = CONTENT_POLICY.replace("form-action 'self'", "form-action 'self' http://*.localhost:*")

router = APIRouter(include_in_schema=False)


@router.get("/login")
def show_sign_in(request: Request, key: str = "", next: str = "/") -> Response:
    """Start a session with the key of a sign-in link; without a key, show the form."""
    tokens: Tokens = request.app.state.context.tokens
    if not key:
        return sign_in_page(request, "prompt")
    link = tokens.check(key, now=request.app.state.context.now())
    if link is not None and link.kind is TokenKind.LINK:
        if not is_at_session_host(request, link):
            return redirect_to_session_host(request, link, key, next)
        if tokens.end(link.id):
            return start_session(request, link, link.parent, next)
    if get_caller(request) is not None:
        return RedirectResponse(local_path(next), 303)
    return sign_in_page(request, "used_link", 401)


@router.post("/login")
def sign_in(request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form(max_length=8000)] = "/") -> Response:
    """Start a session with a token. It has the token's scope and ends with the token."""
    check_origin(request)
    context = request.app.state.context
    parent = context.tokens.check(token.strip(), now=context.now())
    if parent is None or parent.kind is not TokenKind.TOKEN:
        return sign_in_page(request, "invalid_token", 401)
    if is_at_session_host(request, parent):
        return start_session(request, parent, parent.id, next)
    key = context.tokens.add(parent.name, parent.scope, now=context.now(), kind=TokenKind.LINK, life=REDIRECT_LIFETIME, parent=parent.id)
    return redirect_to_session_host(request, parent, key, next)


@router.post("/logout", dependencies=[Depends(require_csrf)])
def sign_out(request: Request, everywhere: Annotated[bool, Form()] = False) -> Response:
    """End the session; with `everywhere`, all sessions started the same way."""
    caller, tokens = get_caller(request), request.app.state.context.tokens
    if caller is not None:
        if everywhere:
            tokens.end_sessions(caller.token)
        else:
            tokens.end(caller.token.id)
    response = RedirectResponse("/", 303)
    response.delete_cookie(session_cookie(request))
    return response


def session_host(request: Request, token: Token) -> str:
    """The Host header under which a browser has its session of a token or link."""
    owner = "" if token.is_local or token.root == ENVIRONMENT_ID else token.root
    host: str = request.app.state.config.session_host(request.headers["host"], owner)
    return host


def is_at_session_host(request: Request, token: Token) -> bool:
    """Whether a session of the token may start with this request."""
    return request.headers["host"].lower() == session_host(request, token)


def redirect_to_session_host(request: Request, token: Token, key: str, next: str) -> Response:
    """Lead the sender of a valid key to the host of its session. Nobody else may learn this host's name."""
    query = urlencode({"key": key, "next": local_path(next)})
    return RedirectResponse(f"{request.url.scheme}://{session_host(request, token)}/login?{query}", 303)


def start_session(request: Request, token: Token, parent: str | None, next: str) -> Response:
    """Redirect to `next` with the cookie of a new session, which scripts cannot read. It is valid for the Host of the request only."""
    context = request.app.state.context
    name = token.name if parent else LINK_NAME  # the name of a link identifies the process that printed it
    secret = context.tokens.add(
        name,
        token.scope,
        now=context.now(),
        kind=TokenKind.SESSION,
        life=SESSION_LIFETIME,
        parent=parent,
        audience=request.headers["host"].lower(),
    )
    response = RedirectResponse(local_path(next), 303)
    response.set_cookie(
        session_cookie(request),
        secret,
        max_age=int(SESSION_LIFETIME.total_seconds()),
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
    response: Response = request.app.state.sign_in_page(request, message, status)
    if request.app.state.config.moves_sessions(request.headers["host"]):
        response.headers["Content-Security-Policy"] = REDIRECT_POLICY
    return response

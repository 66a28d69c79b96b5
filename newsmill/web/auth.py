"""Who is calling, and what they may do. Routers ask with `Depends(authorised(Scope.READ))`; forms besides with `Depends(checked_form)`.

On this machine alone, and as long as no token was made, everybody may read. Everything else needs a token, in the header (programs) or
behind a session's cookie (browsers). docs/decisions/web.md says why.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Form, Request
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from newsmill.storage.tokens import Scope, Token, TokenKind, Tokens

COOKIE = "nm_session"
CSRF_FIELD = "csrf"  # the hidden field of every form
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # somebody stands between: who asks need not be on this machine


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent this request. `token` None: somebody on this machine, who may read."""

    name: str
    scope: Scope
    token: Token | None

    def may(self, scope: Scope) -> bool:
        """Whether what needs `scope` is allowed: for templates that leave out what would be refused."""
        return self.scope.covers(scope)


def get_caller(request: Request) -> Caller | None:
    """Who sent the request, or None for a stranger. Asked once a request. Raises HTTPException 401 for a token that is none."""
    if not hasattr(request.state, "caller"):
        request.state.caller = _find_caller(request)
    found: Caller | None = request.state.caller
    return found


def _find_caller(request: Request) -> Caller | None:
    context, header = request.app.state.context, request.headers.get("authorization")
    if header is not None:
        token = context.tokens.check(read_token(header), now=context.now())
        if token is None or token.kind is not TokenKind.TOKEN:
            raise unknown()
        return Caller(token.name, token.scope, token)
    if cookie := request.cookies.get(COOKIE):
        session = context.tokens.check(cookie, now=context.now())
        if session is not None and session.kind is TokenKind.SESSION:
            return Caller(session.name, session.scope, session)
    return Caller("this machine", Scope.READ, None) if allows_anonymous_reading(request) else None


def read_token(header: str) -> str:
    """The token in an Authorization header: as Bearer, or as the password of Basic, which is all that feed readers can send."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return rest.strip() if scheme.lower() == "bearer" else ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def is_still_allowed(request: Request, scope: Scope) -> bool:
    """Whether the caller of a long answer may still get more of it: tokens are revoked and end meanwhile."""
    try:
        found = _find_caller(request)
    except HTTPException:
        return False
    return found is not None and found.may(scope)


def allows_anonymous_reading(request: Request) -> bool:
    """Whether somebody without a token may read: only on this machine, and while there is no token."""
    if request.app.state.config.is_exposed or any(name in request.headers for name in PROXY_HEADERS):
        return False
    context = request.app.state.context
    return not context.tokens.has_program_token(now=context.now())


def unknown() -> HTTPException:
    """The refusal of a stranger."""
    return HTTPException(
        401,
        "this needs a token: make one with `newsmill token add NAME` and send it as `Authorization: Bearer …`",
        headers={"WWW-Authenticate": 'Bearer realm="newsmill"'},
    )


def require_scope(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency: the caller, who may do what needs `scope`. Raises HTTPException 401 or 403.

    A browser's session may do through the API what its person may do, but only for requests of our own pages: a change needs the token of
    the session's forms, in the header X-CSRF-Token.
    """

    def check(request: Request) -> Caller:
        found = get_caller(request)
        if found is None or (found.token is None and not found.may(scope)):
            raise unknown()
        if not found.may(scope):
            raise HTTPException(403, f"this needs the scope {scope.value}, and this token has {found.scope.value}")
        if found.token is not None and found.token.kind is TokenKind.SESSION and request.method not in SAFE_METHODS:
            check_origin(request)
            if "x-csrf-token" in request.headers or request.url.path.startswith("/api/"):
                check_csrf(request, request.headers.get("x-csrf-token", ""))
        return found

    return check


# ---- forms -------------------------------------------------------------------------------------------------------------------


def make_csrf_token(request: Request) -> str:
    """What the hidden field `csrf` of a form must hold; another text in each answer, so that compression cannot give it away (BREACH)."""
    pad = secrets.token_bytes(32)
    mixed = bytes(a ^ b for a, b in zip(pad, _expected_csrf(request), strict=True))
    return base64.urlsafe_b64encode(pad + mixed).decode()


async def require_csrf(request: Request) -> None:
    """A dependency of every route that takes a form: it comes from one of our own pages. Raises HTTPException 403."""
    check_origin(request)
    form = await request.form()
    value = form.get(CSRF_FIELD)
    check_csrf(request, value if isinstance(value, str) else "")


def check_origin(request: Request) -> None:
    """Refuse what a browser says comes from another site. Browsers always say; programs have no cookie that could be abused."""
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "this form comes from another site")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise HTTPException(403, "this form comes from another site")


def check_csrf(request: Request, value: str) -> None:
    try:
        raw = base64.urlsafe_b64decode(value.encode("ascii", "replace"))
    except ValueError:
        raw = b""
    sent = bytes(a ^ b for a, b in zip(raw[:32], raw[32:64], strict=False))
    if not hmac.compare_digest(sent, _expected_csrf(request)):
        raise HTTPException(403, "this form is out of date: load the page again, and send it once more")


def _expected_csrf(request: Request) -> bytes:
    """Bound to the session by its secret; without one it is a constant, and the origin alone decides."""
    return hmac.digest(request.cookies.get(COOKIE, "").encode(), b"newsmill forms", "sha256")


# How a browser gets a session: by the link that `newsmill up` and `newsmill web` print, or with a token in a form.

router = APIRouter(include_in_schema=False)

SESSION_LIFETIME = timedelta(days=30)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Newsmill</title><h1>Newsmill</h1><p>{said}</p>
<form method="post" action="/login"><label>Token <input name="token" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form>"""
ASKED = "Open the link that <code>newsmill up</code> printed (<code>newsmill token link</code> prints a new one), or give a token."
WRONG = "This is no token that is in force."
USED = "This link was used or is too old: <code>newsmill token link</code> prints a new one."


@router.get("/login")
def show_sign_in(request: Request, key: str = "", next: str = "/") -> Response:
    """With a link's key: a session. Without: the form."""
    tokens: Tokens = request.app.state.context.tokens
    if not key:
        return sign_in_page(request, ASKED)
    link = tokens.check(key, now=request.app.state.context.now())
    if link is not None and link.kind is TokenKind.LINK:
        tokens.end(link.id)
        return start_session(request, link, None, next)
    if request.cookies.get(COOKIE) and get_caller(request):
        return RedirectResponse(local_path(next), 303)
    return sign_in_page(request, USED, 401)


@router.post("/login")
def sign_in(request: Request, token: Annotated[str, Form(max_length=200)], next: Annotated[str, Form(max_length=2000)] = "/") -> Response:
    """A token in the form becomes a session with the token's scope, which ends with the token."""
    check_origin(request)
    found = request.app.state.context.tokens.check(token.strip(), now=request.app.state.context.now())
    if found is None or found.kind is not TokenKind.TOKEN:
        return sign_in_page(request, WRONG, 401)
    return start_session(request, found, found.id, next)


@router.post("/logout", dependencies=[Depends(require_csrf)])
def sign_out(request: Request, everywhere: Annotated[bool, Form()] = False) -> Response:
    """End the session; with `everywhere`, all sessions opened the same way."""
    found, tokens = get_caller(request), request.app.state.context.tokens
    if found is not None and found.token is not None:
        if everywhere:
            tokens.end_sessions(found.token)
        else:
            tokens.end(found.token.id)
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


def start_session(request: Request, way_in: Token, parent: str | None, next: str) -> Response:
    """A new session in a cookie no script can read."""
    context = request.app.state.context
    name = way_in.name if parent else "link"  # a printed link is called as the process that printed it
    secret = context.tokens.add(name, way_in.scope, now=context.now(), kind=TokenKind.SESSION, life=SESSION_LIFETIME, parent=parent)
    response = RedirectResponse(local_path(next), 303)
    response.set_cookie(
        COOKIE, secret, max_age=int(SESSION_LIFETIME.total_seconds()), httponly=True, samesite="lax", secure=request.app.state.config.secure
    )
    return response


def local_path(target: str) -> str:
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


def sign_in_page(request: Request, said: str, status: int = 200) -> Response:
    """The sign-in page: the pages' own where they set `app.state.sign_in_page`, else a plain one. `said` is HTML of ours."""
    made = getattr(request.app.state, "sign_in_page", None)
    if made is not None:
        return made(request, said, status)  # type: ignore[no-any-return]
    return HTMLResponse(PAGE.format(said=said), status)

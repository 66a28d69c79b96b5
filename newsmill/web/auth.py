"""Authentication: tokens, browser sessions and forms. Routes use `Depends(require_scope(Scope.READ))`; forms also `Depends(require_csrf)`.

Until the first token exists, everybody on this machine may read, and the user who runs the server may do everything.
All other requests need a token: programs send it in a header, browsers have a session cookie.
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
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from newsmill.storage.saved_searches import ANYONE
from newsmill.storage.tokens import Scope, Token, TokenKind, Tokens
from newsmill.web.local_user import is_own_connection

COOKIE = "nm_session"
LINK_NAME = "link"  # of a session that a sign-in link started
SESSION_LIFETIME = timedelta(days=30)
CSRF_FIELD = "csrf"  # a hidden field of every form
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-real-ip", "via")  # of a request that may come from another machine

router = APIRouter(include_in_schema=False)
bearer = HTTPBearer(auto_error=False, description="A token from `newsmill token add`.")  # only for the OpenAPI schema: it checks nothing


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request. Without a token it is a user of this machine: the one who runs the server, or one who may read."""

    name: str
    scope: Scope
    token: Token | None

    @property
    def user(self) -> str:
        """Whose saved searches and marks the caller has: the name of the token of the caller or the session.

        A user of this machine without a token, and a session that a link opened, have no name of their own.
        """
        token = self.token
        if token is None or token.kind is TokenKind.LINK or (token.kind is TokenKind.SESSION and token.parent is None):
            return ANYONE
        return token.name

    def may(self, scope: Scope) -> bool:
        """Whether the caller has the scope."""
        return self.scope.covers(scope)


def get_caller(request: Request) -> Caller | None:
    """The caller, None if anonymous; looked up once per request. Raises HTTPException 401 for an invalid token."""
    if not hasattr(request.state, "caller"):
        request.state.caller = _find_caller(request)
    caller: Caller | None = request.state.caller
    return caller


def get_user(request: Request) -> str:
    """A dependency: whose stars, tags and notes a request is about. Use it where the scope is checked."""
    caller = get_caller(request)
    return ANYONE if caller is None else caller.user


def _find_caller(request: Request) -> Caller | None:
    context, header = request.app.state.context, request.headers.get("authorization")
    if header is not None:
        token = context.tokens.check(read_token(header), now=context.now())
        if token is None or token.kind is not TokenKind.TOKEN:
            raise unauthorized(request, "token unknown or expired: create a token with `newsmill token add NAME`")
        return Caller(token.name, token.scope, token)
    if cookie := request.cookies.get(COOKIE):
        session = context.tokens.check(cookie, now=context.now())
        if session is not None and session.kind is TokenKind.SESSION:
            return Caller(session.name, session.scope, session)
    if not allows_anonymous_reading(request):
        return None
    is_own = is_own_connection(request.scope.get("client"), request.scope.get("server"))
    return Caller("this machine", Scope.ADMIN if is_own else Scope.READ, None)


def read_token(header: str) -> str:
    """The token in an Authorization header: as Bearer, or as the password of Basic, which feed readers support."""
    scheme, _, rest = header.partition(" ")
    if scheme.lower() != "basic":
        return rest.strip() if scheme.lower() == "bearer" else ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


def is_still_allowed(request: Request, scope: Scope) -> bool:
    """Whether the caller of a streamed response still has the scope; tokens expire and are revoked meanwhile."""
    try:
        caller = _find_caller(request)
    except HTTPException:
        return False
    return caller is not None and caller.may(scope)


def allows_anonymous_reading(request: Request) -> bool:
    """Whether a request without a token may read: on this machine only, and until the first token exists."""
    if request.app.state.config.is_exposed or any(name in request.headers for name in PROXY_HEADERS):
        return False
    context = request.app.state.context
    return not context.tokens.has_program_token(now=context.now())


def unauthorized(request: Request, detail: str) -> HTTPException:
    """The answer 401. Feed readers send a password only after such an answer."""
    challenge = 'Basic realm="newsmill", charset="UTF-8"' if request.url.path.startswith("/feeds/") else 'Bearer realm="newsmill"'
    return HTTPException(401, detail, headers={"WWW-Authenticate": challenge})


def require_scope(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency that returns the caller, who has the scope. Raises HTTPException 401 or 403.

    A browser may use the API from the pages of this server only. With a session, a change needs the CSRF token of the session's forms in
    the header X-CSRF-Token.
    """

    def check(request: Request) -> Caller:
        caller = get_caller(request)
        if caller is None or (caller.token is None and not caller.may(scope)):
            raise unauthorized(
                request, "this needs a token: create one with `newsmill token add NAME` and send it as `Authorization: Bearer …`"
            )
        if not caller.may(scope):
            raise HTTPException(403, f"this needs the scope {scope.value}; the token {caller.name!r} has {caller.scope.value}")
        if request.method not in SAFE_METHODS and (caller.token is None or caller.token.kind is TokenKind.SESSION):
            check_origin(request)
            if caller.token is not None and ("x-csrf-token" in request.headers or request.url.path.startswith("/api/")):
                check_csrf(request, request.headers.get("x-csrf-token", ""))
        return caller

    return check


# ---- forms -------------------------------------------------------------------------------------------------------------------


def make_csrf_token(request: Request) -> str:
    """The value of the hidden field `csrf`. It is masked anew in each response, so that compression cannot reveal it (BREACH)."""
    mask = secrets.token_bytes(32)
    masked = bytes(a ^ b for a, b in zip(mask, _expected_csrf(request), strict=True))
    return base64.urlsafe_b64encode(mask + masked).decode()


async def require_csrf(request: Request) -> None:
    """A dependency of every route with a form: the form comes from a page of this server. Raises HTTPException 403."""
    check_origin(request)
    form = await request.form()
    value = form.get(CSRF_FIELD)
    check_csrf(request, value if isinstance(value, str) else "")


def check_origin(request: Request) -> None:
    """Raises HTTPException 403 for a request from another site. Browsers name its origin; programs have no cookie to abuse."""
    origin = request.headers.get("origin")
    is_other_site = request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")
    if is_other_site or (origin is not None and urlsplit(origin).netloc != request.headers.get("host")):
        raise HTTPException(403, "the form comes from another site: open the page on this server and submit it there")


def check_csrf(request: Request, value: str) -> None:
    """Raises HTTPException 403 unless `value` is the CSRF token of the session."""
    try:
        raw = base64.urlsafe_b64decode(value.encode("ascii", "replace"))
    except ValueError:
        raw = b""
    sent = bytes(a ^ b for a, b in zip(raw[:32], raw[32:64], strict=False))
    if not hmac.compare_digest(sent, _expected_csrf(request)):
        raise HTTPException(403, "the form has expired: reload the page and submit it again")


def _expected_csrf(request: Request) -> bytes:
    """Derived from the secret of the session. Without a session it is constant, and only the origin is checked."""
    return hmac.digest(request.cookies.get(COOKIE, "").encode(), b"newsmill forms", "sha256")


# ---- sessions ----------------------------------------------------------------------------------------------------------------


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

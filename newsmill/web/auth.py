"""Authentication: tokens and browser sessions. Routes use `Depends(require_scope(Scope.READ))`.

Programs send a token in a header, browsers have a session cookie. Nobody has rights by being on this machine.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from newsmill.storage.saved_searches import ANYONE
from newsmill.storage.tokens import Scope, Token, TokenKind
from newsmill.text.sentences import Sentence
from newsmill.web.csrf import check_csrf, check_origin, session_cookie

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
bearer = HTTPBearer(auto_error=False, description="A token from `newsmill token add`.")  # only for the OpenAPI schema: it checks nothing


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request, with its token or session."""

    token: Token

    @property
    def name(self) -> str:
        """The name of the token, or of the token that opened the session."""
        return self.token.name

    @property
    def user(self) -> str:
        """Whose saved searches and marks the caller has: the token's name. The person who runs the server has those of the commands."""
        return ANYONE if self.token.is_local else self.token.name

    def may(self, scope: Scope) -> bool:
        """Whether the caller has the scope."""
        return self.token.scope.covers(scope)


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
            raise unauthorized(request, Sentence("token unknown or expired: create a token with `newsmill token add NAME`"))
        return Caller(token)
    cookie = request.cookies.get(session_cookie(request), "")
    session = context.tokens.check(cookie, now=context.now(), audience=request.headers["host"].lower()) if cookie else None
    return Caller(session) if session is not None and session.kind is TokenKind.SESSION else None


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
        if caller is None:
            raise unauthorized(
                request, Sentence("this needs a token: create one with `newsmill token add NAME` and send it as `Authorization: Bearer …`")
            )
        if not caller.may(scope):
            raise HTTPException(
                403,
                Sentence(
                    "this needs the scope {scope}; the token {name} has {actual}",
                    scope=scope.value,
                    name=repr(caller.name),
                    actual=caller.token.scope.value,
                ),
            )
        if request.method not in SAFE_METHODS and caller.token.kind is TokenKind.SESSION:
            check_origin(request)
            if "x-csrf-token" in request.headers or request.url.path.startswith("/api/"):
                check_csrf(request, request.headers.get("x-csrf-token", ""))
        return caller

    return check

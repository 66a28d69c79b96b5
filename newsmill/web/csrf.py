"""The protection of forms against requests from other sites. Their routes use `Depends(require_csrf)`."""

from __future__ import annotations

import base64
import hmac
import secrets
from urllib.parse import urlsplit

from fastapi import Request
from starlette.exceptions import HTTPException

from newsmill.text.sentences import Sentence

CSRF_FIELD = "csrf"  # a hidden field of every form


def session_cookie(request: Request) -> str:
    """The name of the session's cookie. It has the port, because servers on several ports of a host share the host's cookies."""
    return f"nm_session_{request.url.port or ''}".rstrip("_")


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
        raise HTTPException(403, Sentence("the form comes from another site: open the page on this server and submit it there"))


def check_csrf(request: Request, value: str) -> None:
    """Raises HTTPException 403 unless `value` is the CSRF token of the session."""
    try:
        raw = base64.urlsafe_b64decode(value.encode("ascii", "replace"))
    except ValueError:
        raw = b""
    sent = bytes(a ^ b for a, b in zip(raw[:32], raw[32:64], strict=False))
    if not hmac.compare_digest(sent, _expected_csrf(request)):
        raise HTTPException(403, Sentence("the form has expired: reload the page and submit it again"))


def _expected_csrf(request: Request) -> bytes:
    """Derived from the secret of the session. Without a session it is constant, and only the origin is checked."""
    return hmac.digest(request.cookies.get(session_cookie(request), "").encode(), b"newsmill forms", "sha256")

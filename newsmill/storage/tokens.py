"""Tokens of programs, sessions of browsers, and links that open one session.

All three have the form `nm_ID_SECRET` and a scope. A session is valid for one audience only: the Host header of its browser.
The database stores the SHA-256 of the secret: it is 32 random bytes, so it cannot be guessed, and a slow hash would only slow down every
request.

SECURITY.md says what is evidence for what.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Engine, delete, or_, select

from newsmill.storage.database import reading, writing
from newsmill.storage.owner_ids import is_dead
from newsmill.storage.schema import tokens

PREFIX = "nm"  # people and secret scanners recognise it
MAX_TOKEN_CHARACTERS = 200  # of a presented token; valid ones have 59
ENVIRONMENT_ID = "environment"  # the id of the token set in the environment
LOCAL_PREFIX = "own"  # of the id of the token in a data folder; other ids are hexadecimal, and the column holds 16 characters
LOCAL_NAME = "web-token"  # of such a token


class Scope(StrEnum):
    """What a token permits; each scope includes the ones before it."""

    READ = "read"
    WRITE = "write"  # submit URLs, add and change sources, retry
    ADMIN = "admin"  # discard pages, see and change webhooks, send alerts to receivers that no setting lists

    def covers(self, other: Scope) -> bool:
        """Whether this scope includes the other."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class TokenKind(StrEnum):
    TOKEN = "token"  # noqa: S105 (a kind, no secret)
    SESSION = "session"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Token:
    """A token, session or link, without its secret."""

    id: str
    kind: TokenKind
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    parent: str | None = None  # of a session or link: the id of the token that opened it; None where a printed link did

    @property
    def root(self) -> str:
        """The id of the token itself, or of the token that opened the session."""
        return self.parent or self.id

    @property
    def is_local(self) -> bool:
        """Whether its holder is the person who runs the server: a printed link, its session, and the token in the data folder."""
        return self.root.startswith(LOCAL_PREFIX) or (self.parent is None and self.kind is not TokenKind.TOKEN)


class Tokens:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        name: str,
        scope: Scope,
        *,
        now: datetime,
        kind: TokenKind = TokenKind.TOKEN,
        life: timedelta | None = None,
        parent: str | None = None,
        audience: str = "",
        id_prefix: str = "",
    ) -> str:
        """Create a token. Returns it with its secret, which is not stored. `life` None: valid until it is revoked.

        It expires no later than `parent`. With an `audience`, `check` must be given the same one.
        """
        token_id, secret = id_prefix + secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {"id": token_id, "kind": kind.value, "name": name, "scope": scope.value, "digest": _digest(secret, audience)}
        with writing(self._engine) as conn:
            conn.execute(delete(tokens).where(tokens.c.expires_at <= now))
            limit = conn.execute(select(tokens.c.expires_at).where(tokens.c.id == parent)).scalar() if parent else None
            expires_at = min(filter(None, (now + life if life else None, limit)), default=None)
            conn.execute(tokens.insert(), row | {"created_at": now, "expires_at": expires_at, "parent": parent})
        return f"{PREFIX}_{token_id}_{secret}"

    def set_environment_token(self, secret: str | None, *, now: datetime) -> None:
        """Make `secret`, set in the environment, the valid token of scope admin. It replaces an earlier one and ends the sessions opened
        with that. None: no such token is valid."""
        with writing(self._engine) as conn:
            stored = conn.execute(select(tokens.c.digest).where(tokens.c.id == ENVIRONMENT_ID)).scalar()
            if stored == (None if secret is None else _digest(secret)):
                return
            conn.execute(delete(tokens).where(or_(tokens.c.id == ENVIRONMENT_ID, tokens.c.parent == ENVIRONMENT_ID)))
            if secret is not None:
                row = {"id": ENVIRONMENT_ID, "kind": "token", "name": "NEWSMILL_WEB_TOKEN", "scope": "admin", "digest": _digest(secret)}
                conn.execute(tokens.insert(), row | {"created_at": now})

    def check(self, presented: str, *, now: datetime, audience: str = "") -> Token | None:
        """The token, session or link that `presented` is; None for an unknown, expired or revoked one, or one of another audience.

        A link whose name is that of a process (`processes.make_owner_id`) ends with this process, as far as this machine can tell.
        """
        name, secret = _parts(presented[:MAX_TOKEN_CHARACTERS])
        if not secret or not presented.isascii() or not presented.isprintable():  # tokens consist of letters, digits, - and _
            return None
        with reading(self._engine) as conn:
            row = conn.execute(select(tokens).where(tokens.c.id == name)).one_or_none()
        # Compared for unknown ids too, and in constant time, so that the duration reveals nothing about stored secrets.
        same = hmac.compare_digest(_digest(secret, audience), row.digest if row else _digest(""))
        found = _token(row) if row is not None and same else None
        return found if found is not None and _is_valid(found, now) else None

    def list_valid(self, *, now: datetime) -> list[Token]:
        """All tokens, sessions and unused links that are in force at `now`, oldest first."""
        with reading(self._engine) as conn:
            rows = conn.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id))
            return [found for row in rows if _is_valid(found := _token(row), now)]

    def revoke(self, id_or_name: str) -> Counter[TokenKind]:
        """Revoke the token, session or link with this id, or all with this name, and the sessions they opened; how many of each kind."""
        with writing(self._engine) as conn:
            named = or_(tokens.c.id == id_or_name, tokens.c.name == id_or_name)
            ids = list(conn.execute(select(tokens.c.id).where(named)).scalars())
            gone = conn.execute(delete(tokens).where(or_(tokens.c.id.in_(ids), tokens.c.parent.in_(ids))).returning(tokens.c.kind))
            return Counter(TokenKind(kind) for kind in gone.scalars())

    def end_sessions(self, session: Token) -> None:
        """End every session that was opened the way this one was: with its token, or by a link; then unused links end as well."""
        opened = tokens.c.parent.is_(None) if session.parent is None else tokens.c.parent == session.parent
        with writing(self._engine) as conn:
            conn.execute(delete(tokens).where(opened, tokens.c.kind.in_(["session", "link"])))

    def end(self, token_id: str) -> bool:
        """End one session, or use up one link. False: another request was faster."""
        with writing(self._engine) as conn:
            return conn.execute(delete(tokens).where(tokens.c.id == token_id)).rowcount == 1


def _parts(presented: str) -> tuple[str, str]:
    """(id, secret). A token in another form can only be the one from the environment."""
    if not presented.startswith(f"{PREFIX}_"):
        return ENVIRONMENT_ID, presented
    name, _, secret = presented[len(PREFIX) + 1 :].partition("_")
    return name, secret


def _digest(secret: str, audience: str = "") -> str:
    text = f"{secret}\0{audience}" if audience else secret  # `check` accepts no secret with a NUL
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _is_valid(token: Token, now: datetime) -> bool:
    expired = token.expires_at is not None and token.expires_at <= now
    return not expired and not (token.kind is TokenKind.LINK and is_dead(token.name))


def _token(row: object) -> Token:
    return Token(row.id, TokenKind(row.kind), row.name, Scope(row.scope), row.created_at, row.expires_at, row.parent)  # type: ignore[attr-defined]

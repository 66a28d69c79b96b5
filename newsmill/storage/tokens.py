"""Who may come in through the web door: tokens of programs, sessions of browsers, and links that open one session.

All three are one thing, `nm_ID_SECRET`, with a scope. The database keeps the SHA-256 of the secret: it is 32 random bytes, so nobody can
search for it, and a slow hash would only slow down every request.
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
from newsmill.storage.lease_owners import is_dead
from newsmill.storage.schema import tokens

PREFIX = "nm"  # so that people and secret scanners know one when they see it
LONGEST = 200  # characters of what is presented; ours have 59
GIVEN = "environment"  # the id of the one token that the operator chose


class Scope(StrEnum):
    """What a token lets its holder do; each holds the ones before."""

    READ = "read"
    WRITE = "write"  # submit addresses, add and change sources, retry
    ADMIN = "admin"  # drop pages for good, see and change webhooks

    def covers(self, other: Scope) -> bool:
        """Whether who has this scope may do what needs the other."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class TokenKind(StrEnum):
    TOKEN = "token"  # noqa: S105 (a kind, no secret)
    SESSION = "session"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Token:
    """A way in, without its secret."""

    id: str
    kind: TokenKind
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime | None
    parent: str | None = None  # of a session: the id of the token that opened it; None where a link did


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
    ) -> str:
        """A new one; what is returned is shown once and kept nowhere. `life` None: until it is revoked."""
        made, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        row = {"id": made, "kind": kind.value, "name": name, "scope": scope.value, "digest": _digest(secret), "created_at": now}
        with writing(self._engine) as conn:
            conn.execute(delete(tokens).where(tokens.c.expires_at <= now))
            conn.execute(tokens.insert(), row | {"expires_at": now + life if life else None, "parent": parent})
        return f"{PREFIX}_{made}_{secret}"

    def set_environment_token(self, secret: str | None, *, now: datetime) -> None:
        """Let the secret that the operator wrote into the environment in, with the scope admin, in the place of an earlier one (with the
        sessions opened by it). None: none any more."""
        with writing(self._engine) as conn:
            held = conn.execute(select(tokens.c.digest).where(tokens.c.id == GIVEN)).scalar()
            if held == (None if secret is None else _digest(secret)):
                return
            conn.execute(delete(tokens).where(or_(tokens.c.id == GIVEN, tokens.c.parent == GIVEN)))
            if secret is not None:
                row = {"id": GIVEN, "kind": "token", "name": "NEWSMILL_WEB_TOKEN", "scope": "admin", "digest": _digest(secret)}
                conn.execute(tokens.insert(), row | {"created_at": now})

    def check(self, presented: str, *, now: datetime) -> Token | None:
        """The token, session or link that `presented` is; None for an unknown, expired or revoked one.

        A link whose name is that of a process (`owners.new_owner`) ends with this process, as far as this machine can tell.
        """
        name, secret = _parts(presented[:LONGEST])
        if not secret or not presented.isascii() or not presented.isprintable():  # ours are letters, digits, - and _
            return None
        with reading(self._engine) as conn:
            row = conn.execute(select(tokens).where(tokens.c.id == name)).one_or_none()
        # Compared in any case, and in constant time: how long we take tells nothing about what is stored.
        same = hmac.compare_digest(_digest(secret), row.digest if row else _digest(""))
        found = _token(row) if row is not None and same else None
        return found if found is not None and _in_force(found, now) else None

    def list_valid(self, *, now: datetime) -> list[Token]:
        """All tokens, sessions and unused links that are in force at `now`, oldest first."""
        with reading(self._engine) as conn:
            rows = conn.execute(select(tokens).order_by(tokens.c.created_at, tokens.c.id))
            return [found for row in rows if _in_force(found := _token(row), now)]

    def has_program_token(self, *, now: datetime) -> bool:
        """Whether a program's token is in force."""
        in_force = or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)
        with reading(self._engine) as conn:
            return conn.execute(select(tokens.c.id).where(tokens.c.kind == "token", in_force).limit(1)).first() is not None

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

    def end(self, token_id: str) -> None:
        """End one session, or use up one link."""
        with writing(self._engine) as conn:
            conn.execute(delete(tokens).where(tokens.c.id == token_id))


def _parts(presented: str) -> tuple[str, str]:
    """Id and secret. What is not of our making can only be the operator's own."""
    if not presented.startswith(f"{PREFIX}_"):
        return GIVEN, presented
    name, _, secret = presented[len(PREFIX) + 1 :].partition("_")
    return name, secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _in_force(token: Token, now: datetime) -> bool:
    expired = token.expires_at is not None and token.expires_at <= now
    return not expired and not (token.kind is TokenKind.LINK and is_dead(token.name))


def _token(row: object) -> Token:
    return Token(row.id, TokenKind(row.kind), row.name, Scope(row.scope), row.created_at, row.expires_at, row.parent)  # type: ignore[attr-defined]

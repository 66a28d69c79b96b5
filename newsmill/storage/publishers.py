"""What the owners of hosts may see and decide: a proof that a host is theirs, orders to the crawler, and what was fetched from the host."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, or_, select

from newsmill.exceptions import UrlError
from newsmill.model import Kind, Outcome
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import ledger, publisher_claims, publisher_orders
from newsmill.storage.statements import AnyRow
from newsmill.text import urls

PROOF_LIFETIME = timedelta(days=30)  # then it must be shown again
MAX_DELAY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class PublisherOrder:
    """What the owner of a host has ordered."""

    host: str
    is_stopped: bool
    delay: float | None  # seconds between two requests, at least
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class HostFetch:
    """A URL of a host: how it was found, and what the last request for it gave.

    `found_on` is a page of this host. Pages of other hosts are not named, because their owners and the operator may not want that.
    """

    id: int
    url: str
    kind: Kind
    found_by: str
    found_on: str | None
    is_found_elsewhere: bool
    requested_at: datetime
    outcome: Outcome | None


_ORDER = select(publisher_orders).where(publisher_orders.c.host == bindparam("b_host"))
_ORDERS = select(publisher_orders).order_by(publisher_orders.c.host)
_SET = Upsert(publisher_orders, ("host",), lambda new: {"is_stopped": new.is_stopped, "delay": new.delay, "changed_at": new.changed_at})
_PROVE = Upsert(publisher_claims, ("digest",), lambda new: {"proved_at": new.proved_at})
_FETCHES = (
    select(
        *(ledger.c.id, ledger.c.url, ledger.c.kind, ledger.c.found_by, ledger.c.found_on),
        *(ledger.c.fetched_at, ledger.c.ended_at, ledger.c.outcome, ledger.c.failed_at, ledger.c.failure),
    )
    .where(
        ledger.c.host == bindparam("b_host"),
        ledger.c.id < bindparam("b_before"),
        or_(ledger.c.fetched_at.is_not(None), ledger.c.ended_at.is_not(None), ledger.c.failed_at.is_not(None)),
    )
    .order_by(ledger.c.id.desc())
    .limit(bindparam("b_limit"))
)


def find_order(conn: Connection, host: str) -> PublisherOrder | None:
    row = conn.execute(_ORDER, {"b_host": host}).one_or_none()
    return None if row is None else _to_order(row)


def list_orders(conn: Connection) -> list[PublisherOrder]:
    """All orders, by host."""
    return [_to_order(row) for row in conn.execute(_ORDERS)]


def _to_order(row: AnyRow) -> PublisherOrder:
    return PublisherOrder(row.host, row.is_stopped, row.delay, row.changed_at)


def make_proof(claim: str, host: str) -> str:
    """The text that the host must show in a file or a DNS record. Both are public, and the claim cannot be derived from it."""
    return hashlib.sha256(f"newsmill {claim} {host}".encode()).hexdigest()[:40]


class Publishers:
    """Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prove(self, claim: str, host: str, *, now: datetime) -> None:
        """Record that the host has shown the proof for this claim."""
        with writing(self._engine) as conn:
            conn.execute(delete(publisher_claims).where(publisher_claims.c.proved_at < now - PROOF_LIFETIME))
            _PROVE.run(conn, [{"digest": _digest(claim, host), "host": host, "proved_at": now}])

    def is_proved(self, claim: str, host: str, *, now: datetime) -> bool:
        """Whether the sender of the claim has proved within PROOF_LIFETIME that the host is theirs."""
        wanted = select(publisher_claims.c.proved_at).where(publisher_claims.c.digest == _digest(claim, host))
        with reading(self._engine) as conn:
            proved_at = conn.execute(wanted).scalar()
        return proved_at is not None and proved_at > now - PROOF_LIFETIME

    def order(self, host: str) -> PublisherOrder | None:
        """What the owner of a host has ordered; None: nothing."""
        with reading(self._engine) as conn:
            return find_order(conn, host)

    def list_orders(self) -> list[PublisherOrder]:
        """All orders, by host."""
        with reading(self._engine) as conn:
            return list_orders(conn)

    def give_order(self, host: str, *, is_stopped: bool, delay: float | None, now: datetime) -> None:
        """Set what the crawler must obey on the host from the next request on. Without a stop and a delay, the order is removed."""
        with writing(self._engine) as conn:
            if not is_stopped and delay is None:
                conn.execute(delete(publisher_orders).where(publisher_orders.c.host == host))
                return
            seconds = None if delay is None else min(max(delay, 0.0), MAX_DELAY_SECONDS)
            _SET.run(conn, [{"host": host, "is_stopped": is_stopped, "delay": seconds, "changed_at": now}])

    def list_fetches(self, host: str, *, limit: int, before: int | None = None) -> list[HostFetch]:
        """The URLs of a host that were requested, or refused before a request; those found last come first, from below the id `before`."""
        values: dict[str, Any] = {"b_host": host, "b_before": 2**62 if before is None else before, "b_limit": limit}
        with reading(self._engine) as conn:
            return [_to_fetch(row, host) for row in conn.execute(_FETCHES, values)]


def _to_fetch(row: AnyRow, host: str) -> HostFetch:
    is_own_page = _is_on_host(row.found_on, host)
    ended_at = row.fetched_at or row.ended_at
    is_retried = row.failed_at is not None and (ended_at is None or row.failed_at > ended_at)
    outcome = row.failure if is_retried else row.outcome
    return HostFetch(
        *(row.id, row.url, Kind(row.kind), row.found_by),
        found_on=row.found_on if is_own_page else None,
        is_found_elsewhere=row.found_on is not None and not is_own_page,
        requested_at=row.failed_at if is_retried else ended_at,
        outcome=None if outcome is None else Outcome(outcome),
    )


def _is_on_host(url: str | None, host: str) -> bool:
    try:
        return url is not None and urls.get_host(url) == host
    except UrlError:
        return False


def _digest(claim: str, host: str) -> str:
    return hashlib.sha256(f"claim {claim} {host}".encode("utf-8", "replace")).hexdigest()

"""The leases of the dead: cut short as soon as somebody knows, instead of a minute later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select, union, update

from newsmill.storage.ledger.statements import IN_FLIGHT, NOW
from newsmill.storage.schema import hosts, ledger

_OWNERS: BindParameter[Any] = bindparam("b_owners", expanding=True)
_HOLDERS = union(
    select(hosts.c.owner).where(hosts.c.owner.is_not(None), hosts.c.lease_until > NOW),
    select(ledger.c.owner).where(IN_FLIGHT, ledger.c.owner.is_not(None), ledger.c.lease_until > NOW),
)
_HOSTS = update(hosts).where(hosts.c.owner.in_(_OWNERS)).values(lease_until=NOW)
_THEIRS = (
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.owner.in_(_OWNERS)).order_by(ledger.c.id).with_for_update(skip_locked=True).cte("theirs")
)
_ROWS = update(ledger).where(ledger.c.id.in_(select(_THEIRS.c.id))).values(lease_until=NOW)


def cut(conn: Connection, is_dead: Callable[[str], bool], now: datetime) -> list[str]:
    """End the leases of owners that are dead; who they were. Marks, fences and states stay: what follows is what follows an ended lease."""
    dead = [owner for (owner,) in conn.execute(_HOLDERS, {"b_now": now}) if is_dead(owner)]
    if dead:
        conn.execute(_HOSTS, {"b_owners": dead, "b_now": now})
        conn.execute(_ROWS, {"b_owners": dead, "b_now": now})
    return dead

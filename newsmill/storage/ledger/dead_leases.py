"""The leases of owners that are dead end at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, select, union, update

from newsmill.storage.schema import hosts, ledger
from newsmill.storage.statements import IN_FLIGHT, NOW

_OWNERS: BindParameter[Any] = bindparam("b_owners", expanding=True)
_OWNERS_OF_LEASES = union(
    select(hosts.c.owner).where(hosts.c.owner.is_not(None), hosts.c.lease_until > NOW),
    select(ledger.c.owner).where(IN_FLIGHT, ledger.c.owner.is_not(None), ledger.c.lease_until > NOW),
)
_END_HOST_LEASES = update(hosts).where(hosts.c.owner.in_(_OWNERS)).values(lease_until=NOW)
_ROWS_OF_OWNERS = (
    select(ledger.c.id).where(IN_FLIGHT, ledger.c.owner.in_(_OWNERS)).order_by(ledger.c.id).with_for_update(skip_locked=True).cte("theirs")
)
_END_ROW_LEASES = update(ledger).where(ledger.c.id.in_(select(_ROWS_OF_OWNERS.c.id))).values(lease_until=NOW)


def end_leases(conn: Connection, is_dead: Callable[[str], bool], now: datetime) -> list[str]:
    """End the leases of dead owners now. Returns the owners. Marks, fences and states stay, as after any ended lease."""
    dead = [owner for (owner,) in conn.execute(_OWNERS_OF_LEASES, {"b_now": now}) if is_dead(owner)]
    if dead:
        conn.execute(_END_HOST_LEASES, {"b_owners": dead, "b_now": now})
        conn.execute(_END_ROW_LEASES, {"b_owners": dead, "b_now": now})
    return dead

"""The leases of owners that are dead end at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Engine, bindparam, select, union, update

from newsmill.storage.database import writing
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


class DeadLeases:
    """The leases of dead owners. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def end(self, is_dead: Callable[[str], bool], *, now: datetime) -> list[str]:
        """End the leases of owners for which `is_dead` (owner_ids) is true. Returns the owners. The rows can be leased at once.

        Marks, fences and states stay, as after any ended lease.
        """
        with writing(self._engine) as conn:
            dead = [owner for (owner,) in conn.execute(_OWNERS_OF_LEASES, {"b_now": now}) if is_dead(owner)]
            if dead:
                conn.execute(_END_HOST_LEASES, {"b_owners": dead, "b_now": now})
                conn.execute(_END_ROW_LEASES, {"b_owners": dead, "b_now": now})
            return dead

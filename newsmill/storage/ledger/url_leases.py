"""The crawler's leases of a leased host's due rows, until their pages are saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BindParameter, Engine, String, bindparam, case, exists, func, or_, select, union, update

from newsmill.model import Kind, LeasedUrl, Rendering, Segment
from newsmill.storage.clock import MAX_ROW_WAIT
from newsmill.storage.columns import load_hint
from newsmill.storage.database import reading, writing
from newsmill.storage.ledger import revisits
from newsmill.storage.ledger.segments import insert_segment
from newsmill.storage.schema import hosts, ledger
from newsmill.storage.statements import FREE, IN_FLIGHT, LATEST, LIMIT, NOW, OWNER, UNTIL, AnyRow, fenced, state_is


@dataclass(frozen=True, slots=True)
class Fetched:
    """A leased row whose page is in the archive, at `offset` of the segment it is saved with."""

    id: int
    fence: int
    offset: int
    url: str  # final, after redirects
    status: int
    etag: str | None = None
    last_modified: str | None = None
    rendering: Rendering | None = None
    parts: tuple[str, ...] = ()  # the URLs of the further pages of its article


def _make_url_lease(*of_source: Any) -> Any:
    """The statement that leases due rows of a host, or those of them for which `of_source` holds."""
    due = (
        select(ledger.c.id)
        .where(
            ledger.c.host == bindparam("b_host"),
            state_is("due"),
            or_(ledger.c.next_at <= NOW, ledger.c.next_at > LATEST),
            exists().where(hosts.c.host == bindparam("b_host"), hosts.c.owner == OWNER, hosts.c.lease_until > NOW),
            *of_source,
        )
        .order_by(ledger.c.rank, ledger.c.next_at, ledger.c.id)
        .limit(LIMIT)
        .with_for_update(skip_locked=True, of=ledger)
        .cte("due")
    )
    return (
        update(ledger)
        .where(ledger.c.id.in_(select(due.c.id)))
        .values(state="fetching", fence=ledger.c.fence + 1, owner=OWNER, lease_until=UNTIL)
        .returning(
            ledger.c.id,
            ledger.c.url,
            ledger.c.kind,
            ledger.c.host,
            ledger.c.source,
            ledger.c.fence,
            ledger.c.attempts,
            ledger.c.etag,
            ledger.c.last_modified,
            ledger.c.hint,
            ledger.c.found_by,
            ledger.c.found_on,
            ledger.c.rendering,
            ledger.c.parts,
            ledger.c.outcome,
            ledger.c.next_at,
            ledger.c.rank,
            ledger.c.failing_since,
        )
    )


_OF_SOURCE, _IS_PAGE = ledger.c.source == bindparam("b_source"), ledger.c.kind == "page"
_LEASE_URLS = {  # by whether they are of one source, and pages only
    (False, False): _make_url_lease(),
    (False, True): _make_url_lease(_IS_PAGE),
    (True, False): _make_url_lease(_OF_SOURCE),
    (True, True): _make_url_lease(_OF_SOURCE, _IS_PAGE),
}
# An ended lease leaves the row due with the same fence until it is leased again, so a page fetched under that lease can still be saved.
_AWAITED_ROWS = select(ledger.c.id, ledger.c.fence).where(ledger.c.id.in_(bindparam("b_ids", expanding=True)), state_is("fetching", "due"))
_SAVE = (
    update(ledger)
    .where(fenced("fetching", "due"))
    .values(
        **FREE,
        state="fetched",
        crashes=0,
        stage=None,
        detail=None,
        next_at=NOW,
        fetched_at=NOW,
        received_at=None,
        segment=bindparam("b_segment"),
        offset=bindparam("b_offset"),
        final_url=bindparam("b_url"),
        status=bindparam("b_status"),
        etag=bindparam("b_etag"),
        last_modified=bindparam("b_last_modified"),
        # A page that is wanted rendered and was not must not be wanted a second time.
        # Of an article that is on one page now, they are not wanted a second time.
        parts=case((ledger.c.parts.is_not(None), bindparam("b_parts", type_=ledger.c.parts.type))),
        rendering=func.coalesce(bindparam("b_rendering", type_=String), case((ledger.c.rendering.is_not(None), Rendering.FAILED.value))),
    )
)
_RELEASE_URL = update(ledger).where(fenced("fetching")).values(**FREE, state="due", next_at=NOW)
_EXPIRED_ROWS = (
    select(ledger.c.id).where(IN_FLIGHT, state_is("fetching"), ledger.c.lease_until <= NOW).with_for_update(skip_locked=True).cte("lost")
)
# RETURNING, because Python's sqlite3 has no rowcount for a statement that begins with WITH.
_EXPIRE = (
    update(ledger)
    .where(ledger.c.id.in_(select(_EXPIRED_ROWS.c.id)), state_is("fetching"))
    .values(**FREE, state="due", next_at=NOW)
    .returning(ledger.c.id)
)


def _to_leased_url(row: AnyRow) -> LeasedUrl:
    is_revisit = revisits.is_revisit(row)
    return LeasedUrl(
        id=row.id,
        url=row.url,
        kind=Kind(row.kind),
        host=row.host,
        source=row.source,
        fence=row.fence,
        attempts=row.attempts,
        etag=row.etag,
        last_modified=row.last_modified,
        hint=load_hint(row.hint),
        is_rendering_wanted=row.rendering == Rendering.WANTED or (is_revisit and row.rendering is not None),
        has_parts=row.parts is not None,
        is_revisit=is_revisit,
        found_by=row.found_by,
        found_on=row.found_on,
        is_failing=row.failing_since is not None,
    )


class UrlLeases:
    """The crawler's leases of URLs. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def lease(
        self,
        host: str,
        owner: str,
        *,
        limit: int,
        seconds: float,
        now: datetime,
        source: str | None = None,
        pages_only: bool = False,
    ) -> list[LeasedUrl]:
        """Up to `limit` due rows of a leased host (of one source, if given), by rank, then by due time.

        Empty when the host's lease has ended.
        """
        with writing(self._engine) as conn:
            values = {"b_host": host, "b_owner": owner, "b_limit": limit, "b_now": now, "b_until": now + timedelta(seconds=seconds)}
            values |= {"b_latest": now + MAX_ROW_WAIT}
            statement = _LEASE_URLS[source is not None, pages_only]
            values |= {} if source is None else {"b_source": source}
            rows = sorted(conn.execute(statement, values), key=lambda row: (row.rank, row.next_at, row.id))  # RETURNING has no order
            return [_to_leased_url(row) for row in rows]

    def save_segment(self, segment: Segment, rows: Sequence[Fetched], *, now: datetime) -> int:
        """Record a segment and make its rows `fetched`, in one commit. Call it when the file is on disk. Returns the rows changed."""
        with writing(self._engine) as conn:
            insert_segment(conn, segment)
            values = [
                {
                    "b_id": row.id,
                    "b_fence": row.fence,
                    "b_now": now,
                    "b_segment": segment.id,
                    "b_offset": row.offset,
                    "b_url": row.url,
                    "b_status": row.status,
                    "b_etag": row.etag,
                    "b_last_modified": row.last_modified,
                    "b_rendering": row.rendering,
                    "b_parts": list(row.parts),
                }
                for row in sorted(rows, key=lambda row: row.id)
            ]
            return conn.execute(_SAVE, values).rowcount if values else 0

    def find_awaited(self, rows: Sequence[tuple[int, int]]) -> set[int]:
        """Of rows (id, fence), the ids that were not leased again, saved or ended since: their pages can still be saved."""
        with reading(self._engine) as conn:
            if not rows:
                return set()
            waiting = {(row.id, row.fence) for row in conn.execute(_AWAITED_ROWS, {"b_ids": [id_ for id_, _ in rows]})}
            return {id_ for id_, fence in rows if (id_, fence) in waiting}

    def release(self, rows: Sequence[LeasedUrl], *, now: datetime) -> int:
        """Release leased rows that were not tried (a clean stop, or pages behind a listing): due at once, no attempt counted."""
        with writing(self._engine) as conn:
            values = [{"b_id": row.id, "b_fence": row.fence, "b_now": now} for row in sorted(rows, key=lambda row: row.id)]
            return conn.execute(_RELEASE_URL, values).rowcount if values else 0

    def expire(self, *, now: datetime) -> int:
        """Rows whose crawler died while fetching are due again."""
        with writing(self._engine) as conn:
            return len(conn.execute(_EXPIRE, {"b_now": now}).all())


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

"""Documents as they were at a time in the order of storing.

Triggers write the columns that an overwritten row had before, in the transaction that changes it, so that no writer can forget it and no
crash can separate them. A row at time T is the row of today with the changes after T undone, the newest first. A later change of a row that
is being read adds what it overwrites, so rows may be read before their past without a transaction, and in batches.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, and_, bindparam, delete, exists, func, or_, select, union, union_all, update

from newsmill.exceptions import ConfigError, ServiceError, UrlError
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import documents, past_documents, past_limits, past_takedowns
from newsmill.storage.statements import AnyRow
from newsmill.storage.storing_order import LAST_STAMP, find_horizon
from newsmill.text.urls import make_key

BATCH = 200  # documents per statement, about 1 MB of text
KEYED_ROWS = 500  # per transaction, 0.02 s of it
ALL = (1 << 63) - 1  # above every number
MAX_WAIT_SECONDS = 30.0  # for transactions that began before the time
VERSION_COLUMNS = tuple(
    column.name
    for column in past_documents.c
    if column.name not in ("number", "document_id", "valid_until", "changed", "url_key", "requested_key")
)

_IDS: Any = bindparam("b_ids", expanding=True)
_AT: Any = bindparam("b_at", type_=past_documents.c.valid_until.type)
_AFTER: Any = bindparam("b_after")
_NEXT_IDS = (
    union(
        select(documents.c.id).where(documents.c.id > _AFTER).order_by(documents.c.id).limit(BATCH).subquery().select(),
        select(past_documents.c.document_id)
        .where(past_documents.c.document_id > _AFTER, past_documents.c.valid_until > _AT)
        .distinct()
        .order_by(past_documents.c.document_id)
        .limit(BATCH)
        .subquery()
        .select(),
    )
    .order_by("id")
    .limit(BATCH)
)
_ROWS = select(documents.c.id, *(documents.c[name] for name in VERSION_COLUMNS)).where(documents.c.id.in_(_IDS))
_CHANGES = (
    select(past_documents)
    .where(past_documents.c.document_id.in_(_IDS), past_documents.c.valid_until > _AT)
    .order_by(past_documents.c.number.desc())
)
_TAKEN_DOWN = (
    select(past_takedowns.c.document_id, past_takedowns.c.reason)
    .where(past_takedowns.c.stored_at <= _AT, past_takedowns.c.valid_until > _AT)
    .order_by(past_takedowns.c.document_id, past_takedowns.c.valid_until)
)
_COUNT_TAKEDOWNS = select(func.count()).select_from(past_takedowns)
_LIMITS = select(past_limits.c.began_at)
_EXISTS = select(
    or_(
        exists().where(documents.c.stored_at <= _AT),
        exists().where(past_documents.c.stored_at <= _AT, past_documents.c.valid_until > _AT),
        exists().where(past_takedowns.c.stored_at <= _AT),
    )
)
_STORED_TIMES = union_all(
    *(select(func.min(table.c.stored_at).label("stored_at")) for table in (documents, past_documents, past_takedowns))
)
_FIRST = select(func.min(_STORED_TIMES.subquery().c.stored_at))
_ADD_LIMITS = Upsert(past_limits, ("number",))
_SEAL = update(past_limits).where(or_(past_limits.c.sealed_at.is_(None), past_limits.c.sealed_at < _AT)).values(sealed_at=_AT)
# The past rows that a takedown finds by the keys of their URLs. The condition is that of ix_past_documents_keyless.
_KEYLESS = (
    select(past_documents.c.number, past_documents.c.url, past_documents.c.requested_url)
    .where(past_documents.c.url_key.is_(None), or_(past_documents.c.url.is_not(None), past_documents.c.requested_url.is_not(None)))
    .order_by(past_documents.c.number)
    .limit(KEYED_ROWS)
)
_SET_KEYS = (
    update(past_documents)
    .where(past_documents.c.number == bindparam("b_number"))
    .values(url_key=bindparam("b_url_key"), requested_key=bindparam("b_requested_key"))
)
_AT_KEYS = union_all(
    *(
        select(past_documents.c.document_id, func.max(past_documents.c.number).label("number"))
        .where(column.in_(bindparam("b_keys", expanding=True)), past_documents.c.url_key.is_not(None))
        .group_by(past_documents.c.document_id)
        for column in (past_documents.c.document_id, past_documents.c.url_key, past_documents.c.requested_key)
    )
)
_UP_TO = and_(past_documents.c.document_id == bindparam("b_id"), past_documents.c.number <= bindparam("b_number"))
_STORED = select(documents.c.id).where(documents.c.id.in_(_IDS))
_SPAN = select(func.min(past_documents.c.stored_at), func.max(past_documents.c.valid_until)).where(_UP_TO)
_DELETE = delete(past_documents).where(_UP_TO)
_NOTE_TAKEN_DOWN = Upsert(past_takedowns, ("document_id", "valid_until"))

Version = dict[str, Any]  # `id` and VERSION_COLUMNS


@dataclass(frozen=True, slots=True)
class TakenDown:
    """A document of which a takedown deleted the versions."""

    id: str
    reason: str


def iterate_at(engine: Engine, at: datetime) -> Iterator[list[Version]]:
    """The rows of all documents at a time that `settle` has returned, in batches, in the order of their ids."""
    after = ""
    while True:
        with reading(engine) as conn:
            ids = conn.execute(_NEXT_IDS, {"b_after": after, "b_at": at}).scalars().all()
            found = read_at(conn, ids, at)
        if found:
            yield found
        if len(ids) < BATCH:
            return
        after = ids[-1]


def read_at(conn: Connection, ids: Sequence[str], at: datetime) -> list[Version]:
    """The rows of these documents at a time, in the order of their ids. Those that did not exist are left out."""
    versions: dict[str, Version] = {row["id"]: dict(row) for row in conn.execute(_ROWS, {"b_ids": ids}).mappings()}
    for change in conn.execute(_CHANGES, {"b_ids": ids, "b_at": at}).mappings():
        undo(versions, change)
    return [versions[one] for one in sorted(versions) if versions[one]["stored_at"] <= at]


def undo(versions: dict[str, Version], change: RowMapping) -> None:
    """Make the version of a document the one before a change."""
    document_id, names = change["document_id"], change["changed"]
    if names is None:
        versions[document_id] = {"id": document_id, **{name: change[name] for name in VERSION_COLUMNS}}
    elif document_id in versions:
        versions[document_id] |= {name: change[name] for name in names.split(",")[:-1]}


def list_taken_down(engine: Engine, at: datetime) -> list[TakenDown]:
    """The documents stored until `at` whose versions at that time a takedown deleted, by id."""
    with reading(engine) as conn:
        rows = conn.execute(_TAKEN_DOWN, {"b_at": at}).all()
        reasons = {row.document_id: row.reason for row in rows}
        for batch in (sorted(reasons)[start : start + BATCH] for start in range(0, len(reasons), BATCH)):
            for version in read_at(conn, batch, at):
                del reasons[version["id"]]  # it was stored again, or is another version
    return [TakenDown(one, reasons[one]) for one in sorted(reasons)]


def has_later(engine: Engine, at: datetime) -> bool:
    """Whether anything was stored, changed or removed after a time; if not, the store is as it was then."""
    with reading(engine) as conn:
        last: datetime | None = conn.execute(LAST_STAMP).scalar()
    return last is not None and last > at


def count_takedowns(engine: Engine) -> int:
    """The number of takedowns of documents that were stored. It only grows."""
    with reading(engine) as conn:
        return conn.execute(_COUNT_TAKEDOWNS).scalar_one()


def write_keys(engine: Engine) -> None:
    """Write the keys of the URLs in the past that have none yet, in small transactions, so that `take_down` has few left to write."""
    while True:
        with reading(engine) as conn:
            rows = conn.execute(_KEYLESS).all()
        keys = _make_keys(rows)
        if keys:
            with writing(engine) as conn:
                conn.execute(_SET_KEYS, keys)
        if len(keys) < KEYED_ROWS:
            return


def take_down(conn: Connection, ids: Collection[str], keys: Collection[str], reason: str) -> None:
    """Delete the past of removed documents, and the past in which another document was one of their articles: at a URL of these `keys`."""
    while found := _make_keys(conn.execute(_KEYLESS).all()):
        conn.execute(_SET_KEYS, found)
    last = dict.fromkeys(ids, ALL)  # the number of the last version to delete, by document
    for row in conn.execute(_AT_KEYS, {"b_keys": sorted(keys)}):
        last[row.document_id] = max(row.number, last.get(row.document_id, 0))
    stored = set(conn.execute(_STORED, {"b_ids": sorted(last)}).scalars())
    for document_id, number in sorted(last.items()):
        values = {"b_id": document_id, "b_number": number if document_id in stored else ALL}
        first, until = conn.execute(_SPAN, values).one()
        if first is not None:
            _NOTE_TAKEN_DOWN.run(conn, [{"document_id": document_id, "stored_at": first, "valid_until": until, "reason": reason}])
            conn.execute(_DELETE, values)


def _make_keys(rows: Sequence[AnyRow]) -> list[dict[str, Any]]:
    """The parameters of `_SET_KEYS` for past rows."""
    return [{"b_number": row.number, "b_url_key": _make_key(row.url), "b_requested_key": _make_key(row.requested_url)} for row in rows]


def _make_key(url: str | None) -> str:
    """The key of a URL; "" for none and for one that has no key."""
    try:
        return "" if url is None else make_key(url)
    except UrlError:
        return ""


def is_settled(engine: Engine, at: datetime) -> bool:
    """Whether the documents of a time never change any more, without a seal."""
    with reading(engine) as conn:
        return at <= find_horizon(conn)


def settle(engine: Engine, at: datetime | None, *, now: datetime) -> datetime:
    """A time (None: the newest one) whose documents never change any more. Raises ConfigError for one of which the store knows nothing.

    Nothing is stored before the time after this call. On Postgres, it waits for transactions that began before.
    """
    with reading(engine) as conn:
        horizon = find_horizon(conn)
        began_at = conn.execute(_LIMITS).scalar()
        at = at or horizon
        has_documents = conn.execute(_EXISTS, {"b_at": at}).scalar_one()
        first_at = None if has_documents else conn.execute(_FIRST).scalar_one()
    if not has_documents:
        raise ConfigError(f"the store had no document at {at.isoformat()}; " + _describe_beginning(began_at, first_at))
    if began_at is not None and at < began_at:
        raise ConfigError(
            f"the store cannot tell what it was at {at.isoformat()}, because an older program replaced versions;"
            f" choose {began_at.isoformat()} or later"
        )
    if at > now and at > horizon:
        raise ConfigError(f"{at.isoformat()} is in the future")
    if at > horizon:
        with writing(engine) as conn:
            _ADD_LIMITS.run(conn, [{"number": 1, "began_at": None, "sealed_at": at}])
            conn.execute(_SEAL, {"b_at": at})
        _wait_for(engine, at)
    return at


def _describe_beginning(began_at: datetime | None, first_at: datetime | None) -> str:
    """When the past begins, in a sentence: with the first document, or where an older program stopped to replace versions."""
    known = [one for one in (began_at, first_at) if one is not None]
    return f"its past begins at {max(known).isoformat()}" if first_at is not None else "it has none"


def _wait_for(engine: Engine, at: datetime) -> None:
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while True:
        with reading(engine) as conn:
            if find_horizon(conn) >= at:
                return
        if time.monotonic() > deadline:
            raise ServiceError(f"a transaction that began before {at.isoformat()} has not ended; try again later")
        time.sleep(0.1)

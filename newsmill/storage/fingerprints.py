"""Keeps the fingerprints up to date: in the commit that stores a document, and later for what changed without us (`fingerprints_due`).

A fingerprint stands under the number of the document's page in the ledger. A page that was read as two documents in the course of time has
one, of the later text; that makes a candidate more or fewer, and each is checked by its text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, func, select, text

from newsmill.storage.batches import in_batches
from newsmill.storage.database import reading
from newsmill.storage.schema import documents, fingerprints, fingerprints_due

BATCH = 200  # documents per transaction while catching up: about 0.05 s
BANDS = tuple(column.name for column in fingerprints.c if column.name != "ledger_id")

Rows = Sequence[Mapping[Any, Any]]
Fingerprint = tuple[int, ...]


class Copies(Protocol):
    """The functions of `newsmill.near_duplicates`, which is handed to keep/ as a value, as `addresses.Urls` is."""

    def fingerprint(self, text: str) -> Fingerprint | None:
        """A number for each of BANDS; None for a text too short to say."""

    def agreeing(self, one: Fingerprint, other: Fingerprint) -> int:
        """In how many points two fingerprints agree."""

    def enough(self, least: float) -> int:
        """In how many they must, for the texts to be worth comparing."""

    def shingles(self, text: str) -> frozenset[tuple[str, ...]]:
        """What texts are compared by."""

    def similarity(self, one: Set[tuple[str, ...]], other: Set[tuple[str, ...]]) -> float:
        """How alike two texts are by their shingles, 0 to 1."""


_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_DUE = fingerprints_due.c.document_id
_SETTLED = delete(fingerprints_due).where(_DUE.in_(_IDS))
_CHANGED = _SETTLED.returning(_DUE)
_SOME = select(_DUE).order_by(_DUE).limit(BATCH).with_for_update(skip_locked=True)
_TEXTS = select(documents.c.id, documents.c.ledger_id, documents.c.text).where(documents.c.id.in_(_IDS))
_NONE = delete(fingerprints).where(fingerprints.c.ledger_id.in_(_IDS))
_PUT = text("""INSERT INTO fingerprints (ledger_id, band1, band2, band3, band4, band5, band6)
VALUES (:ledger_id, :band1, :band2, :band3, :band4, :band5, :band6) ON CONFLICT (ledger_id) DO UPDATE
SET band1 = excluded.band1, band2 = excluded.band2, band3 = excluded.band3,
band4 = excluded.band4, band5 = excluded.band5, band6 = excluded.band6""")


def refresh(conn: Connection, copies: Copies, rows: Rows) -> None:
    """Make the fingerprints of those of some documents, just written in this transaction, whose text changed."""
    if not rows:
        return
    changed = set(conn.execute(_CHANGED, {"b_ids": [row["id"] for row in rows]}).scalars())
    _put(conn, copies, [row for row in rows if row["id"] in changed])


def pending(engine: Engine) -> int:
    """How many documents have no fingerprint yet, or one of an older text."""
    with reading(engine) as conn:
        return conn.execute(select(func.count()).select_from(fingerprints_due)).scalar_one()


def catch_up(engine: Engine, copies: Copies, most: int = BATCH) -> int:
    """Make what is pending, at least `most` where there are as many; how many it was. Several processes may do so at once."""

    def make(conn: Connection, ids: Sequence[str]) -> None:
        _put(conn, copies, conn.execute(_TEXTS, {"b_ids": ids}).mappings().all())
        conn.execute(_SETTLED, {"b_ids": ids})  # also those whose document is gone

    return in_batches(engine, _SOME, most, make)


def _put(conn: Connection, copies: Copies, rows: Rows) -> None:
    if not rows:
        return
    made = {row["ledger_id"]: copies.fingerprint(row["text"]) for row in rows}
    if short := [ledger_id for ledger_id, found in made.items() if found is None]:
        conn.execute(_NONE, {"b_ids": short})
    # In the order of their key, so that two transactions cannot wait for each other in a circle.
    if new := [{"ledger_id": key, **dict(zip(BANDS, found, strict=True))} for key, found in sorted(made.items()) if found is not None]:
        conn.execute(_PUT, new)

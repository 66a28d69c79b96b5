"""Keeps the fingerprints up to date: in the commit that stores a document, and later for what changed without us (`fingerprints_due`).

A fingerprint stands under the number of the document's page in the ledger. A page that was read as two documents in the course of time has
one, of the later text; that makes a candidate more or fewer, and each is checked by its text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, exists, func, select, text

from newsmill import near_duplicates
from newsmill.model import NearDuplicate
from newsmill.storage.database import reading, run_in_batches
from newsmill.storage.schema import documents, fingerprints, fingerprints_due

BATCH = 200  # documents per transaction while catching up: about 0.05 s
BANDS = tuple(column.name for column in fingerprints.c if column.name != "ledger_id")

Rows = Sequence[Mapping[Any, Any]]
Fingerprint = tuple[int, ...]


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


def refresh(conn: Connection, rows: Rows) -> None:
    """Make the fingerprints of those of some documents, just written in this transaction, whose text changed."""
    if not rows:
        return
    changed = set(conn.execute(_CHANGED, {"b_ids": [row["id"] for row in rows]}).scalars())
    _put(conn, [row for row in rows if row["id"] in changed])


def pending(engine: Engine) -> int:
    """How many documents have no fingerprint yet, or one of an older text."""
    with reading(engine) as conn:
        return conn.execute(select(func.count()).select_from(fingerprints_due)).scalar_one()


def catch_up(engine: Engine, most: int = BATCH) -> int:
    """Make what is pending, at least `most` where there are as many; how many it was. Several processes may do so at once."""

    def make(conn: Connection, ids: Sequence[str]) -> None:
        _put(conn, conn.execute(_TEXTS, {"b_ids": ids}).mappings().all())
        conn.execute(_SETTLED, {"b_ids": ids})  # also those whose document is gone

    return run_in_batches(engine, _SOME, most, make)


def _put(conn: Connection, rows: Rows) -> None:
    if not rows:
        return
    made = {row["ledger_id"]: near_duplicates.fingerprint(row["text"]) for row in rows}
    if short := [ledger_id for ledger_id, found in made.items() if found is None]:
        conn.execute(_NONE, {"b_ids": short})
    # In the order of their key, so that two transactions cannot wait for each other in a circle.
    if new := [{"ledger_id": key, **dict(zip(BANDS, found, strict=True))} for key, found in sorted(made.items()) if found is not None]:
        conn.execute(_PUT, new)


# Which stored documents carry (nearly) the same text as one: candidates by the bands of their fingerprints, those that agree in too few
# points left out (relate.near_duplicates.enough), the others checked by their texts.

MIN_SIMILARITY = (
    0.7  # similarity from which two texts are told of as nearly the same; fingerprints find 92 % of such pairs, and fewer below it
)
MAX_NEAR_DUPLICATES = 100  # near duplicates of one document that are looked at: each costs reading its text, about 0.2 ms
IN_BAND = 200  # documents of one band that are counted; a text that thousands carry is among the first of them

# Who shares most bands comes first. Each part stops by itself, so that a band with a million documents takes no longer than one with 200.
_PART = "SELECT ledger_id FROM (SELECT ledger_id FROM fingerprints WHERE {band} = :{band} LIMIT :in_band) AS {band}s"
_CANDIDATES = text(
    f"SELECT ledger_id, {', '.join(BANDS)} FROM fingerprints JOIN (SELECT ledger_id, count(*) AS bands"  # noqa: S608  # names of columns
    f" FROM ({' UNION ALL '.join(_PART.format(band=band) for band in BANDS)}) AS held"
    " GROUP BY ledger_id ORDER BY bands DESC, ledger_id LIMIT :most) AS most USING (ledger_id)"
)
_HEAD = ("id", "url", "title", "source", "site_name", "language", "published_at", "first_seen_at")
_TEXT = select(documents.c.text).where(documents.c.id == bindparam("b_id"))
# The fingerprint of a document, where the one that is stored is of this text for certain.
_SIBLING = documents.alias("sibling")  # read from the same page
_OWN = (
    select(fingerprints)
    .join(documents, documents.c.ledger_id == fingerprints.c.ledger_id)
    .where(
        documents.c.id == bindparam("b_id"),
        ~exists().where(fingerprints_due.c.document_id == documents.c.id),
        ~exists().where(_SIBLING.c.ledger_id == documents.c.ledger_id, _SIBLING.c.id != documents.c.id),
    )
)
_OTHERS = (
    select(*(documents.c[name] for name in _HEAD), documents.c.text)
    .where(documents.c.ledger_id.in_(bindparam("b_ids", expanding=True)), documents.c.id != bindparam("b_id"))
    .limit(MAX_NEAR_DUPLICATES)
)


class NearDuplicates:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, document_id: str, *, least: float = MIN_SIMILARITY, limit: int = 20) -> tuple[NearDuplicate, ...] | None:
        """The documents most similar to one, the most similar first; None when there is no such document.

        `least`: how similar they must be, 0 to 1: shingles both texts have, of those that either has (relate.copies). A text too short to
        have a fingerprint has no near duplicates. At most MOST are found.
        """
        with reading(self._engine) as conn:
            own = self._own(conn, document_id)
            if own is None:
                return None
            page, bands = own
            pages = [other for other in self._candidates(conn, bands, least) if other != page]
            near = self._near(conn, document_id, pages, least) if pages else []
        return tuple(sorted(near, key=lambda one: (-one.similarity, one.first_seen_at, one.id))[:limit])

    def _own(self, conn: Connection, document_id: str) -> tuple[int | None, Fingerprint | None] | None:
        """The page and the fingerprint of a document; where none is stored that is its own, no page, and one made of its text."""
        stored = conn.execute(_OWN, {"b_id": document_id}).first()
        if stored is not None:
            return stored[0], tuple(stored[1:])
        said = conn.execute(_TEXT, {"b_id": document_id}).scalar()
        return None if said is None else (None, near_duplicates.fingerprint(said))

    def _candidates(self, conn: Connection, bands: Fingerprint | None, least: float) -> list[int]:
        """Pages of documents to compare with, and the page of the document itself."""
        if bands is None:
            return []
        enough = near_duplicates.min_agreeing_points(least)
        given = {**dict(zip(BANDS, bands, strict=True)), "in_band": IN_BAND, "most": MAX_NEAR_DUPLICATES + 1}
        return [
            page
            for page, *theirs in conn.execute(_CANDIDATES, given)
            if near_duplicates.count_agreeing_points(bands, tuple(theirs)) >= enough
        ]

    def _near(self, conn: Connection, document_id: str, pages: list[int], least: float) -> list[NearDuplicate]:
        said = conn.execute(_TEXT, {"b_id": document_id}).scalar() or ""
        ours = near_duplicates.shingles(said)
        near = []
        for row in conn.execute(_OTHERS, {"b_ids": pages, "b_id": document_id}).mappings():
            alike = 1.0 if row["text"] == said else near_duplicates.similarity(ours, near_duplicates.shingles(row["text"]))
            if alike >= least:
                near.append(NearDuplicate(**{name: row[name] for name in _HEAD}, similarity=alike))
        return near

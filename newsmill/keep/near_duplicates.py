"""Which stored documents carry (nearly) the same text as one: candidates by the bands of their fingerprints, checked by their texts."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, bindparam, select, text

from newsmill.keep.fingerprints import BANDS, Copies, Rows
from newsmill.keep.search.looking import looking
from newsmill.keep.tables import documents
from newsmill.model import NearDuplicate

LEAST = 0.7  # similarity from which two texts are told of as nearly the same; fingerprints find 92 % of such pairs, and fewer below it
MOST = 100  # near duplicates of one document that are looked at: each costs reading its text, about 0.2 ms
IN_BAND = 200  # documents of one band that are counted; a text that thousands carry is among the first of them

# Who shares most bands comes first. Each part stops by itself, so that a band with a million documents takes no longer than one with 200.
_PART = "SELECT ledger_id FROM (SELECT ledger_id FROM fingerprints WHERE {band} = :{band} LIMIT :in_band) AS {band}s"
_CANDIDATES = text(
    f"SELECT ledger_id FROM ({' UNION ALL '.join(_PART.format(band=band) for band in BANDS)}) AS held"  # noqa: S608  # names of columns
    " GROUP BY ledger_id ORDER BY count(*) DESC, ledger_id LIMIT :most"
)
_HEAD = ("id", "url", "title", "source", "site_name", "language", "published_at", "first_seen_at")
_TEXT = select(documents.c.text).where(documents.c.id == bindparam("b_id"))
_OTHERS = (
    select(*(documents.c[name] for name in _HEAD), documents.c.text)
    .where(documents.c.ledger_id.in_(bindparam("b_ids", expanding=True)), documents.c.id != bindparam("b_id"))
    .limit(MOST)
)


class NearDuplicates:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine, copies: Copies) -> None:
        """`copies` is the module `newsmill.relate.copies`."""
        self._engine = engine
        self._copies = copies

    def of(self, document_id: str, *, least: float = LEAST, limit: int = 20) -> tuple[NearDuplicate, ...] | None:
        """The documents most similar to one, the most similar first; None when there is no such document.

        `least`: how similar they must be, 0 to 1: shingles both texts have, of those that either has (relate.copies). A text too short to
        have a fingerprint has no near duplicates. At most MOST are found.
        """
        with looking(self._engine) as conn:
            said: str | None = conn.execute(_TEXT, {"b_id": document_id}).scalar()
            if said is None:
                return None
            found = self._similar(conn, document_id, said, least)
        return tuple(sorted(found, key=lambda near: (-near.similarity, near.first_seen_at, near.id))[:limit])

    def _similar(self, conn: Connection, document_id: str, said: str, least: float) -> list[NearDuplicate]:
        rows = self._candidates(conn, document_id, said)
        if not rows:
            return []
        ours = self._copies.shingles(said)
        near = []
        for row in rows:
            alike = 1.0 if row["text"] == said else self._copies.similarity(ours, self._copies.shingles(row["text"]))
            if alike >= least:
                near.append(NearDuplicate(**{name: row[name] for name in _HEAD}, similarity=alike))
        return near

    def _candidates(self, conn: Connection, document_id: str, said: str) -> Rows:
        bands = self._copies.fingerprint(said)
        if bands is None:
            return []
        given = {**dict(zip(BANDS, bands, strict=True)), "in_band": IN_BAND, "most": MOST + 1}  # the document itself is one of them
        ids = conn.execute(_CANDIDATES, given).scalars().all()
        return conn.execute(_OTHERS, {"b_ids": ids, "b_id": document_id}).mappings().all() if ids else []

"""Which stored documents carry (nearly) the same text as one: candidates by the bands of their fingerprints, those that agree in too few
points left out (relate.copies.enough), the others checked by their texts."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, bindparam, exists, select, text

from newsmill.model import NearDuplicate
from newsmill.storage.database import reading
from newsmill.storage.fingerprints import BANDS, Copies, Fingerprint
from newsmill.storage.schema import documents, fingerprints, fingerprints_due

LEAST = 0.7  # similarity from which two texts are told of as nearly the same; fingerprints find 92 % of such pairs, and fewer below it
MOST = 100  # near duplicates of one document that are looked at: each costs reading its text, about 0.2 ms
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
    .limit(MOST)
)


class NearDuplicates:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine, copies: Copies) -> None:
        """`copies` is the module `newsmill.near_duplicates`."""
        self._engine = engine
        self._copies = copies

    def of(self, document_id: str, *, least: float = LEAST, limit: int = 20) -> tuple[NearDuplicate, ...] | None:
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
        return None if said is None else (None, self._copies.fingerprint(said))

    def _candidates(self, conn: Connection, bands: Fingerprint | None, least: float) -> list[int]:
        """Pages of documents to compare with, and the page of the document itself."""
        if bands is None:
            return []
        enough = self._copies.enough(least)
        given = {**dict(zip(BANDS, bands, strict=True)), "in_band": IN_BAND, "most": MOST + 1}
        return [page for page, *theirs in conn.execute(_CANDIDATES, given) if self._copies.agreeing(bands, tuple(theirs)) >= enough]

    def _near(self, conn: Connection, document_id: str, pages: list[int], least: float) -> list[NearDuplicate]:
        said = conn.execute(_TEXT, {"b_id": document_id}).scalar() or ""
        ours = self._copies.shingles(said)
        near = []
        for row in conn.execute(_OTHERS, {"b_ids": pages, "b_id": document_id}).mappings():
            alike = 1.0 if row["text"] == said else self._copies.similarity(ours, self._copies.shingles(row["text"]))
            if alike >= least:
                near.append(NearDuplicate(**{name: row[name] for name in _HEAD}, similarity=alike))
        return near

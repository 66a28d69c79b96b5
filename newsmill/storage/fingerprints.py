"""Fingerprints of documents, and the near duplicates found by them.

A fingerprint is made in the commit that stores a document, and later for documents changed otherwise (`fingerprints_due`). Its key is
the ledger's id of the document's page. A page that was extracted as two documents over time has one fingerprint, of the later text. This
changes only which candidates are compared, because every candidate is checked by its text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, Engine, bindparam, delete, exists, func, select, text

from newsmill.model import NearDuplicate
from newsmill.similarity import near_duplicates
from newsmill.storage.database import reading, run_in_batches
from newsmill.storage.dialects import choose
from newsmill.storage.schema import documents, fingerprints, fingerprints_due

BATCH_SIZE = 200  # documents per transaction in `catch_up`: about 0.05 s
BANDS = tuple(column.name for column in fingerprints.c if column.name != "ledger_id")

Rows = Sequence[Mapping[Any, Any]]
Fingerprint = tuple[int, ...]


_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_DUE = fingerprints_due.c.document_id
_DELETE_DUE = delete(fingerprints_due).where(_DUE.in_(_IDS))
_TAKE_CHANGED = _DELETE_DUE.returning(_DUE)
_DUE_BATCH = select(_DUE).order_by(_DUE).limit(BATCH_SIZE).with_for_update(skip_locked=True)
_TEXTS = select(documents.c.id, documents.c.ledger_id, documents.c.text).where(documents.c.id.in_(_IDS))
_DELETE = delete(fingerprints).where(fingerprints.c.ledger_id.in_(_IDS))
_PUT = text("""INSERT INTO fingerprints (ledger_id, band1, band2, band3, band4, band5, band6)
VALUES (:ledger_id, :band1, :band2, :band3, :band4, :band5, :band6) ON CONFLICT (ledger_id) DO UPDATE
SET band1 = excluded.band1, band2 = excluded.band2, band3 = excluded.band3,
band4 = excluded.band4, band5 = excluded.band5, band6 = excluded.band6""")


def refresh(conn: Connection, rows: Rows) -> None:
    """Make the fingerprints of documents written in this transaction, as far as their text changed."""
    if not rows:
        return
    changed = set(conn.execute(_TAKE_CHANGED, {"b_ids": [row["id"] for row in rows]}).scalars())
    _put(conn, [row for row in rows if row["id"] in changed])


def pending(engine: Engine) -> int:
    """The number of documents without a fingerprint of their current text."""
    with reading(engine) as conn:
        return conn.execute(select(func.count()).select_from(fingerprints_due)).scalar_one()


def catch_up(engine: Engine, limit: int = BATCH_SIZE) -> int:
    """Make missing fingerprints, at least `limit` if there are as many. Returns their number. Several processes may do so at once."""

    def make(conn: Connection, ids: Sequence[str]) -> None:
        _put(conn, conn.execute(_TEXTS, {"b_ids": ids}).mappings().all())
        conn.execute(_DELETE_DUE, {"b_ids": ids})  # including documents that were deleted

    return run_in_batches(engine, _DUE_BATCH, limit, make)


def _put(conn: Connection, rows: Rows) -> None:
    if not rows:
        return
    made = {row["ledger_id"]: near_duplicates.fingerprint(row["text"]) for row in rows}
    if short := [ledger_id for ledger_id, found in made.items() if found is None]:
        conn.execute(_DELETE, {"b_ids": short})
    # In the order of the key, so that two transactions cannot deadlock.
    if new := [{"ledger_id": key, **dict(zip(BANDS, found, strict=True))} for key, found in sorted(made.items()) if found is not None]:
        conn.execute(_PUT, new)


MIN_SIMILARITY = 0.7  # of near duplicates, 0 to 1; fingerprints find 92 % of such pairs, and fewer of less similar ones
MAX_NEAR_DUPLICATES = 100  # compared with one document: each costs reading its text, about 0.2 ms
MAX_IN_BAND = 200  # documents read per band; copies of a text are among the first in every band


def _query_candidates(number: str) -> str:
    """SQL for the pages that share the most bands with one fingerprint, at most :most. `number`: SQL for the fingerprint's number {}.

    Each band has its own limit, so that one with a million pages costs as much as one with 200.
    """
    in_band = "SELECT ledger_id FROM (SELECT ledger_id FROM fingerprints WHERE {} = {} LIMIT :in_band) AS {}s"
    pages = " UNION ALL ".join(in_band.format(band, number.format(index), band) for index, band in enumerate(BANDS))
    return f"SELECT ledger_id FROM ({pages}) AS pages GROUP BY ledger_id ORDER BY count(*) DESC, ledger_id LIMIT :most"  # noqa: S608


# The index of each given fingerprint, which is a list of numbers, with the bands of each of its candidates.
_PAGE = f"ledger_id, {', '.join(BANDS)}"
_CANDIDATES_IN_SQLITE = text(f"""SELECT given.key, {_PAGE} FROM json_each(:given) AS given CROSS JOIN fingerprints
WHERE ledger_id IN ({_query_candidates("json_extract(given.value, '$[{}]')")})""")  # noqa: S608  # names of columns
_CANDIDATES_IN_POSTGRES = text(f"""SELECT given.key - 1, {_PAGE}
FROM jsonb_array_elements(CAST(:given AS jsonb)) WITH ORDINALITY AS given (value, key)
CROSS JOIN LATERAL ({_query_candidates("CAST(given.value ->> {} AS integer)")}) AS candidates
JOIN fingerprints USING (ledger_id)""")  # noqa: S608
_HEAD = ("id", "url", "title", "source", "site_name", "language", "published_at", "published_precision", "first_seen_at")
_TEXT = select(documents.c.text).where(documents.c.id == bindparam("b_id"))
# The fingerprint of a document, if the stored one is certainly of its text.
_SIBLING = documents.alias("sibling")  # a document of the same page
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


def find_similar_pages(conn: Connection, texts: Sequence[str]) -> list[list[int]]:
    """For each text, the pages (ids of the ledger) of stored documents whose fingerprints are similar; none for a short text."""
    return find_candidates(conn, [near_duplicates.fingerprint(text) for text in texts])


def find_candidates(conn: Connection, given: Sequence[Fingerprint | None], least: float = MIN_SIMILARITY) -> list[list[int]]:
    """For each fingerprint, the pages of stored documents whose fingerprints agree enough for a similarity of `least`."""
    pages: list[list[int]] = [[] for _ in given]
    if not any(given):
        return pages
    enough = near_duplicates.min_agreeing_points(least)
    values = {"given": json.dumps([bands or () for bands in given]), "in_band": MAX_IN_BAND, "most": MAX_NEAR_DUPLICATES + 1}
    find = choose(conn, sqlite=_CANDIDATES_IN_SQLITE, postgres=_CANDIDATES_IN_POSTGRES)
    for index, page, *bands in conn.execute(find, values):
        if near_duplicates.count_agreeing_points(given[index] or (), tuple(bands)) >= enough:
            pages[index].append(page)
    return pages


class NearDuplicates:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, document_id: str, *, least: float = MIN_SIMILARITY, limit: int = 20) -> tuple[NearDuplicate, ...] | None:
        """The documents most similar to one, the most similar first; None if the document does not exist.

        `least`: the similarity, 0 to 1: shingles in both texts, divided by shingles in either. A text too short for a fingerprint has no
        near duplicates. At most MAX_NEAR_DUPLICATES are found.
        """
        with reading(self._engine) as conn:
            own = self._own(conn, document_id)
            if own is None:
                return None
            page, bands = own
            pages = [other for other in find_candidates(conn, [bands], least)[0] if other != page]
            near = self._near(conn, document_id, pages, least) if pages else []
        return tuple(sorted(near, key=lambda one: (-one.similarity, one.first_seen_at, one.id))[:limit])

    def _own(self, conn: Connection, document_id: str) -> tuple[int | None, Fingerprint | None] | None:
        """(page, fingerprint) of a document; without a stored fingerprint of its own, (None, one made of its text)."""
        stored = conn.execute(_OWN, {"b_id": document_id}).first()
        if stored is not None:
            return stored[0], tuple(stored[1:])
        text_of_document = conn.execute(_TEXT, {"b_id": document_id}).scalar()
        return None if text_of_document is None else (None, near_duplicates.fingerprint(text_of_document))

    def _near(self, conn: Connection, document_id: str, pages: list[int], least: float) -> list[NearDuplicate]:
        text_of_document = conn.execute(_TEXT, {"b_id": document_id}).scalar() or ""
        ours = near_duplicates.shingles(text_of_document)
        near = []
        for row in conn.execute(_OTHERS, {"b_ids": pages, "b_id": document_id}).mappings():
            similarity = 1.0 if row["text"] == text_of_document else near_duplicates.similarity(ours, near_duplicates.shingles(row["text"]))
            if similarity >= least:
                near.append(NearDuplicate(**{name: row[name] for name in _HEAD}, similarity=similarity))
        return near

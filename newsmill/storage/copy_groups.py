"""The groups of copies: which document of a group is the first, and which are its copies (newsmill.similarity.copies has the rules).

Triggers note documents that are new, changed or removed in `copies_due`, in the commit that writes them. `catch_up` decides them some
seconds later, in a transaction of its own. It then sees what all workers have committed, so two copies that are stored at once find one
another. One process decides at a time. It takes documents in any order: a decision depends on earlier documents only, and a head that
changes releases its members to be decided again. So the groups end as if all documents had arrived in the order of their times.

A row is the page of a document. `group_id` is the page of the group's head, also in the head's own row; NULL: the document has no copies.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Engine, bindparam, delete, exists, func, literal_column, select, text

from newsmill.search.positions import document_time
from newsmill.similarity.copies import ComparedText, OrderKey, may_be_copies, order_key
from newsmill.similarity.near_duplicates import Fingerprint
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import choose, try_lock
from newsmill.storage.due_stories import note_due
from newsmill.storage.fingerprints import BANDS
from newsmill.storage.schema import copies_due, copy_groups, documents, fingerprints, fingerprints_due, search_entries

BATCH_SIZE = 100  # documents per transaction: about 0.05 s
MAX_IN_BAND = 100  # documents read per band; all copies of a text lead to the same head
MAX_CACHED_TEXTS = 200  # compared in one transaction: 10 MB

_LOCK = 0x636F70696573  # "copies"
_IDS: BindParameter[Any] = bindparam("b_ids", expanding=True)
_PAGE: BindParameter[Any] = bindparam("b_page")
_IS_DUE: ColumnElement[bool] = literal_column("copy_groups.is_due")  # the condition of ix_copy_groups_due
# A document waits for the fingerprint of its text.
_HAS_FINGERPRINT_DUE = exists().where(fingerprints_due.c.document_id == documents.c.id, documents.c.ledger_id == copies_due.c.ledger_id)
_NOTED = select(copies_due.c.ledger_id).where(~_HAS_FINGERPRINT_DUE).order_by(copies_due.c.ledger_id).limit(BATCH_SIZE)
_LOCK_NOTED = _NOTED.with_for_update(skip_locked=True)
_RELEASED = select(copy_groups.c.ledger_id).where(_IS_DUE).order_by(copy_groups.c.ledger_id).limit(BATCH_SIZE)
_DELETE_NOTED = delete(copies_due).where(copies_due.c.ledger_id.in_(_IDS))
_COUNT_NOTED = select(func.count()).select_from(copies_due).scalar_subquery()
_COUNT_RELEASED = select(func.count()).select_from(copy_groups).where(_IS_DUE).scalar_subquery()
_COUNT = select(_COUNT_NOTED + _COUNT_RELEASED)

_KNOWN = select(copy_groups.c.ledger_id, copy_groups.c.group_id, copy_groups.c.document_id).where(copy_groups.c.ledger_id.in_(_IDS))
_TIMES = ("published_at", "published_precision", "first_seen_at")
_DOCUMENTS = (
    select(documents.c.ledger_id, documents.c.id, *(documents.c[name] for name in _TIMES), *(fingerprints.c[band] for band in BANDS))
    .join_from(documents, fingerprints, fingerprints.c.ledger_id == documents.c.ledger_id, isouter=True)
    .where(documents.c.ledger_id.in_(_IDS))
    .order_by(documents.c.ledger_id, documents.c.stored_at, documents.c.id)
)
_TEXT = select(documents.c.text).join(copy_groups, copy_groups.c.document_id == documents.c.id).where(copy_groups.c.ledger_id == _PAGE)
_PUT = text("""INSERT INTO copy_groups (ledger_id, document_id, second, is_due) VALUES (:ledger_id, :document_id, :second, false)
ON CONFLICT (ledger_id) DO UPDATE SET document_id = excluded.document_id, second = excluded.second, is_due = false""")
_DELETE = delete(copy_groups).where(copy_groups.c.ledger_id.in_(_IDS))
_SET_GROUP = text("UPDATE copy_groups SET group_id = :group WHERE ledger_id = :page")
_RELEASE = text("UPDATE copy_groups SET is_due = true WHERE group_id = :page AND ledger_id <> :page")
_POSTPONE = text("UPDATE copy_groups SET is_due = true WHERE ledger_id = :page")
# A head has its own page as its group while it has members.
_MARK_HEAD = text("""UPDATE copy_groups SET group_id = CASE WHEN EXISTS
(SELECT 1 FROM copy_groups AS m WHERE m.group_id = :page AND m.ledger_id <> :page) THEN :page END
WHERE ledger_id = :page AND (group_id IS NULL OR group_id = :page)""")

_ROW = f"c.ledger_id, c.document_id, c.second, c.group_id, {', '.join(BANDS)}"
_PART = "SELECT * FROM (SELECT ledger_id FROM fingerprints WHERE {band} = :{band} LIMIT :in_band) AS {band}s"
_FROM = "FROM copy_groups AS c JOIN fingerprints AS f ON f.ledger_id = c.ledger_id WHERE c.ledger_id IN"
_CANDIDATES = text(f"SELECT {_ROW} {_FROM} ({' UNION '.join(_PART.format(band=band) for band in BANDS)})")  # names of columns
_HEADS = text(f"SELECT {_ROW} {_FROM} :b_ids").bindparams(_IDS)

_CHANGED = (
    select(copy_groups.c.ledger_id, copy_groups.c.group_id, search_entries.c.moment, search_entries.c.document_id)
    .join_from(copy_groups, search_entries, search_entries.c.document_id == copy_groups.c.document_id)
    .where(copy_groups.c.ledger_id.in_(_IDS), search_entries.c.copy_group.is_distinct_from(copy_groups.c.group_id))
)
_AT = "moment = :moment AND document_id = :document_id"
_SET_IN_SQLITE = text(f"UPDATE search_entries SET copy_group = :group WHERE {_AT}")  # noqa: S608
# A transaction that writes the entry is not waited for, because it may wait for a row that this one has locked.
_SET_IN_POSTGRES = text(f"""UPDATE search_entries SET copy_group = :group WHERE (moment, document_id) IN
(SELECT moment, document_id FROM search_entries WHERE {_AT} FOR UPDATE SKIP LOCKED)""")  # noqa: S608

# A page that is another document now.
_FORGET = text("UPDATE search_entries SET copy_group = NULL WHERE document_id = :document_id AND copy_group IS NOT NULL")


def pending(engine: Engine) -> int:
    """The number of documents whose groups are not decided."""
    with reading(engine) as conn:
        waiting: int = conn.execute(_COUNT).scalar_one()
    return waiting


def catch_up(engine: Engine, limit: int = BATCH_SIZE) -> int:
    """Decide at least `limit` documents if there are as many, unless another process does so. Returns their number."""
    done, before = 0, set[int]()
    while done < limit:
        with writing(engine) as conn:
            if not try_lock(conn, _LOCK):
                return done
            noted = conn.execute(_LOCK_NOTED).scalars().all()
            released = set(conn.execute(_RELEASED).scalars())
            if not noted and released == before:  # none is left, or others write their entries of the index just now
                return done
            pages, before = {*noted, *released}, released
            _Decisions(conn).decide(pages)
            conn.execute(_DELETE_NOTED, {"b_ids": noted})
        done += len(pages)
    return done


@dataclass(frozen=True, slots=True)
class _Page:
    """The page of a document that may be the head or a member of a group."""

    id: int
    key: OrderKey
    bands: Fingerprint | None  # None: the text is too short
    group: int | None

    @property
    def head(self) -> int:
        return self.id if self.group is None else self.group

    @property
    def is_head(self) -> bool:
        return self.head == self.id


class _Decisions:
    """Decisions in one transaction."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._texts = OrderedDict[int, ComparedText]()
        self._touched = set[int]()  # heads that may have got their first member or lost their last one
        self._moved = set[int]()

    def decide(self, ids: Iterable[int]) -> None:
        """Decide the documents of some pages, and write what follows for the index."""
        ids = sorted(ids)
        stored = self._conn.execute(_KNOWN, {"b_ids": ids}).all()
        known = {row.ledger_id: row.group_id for row in stored}
        rows = {row.ledger_id: row for row in self._conn.execute(_DOCUMENTS, {"b_ids": ids})}  # of several documents, the last one
        for row in stored:
            if row.group_id == row.ledger_id:
                self._conn.execute(_RELEASE, {"page": row.ledger_id})
            if row.ledger_id in rows and row.document_id != rows[row.ledger_id].id:
                self._conn.execute(_FORGET, {"document_id": row.document_id})
        if gone := [page for page in known if page not in rows]:
            self._conn.execute(_DELETE, {"b_ids": gone})
            self._touched |= {group for page in gone if (group := known[page]) is not None}
        pages = [_Page(row[0], _key_of(row), _read_bands(row), known.get(row[0])) for row in rows.values()]
        if pages:
            values = [{"ledger_id": page.id, "second": page.key[0], "document_id": page.key[1]} for page in pages]
            self._conn.execute(_PUT, values)
        self._moved.update(page.id for page in pages)
        for page in sorted(pages, key=lambda page: page.key):
            self._decide(page)
        for head in sorted(self._touched):
            self._conn.execute(_MARK_HEAD, {"page": head})
        self._write_index(self._moved | self._touched)
        note_due(self._conn, {*ids} | self._moved | self._touched)

    def _decide(self, page: _Page) -> None:
        candidates = self._find_candidates(page)
        heads = sorted((one for one in candidates.values() if one.is_head and one.key < page.key), key=lambda one: one.key)
        head = next((one for one in heads if self._are_copies(page, one)), None)
        if head is not None:
            self._set_group(page, head.id)
            return
        if not page.is_head:
            self._set_group(page, None)
        for one in candidates.values():
            if one.key > page.key and (one.head not in candidates or candidates[one.head].key > page.key) and self._are_copies(page, one):
                if one.group == one.id:
                    self._conn.execute(_RELEASE, {"page": one.id})
                self._set_group(one, page.id)

    def _find_candidates(self, page: _Page) -> Mapping[int, _Page]:
        """Pages that may be copies of one, with the heads of their groups."""
        if page.bands is None:
            return {}
        bands = dict(zip(BANDS, page.bands, strict=True))
        found = {one.id: one for one in map(_read_page, self._conn.execute(_CANDIDATES, {**bands, "in_band": MAX_IN_BAND}))}
        if missing := {one.head for one in found.values()} - found.keys():
            found |= {one.id: one for one in map(_read_page, self._conn.execute(_HEADS, {"b_ids": sorted(missing)}))}
        found.pop(page.id, None)
        return found

    def _are_copies(self, one: _Page, other: _Page) -> bool:
        if one.bands is None or other.bands is None or not may_be_copies(one.bands, other.bands):
            return False
        return self._text(one.id).is_copy_of(self._text(other.id))

    def _text(self, page: int) -> ComparedText:
        if page in self._texts:
            self._texts.move_to_end(page)
            return self._texts[page]
        self._texts[page] = ComparedText(self._conn.execute(_TEXT, {"b_page": page}).scalar() or "")
        if len(self._texts) > MAX_CACHED_TEXTS:
            self._texts.popitem(last=False)
        return self._texts[page]

    def _set_group(self, page: _Page, group: int | None) -> None:
        if page.group == group:
            return
        self._conn.execute(_SET_GROUP, {"page": page.id, "group": group})
        self._touched |= {one for one in (page.group, group) if one is not None}
        self._moved.add(page.id)

    def _write_index(self, pages: Iterable[int]) -> None:
        statement = choose(self._conn, sqlite=_SET_IN_SQLITE, postgres=_SET_IN_POSTGRES)
        for row in self._conn.execute(_CHANGED, {"b_ids": sorted(pages)}).all():
            values = {"group": row.group_id, "moment": row.moment, "document_id": row.document_id}
            if not self._conn.execute(statement, values).rowcount:
                self._conn.execute(_POSTPONE, {"page": row.ledger_id})


def _key_of(row: Any) -> OrderKey:
    return order_key(document_time(row.published_at, row.published_precision, row.first_seen_at), row.id)


def _read_page(row: Any) -> _Page:
    return _Page(row.ledger_id, (row.second, row.document_id), _read_bands(row), row.group_id)


def _read_bands(row: Any) -> Fingerprint | None:
    return None if row.band1 is None else tuple(row[-len(BANDS) :])

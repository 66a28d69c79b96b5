"""The groups of copies: which document of a group is the first, and which are its copies (newsmill.similarity.copies has the rules).

Triggers note documents that are new, changed or removed in `copies_due`, in the commit that writes them. `catch_up` decides them some
seconds later, in a transaction of its own. It then sees what all workers have committed, so two copies that are stored at once find one
another. One process decides at a time. It takes documents in any order: a decision depends on earlier documents only, and an anchor that
changes releases its members to be decided again. So the groups end as if all documents had been decided in the order of their keys.

A row is the page of a document. `group_id` is the page of the group's anchor, also in the anchor's own row; NULL: the document has no
copies. `place` is 0 in the row of the head, which is usually the anchor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Engine,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)

from newsmill.discovery.source_sites import list_sites
from newsmill.exceptions import UrlError
from newsmill.search.positions import document_time
from newsmill.similarity.copies import ComparedText, Member, OrderKey, choose_head, may_be_copies, order_key
from newsmill.similarity.near_duplicates import Fingerprint
from newsmill.storage.columns import load_source
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import choose, try_lock
from newsmill.storage.due_stories import note_due
from newsmill.storage.fingerprints import BANDS
from newsmill.storage.schema import copies_due, copy_groups, documents, fingerprints, fingerprints_due, search_entries, sources
from newsmill.text.urls import find_site, make_key

BATCH_SIZE = 100  # documents per transaction: about 0.05 s
MAX_IN_BAND = 100  # documents read per band; all copies of a text lead to the same head
MAX_ORDERED = 100  # members of a group of which one may be its head
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
_TIMES = ("published_at", "published_precision", "first_seen_at", "text_seen_at")
_DOCUMENTS = (
    select(documents.c.ledger_id, documents.c.id, *(documents.c[name] for name in _TIMES), *(fingerprints.c[band] for band in BANDS))
    .join_from(documents, fingerprints, fingerprints.c.ledger_id == documents.c.ledger_id, isouter=True)
    .where(documents.c.ledger_id.in_(_IDS))
    .order_by(documents.c.ledger_id, documents.c.stored_at, documents.c.id)
)
_TEXT = select(documents.c.text).join(copy_groups, copy_groups.c.document_id == documents.c.id).where(copy_groups.c.ledger_id == _PAGE)
_PUT = text("""INSERT INTO copy_groups (ledger_id, document_id, second, seen, is_due)
VALUES (:ledger_id, :document_id, :second, :seen, false)
ON CONFLICT (ledger_id) DO UPDATE SET document_id = excluded.document_id, second = excluded.second, seen = excluded.seen, is_due = false""")
_DELETE = delete(copy_groups).where(copy_groups.c.ledger_id.in_(_IDS))
_SET_GROUP = text("UPDATE copy_groups SET group_id = :group WHERE ledger_id = :page")
_RELEASE = text("UPDATE copy_groups SET is_due = true WHERE group_id = :page AND ledger_id <> :page")
_POSTPONE = text("UPDATE copy_groups SET is_due = true WHERE ledger_id = :page")
# An anchor has its own page as its group while it has members.
_MARK_ANCHOR = text("""UPDATE copy_groups SET group_id = CASE WHEN EXISTS
(SELECT 1 FROM copy_groups AS m WHERE m.group_id = :page AND m.ledger_id <> :page) THEN :page END
WHERE ledger_id = :page AND (group_id IS NULL OR group_id = :page)""")

_ROW = f"c.ledger_id, c.document_id, c.seen, c.group_id, {', '.join(BANDS)}"
_PART = "SELECT * FROM (SELECT ledger_id FROM fingerprints WHERE {band} = :{band} LIMIT :in_band) AS {band}s"
_FROM = "FROM copy_groups AS c JOIN fingerprints AS f ON f.ledger_id = c.ledger_id WHERE c.ledger_id IN"
_CANDIDATES = text(f"SELECT {_ROW} {_FROM} ({' UNION '.join(_PART.format(band=band) for band in BANDS)})")  # names of columns
_ANCHORS = text(f"SELECT {_ROW} {_FROM} :b_ids").bindparams(_IDS)
_FOUND_GROUPS = select(copy_groups.c.group_id).distinct().where(copy_groups.c.ledger_id.in_(_IDS), copy_groups.c.group_id.is_not(None))
_MEMBER_NAMES = ("id", "url", "original_url", "source", "published_at", "published_precision", "first_seen_at")
_MEMBERS = (
    select(copy_groups.c.ledger_id, *(documents.c[name] for name in _MEMBER_NAMES))
    .join_from(copy_groups, documents, (documents.c.ledger_id == copy_groups.c.ledger_id) & (documents.c.id == copy_groups.c.document_id))
    .where(copy_groups.c.group_id == _PAGE)
    .order_by(copy_groups.c.seen, copy_groups.c.document_id)
    .limit(MAX_ORDERED)
)
_BLOCKS = select(documents.c.blocks).where(documents.c.id == bindparam("b_id"))
_PLANS = select(sources.c.plan, sources.c.enabled).where(sources.c.name.in_(bindparam("b_names", expanding=True)))
_PLACE = case((copy_groups.c.ledger_id == bindparam("b_head"), 0), else_=copy_groups.c.seen)
_SET_PLACES = (
    update(copy_groups)
    .where(copy_groups.c.group_id == _PAGE, copy_groups.c.place.is_distinct_from(_PLACE))
    .values(place=_PLACE)
    .returning(copy_groups.c.ledger_id)
)
_CLEAR_PLACES = update(copy_groups).where(copy_groups.c.ledger_id.in_(_IDS), copy_groups.c.group_id.is_(None)).values(place=None)

_CHANGED = (
    select(copy_groups.c.ledger_id, copy_groups.c.group_id, copy_groups.c.place, search_entries.c.moment, search_entries.c.document_id)
    .join_from(copy_groups, search_entries, search_entries.c.document_id == copy_groups.c.document_id)
    .where(
        copy_groups.c.ledger_id.in_(_IDS),
        search_entries.c.copy_group.is_distinct_from(copy_groups.c.group_id)
        | search_entries.c.copy_place.is_distinct_from(copy_groups.c.place),
    )
)
_AT = "moment = :moment AND document_id = :document_id"
_SET_IN_SQLITE = text(f"UPDATE search_entries SET copy_group = :group, copy_place = :place WHERE {_AT}")  # noqa: S608
# A transaction that writes the entry is not waited for, because it may wait for a row that this one has locked.
_SET_IN_POSTGRES = text(f"""UPDATE search_entries SET copy_group = :group, copy_place = :place WHERE (moment, document_id) IN
(SELECT moment, document_id FROM search_entries WHERE {_AT} FOR UPDATE SKIP LOCKED)""")  # noqa: S608

# A page that is another document now.
_FORGET = text("UPDATE search_entries SET copy_group = NULL, copy_place = NULL WHERE document_id = :document_id AND copy_group IS NOT NULL")


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
    """The page of a document that may be the anchor or a member of a group."""

    id: int
    key: OrderKey
    bands: Fingerprint | None  # None: the text is too short
    group: int | None

    @property
    def anchor(self) -> int:
        return self.id if self.group is None else self.group

    @property
    def is_anchor(self) -> bool:
        return self.anchor == self.id


class _Decisions:
    """Decisions in one transaction."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._texts = OrderedDict[int, ComparedText]()
        self._touched = set[int]()  # anchors that may have got their first member or lost their last one
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
            self._conn.execute(_PUT, [_make_row(rows[page.id]) for page in pages])
        self._moved.update(page.id for page in pages)
        for page in sorted(pages, key=lambda page: page.key):
            self._decide(page)
        for anchor in sorted(self._touched):
            self._conn.execute(_MARK_ANCHOR, {"page": anchor})
        self._set_places(self._moved | self._touched)
        self._write_index(self._moved | self._touched)
        note_due(self._conn, {*ids} | self._moved | self._touched)

    def _decide(self, page: _Page) -> None:
        candidates = self._find_candidates(page)
        anchors = sorted((one for one in candidates.values() if one.is_anchor and one.key < page.key), key=lambda one: one.key)
        anchor = next((one for one in anchors if self._are_copies(page, one)), None)
        if anchor is not None:
            self._set_group(page, anchor.id)
            return
        if not page.is_anchor:
            self._set_group(page, None)
        for one in candidates.values():
            is_later = one.key > page.key and (one.anchor not in candidates or candidates[one.anchor].key > page.key)
            if is_later and self._are_copies(page, one):
                if one.group == one.id:
                    self._conn.execute(_RELEASE, {"page": one.id})
                self._set_group(one, page.id)

    def _find_candidates(self, page: _Page) -> Mapping[int, _Page]:
        """Pages that may be copies of one, with the anchors of their groups."""
        if page.bands is None:
            return {}
        bands = dict(zip(BANDS, page.bands, strict=True))
        found = {one.id: one for one in map(_read_page, self._conn.execute(_CANDIDATES, {**bands, "in_band": MAX_IN_BAND}))}
        if missing := {one.anchor for one in found.values()} - found.keys():
            found |= {one.id: one for one in map(_read_page, self._conn.execute(_ANCHORS, {"b_ids": sorted(missing)}))}
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

    def _set_places(self, pages: Collection[int]) -> None:
        """Choose the heads of the groups of some pages."""
        ids = {"b_ids": sorted(pages)}
        self._conn.execute(_CLEAR_PLACES, ids)
        for group in sorted(self._conn.execute(_FOUND_GROUPS, ids).scalars()):
            rows = self._conn.execute(_MEMBERS, {"b_page": group}).all()
            trusted = self._find_trusted_sites({row.source for row in rows} - {None})
            members = [_make_member(row, trusted) for row in rows]
            head = choose_head(members, partial(self._find_named, rows))
            (page,) = (row.ledger_id for row in rows if row.id == head)
            self._moved.update(self._conn.execute(_SET_PLACES, {"b_page": group, "b_head": page}).scalars())

    def _find_trusted_sites(self, names: set[str]) -> dict[str, frozenset[str]]:
        """The sites of the sources that the operator trusts, by the name of the source."""
        rows = self._conn.execute(_PLANS, {"b_names": sorted(names)}).all() if names else ()
        plans = [load_source(row.plan, row.enabled) for row in rows if row.plan.get("trusted")]
        return {source.name: list_sites(source) for source in plans}

    def _find_named(self, rows: Sequence[Any], document_id: str) -> list[str]:
        """The other members of a group that one names as its original: by its canonical URL, or by a link in its text."""
        (row,) = (row for row in rows if row.id == document_id)
        ids = {key: one.id for one in rows if one.id != document_id for key in (one.id, _make_key(one.url))}
        blocks = self._conn.execute(_BLOCKS, {"b_id": document_id}).scalar() or ()
        links = (link["url"] for block in blocks for link in (block.get("markup") or {}).get("links", ()))
        return [ids[key] for url in (row.original_url, *links) if (key := _make_key(url)) in ids]

    def _write_index(self, pages: Iterable[int]) -> None:
        statement = choose(self._conn, sqlite=_SET_IN_SQLITE, postgres=_SET_IN_POSTGRES)
        for row in self._conn.execute(_CHANGED, {"b_ids": sorted(pages)}).all():
            values = {"group": row.group_id, "place": row.place, "moment": row.moment, "document_id": row.document_id}
            if not self._conn.execute(statement, values).rowcount:
                self._conn.execute(_POSTPONE, {"page": row.ledger_id})


def _key_of(row: Any) -> OrderKey:
    return order_key(row.text_seen_at or row.first_seen_at, row.id)


def _make_row(row: Any) -> dict[str, Any]:
    seen, document_id = _key_of(row)
    second = int(document_time(row.published_at, row.published_precision, row.first_seen_at).timestamp())
    return {"ledger_id": row.ledger_id, "document_id": document_id, "second": second, "seen": seen}


def _make_member(row: Any, trusted: Mapping[str, frozenset[str]]) -> Member:
    site, stated_at = find_site(row.url), document_time(row.published_at, row.published_precision, row.first_seen_at)
    return Member(row.id, site, stated_at, site in trusted.get(row.source, ()))


def _make_key(url: str | None) -> str | None:
    try:
        return None if url is None else make_key(url)
    except UrlError:
        return None


def _read_page(row: Any) -> _Page:
    return _Page(row.ledger_id, (row.seen, row.document_id), _read_bands(row), row.group_id)


def _read_bands(row: Any) -> Fingerprint | None:
    return None if row.band1 is None else tuple(row[-len(BANDS) :])

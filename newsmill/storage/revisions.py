"""The revisions of documents: the current content is in `documents`, the replaced ones are in `revisions`.

A replaced content is copied inside the database, in the commit that stores the new one. It is the last state of its revision: a later fetch
that showed the same content has changed `fetched_at` and `archive_ref`. Numbers may be missing: revisions of a store that did not keep them
yet, those that the limit removed, and one that another page of the same commit replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, Text, bindparam, cast, delete, func, insert, select, union_all

from newsmill.model import Revision, RevisionCause, RevisionSummary
from newsmill.model.lazy_adapter import make_adapter
from newsmill.similarity.revision_comparison import count_changed_words, list_changed_fields
from newsmill.storage.columns import make_storable
from newsmill.storage.cursors import decode_cursor, encode_cursor
from newsmill.storage.database import reading
from newsmill.storage.schema import documents, revisions

# The default plan of revisits gives a page that always changes 20 revisions in its month; a live blog of 13 kB per revision fills a
# third of the characters. The first revision and the last replaced one are kept whatever their size.
MAX_REVISIONS = 50  # replaced contents of a document, beside its first one
MAX_CHARACTERS = 2_000_000  # of text, blocks and live updates of these

_CONTENT = tuple(column.name for column in revisions.c if column.name not in ("document_id", "revision", "characters"))
_CHARACTERS = (
    func.length(documents.c.text) + func.length(cast(documents.c.blocks, Text)) + func.length(cast(documents.c.live_updates, Text))
)
_KEEP = insert(revisions).from_select(
    ["document_id", "revision", "characters", *_CONTENT],
    select(documents.c.id, documents.c.revision, _CHARACTERS, *(documents.c[name] for name in _CONTENT)).where(
        documents.c.id == bindparam("b_id"), documents.c.revision < bindparam("b_revision")
    ),
)
_NEWEST_FIRST: Any = {"order_by": revisions.c.revision.desc()}
_KEPT = (
    select(
        revisions.c.revision,
        func.row_number().over(**_NEWEST_FIRST).label("place"),
        func.sum(revisions.c.characters).over(**_NEWEST_FIRST).label("characters"),
        func.min(revisions.c.revision).over().label("first"),
    )
    .where(revisions.c.document_id == bindparam("b_id"))
    .subquery()
)
_TOO_OLD = select(_KEPT.c.revision).where(
    _KEPT.c.revision > _KEPT.c.first,
    _KEPT.c.place > 1,
    (_KEPT.c.place > MAX_REVISIONS) | (_KEPT.c.characters > MAX_CHARACTERS),
)
_REMOVE = delete(revisions).where(revisions.c.document_id == bindparam("b_id"), revisions.c.revision.in_(_TOO_OLD))

_DISCARD = delete(revisions).where(revisions.c.document_id.in_(bindparam("b_ids", expanding=True)))

_ALL = union_all(
    select(documents.c.id.label("document_id"), documents.c.revision, *(documents.c[name] for name in _CONTENT)).where(
        documents.c.id == bindparam("b_id")
    ),
    select(revisions.c.document_id, revisions.c.revision, *(revisions.c[name] for name in _CONTENT)).where(
        revisions.c.document_id == bindparam("b_id")
    ),
).subquery()
_ONE = select(_ALL).where(_ALL.c.revision == bindparam("b_revision"))
# Blocks are most of a content, and no list shows them.
_HEADS = (
    select(*(column for column in _ALL.c if column.name != "blocks"))
    .where(_ALL.c.revision < bindparam("b_before"))
    .order_by(_ALL.c.revision.desc())
    .limit(bindparam("b_limit"))
)
_EXISTS = select(documents.c.id).where(documents.c.id == bindparam("b_id"))
_REVISION = make_adapter(Revision)
_NO_BLOCKS: dict[str, Any] = {"blocks": ()}
_LAST = (1 << 31) - 1  # above every number


def keep_replaced(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep the stored contents of which `rows` (of documents, about to be written) are new revisions, within the limits of a document."""
    replacing = [{"b_id": row["id"], "b_revision": row["revision"]} for row in rows if row["revision"] > 1]
    if not replacing:
        return
    conn.execute(_KEEP, replacing)
    conn.execute(_REMOVE, replacing)


def discard(conn: Connection, ids: Sequence[str | None]) -> None:
    """Delete the replaced contents of documents that another host's page had before."""
    if ids:
        conn.execute(_DISCARD, {"b_ids": ids})


class Revisions:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, document_id: str, revision: int) -> Revision | None:
        """One revision of a document, also the current one; None if it is not kept."""
        if not 0 < revision < _LAST:
            return None
        with reading(self._engine) as conn:
            row = conn.execute(_ONE, {"b_id": make_storable(document_id), "b_revision": revision}).mappings().one_or_none()
        return None if row is None else _from_row(row)

    def list(self, document_id: str) -> Sequence[RevisionSummary] | None:
        """All kept revisions of a document, newest first. None if the document does not exist."""
        page = self.page(document_id, limit=MAX_REVISIONS + 2)
        return None if page is None else page[0]

    def page(self, document_id: str, *, cursor: str | None = None, limit: int) -> tuple[Sequence[RevisionSummary], str | None] | None:
        """(The revisions of a document, newest first; the cursor of those that follow or None). None if the document does not exist.

        Raises CursorError.
        """
        before = _LAST if cursor is None else int(decode_cursor("revisions", cursor, int)[0])
        wanted = {"b_id": make_storable(document_id), "b_before": min(max(before, 0), _LAST), "b_limit": limit + 1}
        with reading(self._engine) as conn:
            found = [_from_row(row) for row in conn.execute(_HEADS, wanted).mappings()]
            if not found and conn.execute(_EXISTS, {"b_id": wanted["b_id"]}).first() is None:
                return None
        compared = [_summarize(new, old) for new, old in pairwise(found)]
        if len(found) > limit:
            return compared, encode_cursor("revisions", found[limit - 1].revision)
        return [*compared, *(_summarize(first, None) for first in found[-1:])], None


def _from_row(row: RowMapping) -> Revision:
    return _REVISION.validate_python({**_NO_BLOCKS, **row})


def _summarize(new: Revision, old: Revision | None) -> RevisionSummary:
    added, removed = (0, 0) if old is None else count_changed_words(old.text, new.text)
    return RevisionSummary(
        revision=new.revision,
        previous=None if old is None else old.revision,
        stored_at=new.stored_at,
        fetched_at=new.fetched_at,
        title=new.title,
        word_count=new.word_count,
        cause=None if old is None else find_cause(old, new),
        changed=() if old is None else list_changed_fields(old, new),
        words_added=added,
        words_removed=removed,
    )


def find_cause(old: Revision, new: Revision) -> RevisionCause:
    """Whether a new fetch or another extraction of the same archived page made the newer of two revisions."""
    is_same_page = new.archive_ref is not None and new.archive_ref == old.archive_ref
    return RevisionCause.EXTRACTION if is_same_page else RevisionCause.FETCH

"""The group of copies that a document is in, the head first and then in the order of first sight, and how each copy differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, and_, bindparam, func, select

from newsmill.model import Author, AuthorType, CopyGroup, DocumentCopy
from newsmill.similarity.copies import find_wire_agency
from newsmill.similarity.revision_comparison import count_changed_words
from newsmill.storage.database import reading
from newsmill.storage.schema import copy_groups, documents

MAX_COPIES = 100  # of one group that are compared: each costs reading its text, about 0.5 ms

_HEAD = ("id", "url", "title", "source", "site_name", "language", "published_at", "published_precision", "first_seen_at", "text_seen_at")
_COLUMNS = (*(documents.c[name] for name in _HEAD), documents.c.text, documents.c.authors)
_IS_OF_DOCUMENT = and_(copy_groups.c.ledger_id == documents.c.ledger_id, copy_groups.c.document_id == documents.c.id)
_GROUP = (
    select(documents.c.id, copy_groups.c.group_id)
    .join_from(documents, copy_groups, _IS_OF_DOCUMENT, isouter=True)
    .where(documents.c.id == bindparam("b_id"))
)
_ALONE = select(*_COLUMNS).where(documents.c.id == bindparam("b_id"))
_IN_GROUP = copy_groups.c.group_id == bindparam("b_group")
_MEMBERS = (
    select(*_COLUMNS)
    .join_from(copy_groups, documents, _IS_OF_DOCUMENT)
    .where(_IN_GROUP)
    .order_by(copy_groups.c.place, copy_groups.c.document_id)
    .limit(MAX_COPIES)
)
_COUNT = select(func.count()).select_from(copy_groups).where(_IN_GROUP)


_HEAD_ROW = copy_groups.alias("head")
_FIRSTS = (
    select(documents.c.id, _HEAD_ROW.c.document_id.label("first"))
    .join_from(documents, copy_groups, _IS_OF_DOCUMENT)
    .join(_HEAD_ROW, (_HEAD_ROW.c.group_id == copy_groups.c.group_id) & (_HEAD_ROW.c.place == 0))
    .where(documents.c.id.in_(bindparam("b_ids", expanding=True)), _HEAD_ROW.c.document_id != documents.c.id)
)


class DocumentCopies:
    """Reads only. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, document_id: str) -> CopyGroup | None:
        """The document and its copies, at most MAX_COPIES of them; None if the document does not exist."""
        with reading(self._engine) as conn:
            found = conn.execute(_GROUP, {"b_id": document_id}).first()
            if found is None:
                return None
            statement, values = (_ALONE, {"b_id": document_id}) if found.group_id is None else (_MEMBERS, {"b_group": found.group_id})
            rows = conn.execute(statement, values).mappings().all()
            total = len(rows) if len(rows) < MAX_COPIES else conn.execute(_COUNT, values).scalar_one()
        copies = tuple(_compare(row, rows[0]["text"]) for row in rows)
        agency = next((copy.wire_agency for copy in copies if copy.wire_agency is not None), None)
        return CopyGroup(None if not copies or copies[0].id == document_id else copies[0].id, agency, total, copies)

    def list_firsts(self, ids: Sequence[str]) -> dict[str, str]:
        """The copies among some documents, each with the ID of the head of its group."""
        with reading(self._engine) as conn:
            return {row.id: row.first for row in conn.execute(_FIRSTS, {"b_ids": ids})}


def _compare(row: Mapping[Any, Any], first: str) -> DocumentCopy:
    added, removed = count_changed_words(first, row["text"])
    authors = [Author(author["name"], AuthorType(author["type"])) for author in row["authors"]]
    agency = find_wire_agency(row["text"], authors)
    return DocumentCopy(**{name: row[name] for name in _HEAD}, wire_agency=agency, words_added=added, words_removed=removed)

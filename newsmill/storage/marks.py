"""Stars, read documents, tags and notes: what each user has noted about documents.

A user is the name of a token; all requests without a token are of the user "" (`web.auth.Caller.user`). The search index has the marks as
terms, so a change indexes its documents again in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, literal_column, select

from newsmill.exceptions import ConfigError
from newsmill.model import DocumentMarks, MarkKind
from newsmill.search.indexer import index_ids
from newsmill.storage.columns import make_storable
from newsmill.storage.database import reading, writing
from newsmill.storage.dialects import Upsert
from newsmill.storage.schema import documents, marks, search_pending
from newsmill.text.sentences import Sentence

MAX_TAGS = 20  # of one document
MAX_TAG_CHARACTERS = 60
MAX_NOTE_CHARACTERS = 4000
MAX_CHANGED = 200  # documents of one change: they are indexed in its transaction, 5 ms each
MAX_LISTED_TAGS = 200

_IS_TAG = marks.c.kind == literal_column("'tag'")  # a literal, which SQLite needs to use the partial index
_PUT = Upsert(marks, ("document_id", "user_name", "kind", "tag"), lambda new: {"note": new["note"], "marked_at": new["marked_at"]})
_PUT_PENDING = Upsert(search_pending, ("document_id",), lambda new: {"document_id": new["document_id"]})


@dataclass(frozen=True, slots=True)
class MarkChange:
    """What to change; None and empty: nothing. A note of "" removes the note."""

    starred: bool | None = None
    read: bool | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class TagCount:
    """A tag of a user, and the number of documents that have it."""

    tag: str
    documents: int


class Marks:
    """The marks of one user. Every call may raise ServiceError."""

    def __init__(self, engine: Engine, user: str = "") -> None:
        self._engine, self._user = engine, user

    def get(self, ids: Iterable[str]) -> dict[str, DocumentMarks]:
        """The marks of documents, by id; documents without a mark are left out."""
        wanted = sorted(set(ids))
        if not wanted:
            return {}
        statement = select(marks).where(marks.c.document_id.in_(wanted), marks.c.user_name == self._user).order_by(marks.c.tag)
        with reading(self._engine) as conn:
            rows = conn.execute(statement).all()
        return {document_id: _build_marks([row for row in rows if row.document_id == document_id]) for document_id in _ids(rows)}

    def change(self, ids: Iterable[str], change: MarkChange, *, now: datetime) -> int:
        """Change the marks of documents; returns how many of the documents exist. Raises ConfigError for a bad tag or note."""
        wanted = sorted(set(ids))
        if len(wanted) > MAX_CHANGED:
            raise ConfigError(Sentence("at most {n} documents can be changed at once, not {given}", n=MAX_CHANGED, given=len(wanted)))
        added, removed = read_tags(change.add_tags), read_tags(change.remove_tags)
        note = None if change.note is None else read_note(change.note)
        with writing(self._engine) as conn:
            # Locked, so that of two changes at once the second indexes the marks of both. The pending row waits for a running indexer.
            lock = select(documents.c.id).where(documents.c.id.in_(wanted)).order_by(documents.c.id).with_for_update()
            existing = list(conn.execute(lock).scalars())
            _PUT_PENDING.run(conn, [{"document_id": document_id} for document_id in existing])
            for kind, wish in ((MarkKind.STAR, change.starred), (MarkKind.READ, change.read)):
                if wish is not None:
                    self._set(conn, existing, kind, present=wish, now=now)
            if note is not None:
                self._set(conn, existing, MarkKind.NOTE, present=bool(note), note=note, now=now)
            for tag in removed:
                self._set(conn, existing, MarkKind.TAG, tag=tag, present=False, now=now)
            for tag in added:
                self._set(conn, existing, MarkKind.TAG, tag=tag, present=True, now=now)
            if added:
                self._check_tag_counts(conn, existing)
            index_ids(conn, existing)
        return len(existing)

    def list_tags(self) -> list[TagCount]:
        """The tags of the user, the most frequent first; at most MAX_LISTED_TAGS."""
        number = func.count().label("n")
        statement = select(marks.c.tag, number).where(_IS_TAG, marks.c.user_name == self._user).group_by(marks.c.tag)
        with reading(self._engine) as conn:
            rows = conn.execute(statement.order_by(number.desc(), marks.c.tag).limit(MAX_LISTED_TAGS))
            return [TagCount(row.tag, row.n) for row in rows]

    def _set(
        self, conn: Connection, ids: Sequence[str], kind: MarkKind, *, present: bool, now: datetime, tag: str = "", note: str | None = None
    ) -> None:
        if present:
            row = {"user_name": self._user, "kind": kind.value, "tag": tag, "note": note, "marked_at": now}
            _PUT.run(conn, [{"document_id": document_id, **row} for document_id in ids])
        else:
            is_mark = (marks.c.user_name == self._user, marks.c.kind == kind.value, marks.c.tag == tag)
            conn.execute(delete(marks).where(marks.c.document_id.in_(ids), *is_mark))

    def _check_tag_counts(self, conn: Connection, ids: Sequence[str]) -> None:
        tagged = select(marks.c.document_id).where(marks.c.document_id.in_(ids), marks.c.user_name == self._user, _IS_TAG)
        if conn.execute(tagged.group_by(marks.c.document_id).having(func.count() > MAX_TAGS).limit(1)).first():
            raise ConfigError(Sentence("a document can have at most {n} tags; remove one first", n=MAX_TAGS))


def read_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without surrounding and double spaces, each once. Raises ConfigError."""
    found = dict.fromkeys(" ".join(make_storable(tag).split()) for tag in tags)
    for tag in found:
        if not tag or not tag.isprintable() or '"' in tag or len(tag) > MAX_TAG_CHARACTERS:
            raise ConfigError(
                Sentence(
                    "a tag has 1 to {n} printable characters and no quotation mark, unlike {tag}", n=MAX_TAG_CHARACTERS, tag=repr(tag[:80])
                )
            )
    return tuple(found)


def read_note(note: str) -> str:
    """The note without surrounding spaces. Raises ConfigError."""
    text = make_storable(note).replace("\r\n", "\n").strip()
    if len(text) > MAX_NOTE_CHARACTERS:
        raise ConfigError(Sentence("a note has at most {n:,} characters, not {given:,}", n=MAX_NOTE_CHARACTERS, given=len(text)))
    return text


def _ids(rows: Iterable[Any]) -> Iterable[str]:
    return dict.fromkeys(row.document_id for row in rows)


def _build_marks(rows: Sequence[Any]) -> DocumentMarks:
    kinds = {row.kind for row in rows}
    return DocumentMarks(
        starred=MarkKind.STAR in kinds,
        read=MarkKind.READ in kinds,
        tags=tuple(row.tag for row in rows if row.kind == MarkKind.TAG),
        note=next((row.note for row in rows if row.kind == MarkKind.NOTE), None),
    )

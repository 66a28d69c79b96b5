"""Passes that extract stored documents again: what they read, what they replaced, and what they left.

A pass writes a few documents in one transaction, with its own position and counts. So a pass that is killed continues where it was, and
reads nothing twice. A replaced text keeps its revision number, which counts what the publisher published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, delete, func, insert, select, update

from newsmill.exceptions import NewsmillError
from newsmill.model import Document, Judgement, PassOptions, ReextractedDocument, ReextractionPass, Verdict
from newsmill.model.lazy_adapter import make_adapter
from newsmill.model.reextraction import FAILED
from newsmill.storage.database import reading, writing
from newsmill.storage.documents import DOCUMENT_COLUMNS, from_row
from newsmill.storage.ledger.results import make_document_row, write_documents
from newsmill.storage.ledger.stored_pages import lock_ids
from newsmill.storage.reextraction_filter import select_wanted
from newsmill.storage.schema import documents, reextracted_documents, reextraction_passes
from newsmill.storage.storing_order import make_stamp
from newsmill.text.sentences import PACKED

IDS_PER_STATEMENT = 20_000  # ids are listed far ahead, because some statements sort all documents of a source
MAX_EXAMPLES = 3  # documents with a diff, of each source and judgement

_OPTIONS = make_adapter(PassOptions)
_VERDICT = make_adapter(Verdict)
_DOCUMENTS = select(*DOCUMENT_COLUMNS, documents.c.ledger_id).where(documents.c.id.in_(bindparam("b_ids", expanding=True)))
_STORED = select(*(documents.c[name] for name in ("id", "ledger_id", "stored_at", "archive_ref", "content_hash", "source"))).where(
    documents.c.id.in_(bindparam("b_ids", expanding=True))
)
_ROWS = select(reextracted_documents, documents.c.url, documents.c.title).join(
    documents, documents.c.id == reextracted_documents.c.document_id
)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document that a pass is to read, and the row of its page."""

    document: Document
    ledger_id: int


@dataclass(frozen=True, slots=True)
class Reextraction:
    """The result for one document. `after` None: its page gave no document; `verdict` None: the page cannot be read back."""

    before: Document
    after: Document | None = None
    verdict: Verdict | None = None
    words_removed: int = 0
    words_added: int = 0
    diff: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether title or text are others."""
        return self.after is not None and self.after.content_hash != self.before.content_hash


class Reextractions:
    """The passes and their results. Every call may raise ServiceError."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def begin(self, options: PassOptions, *, now: datetime) -> ReextractionPass:
        """The unfinished pass with these options, or a new one. A new one replaces dry runs, and the diffs of earlier passes."""
        dumped = _OPTIONS.dump_python(options, mode="json")
        with writing(self._engine) as conn:
            for row in conn.execute(select(reextraction_passes).where(reextraction_passes.c.ended_at.is_(None))).mappings():
                if row["options"] == dumped:
                    return _to_pass(row)
            earlier = conn.execute(select(reextraction_passes.c.id, reextraction_passes.c.options)).all()
            dry_runs = [one.id for one in earlier if one.options["is_dry_run"]]
            conn.execute(delete(reextraction_passes).where(reextraction_passes.c.id.in_(dry_runs)))
            conn.execute(update(reextracted_documents).where(reextracted_documents.c.has_diff).values(has_diff=False, diff=[]))
            total = conn.execute(select(func.count()).select_from(documents).where(*select_wanted(conn, options))).scalar_one()
            values = {"total": total if options.limit is None else min(total, options.limit), "last_id": "", "changed": 0, "counts": {}}
            new = insert(reextraction_passes).values(options=dumped, started_at=now, **values).returning(reextraction_passes)
            return _to_pass(conn.execute(new).mappings().one())

    def iterate(self, current: ReextractionPass, batch: int) -> Iterator[list[StoredDocument]]:
        """The documents that the pass has still to read, in the order of their ids."""
        left = None if current.options.limit is None else current.options.limit - current.done
        last = current.last_id
        while left is None or left > 0:
            limit = IDS_PER_STATEMENT if left is None else min(left, IDS_PER_STATEMENT)
            with reading(self._engine) as conn:
                wanted = (*select_wanted(conn, current.options), documents.c.id > last)
                ids = conn.execute(select(documents.c.id).where(*wanted).order_by(documents.c.id).limit(limit)).scalars().all()
            for start in range(0, len(ids), batch):
                with reading(self._engine) as conn:
                    rows = conn.execute(_DOCUMENTS.order_by(documents.c.id), {"b_ids": ids[start : start + batch]}).mappings().all()
                yield [StoredDocument(from_row(row), row["ledger_id"]) for row in rows]
            if len(ids) < limit:
                return
            last, left = ids[-1], None if left is None else left - len(ids)

    def record(self, current: ReextractionPass, results: Sequence[Reextraction], *, now: datetime) -> ReextractionPass:
        """Store the results of documents that follow `last_id`, in the order of their ids. Returns the pass with its new position.

        A document that changed meanwhile stays as it is: a worker with this version of the program has just extracted it.
        Raises NewsmillError if another process continues the same pass.
        """
        with writing(self._engine) as conn:
            lock_ids(conn, [result.before.id for result in results])
            rows = conn.execute(_STORED, {"b_ids": [result.before.id for result in results]})
            stored = {row.id: row for row in rows}
            kept = [result for result in results if _is_same(stored.get(result.before.id), result.before)]
            new = _count(current, results, {result.before.id for result in kept})
            _move(conn, current, new)
            is_dry_run = current.options.is_dry_run
            if to_write := [] if is_dry_run else [result for result in kept if _is_replacing(result)]:
                write_documents(conn, [_make_row(result, stored[result.before.id]) for result in to_write], make_stamp(conn, now))
            if changed := [result for result in kept if result.is_changed or _is_worse(result)]:
                found = [_result_row(current, result, _is_replacing(result) and not is_dry_run, now) for result in changed]
                conn.execute(insert(reextracted_documents), found)
            return new

    def end(self, current: ReextractionPass, *, now: datetime) -> ReextractionPass:
        """Note that the pass has read all documents."""
        with writing(self._engine) as conn:
            conn.execute(update(reextraction_passes).where(reextraction_passes.c.id == current.id).values(ended_at=now))
        return replace(current, ended_at=now)

    def find_latest(self) -> ReextractionPass | None:
        """The pass that began last."""
        with reading(self._engine) as conn:
            row = conn.execute(select(reextraction_passes).order_by(reextraction_passes.c.id.desc()).limit(1)).mappings().one_or_none()
        return None if row is None else _to_pass(row)

    def list_documents(
        self, pass_id: int, judgement: Judgement | None = None, *, limit: int, after: str = "", has_diff: bool = False
    ) -> list[ReextractedDocument]:
        """Documents that a pass changed, would change or left, by id; with `has_diff`, the examples, worse ones first."""
        wanted = [reextracted_documents.c.pass_id == pass_id, reextracted_documents.c.document_id > after]
        if judgement is not None:
            wanted.append(reextracted_documents.c.judgement == judgement.value)
        if has_diff:
            wanted.append(reextracted_documents.c.has_diff)
        order = (reextracted_documents.c.judgement.desc(),) if has_diff else ()
        with reading(self._engine) as conn:
            rows = conn.execute(_ROWS.where(*wanted).order_by(*order, reextracted_documents.c.document_id).limit(limit)).mappings()
            return [_to_document(row) for row in rows]

    def find_replacement(self, document: Document) -> ReextractedDocument | None:
        """The last pass that replaced the text of the page that the document shows now."""
        table = reextracted_documents
        statement = _ROWS.where(table.c.document_id == document.id, table.c.is_replaced).order_by(table.c.pass_id.desc()).limit(1)
        with reading(self._engine) as conn:
            row = conn.execute(statement).mappings().one_or_none()
        found = None if row is None else _to_document(row)
        return found if found is not None and found.extractor == document.extractor and found.at >= document.fetched_at else None


def _is_same(row: Any, document: Document) -> bool:
    return row is not None and (row.archive_ref, row.content_hash) == (document.archive_ref, document.content_hash)


def _is_worse(result: Reextraction) -> bool:
    return result.verdict is not None and result.verdict.judgement is Judgement.WORSE


def _is_replacing(result: Reextraction) -> bool:
    return result.after is not None and result.verdict is not None and not _is_worse(result)


def _count(current: ReextractionPass, results: Sequence[Reextraction], kept: Set[str]) -> ReextractionPass:
    counts = {source: dict(numbers) for source, numbers in current.counts.items()}
    for result in results:
        numbers = counts.setdefault(result.before.source or "", {})
        judgement = None if result.verdict is None else result.verdict.judgement if result.before.id in kept else Judgement.EQUAL
        key = FAILED if judgement is None else judgement.value
        numbers[key] = numbers.get(key, 0) + 1
    changed = current.changed + sum(result.is_changed and not _is_worse(result) for result in results if result.before.id in kept)
    return replace(current, last_id=results[-1].before.id, changed=changed, counts=counts)


def _move(conn: Connection, current: ReextractionPass, new: ReextractionPass) -> None:
    table = reextraction_passes
    place = (table.c.id == current.id, table.c.last_id == current.last_id)
    values = {"last_id": new.last_id, "changed": new.changed, "counts": new.counts}
    if conn.execute(update(table).where(*place).values(**values)).rowcount != 1:
        raise NewsmillError("another process continues the same pass")


def _make_row(result: Reextraction, row: Any) -> dict[str, Any]:
    """The row of a document with what the extraction found, and what it cannot know from before."""
    before, after = result.before, result.after
    assert after is not None
    names = ("id", "requested_url", "source", "first_seen_at", "text_seen_at", "fetched_at", "revision", "archive_ref", "gone_at")
    document = replace(after, **{name: getattr(before, name) for name in names})
    return make_document_row(document, row.ledger_id, row.stored_at)


def _result_row(current: ReextractionPass, result: Reextraction, is_replaced: bool, now: datetime) -> dict[str, Any]:
    assert result.verdict is not None
    judgement, source = result.verdict.judgement.value, result.before.source
    has_diff = bool(result.diff) and current.counts.get(source or "", {}).get(judgement, 0) < MAX_EXAMPLES
    return {
        "pass_id": current.id,
        "document_id": result.before.id,
        "source": source,
        "verdict": _VERDICT.dump_python(result.verdict, mode="json", context=PACKED),
        "judgement": judgement,
        "is_replaced": is_replaced,
        "at": now,
        "extractor_before": result.before.extractor,
        "extractor": None if result.after is None else result.after.extractor,
        "words_removed": result.words_removed,
        "words_added": result.words_added,
        "has_diff": has_diff,
        "diff": result.diff if has_diff else (),
    }


def _to_pass(row: Any) -> ReextractionPass:
    values = {field.name: row[field.name] for field in fields(ReextractionPass)}
    return ReextractionPass(**values | {"options": _OPTIONS.validate_python(row["options"])})


def _to_document(row: Any) -> ReextractedDocument:
    values = {field.name: row[field.name] for field in fields(ReextractedDocument)}
    return ReextractedDocument(**values | {"verdict": _VERDICT.validate_python(row["verdict"]), "diff": tuple(row["diff"])})
